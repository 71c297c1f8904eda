//! Groups of legacy clients.

use std::fmt::Write;

use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::records::GroupRecord;

use proto::control::api;

use super::{or_dash, status};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{PLAIN, WARN};
use crate::groupd::WaitLine;

/// Widths of group_tool's columns; the name's is that of the longest and one more.
const TYPE: usize = 16;
const LEVEL: usize = 5;
const ID: usize = 8;
const STATE: usize = 12;

/// `o2cpg groups --legacy`: the groups, and what stands still.
#[must_use]
pub(crate) fn legacy_groups(records: &[GroupRecord], waits: &[WaitLine], width: usize) -> String {
    let mut text = legacy_table(records, width);
    let waits: Vec<api::Wait> = waits.iter().map(WaitLine::api).collect();
    status::waits(&mut text, &waits, width);
    text
}

fn legacy_table(records: &[GroupRecord], width: usize) -> String {
    let columns = vec![
        Column::right("LEVEL"),
        Column::left("NAME").may_be_cut(),
        Column::left("TYPE"),
        Column::left("ID"),
        Column::left("STATE"),
        Column::left("MEMBERS"),
    ];
    let mut table = Table::new(columns);
    for record in records {
        let state = if record.change.is_none() { PLAIN } else { WARN };
        let of = record.change.as_ref().map_or_else(String::new, |change| format!(" of {}", change.node));
        table.push(vec![
            Cell::from(record.level),
            Cell::from(record.name.escape_ascii()),
            Cell::from(or_dash(&record.kind.as_bytes().escape_ascii().to_string())),
            Cell::from(format!("{:08x}", record.global_id.0)),
            Cell::new(state, state_of(record) + &of),
            Cell::from(or_dash(&members(record))),
        ]);
    }
    table.render(width)
}

/// The list as group_tool laid it out, for scripts that read it: two lines a group, nothing without groups.
#[must_use]
pub fn group_tool(records: &[GroupRecord], verbose: bool) -> String {
    if records.is_empty() {
        return String::new();
    }
    let names: Vec<String> = records.iter().map(|record| record.name.escape_ascii().to_string()).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0) + 1;
    let mut text = String::new();
    let head = if verbose { "state node id local_done" } else { "state" };
    line(&mut text, "type", "level", ("name", width), "id", head);
    for (record, name) in records.iter().zip(&names) {
        let mut state = state_of(record);
        if let (Some(change), true) = (&record.change, verbose) {
            state = format!("{state} {} {:x} {}", change.node, change.id.raw(), change.local);
        }
        let kind = record.kind.as_bytes().escape_ascii().to_string();
        let (level, id) = (record.level.to_string(), format!("{:08x}", record.global_id.0));
        line(&mut text, &kind, &level, (name, width), &id, &state);
        text += &format!("[{}]\n", members(record));
    }
    text
}

fn line(text: &mut String, kind: &str, level: &str, (name, width): (&str, usize), id: &str, state: &str) {
    // Writing to a string does not fail.
    _ = writeln!(text, "{kind:TYPE$} {level:LEVEL$} {name:width$} {id:ID$} {state:STATE$}");
}

/// Sorted, as group_tool shows them.
fn members(record: &GroupRecord) -> String {
    let mut nodes: Vec<u32> = record.members.iter().map(|node| node.0).collect();
    nodes.sort_unstable();
    nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// The original's name of the state, or `none`.
#[must_use]
pub fn state_of(record: &GroupRecord) -> String {
    let Some(change) = &record.change else { return "none".into() };
    let cause = match change.cause {
        Cause::Join => "JOIN",
        Cause::Leave => "LEAVE",
        Cause::Fail => "FAIL",
    };
    let phase = match change.phase {
        Phase::Begin => "BEGIN",
        Phase::StopWait => "STOP_WAIT",
        Phase::AllStopped => "ALL_STOPPED",
        Phase::StartWait => "START_WAIT",
        Phase::AllStarted => "ALL_STARTED",
    };
    format!("{cause}_{phase}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use groupd_compat::event_id::EventId;
    use groupd_compat::ids::{GlobalId, NodeId};
    use groupd_compat::names::ClientKind;
    use groupd_compat::records::RecordChange;

    fn record(kind: &str, level: i32, name: &str, id: u32) -> GroupRecord {
        GroupRecord {
            kind: ClientKind::new(kind.as_bytes()),
            name: name.as_bytes().to_vec(),
            level,
            global_id: GlobalId(id),
            member: true,
            members: [3, 1, 2].map(NodeId).to_vec(),
            change: None,
        }
    }

    fn records() -> Vec<GroupRecord> {
        let change = RecordChange {
            cause: Cause::Fail,
            phase: Phase::StopWait,
            node: NodeId(3),
            local: 1,
            id: EventId::new(NodeId(3), 2, Cause::Fail),
        };
        let failing = GroupRecord { change: Some(change), ..record("dlm", 1, "rgmanager", 0x30002) };
        vec![record("fence", 0, "default", 0x10001), failing]
    }

    /// Conformance case 57.
    #[test]
    fn conformance_57_group_tool_s_layout_is_kept() {
        expect![[r#"
            type             level name       id       state       
            fence            0     default    00010001 none        
            [1 2 3]
            dlm              1     rgmanager  00030002 FAIL_STOP_WAIT
            [1 2 3]
        "#]]
        .assert_eq(&group_tool(&records(), false));
        expect![[r#"
            type             level name       id       state node id local_done
            fence            0     default    00010001 none        
            [1 2 3]
            dlm              1     rgmanager  00030002 FAIL_STOP_WAIT 3 300020003 1
            [1 2 3]
        "#]]
        .assert_eq(&group_tool(&records(), true));
        assert_eq!(group_tool(&[], true), "");
    }

    #[test]
    fn a_table_for_people() {
        expect![[r#"
            LEVEL  NAME       TYPE   ID        STATE                MEMBERS
                0  default    fence  00010001  none                 1 2 3
                1  rgmanager  dlm    00030002  FAIL_STOP_WAIT of 3  1 2 3
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&legacy_groups(&records(), &[], 80)).to_string());
    }

    #[test]
    fn what_stands_still_is_below_the_table() {
        let dump = concat!(
            "1763843160 a line of the journal\n",
            r#"1763843160 1:rgmanager waits {"group":"1:rgmanager","kind":"stopped","what":"stop_done of its client on node 3","#,
            r#""nodes":[3],"pid":null,"fix":"look there","is_long":true,"since_ms":12345}"#,
            "\n"
        );
        let text = legacy_groups(&records()[1..], &WaitLine::of_dump(dump), 80);
        expect![[r#"
            LEVEL  NAME       TYPE  ID        STATE                MEMBERS
                1  rgmanager  dlm   00030002  FAIL_STOP_WAIT of 3  1 2 3

            WAITING FOR                                                                SINCE
            1:rgmanager: stop_done of its client on node 3                               12s
              next  look there
        "#]]
        .assert_eq(&anstream::adapter::strip_str(&text).to_string());
    }
}
