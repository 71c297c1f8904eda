//! Records for queries, and what each group waits for, in the words of our machine.

use super::Original;
use super::group::{App, Change, Group};
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::machine::{GroupStatus, Mode, Status, Wait};
use groupd_compat::records::{GroupRecord, RecordChange};
use groupd_compat::verbs::Query;

impl Original {
    pub fn status(&self) -> Status {
        let groups = self.groups.iter().map(|group| GroupStatus {
            key: group.key.clone(),
            record: self.record(group),
            owner: group.slot.and_then(|at| Some(self.slots.get(at)?.as_ref()?.client)),
            queued: group.queue.len(),
            waits: self.wait_of(group),
        });
        Status {
            mode: self.versions.mode,
            quorate: self.quorate,
            daemons: self.control.clone(),
            groups: groups.collect(),
        }
    }

    pub fn records(&self, max: i32) -> Vec<GroupRecord> {
        let max = usize::try_from(max).unwrap_or(0).max(1);
        self.groups.iter().take(max).map(|group| self.record(group)).collect()
    }

    pub(super) fn record_of(&self, query: &Query) -> GroupRecord {
        match query {
            Query::Group(key) => {
                let group = self.groups.iter().find(|group| group.key == *key);
                group.map(|group| self.record(group)).unwrap_or_default()
            }
            Query::Control => GroupRecord { level: -1, members: self.control.clone(), ..GroupRecord::default() },
            Query::Nothing => GroupRecord::default(),
        }
    }

    fn record(&self, group: &Group) -> GroupRecord {
        let own_join = group.current.as_ref().is_some_and(|change| change.is_own(Cause::Join, self.me));
        GroupRecord {
            kind: group.kind.clone(),
            name: group.key.name.as_bytes().to_vec(),
            level: i64::from(group.key.level) as i32,
            global_id: group.global_id,
            member: group.has_app(self.me) && !own_join,
            members: group.app.iter().map(|app| app.node).collect(),
            change: group.current.as_ref().map(|change| RecordChange {
                cause: change.cause,
                phase: change.phase,
                node: change.node,
                local: self.local(group, change),
                id: change.id,
            }),
        }
    }

    fn local(&self, group: &Group, change: &Change) -> i32 {
        let Some(own) = group.app.iter().find(|app| app.node == self.me) else { return -2 };
        match change.phase {
            Phase::StopWait => i32::from(own.stopped),
            Phase::StartWait => i32::from(own.started),
            Phase::Begin | Phase::AllStopped | Phase::AllStarted => -1,
        }
    }

    pub(super) fn wait_of(&self, group: &Group) -> Option<Wait> {
        match self.versions.mode {
            Mode::Libgroup => {}
            Mode::Pending => return Some(Wait::Mode),
            Mode::Libcpg => return None,
        }
        let Some(change) = &group.current else {
            return match (group.joining, group.leaving) {
                (true, _) => Some(Wait::OwnJoin),
                (_, true) => Some(Wait::OwnLeave),
                _ => None,
            };
        };
        let without = |done: fn(&App) -> bool| group.app.iter().filter(|app| !done(app)).map(|app| app.node).collect();
        match (change.cause, change.phase) {
            (_, Phase::StopWait) => Some(Wait::Stopped { by: without(|app| app.stopped) }),
            (_, Phase::StartWait) => Some(Wait::Started { by: without(|app| app.started) }),
            (Cause::Join, Phase::AllStopped) => self.join_waits(group.cpg),
            (Cause::Fail, Phase::AllStopped) => self.failure_waits(group.cpg),
            _ => None,
        }
    }
}
