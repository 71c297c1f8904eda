//! What clients call, and what goes through the ring because of it.

use super::node::{Client, Sent, State};
use super::{Corosync, Due, Handle, Listener, Seen};
use crate::sim::agenda::Micros;
use agent_core::event::Reason;
use agent_core::ids::Member;
use std::rc::Rc;

/// A call that corosync did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// CS_ERR_LIBRARY: there is no corosync, or no such handle.
    #[error("corosync is not there")]
    Library,
    /// CS_ERR_TRY_AGAIN: a ring is being synchronised, or the queue is full.
    #[error("try again")]
    TryAgain,
    /// CS_ERR_EXIST: the process is in that group, or the handle is in one.
    #[error("already joined")]
    Exist,
    /// CS_ERR_NOT_EXIST: the handle is in no group.
    #[error("not joined")]
    NotExist,
    /// CS_ERR_BUSY: a join or leave of the handle is under way.
    #[error("busy")]
    Busy,
}

/// Messages a node accepts while its ring is broken.
const QUEUE_LEN_MAX: usize = 3_000;

impl Corosync {
    /// cpg_initialize.
    ///
    /// # Errors
    /// [`CallError::Library`] where corosync does not run.
    pub fn connect(&mut self, handle: Handle) -> Result<(), CallError> {
        let node = self.nodes.get_mut(&handle.node).filter(|node| node.up).ok_or(CallError::Library)?;
        node.handles.insert(handle, Client { state: State::Unjoined, group: None, ring_told: false });
        node.streams.insert(Listener::Cpg(handle), Default::default());
        Ok(())
    }

    /// The same without CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF: the ring is told only when it changes.
    ///
    /// # Errors
    /// [`CallError::Library`] where corosync does not run.
    pub fn connect_without_ring(&mut self, handle: Handle) -> Result<(), CallError> {
        self.connect(handle)?;
        let client = self.nodes.get_mut(&handle.node).and_then(|node| node.handles.get_mut(&handle));
        client.into_iter().for_each(|client| client.ring_told = true);
        Ok(())
    }

    /// quorum_initialize and quorum_trackstart: the present state comes at once.
    ///
    /// # Errors
    /// [`CallError::Library`] where corosync does not run.
    pub fn track_quorum(&mut self, node: u32, pid: u32) -> Result<(), CallError> {
        let listener = Listener::Quorum { node, pid };
        let found = self.nodes.get_mut(&node).filter(|node| node.up).ok_or(CallError::Library)?;
        found.streams.insert(listener, Default::default());
        let (ring, nodes) = (found.activated_ring, found.activated.clone());
        let quorate = self.has_majority(&nodes);
        let nodes: Vec<u32> = nodes.into_iter().collect();
        self.call(listener, Seen::Nodelist { ring, nodes: nodes.clone(), joined: vec![], left: vec![] }, 0);
        self.call(listener, Seen::Quorum { ring, quorate, nodes }, 0);
        Ok(())
    }

    /// Whether the first join of a process would be taken now.
    ///
    /// # Errors
    /// What cpg_join would say.
    pub fn would_join(&self, member: Member, group: &str) -> Result<(), CallError> {
        let node = self.nodes.get(&member.nodeid).filter(|node| node.up).ok_or(CallError::Library)?;
        let listed = node.processes.iter().any(|(name, other)| **name == *group && *other == member);
        if listed || !node.takes_calls(self.now) { Err(CallError::TryAgain) } else { Ok(()) }
    }

    /// cpg_join.
    ///
    /// # Errors
    /// As libcpg; the join itself comes back as a confchg.
    pub fn join(&mut self, handle: Handle, group: &str) -> Result<(), CallError> {
        let node = self.calling(handle)?;
        if node.processes.contains(&(Rc::from(group), handle.member())) {
            let ours = |(other, client): (&Handle, &Client)| {
                other.pid == handle.pid && client.group.as_deref() == Some(group) && client.state != State::Unjoined
            };
            let exists = node.handles.iter().any(ours);
            return Err(if exists { CallError::Exist } else { CallError::TryAgain });
        }
        let client = node.handles.get_mut(&handle).ok_or(CallError::Library)?;
        match client.state {
            State::Unjoined => {}
            State::Leaving => return Err(CallError::Busy),
            State::Joining | State::Joined => return Err(CallError::Exist),
        }
        let group: Rc<str> = Rc::from(group);
        client.state = State::Joining;
        client.group = Some(group.clone());
        self.send(handle.node, Sent::Join(handle.member(), group));
        Ok(())
    }

    /// cpg_leave.
    ///
    /// # Errors
    /// As libcpg.
    pub fn leave(&mut self, handle: Handle) -> Result<(), CallError> {
        let client = self.calling(handle)?.handles.get_mut(&handle).ok_or(CallError::Library)?;
        match (client.state, client.group.clone()) {
            (State::Joined, Some(group)) => {
                client.state = State::Leaving;
                self.send(handle.node, Sent::Leave(handle.member(), group, Reason::Leave));
                Ok(())
            }
            (State::Joining, _) => Err(CallError::Busy),
            (State::Unjoined | State::Leaving | State::Joined, _) => Err(CallError::NotExist),
        }
    }

