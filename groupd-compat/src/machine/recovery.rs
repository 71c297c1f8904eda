//! Recovery sets: which local groups must recover together after a node's failure, and in which order.
//!
//! The original scans all groups of all sets for each group that waits, for each message (B12). Here each set
//! counts, and [`Recovery::take_news`] says when a count reached the point at which somebody may go on.

use super::wait::Wait;
use crate::ids::{CpgId, NodeId, RingId};
use crate::names::Level;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All open sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    sets: BTreeMap<NodeId, RecoverySet>,
    news: bool,
}

/// A node failed, as far as quorum and rings are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) node: NodeId,
    /// Has quorum noticed?
    pub(crate) quorum_seen: bool,
    /// The control CPG was in this ring.
    pub(crate) ring: RingId,
}

/// The groups that one failed node was in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RecoverySet {
    groups: BTreeMap<CpgId, Entry>,
    quorum_seen: bool,
    /// The ring in which it failed; later the last in which quorum still named it.
    ring: RingId,
    /// Groups per level.
    total: [usize; Level::COUNT],
    /// Groups per level that have not recovered.
    unrecovered: [usize; Level::COUNT],
    /// Groups that are neither stopped for this failure nor recovered from it.
    unstopped: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    level: Level,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Waiting,
    Stopped,
    Recovered,
}

impl Recovery {
    /// A node failed that shares these groups with us. Each of its lives counts anew (deviation B2): groups
    /// that it joined since its last failure are added, and quorum has to notice again.
    ///
    /// Without groups there is something to keep only if the node itself went: until quorum has noticed, what
    /// it says is old. A daemon that ends takes no node with it, so quorum would never notice.
    pub(crate) fn failed(&mut self, failure: &Failure, groups: &[(CpgId, Level)], keep_empty: bool) {
        if groups.is_empty() && !keep_empty {
            return;
        }
        let set = self.sets.entry(failure.node).or_default();
        (set.quorum_seen, set.ring) = (failure.quorum_seen, failure.ring);
        for &(cpg, level) in groups {
            if set.groups.get(&cpg).is_none_or(|entry| entry.state == State::Recovered) {
                set.put(cpg, Some(Entry { level, state: State::Waiting }));
            }
        }
        self.close_done();
    }

    /// Another group of a node whose failure is known (deviation B10).
    pub(crate) fn add(&mut self, failure: &Failure, cpg: CpgId, level: Level) {
        let &Failure { node, quorum_seen, ring } = failure;
        let set = self.sets.entry(node).or_insert_with(|| RecoverySet { quorum_seen, ring, ..RecoverySet::default() });
        set.put(cpg, Some(Entry { level, state: State::Waiting }));
    }

    /// Is there an open set for this node?
    pub(crate) fn knows(&self, node: NodeId) -> bool {
        self.sets.contains_key(&node)
    }

    /// Quorum noticed that these are gone.
    pub(crate) fn quorum_noticed(&mut self, gone: &BTreeSet<NodeId>) {
        for node in gone {
            if let Some(set) = self.sets.get_mut(node) {
                set.quorum_seen = true;
                self.news = true;
            }
        }
        self.close_done();
    }

    /// Quorum has spoken of this ring. Returns failed nodes that it still names there: they have not gone yet, or went and came
    /// back between two rings that it has seen, and it will never say so (deviation B27). Of one without groups nothing is to
    /// be recovered, and what quorum says of a later ring is not old.
    pub(crate) fn still_named(&mut self, ring: RingId) -> Vec<NodeId> {
        let mut named = Vec::new();
        for (&node, set) in self.sets.iter_mut().filter(|(_, set)| !set.quorum_seen && set.ring.seq < ring.seq) {
            set.ring = ring;
            set.quorum_seen = set.groups.is_empty();
            if !set.quorum_seen {
                named.push(node);
            }
        }
        self.close_done();
        named
    }

