//! A group's CPG, kept abreast of the control CPG.
//!
//! They are two handles. Each is in order, but a daemon that stood still finds a heap on both, and nothing says how the two
//! heaps belong together, but this: a failure and a ring show on both. There they meet: what a group's CPG shows of a failure or
//! a ring, and all that comes after it, waits until the control CPG has shown the same. So a join behind a death stays behind
//! it, as with those who were awake (deviation B21).
//!
//! The other way round nothing waits: the caller hands in what the control CPG shows only after all that was written for the
//! groups before it (see [`super::Machine`]), so a group is never behind. A control CPG that a partition or a death is still
//! to show in is on its way: nothing here waits for ever, and [`super::QUEUE_MAX`] bounds how much.

use super::event::{Reason, ViewChange};
use super::node::Control;
use crate::ids::{Member, NodeId, RingId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a group's CPG has shown and the group has not taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Abreast {
    /// Oldest first.
    shown: VecDeque<Shown>,
    /// The last ring that it has shown, taken or not.
    ring: Option<RingId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shown {
    View(ViewChange),
    /// Every view change of this ring came before.
    Ring(RingId),
}

impl Abreast {
    pub(crate) fn show(&mut self, shown: Shown) {
        if let Shown::Ring(ring) = shown {
            self.ring = Some(ring);
        }
        self.shown.push_back(shown);
    }

    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// The next view change, if it is due for a group of these members: the control CPG has shown as much, and is in `ring`.
    pub(crate) fn take(&mut self, members: &[Member], control: &Control, ring: RingId) -> Option<ViewChange> {
        while self.shown.front().is_some_and(|shown| shown.is_due(members, control, ring)) {
            if let Some(Shown::View(change)) = self.shown.pop_front() {
                return Some(change);
            }
        }
        None
    }

    /// All view changes up to this ring, which the control CPG is about to show: it has shown whatever it will of them. Where we
    /// have left no ring is shown any more: all that came there was before the next one (deviation B34).
    pub(crate) fn take_until(&mut self, ring: RingId, me: NodeId) -> Vec<ViewChange> {
        let is_later = |shown: &Shown| matches!(shown, Shown::Ring(other) if other.seq > ring.seq);
        let reached = |shown: &Shown| matches!(shown, Shown::Ring(other) if other.seq <= ring.seq);
        let due = if self.has_left(me) && self.ring.is_some_and(|shown| shown.seq < ring.seq) {
            self.shown.len()
        } else {
            let later = self.shown.iter().position(is_later).unwrap_or(self.shown.len());
            self.shown.iter().take(later).rposition(reached).map_or(0, |at| at + 1)
        };
        let views = self.shown.drain(..due).filter_map(|shown| match shown {
            Shown::View(change) => Some(change),
            Shown::Ring(_) => None,
        });
        views.collect()
    }

    /// Our own leave is the last that a CPG shows.
    fn has_left(&self, me: NodeId) -> bool {
        let is_us = |&(member, _): &(Member, Reason)| member.node == me;
        matches!(self.shown.back(), Some(Shown::View(change)) if change.left.iter().any(is_us))
    }
}

impl Shown {
    fn is_due(&self, members: &[Member], control: &Control, ring: RingId) -> bool {
        let is_to_go = |&(member, reason): &(Member, Reason)| {
            let failed = matches!(reason, Reason::NodeDown | Reason::ProcDown);
            failed && (control.may_be_daemon(member) || (members.contains(&member) && !control.has_lost(member)))
        };
        let is_to_come = |&(it, reason): &(Member, Reason)| reason == Reason::NodeUp && !control.contains(it.node);
        match self {
            Shown::View(change) => !change.left.iter().any(is_to_go) && !change.joined.iter().any(is_to_come),
            Shown::Ring(shown) => shown.seq <= ring.seq,
        }
    }
}