    /// cpg_mcast_joined. After a leave it is accepted and lost, as the real one does.
    ///
    /// # Errors
    /// As libcpg.
    pub fn multicast(&mut self, handle: Handle, bytes: &[u8]) -> Result<(), CallError> {
        let node = self.calling(handle)?;
        if node.queue.len() > QUEUE_LEN_MAX {
            return Err(CallError::TryAgain);
        }
        let client = node.handles.get(&handle).ok_or(CallError::Library)?;
        if let (State::Joined | State::Joining, Some(group)) = (client.state, client.group.clone()) {
            self.send(handle.node, Sent::Message(handle.member(), group, Rc::from(bytes)));
        }
        Ok(())
    }

    /// The process ends, or finalizes a handle without leaving.
    pub fn exit(&mut self, node: u32, pid: u32) {
        let Some(found) = self.nodes.get_mut(&node) else { return };
        let handles: Vec<Handle> = found.handles.keys().copied().filter(|handle| handle.pid == pid).collect();
        found.streams.remove(&Listener::Quorum { node, pid });
        for handle in handles {
            self.finalize(handle);
        }
    }

    /// cpg_finalize.
    pub fn finalize(&mut self, handle: Handle) {
        let Some(node) = self.nodes.get_mut(&handle.node) else { return };
        node.streams.remove(&Listener::Cpg(handle));
        let Some(client) = node.handles.remove(&handle) else { return };
        let joined = matches!(client.state, State::Joined | State::Joining);
        if let (true, Some(group)) = (joined && node.up, client.group) {
            self.send(handle.node, Sent::Leave(handle.member(), group, Reason::ProcDown));
        }
    }

    /// For so long no call is taken: a flood, or a machine short of memory.
    pub fn busy(&mut self, node: u32, time: Micros) {
        let until = self.now + time;
        self.nodes.entry(node).and_modify(|node| node.busy_until = until);
    }

    fn calling(&mut self, handle: Handle) -> Result<&mut super::Node, CallError> {
        let now = self.now;
        let node = self.nodes.get_mut(&handle.node).filter(|node| node.up).ok_or(CallError::Library)?;
        if node.takes_calls(now) { Ok(node) } else { Err(CallError::TryAgain) }
    }

    fn send(&mut self, node: u32, sent: Sent) {
        let latency = self.jitter(self.timing.latency);
        if let Some(found) = self.nodes.get_mut(&node) {
            found.queue.push_back(sent);
            self.agenda.plan(self.now + latency, Due::Order(node));
        }
    }

    /// Gives the node's next message its place in the order of its ring.
    pub(super) fn order(&mut self, node: u32) {
        let Some(found) = self.nodes.get_mut(&node).filter(|node| node.orders()) else { return };
        let Some(sent) = found.queue.pop_front() else { return };
        let ring = found.ring;
        let members: Vec<u32> = self.nodes.values().filter(|n| n.up && n.ring == ring).map(|n| n.id).collect();
        self.ordered += 1;
        for member in members {
            self.execute(member, &sent);
        }
    }

    /// What a node does when something comes in agreed order.
    pub(super) fn execute(&mut self, at: u32, sent: &Sent) {
        match sent {
            Sent::Join(member, group) => {
                if self.list(at, *member, group) {
                    self.announce(at, group, vec![], vec![(*member, Reason::Join)]);
                }
            }
            Sent::Leave(member, group, reason) => self.unlist(at, *member, group, *reason),
            Sent::Message(from, group, bytes) => self.deliver(at, *from, group, bytes),
        }
    }

    /// `false` if it was listed already.
    pub(super) fn list(&mut self, at: u32, member: Member, group: &Rc<str>) -> bool {
        self.nodes.get_mut(&at).is_some_and(|node| node.processes.insert((group.clone(), member)))
    }

    pub(super) fn unlist(&mut self, at: u32, member: Member, group: &Rc<str>, reason: Reason) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        node.processes.remove(&(group.clone(), member));
        self.announce(at, group, vec![(member, reason)], vec![]);
    }

    fn deliver(&mut self, at: u32, from: Member, group: &Rc<str>, bytes: &Rc<[u8]>) {
        let Some(node) = self.nodes.get(&at) else { return };
        if !node.processes.iter().any(|(name, member)| name == group && member.nodeid == from.nodeid) {
            return;
        }
        let order = self.ordered;
        for handle in node.listeners(group) {
            let seen = Seen::Deliver { group: group.clone(), from, bytes: bytes.clone(), order };
            self.call(Listener::Cpg(handle), seen, 0);
        }
    }

    /// Tells the members on this node; whoever has joined just now is told the ring as well.
    pub(super) fn announce(
        &mut self,
        at: u32,
        group: &Rc<str>,
        left: Vec<(Member, Reason)>,
        joined: Vec<(Member, Reason)>,
    ) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        for (handle, client) in &mut node.handles {
            let joins = joined.iter().any(|(member, _)| *member == handle.member());
            if joins && client.state == State::Joining && client.group.as_ref() == Some(group) {
                client.state = State::Joined;
            }
        }
        let members = node.members(group);
        let (listeners, ring, nodes) = (node.listeners(group), node.ring, node.activated.clone());
        let untold: Vec<Handle> =
            node.handles.iter().filter(|(_, c)| c.group.is_some() && !c.ring_told).map(|(h, _)| *h).collect();
        for handle in &untold {
            node.handles.entry(*handle).and_modify(|client| client.ring_told = true);
        }
        for handle in listeners {
            let seen = Seen::Confchg {
                group: group.clone(),
                members: members.clone(),
                left: left.clone(),
                joined: joined.clone(),
            };
            self.call(Listener::Cpg(handle), seen, 0);
        }
        for handle in untold {
            self.call(Listener::Cpg(handle), Seen::Totem { ring, nodes: nodes.iter().copied().collect() }, 0);
        }
    }
}
