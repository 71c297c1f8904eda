//! What all groups of this node share.

use super::again::Known;
use super::event::Reason;
use super::ghosts::Others;
use super::quorum::Quorum;
use super::recovery::{Failure, Recovery};
use crate::ids::{EventNr, GlobalId, Member, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// This node, as its groups see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) me: NodeId,
    pub(crate) control: Control,
    pub(crate) quorum: Quorum,
    pub(crate) recovery: Recovery,
    /// Nodes that came out of a partition with groups, and that we have asked to be killed.
    pub(crate) condemned: BTreeSet<NodeId>,
    last_nr: u32,
    last_created: u16,
}

/// The control CPG as last seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Control {
    /// In corosync's order, for queries.
    pub(crate) members: Vec<NodeId>,
    /// The first process of each node that was seen there: its daemon.
    daemons: BTreeMap<NodeId, u32>,
    #[serde(default)]
    pub(crate) others: Others,
    #[serde(default)]
    pub(crate) known: Known,
    /// Of each node the last daemon that went, until a ring stands in which it cannot be.
    gone: BTreeMap<NodeId, Gone>,
}

/// A daemon that went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Gone {
    pid: u32,
    /// Its node went, and so it has left all its CPGs at once. A process leaves them one by one.
    at_once: bool,
}

impl Node {
    pub(crate) fn new(me: NodeId, again: bool) -> Self {
        Node {
            me,
            control: Control { known: if again { Known::NotYet } else { Known::Yes }, ..Control::default() },
            quorum: Quorum::default(),
            recovery: Recovery::default(),
            condemned: BTreeSet::new(),
            last_nr: 0,
            last_created: 0,
        }
    }

    /// This node fails now.
    pub(crate) fn failure_of(&self, node: NodeId) -> Failure {
        Failure { node, quorum_seen: !self.quorum.names(node), ring: self.quorum.ring() }
    }

    /// The number of the next change.
    pub(crate) fn next_nr(&mut self) -> EventNr {
        self.last_nr = self.last_nr.wrapping_add(1);
        EventNr(self.last_nr)
    }

    /// The id of the next group that we create.
    pub(crate) fn next_global_id(&mut self) -> GlobalId {
        self.last_created = self.last_created.checked_add(1).unwrap_or(1);
        GlobalId::new(self.last_created, self.me)
    }

    /// A group that an earlier life of this node created is still alive: go on counting behind it.
    pub(crate) fn remember_created(&mut self, id: GlobalId) {
        if id.made_by(self.me) {
            self.last_created = self.last_created.max(id.counter());
        }
    }
}

impl Control {
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.daemons.contains_key(&node)
    }

    /// A process is listed. Of each node the first is its daemon, but for ghosts.
    pub(crate) fn add(&mut self, member: Member) {
        if self.others.is_ghost(member) {
            return;
        }
        if *self.daemons.entry(member.node).or_insert(member.pid) == member.pid {
            self.others.forget(member);
        } else {
            self.others.see(member);
        }
        self.gone.retain(|&node, gone| (node, gone.pid) != (member.node, member.pid));
    }

    pub(crate) fn daemon_of(&self, node: NodeId) -> Option<Member> {
        self.daemons.get(&node).map(|&pid| Member { node, pid })
    }

    pub(crate) fn daemons(&self) -> impl Iterator<Item = Member> {
        self.daemons.iter().map(|(&node, &pid)| Member { node, pid })
    }

    /// Is this the daemon of its node? Another process of the same node is not.
    pub(crate) fn is_daemon(&self, member: Member) -> bool {
        self.daemons.get(&member.node) == Some(&member.pid)
    }

    /// Is this the daemon of its node, or may it turn out to be?
    pub(crate) fn may_be_daemon(&self, member: Member) -> bool {
        self.is_daemon(member) || self.others.is_beside(member)
    }

    /// Is this a daemon that has come and gone?
    pub(crate) fn has_lost(&self, member: Member) -> bool {
        self.gone.get(&member.node).is_some_and(|gone| gone.pid == member.pid)
    }

    /// Is this a daemon that has gone here, and may still be named elsewhere? One that is named after its node went is another
    /// one: boots are alike, and so are the process ids of their daemons (deviation B29).
    pub(crate) fn lingers(&self, member: Member) -> bool {
        self.gone.get(&member.node).is_some_and(|gone| gone.pid == member.pid && !gone.at_once)
    }

    pub(crate) fn remove(&mut self, node: NodeId, reason: Reason) {
        let pid = self.daemons.remove(&node);
        let at_once = reason == Reason::NodeDown;
        self.gone.extend(pid.map(|pid| (node, Gone { pid, at_once })));
    }

    /// A process that was not believed went. It may be named elsewhere, too.
    pub(crate) fn remove_other(&mut self, member: Member, reason: Reason) {
        if self.others.forget(member) {
            let gone = Gone { pid: member.pid, at_once: reason == Reason::NodeDown };
            self.gone.entry(member.node).or_insert(gone);
        }
    }

    /// All that happened before this ring of these nodes has been shown, here and in the groups.
    pub(crate) fn ring_stands(&mut self, nodes: &[NodeId]) {
        self.gone.retain(|node, gone| !gone.at_once && nodes.contains(node));
    }
}
