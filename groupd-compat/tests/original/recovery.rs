//! Recovery sets: one for each failed node, with the groups that it was in.

use super::Original;
use groupd_compat::event_id::Cause;
use groupd_compat::ids::{CpgId, NodeId};
use groupd_compat::machine::Wait;
use groupd_compat::names::Level;
use std::collections::BTreeSet;

pub(super) struct Entry {
    pub(super) cpg: CpgId,
    pub(super) level: Level,
    pub(super) recovered: bool,
}

pub(super) struct Set {
    pub(super) node: NodeId,
    pub(super) entries: Vec<Entry>,
    cpg_seen: bool,
    pub(super) quorum_seen: bool,
}

#[derive(Default)]
pub(super) struct Recovery {
    pub(super) sets: Vec<Set>,
}

impl Recovery {
    fn of(&mut self, node: NodeId) -> &mut Set {
        let at = self.sets.iter().position(|set| set.node == node).unwrap_or(self.sets.len());
        if at == self.sets.len() {
            self.sets.push(Set { node, entries: vec![], cpg_seen: false, quorum_seen: false });
        }
        &mut self.sets[at]
    }

    /// The control CPG shows that it failed. A set that is known already stays as it is (B2). Is there anything to recover?
    pub(super) fn control_saw(&mut self, node: NodeId, shared: Vec<(CpgId, Level)>, process: bool) -> bool {
        let set = self.of(node);
        if !std::mem::replace(&mut set.cpg_seen, true) {
            set.entries.extend(shared.into_iter().map(|(cpg, level)| Entry { cpg, level, recovered: false }));
        }
        let (empty, over) = (set.entries.is_empty(), set.quorum_seen || process);
        self.sets.retain(|set| set.node != node || !(empty && over));
        !empty
    }

    /// Quorum has noticed that it is gone.
    pub(super) fn quorum_saw(&mut self, node: NodeId, in_control: bool) {
        let set = self.of(node);
        set.quorum_seen = true;
        let over = if set.cpg_seen { set.entries.is_empty() } else { !in_control };
        self.sets.retain(|set| set.node != node || !over);
    }

    /// A failure of these is over in a group.
    pub(super) fn recovered(&mut self, cpg: CpgId, failed: &[NodeId]) {
        for set in self.sets.iter_mut().filter(|set| failed.contains(&set.node)) {
            set.entries.iter_mut().filter(|entry| entry.cpg == cpg).for_each(|entry| entry.recovered = true);
        }
        self.sets.retain(|set| set.entries.is_empty() || !set.entries.iter().all(|entry| entry.recovered));
    }

    /// The group has nothing to do with the failure of these any more.
    pub(super) fn forget(&mut self, cpg: CpgId, failed: impl Fn(NodeId) -> bool) {
        for set in self.sets.iter_mut().filter(|set| failed(set.node)) {
            set.entries.retain(|entry| entry.cpg != cpg);
        }
        self.sets.retain(|set| !(set.cpg_seen && set.quorum_seen && set.entries.iter().all(|entry| entry.recovered)));
    }

    pub(super) fn lower_than(&self, level: Level) -> Option<Wait> {
        let open = |set: &Set| set.entries.iter().find(|it| it.level < level && !it.recovered).map(|it| it.level);
        self.sets.iter().find_map(|set| Some(Wait::LowerLevel { level: open(set)?, node: set.node }))
    }
}

impl Original {
    /// May a group in FAIL_ALL_STOPPED start?
    pub(super) fn failure_waits(&self, cpg: CpgId) -> Option<Wait> {
        let sets = &self.recovery.sets;
        let gone: BTreeSet<NodeId> = sets.iter().filter(|set| !set.quorum_seen).map(|set| set.node).collect();
        if !gone.is_empty() {
            return Some(Wait::QuorumReport { gone });
        }
        if !self.quorate {
            return Some(Wait::Quorum);
        }
        let group = self.group(cpg);
        let level = group.key.level;
        if sets.iter().flat_map(|set| &set.entries).any(|entry| entry.level < level) {
            return self.recovery.lower_than(level);
        }
        let mut its = sets.iter().filter(|set| set.entries.iter().any(|entry| entry.cpg == cpg)).peekable();
        if its.peek().is_none() {
            let node = group.current.as_ref().map_or(self.me, |change| change.node);
            return Some(Wait::StopOfAll { node }); // B2
        }
        let ready = |entry: &Entry| entry.recovered || self.is_fail_stopped(entry.cpg);
        its.find(|set| !set.entries.iter().all(ready)).map(|set| Wait::StopOfAll { node: set.node })
    }

    fn is_fail_stopped(&self, cpg: CpgId) -> bool {
        let change = self.groups.iter().find(|group| group.cpg == cpg).and_then(|group| group.current.as_ref());
        change.is_some_and(|change| change.cause == Cause::Fail && change.fail_all_stopped)
    }

    /// May a join in JOIN_ALL_STOPPED start?
    pub(super) fn join_waits(&self, cpg: CpgId) -> Option<Wait> {
        let group = self.group(cpg);
        let anyway = group.current.as_ref().is_some_and(|change| change.start_before_recovery);
        if !self.quorate {
            return Some(Wait::Quorum);
        }
        if anyway { None } else { self.recovery.lower_than(group.key.level) }
    }
}
