//! The groups that the daemon works in.

use proto::control::api::Groups;

use super::or_dash;
use crate::cli::duration::spoken;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{PLAIN, WARN};

/// `o2cpg groups`.
#[must_use]
pub fn groups(groups: &Groups, width: usize) -> String {
    let columns = vec![
        Column::left("GROUP").may_be_cut(),
        Column::left("STATE"),
        Column::left("MEMBERS"),
        Column::left("WAITING FOR").may_be_cut(),
        Column::right("SINCE"),
    ];
    let mut table = Table::new(columns);
    for group in &groups.groups {
        let members: Vec<String> = group.members.iter().map(u32::to_string).collect();
        let state = if group.state == "stable" { PLAIN } else { WARN };
        table.push(vec![
            Cell::from(&group.name),
            Cell::new(state, &group.state),
            Cell::from(or_dash(&members.join(" "))),
            Cell::from(or_dash(&group.waits)),
            if group.members.is_empty() { "-".into() } else { spoken(group.since_ms).into() },
        ]);
    }
    table.render(width)
}
