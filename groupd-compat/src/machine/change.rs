//! One membership change of one group: stop → all stopped → start → all started.

use crate::event_id::{Cause, EventId, Phase};
use crate::ids::{EventNr, Member, NodeId};
use crate::verbs::StartKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A change, queued or current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) cause: Cause,
    pub(crate) phase: Phase,
    pub(crate) id: EventId,
    pub(crate) nr: EventNr,
    /// Whom it is about; of several failures the lowest.
    pub(crate) node: NodeId,
    /// Its daemon, if it is another node's join or leave: the failure of an earlier one does not concern it.
    pub(crate) pid: Option<u32>,
    /// Cause `Fail`: all nodes that failed, in order.
    pub(crate) failed: Vec<NodeId>,
    /// Nodes whose recovery ends with this change although it is not about them: it replaced their leave.
    pub(crate) settles: BTreeSet<NodeId>,
    /// Own join: the members when we came.
    pub(crate) found: Vec<NodeId>,
    pub(crate) stopped: BTreeSet<NodeId>,
    pub(crate) started: BTreeSet<NodeId>,
    /// What our client has been asked and has not answered.
    pub(crate) owes: Option<Owed>,
    /// A failure waits behind this change: it starts without regard to lower levels, to be stopped again.
    pub(crate) start_anyway: bool,
    /// Own join: a node that we found here died before anybody was stopped for us.
    pub(crate) unsure: bool,
    /// Cause `Leave`: the leaver failed before it said it was stopped (deviation B1).
    pub(crate) leaver_failed: bool,
}

/// An answer that a client owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Owed {
    StopDone,
    StartDone,
}

impl Change {
    pub(crate) fn new(cause: Cause, node: NodeId, count: usize, nr: EventNr) -> Self {
        Change {
            cause,
            phase: Phase::Begin,
            id: EventId::new(node, count, cause),
            nr,
            node,
            pid: None,
            failed: if cause == Cause::Fail { vec![node] } else { Vec::new() },
            settles: BTreeSet::new(),
            found: Vec::new(),
            stopped: BTreeSet::new(),
            started: BTreeSet::new(),
            owes: None,
            start_anyway: false,
            unsure: false,
            leaver_failed: false,
        }
    }

    /// Another node's daemon joins or leaves.
    pub(crate) fn of(cause: Cause, member: Member, count: usize, nr: EventNr) -> Self {
        Change { pid: Some(member.pid), ..Change::new(cause, member.node, count, nr) }
    }

    /// Is it a join or leave that ends with this daemon?
    pub(crate) fn ends_with(&self, gone: Member) -> bool {
        self.cause != Cause::Fail && self.node == gone.node && self.pid.is_none_or(|pid| pid == gone.pid)
    }

    pub(crate) fn is_own(&self, cause: Cause, me: NodeId) -> bool {
        self.cause == cause && self.node == me
    }

    /// Does this id name it? A failure of several goes by the name of each: who stood still is shown them in another order, and
    /// names it after another one (deviation B36).
    pub(crate) fn is_named(&self, id: EventId) -> bool {
        self.id.is_same(id) || (id.cause() == Cause::Fail && self.failed.contains(&id.node()))
    }

    /// Another node failed before this failure became current. A lower id takes over (kept, K3).
    pub(crate) fn extend(&mut self, node: NodeId, count: usize) {
        self.failed.push(node);
        if node < self.node {
            self.node = node;
            self.id = EventId::new(node, count, Cause::Fail);
        }
    }

    /// Nodes whose recovery ends when this change ends.
    pub(crate) fn recovers(&self) -> BTreeSet<NodeId> {
        let leaver = (self.cause == Cause::Leave).then_some(self.node);
        self.failed.iter().copied().chain(self.settles.iter().copied()).chain(leaver).collect()
    }

    /// Must quorum and the lower levels allow its start?
    pub(crate) fn is_failure(&self) -> bool {
        self.cause == Cause::Fail || self.leaver_failed
    }

    /// What the client is told. A leaver that failed before it was stopped has failed.
    pub(crate) fn start_kind(&self) -> StartKind {
        match self.cause {
            Cause::Join => StartKind::Joined,
            Cause::Leave if !self.leaver_failed => StartKind::Left,
            Cause::Leave | Cause::Fail => StartKind::Failed,
        }
    }
}