    /// All members of this group are stopped for the failure of these nodes.
    pub(crate) fn stopped<'a>(&mut self, cpg: CpgId, nodes: impl IntoIterator<Item = &'a NodeId>) {
        self.mark(cpg, nodes, State::Stopped);
    }

    /// The group is asked to stop once more.
    pub(crate) fn restopping(&mut self, cpg: CpgId) {
        for set in self.sets.values_mut() {
            if let Some(entry) = set.groups.get(&cpg).copied().filter(|entry| entry.state == State::Stopped) {
                set.put(cpg, Some(Entry { state: State::Waiting, ..entry }));
            }
        }
    }

    /// The group goes on without these nodes.
    pub(crate) fn recovered<'a>(&mut self, cpg: CpgId, nodes: impl IntoIterator<Item = &'a NodeId>) {
        self.mark(cpg, nodes, State::Recovered);
        self.close_done();
    }

    /// The group has nothing to recover from these nodes.
    pub(crate) fn drop_from<'a>(&mut self, cpg: CpgId, nodes: impl IntoIterator<Item = &'a NodeId>) {
        for node in nodes {
            if let Some(set) = self.sets.get_mut(node) {
                self.news |= set.put(cpg, None);
            }
        }
        self.close_done();
    }

    /// The group is gone on this node.
    pub(crate) fn forget(&mut self, cpg: CpgId) {
        for set in self.sets.values_mut() {
            self.news |= set.put(cpg, None);
        }
        self.close_done();
    }

    /// Does any failure leave a group below `level` to recover? That one goes first.
    pub(crate) fn lower_level_done(&self, level: Level) -> Result<(), Wait> {
        for (&node, set) in &self.sets {
            if let Some(lower) = set.lowest(&set.unrecovered).filter(|&lower| lower < level) {
                return Err(Wait::LowerLevel { level: lower, node });
            }
        }
        Ok(())
    }

    /// How many groups below a level have not recovered, of each failed node that has any.
    pub(crate) fn counts(&self, below: Level) -> impl Iterator<Item = (NodeId, usize)> {
        let count = move |set: &RecoverySet| set.unrecovered[..below.index()].iter().sum();
        self.sets.iter().map(move |(&node, set)| (node, count(set))).filter(|&(_, count)| count > 0)
    }

    /// The last of those groups, in the order of their creation.
    pub(crate) fn last_below(&self, node: NodeId, below: Level) -> Option<CpgId> {
        let groups = &self.sets.get(&node)?.groups;
        let open = |entry: &Entry| entry.level < below && entry.state != State::Recovered;
        groups.iter().rev().find(|(_, entry)| open(entry)).map(|(&cpg, _)| cpg)
    }

    /// May this group, which is all stopped, start again?
    ///
    /// Quorum must have noticed every failure. A group of the lowest level in *all* sets waits until all
    /// groups of its own sets are stopped; any other until the levels below it have recovered, again in all
    /// sets (kept: the original intends the group's own sets, and tests all).
    pub(crate) fn may_start(&self, cpg: CpgId, level: Level) -> Result<(), Wait> {
        let gone: BTreeSet<NodeId> = self.sets.iter().filter(|(_, set)| !set.quorum_seen).map(|(&n, _)| n).collect();
        if !gone.is_empty() {
            return Err(Wait::QuorumReport { gone });
        }
        if self.sets.values().any(|set| set.lowest(&set.total).is_some_and(|lowest| lowest < level)) {
            return self.lower_level_done(level);
        }
        match self.sets.iter().find(|(_, set)| set.groups.contains_key(&cpg) && set.unstopped > 0) {
            Some((&node, _)) => Err(Wait::StopOfAll { node }),
            None => Ok(()),
        }
    }

    /// Has anything happened that may let a waiting group go on?
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    fn mark<'a>(&mut self, cpg: CpgId, nodes: impl IntoIterator<Item = &'a NodeId>, state: State) {
        for node in nodes {
            let Some(set) = self.sets.get_mut(node) else { continue };
            if let Some(&entry) = set.groups.get(&cpg) {
                self.news |= set.put(cpg, Some(Entry { state, ..entry }));
            }
        }
    }

    fn close_done(&mut self) {
        let before = self.sets.len();
        self.sets.retain(|_, set| set.is_open());
        self.news |= self.sets.len() != before;
    }
}

impl RecoverySet {
    /// Replaces one entry. True if somebody may go on because of it: a count fell to zero.
    fn put(&mut self, cpg: CpgId, entry: Option<Entry>) -> bool {
        let before = self.open_counts();
        let replaced = match entry {
            Some(entry) => self.groups.insert(cpg, entry),
            None => self.groups.remove(&cpg),
        };
        if let Some(Entry { level, state }) = replaced {
            self.total[level.index()] -= 1;
            self.unrecovered[level.index()] -= usize::from(state != State::Recovered);
            self.unstopped -= usize::from(state == State::Waiting);
        }
        if let Some(Entry { level, state }) = entry {
            self.total[level.index()] += 1;
            self.unrecovered[level.index()] += usize::from(state != State::Recovered);
            self.unstopped += usize::from(state == State::Waiting);
        }
        self.open_counts() < before
    }

    /// How many of the counts that others wait for are not zero.
    fn open_counts(&self) -> usize {
        let levels = self.total.iter().chain(&self.unrecovered).filter(|&&count| count > 0).count();
        levels + usize::from(self.unstopped > 0)
    }

    fn is_open(&self) -> bool {
        self.unrecovered.iter().any(|&count| count > 0) || (self.groups.is_empty() && !self.quorum_seen)
    }

    fn lowest(&self, counts: &[usize; Level::COUNT]) -> Option<Level> {
        let index = counts.iter().position(|&count| count > 0)?;
        Level::try_from(index as i64).ok()
    }
}
