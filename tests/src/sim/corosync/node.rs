//! What one node's corosync holds.

use super::{Handle, Listener, RingId};
use crate::sim::agenda::Micros;
use agent_core::event::Reason;
use agent_core::ids::Member;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// A process in a group, as every node lists them.
pub(super) type Joined = (Member, Rc<str>);

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: u32,
    pub(super) up: bool,
    /// Since when it is stopped (SIGSTOP).
    pub(super) paused_since: Option<Micros>,
    /// Until then every call is to be tried again.
    pub(super) busy_until: Micros,
    /// Counts starts, so that a callback of a former life reaches nobody.
    pub(super) life: u32,
    /// Nodes with equal sides hear each other.
    pub(super) side: u32,
    /// The ring formed last, and its nodes.
    pub(super) ring: RingId,
    pub(super) ring_nodes: BTreeSet<u32>,
    /// The ring activated last, and its nodes.
    pub(super) activated_ring: RingId,
    pub(super) activated: BTreeSet<u32>,
    /// Nodes that came along from the ring before.
    pub(super) came_along: BTreeSet<u32>,
    /// The ring is formed and not yet activated.
    pub(super) syncing: bool,
    /// Nothing gets through: some node of the ring does not take part.
    pub(super) broken: bool,
    /// The token was lost for too long: the same nodes form a new ring.
    pub(super) must_reform: bool,
    /// Everybody's join list of the ring being synchronised.
    pub(super) join_lists: Vec<Joined>,
    /// Join lists of nodes lost during a synchronisation.
    pub(super) ghosts: Vec<Joined>,
    /// All processes in groups, sorted by group and member.
    pub(super) processes: BTreeSet<(Rc<str>, Member)>,
    /// Accepted from our clients, waiting for their place in the order.
    pub(super) queue: VecDeque<Sent>,
    pub(super) handles: BTreeMap<Handle, Client>,
    pub(super) streams: BTreeMap<Listener, Stream>,
}

/// A CPG handle of a client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) state: State,
    pub(super) group: Option<Rc<str>>,
    /// Whether the ring was told since the join.
    pub(super) ring_told: bool,
}

/// How far a handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unjoined,
    Joining,
    Joined,
    Leaving,
}

/// The order in which one client is called back.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) last: Micros,
}

/// What goes through the ring.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Join(Member, Rc<str>),
    Leave(Member, Rc<str>, Reason),
    Message(Member, Rc<str>, Rc<[u8]>),
}

impl Node {
    pub(super) fn new(id: u32) -> Self {
        Node {
            id,
            up: false,
            paused_since: None,
            busy_until: 0,
            life: 0,
            side: 0,
            ring: RingId { nodeid: id, seq: 0 },
            ring_nodes: BTreeSet::new(),
            activated_ring: RingId { nodeid: id, seq: 0 },
            activated: BTreeSet::new(),
            came_along: BTreeSet::new(),
            syncing: false,
            broken: false,
            must_reform: false,
            join_lists: Vec::new(),
            ghosts: Vec::new(),
            processes: BTreeSet::new(),
            queue: VecDeque::new(),
            handles: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    /// Starts with nothing but its place in a ring.
    pub(super) fn start(&mut self, ring: RingId, nodes: &BTreeSet<u32>) {
        let fresh = Node::new(self.id);
        *self = Node {
            up: true,
            life: self.life + 1,
            side: self.side,
            ring,
            ring_nodes: nodes.clone(),
            activated_ring: ring,
            activated: nodes.clone(),
            came_along: nodes.clone(),
            ..fresh
        };
    }

    /// Takes part in the network.
    pub(super) fn hears(&self) -> bool {
        self.up && self.paused_since.is_none()
    }

    /// Takes calls of its clients.
    pub(super) fn takes_calls(&self, now: Micros) -> bool {
        !self.syncing && self.busy_until <= now
    }

    /// Can put a message into the order now.
    pub(super) fn orders(&self) -> bool {
        self.hears() && !self.broken && !self.syncing
    }

    pub(super) fn members(&self, group: &str) -> Vec<Member> {
        self.processes.iter().filter(|(name, _)| **name == *group).map(|(_, member)| *member).collect()
    }

    /// Handles that are told what happens in a group.
    pub(super) fn listeners(&self, group: &str) -> Vec<Handle> {
        let told = |client: &Client| {
            matches!(client.state, State::Joined | State::Leaving) && client.group.as_deref() == Some(group)
        };
        self.handles.iter().filter(|(_, client)| told(client)).map(|(handle, _)| *handle).collect()
    }

    pub(super) fn own_processes(&self) -> Vec<Joined> {
        let own = self.processes.iter().filter(|(_, member)| member.nodeid == self.id);
        own.map(|(group, member)| (*member, group.clone())).collect()
    }
}
