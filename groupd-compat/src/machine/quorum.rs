//! Quorum, believed only for the ring that the control CPG is in.
//!
//! libquorum and libcpg are two connections: either may speak first about the same change. A report is held
//! until the control CPG has seen its ring; so failures and merges are always known before quorum returns,
//! and nothing starts on what was true of another ring.

use super::event::QuorumReport;
use crate::ids::{NodeId, RingId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Reports held at most; more means that the control CPG is stuck, and only the newest matter.
const HELD_MAX: usize = 64;

/// What is known about quorum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quorum {
    held: VecDeque<QuorumReport>,
    ring: RingId,
    last: Option<QuorumReport>,
    ever: bool,
    /// Nodes that went since the last believed report.
    #[serde(default)]
    lost: BTreeSet<NodeId>,
}

impl Quorum {
    /// Keeps a report for its ring.
    pub(crate) fn hear(&mut self, report: QuorumReport) {
        self.held.push_back(report);
        if self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }

    /// The control CPG is in this ring.
    pub(crate) fn ring_stands(&mut self, ring: RingId) {
        self.ring = ring;
    }

    /// The ring that the control CPG is in.
    pub(crate) fn ring(&self) -> RingId {
        self.ring
    }

    /// Believes what speaks of the present ring or an earlier one. Returns who went.
    pub(crate) fn settle(&mut self) -> BTreeSet<NodeId> {
        let mut gone = BTreeSet::new();
        let due = self.held.iter().take_while(|report| report.ring.seq <= self.ring.seq).count();
        for report in self.held.drain(..due) {
            if let Some(last) = &self.last {
                gone.extend(last.nodes.iter().filter(|node| !report.nodes.contains(node)));
            }
            gone.extend(&report.left);
            self.last = Some(report);
            self.lost.clear();
        }
        self.ever |= self.is_quorate();
        gone
    }

    /// The ring of the last believed report.
    pub(crate) fn spoken_of(&self) -> Option<RingId> {
        self.last.as_ref().map(|report| report.ring)
    }

    /// May groups start?
    pub(crate) fn is_quorate(&self) -> bool {
        self.last.as_ref().is_some_and(|report| report.quorate && report.ring == self.ring)
    }

    /// The control CPG shows that this node went.
    pub(crate) fn lose(&mut self, node: NodeId) {
        self.lost.insert(node);
    }

    /// Did the last ring that quorum spoke of have it, and has not most of that ring gone since? A split that heals at once is
    /// told in one go with its end, and quorum does not speak of it (deviation B35).
    pub(crate) fn had_quorum(&self) -> bool {
        self.last.as_ref().is_some_and(|report| {
            let stayed = report.nodes.iter().filter(|node| !self.lost.contains(node)).count();
            report.quorate && 2 * stayed >= report.nodes.len()
        })
    }

    /// Was there quorum in any ring since the start?
    pub(crate) fn was_ever(&self) -> bool {
        self.ever
    }

    /// Was this node among those that the last believed report named?
    pub(crate) fn names(&self, node: NodeId) -> bool {
        self.last.as_ref().is_some_and(|report| report.nodes.contains(&node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(quorate: bool, seq: u64, nodes: &[u32]) -> QuorumReport {
        let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
        QuorumReport { quorate, ring: ring(seq), nodes, left: vec![] }
    }

    fn ring(seq: u64) -> RingId {
        RingId { representative: 1, seq }
    }

    #[test]
    fn a_report_counts_from_its_ring_on() {
        let mut quorum = Quorum::default();
        quorum.hear(report(true, 4, &[1, 2]));
        assert!(quorum.settle().is_empty() && !quorum.is_quorate());
        quorum.ring_stands(ring(4));
        quorum.settle();
        assert!(quorum.is_quorate());
        quorum.ring_stands(ring(8));
        assert!(!quorum.is_quorate() && quorum.was_ever());
        quorum.hear(report(true, 8, &[1]));
        assert_eq!(quorum.settle(), BTreeSet::from([NodeId(2)]));
        assert!(quorum.is_quorate());
    }

    #[test]
    fn who_loses_most_of_a_ring_has_no_quorum_until_it_is_told_again() {
        let mut quorum = Quorum::default();
        quorum.ring_stands(ring(4));
        quorum.hear(report(true, 4, &[1, 2, 3]));
        quorum.settle();
        quorum.lose(NodeId(1));
        assert!(quorum.had_quorum());
        quorum.lose(NodeId(2));
        assert!(!quorum.had_quorum());
        quorum.ring_stands(ring(8));
        quorum.hear(report(true, 8, &[1, 2, 3]));
        quorum.settle();
        assert!(quorum.had_quorum());
    }

    #[test]
    fn a_quick_restart_is_gone_too() {
        let mut quorum = Quorum::default();
        quorum.ring_stands(ring(8));
        quorum.hear(report(true, 4, &[1, 2]));
        quorum.hear(QuorumReport { left: vec![NodeId(2)], ..report(true, 8, &[1, 2]) });
        assert_eq!(quorum.settle(), BTreeSet::from([NodeId(2)]));
    }
}
