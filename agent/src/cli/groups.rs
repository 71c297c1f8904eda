//! `groups`: those of o2cpgd, and those of legacy clients.

use groupd_compat::records::GroupRecord;
use serde::Serialize;

use super::args::{Groups, Style};
use super::exit::{Exit, Failure};
use super::legacy::Legacy;
use super::{Session, TIMEOUT, render};
use crate::groupd::{Told, WaitLine};
use proto::control::{Ask, api};

/// A group in JSON. Names and types are bytes; what is not printable ASCII is escaped as in C.
#[derive(Serialize)]
struct LegacyGroup {
    r#type: String,
    level: i32,
    name: String,
    id: u32,
    member: bool,
    members: Vec<u32>,
    /// The original's name of the state, or none.
    state: String,
    /// Of the change that is current.
    change: Option<Change>,
    /// What it waits for, if it does and its daemon is one of ours.
    waits: Option<Waits>,
}

#[derive(Serialize)]
struct Waits {
    #[serde(flatten)]
    told: Told,
    since_ms: u64,
}

#[derive(Serialize)]
struct Change {
    node: u32,
    id: String,
    /// -1: nothing is owed in this state; -2: not a member.
    local: i32,
}

#[derive(Serialize)]
struct LegacyGroups {
    groups: Vec<LegacyGroup>,
}

impl Session {
    pub(super) fn groups(&self, asked: &Groups) -> Result<Exit, Failure> {
        if asked.legacy {
            return self.legacy_groups(asked);
        }
        if asked.style.is_some() {
            return Err(Failure::usage("--style is about legacy groups", "add --legacy"));
        }
        let groups: api::Groups = self.ask(Ask::Groups)?;
        self.output.answer(&groups, |width| render::groups(&groups, width))?;
        Ok(Exit::Ok)
    }

    /// Asks groupd's own socket, whoever listens there.
    fn legacy_groups(&self, asked: &Groups) -> Result<Exit, Failure> {
        let connect = || Legacy::connect(&asked.groupd_socket, self.within(TIMEOUT));
        let mut records = connect()?.groups()?;
        records.sort_by_key(|record| record.level);
        let waits = match asked.style {
            Some(Style::GroupTool) => Vec::new(),
            None => WaitLine::of_dump(&connect()?.dump()?),
        };
        let body = LegacyGroups { groups: records.iter().map(|record| LegacyGroup::new(record, &waits)).collect() };
        self.output.tagged("o2cpg.legacy_groups/1", &body, |width| match asked.style {
            Some(Style::GroupTool) => render::group_tool(&records, self.global.verbose > 0),
            None => render::legacy_groups(&records, &waits, width),
        })?;
        Ok(Exit::Ok)
    }
}

impl LegacyGroup {
    fn new(record: &GroupRecord, waits: &[WaitLine]) -> Self {
        let key = format!("{}:{}", record.level, record.name.escape_ascii());
        let wait = waits.iter().find(|wait| wait.group == key);
        LegacyGroup {
            r#type: record.kind.as_bytes().escape_ascii().to_string(),
            level: record.level,
            name: record.name.escape_ascii().to_string(),
            id: record.global_id.0,
            member: record.member,
            members: record.members.iter().map(|node| node.0).collect(),
            state: render::state_of(record),
            change: record.change.as_ref().map(|change| Change {
                node: change.node.0,
                id: format!("{:x}", change.id.raw()),
                local: change.local,
            }),
            waits: wait.map(|wait| Waits { told: wait.told.clone(), since_ms: wait.since_ms }),
        }
    }
}
