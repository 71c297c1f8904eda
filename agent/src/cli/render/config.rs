//! Settings and where they come from.

use proto::control::api::Config;

use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{FAINT, PLAIN, WARN, labelled, styled};

/// `o2cpg config show`.
#[must_use]
pub fn config(config: &Config, width: usize) -> String {
    let mut table = Table::new(vec![Column::left("SETTING"), Column::left("VALUE"), Column::left("FROM")]);
    for setting in &config.settings {
        let origin = if setting.origin == "default" { FAINT } else { PLAIN };
        let value = if setting.value.is_empty() { "\"\"" } else { &setting.value };
        table.push(vec![Cell::from(&setting.key), Cell::from(value), Cell::new(origin, &setting.origin)]);
    }
    let mut out = table.render(width);
    let pending: Vec<_> = config.settings.iter().filter(|setting| !setting.pending.is_empty()).collect();
    if !pending.is_empty() {
        out.push_str(&format!("\n{}\n", styled(WARN, "NOT IN FORCE YET")));
    }
    for setting in pending {
        labelled(&mut out, 0, &format!("{}  ", setting.key), PLAIN, &setting.pending, width);
    }
    out
}
