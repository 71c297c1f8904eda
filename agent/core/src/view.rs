//! CPG views, ring ids and quorum → who is here, and which view a message belongs to.
//!
//! Three streams come in, and corosync does not order them for us: confchgs and the ring come in order on
//! one handle, quorum on another. On a ring change the handle says NODEDOWN, then NODEUP, then the ring, and
//! quorum follows some milliseconds later. So a view has three degrees:
//!
//! * **open**: we are in the list and the ring of it is known. Messages of it can be told from others.
//! * **settled**: quorum has spoken about the same ring. Only now may anything be decided.
//!
//! and before the first, nothing. A member whose node is not in the ring is a ghost: corosync before
//! 2ab885ab keeps it in the list for ever when a node dies while it merges. Nobody waits for a ghost.

use crate::event::{Reason, ViewChange};
use crate::ids::{Member, NodeId, RingId};
use proto::peer::ViewTag;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Members, ring and quorum as last reported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    me: Option<Member>,
    listed: BTreeSet<Member>,
    ring: Option<RingId>,
    ring_nodes: BTreeSet<NodeId>,
    ring_follows: bool,
    quorum: Option<(RingId, bool)>,
}

impl View {
    /// A fresh connection: nothing is known but who we are.
    #[must_use]
    pub fn of(me: Member) -> Self {
        View { me: Some(me), ..View::default() }
    }

    /// Takes a confchg. A loss or return of nodes is followed by the ring it belongs to.
    pub fn change(&mut self, change: &ViewChange) {
        self.listed.clone_from(&change.members);
        let of_nodes = |(_, reason): &(Member, Reason)| matches!(reason, Reason::NodeDown | Reason::NodeUp);
        if change.left.iter().chain(&change.joined).any(of_nodes) {
            self.ring_follows = true;
        }
    }

    /// Takes a totem callback: everything about this ring has now been said.
    pub fn ring_changed(&mut self, ring: RingId, nodes: BTreeSet<NodeId>) {
        self.ring = Some(ring);
        self.ring_nodes = nodes;
        self.ring_follows = false;
    }

    /// Takes a quorum callback. Returns whether anything is new.
    pub fn quorum_changed(&mut self, ring: RingId, quorate: bool) -> bool {
        let new = Some((ring, quorate));
        let changed = self.quorum != new;
        self.quorum = new;
        changed
    }

    /// Members whose node is in the ring.
    #[must_use]
    pub fn live(&self) -> BTreeSet<Member> {
        let live = |member: &Member| self.in_ring(NodeId(member.nodeid)) || planted!(GhostsAreLive);
        self.listed.iter().copied().filter(live).collect()
    }

    /// Members corosync lists although their node is not in the ring.
    #[must_use]
    pub fn ghosts(&self) -> BTreeSet<Member> {
        if !self.is_open() {
            return BTreeSet::new();
        }
        self.listed.iter().copied().filter(|member| !self.in_ring(NodeId(member.nodeid))).collect()
    }

    /// Whether corosync has this node in its ring, with or without an agent.
    #[must_use]
    pub fn in_ring(&self, node: NodeId) -> bool {
        self.ring_nodes.contains(&node)
    }

    /// Nodes of the ring.
    #[must_use]
    pub fn ring_nodes(&self) -> &BTreeSet<NodeId> {
        &self.ring_nodes
    }

    /// The ring, once known.
    #[must_use]
    pub fn ring(&self) -> Option<RingId> {
        self.ring
    }

    /// We are a member and the ring is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ring.is_some() && !self.ring_follows && self.me.is_some_and(|me| self.listed.contains(&me))
    }

    /// We are a member but the ring has not been told yet: what is delivered now belongs to the ring to come.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        !self.is_open() && self.me.is_some_and(|me| self.listed.contains(&me))
    }

    /// Open, and quorum has spoken about this very ring.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let same = |ring: RingId| Some(ring) == self.ring || planted!(QuorumOfAnyRing);
        self.is_open() && self.quorum.is_some_and(|(ring, _)| same(ring))
    }

    /// Settled and quorate.
    #[must_use]
    pub fn is_quorate(&self) -> bool {
        self.is_settled() && self.quorum.is_some_and(|(_, quorate)| quorate || planted!(MinorityIsQuorate))
    }

    /// Whether this name is the view in force, by ring, members, and every nonce that both sides know.
    #[must_use]
    pub fn is_named_by(&self, tag: &ViewTag, nonces: &BTreeMap<Member, u64>) -> bool {
        let members: Vec<Member> = tag.members.iter().map(|(member, _)| *member).collect();
        let same_life =
            |(member, nonce): &(Member, u64)| *nonce == 0 || nonces.get(member).is_none_or(|known| known == nonce);
        self.is_open()
            && (Some(tag.ring) == self.ring || planted!(MessagesOfAnyRing))
            && (members.iter().eq(self.live().iter()) || planted!(MessagesOfAnyMembers))
            && tag.members.iter().all(same_life)
    }

    /// The name of this view, for a message. Nonces not known yet are 0.
    #[must_use]
    pub fn tag(&self, nonces: &BTreeMap<Member, u64>) -> Option<ViewTag> {
        let ring = self.ring.filter(|_| self.is_open())?;
        let named = |member: Member| (member, nonces.get(&member).copied().unwrap_or(0));
        Some(ViewTag { ring, members: self.live().into_iter().map(named).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: RingId = RingId { nodeid: 1, seq: 8 };

    fn member(nodeid: u32) -> Member {
        Member { nodeid, pid: 100 + nodeid }
    }

    fn joined(nodes: &[u32], reason: Reason) -> ViewChange {
        let members: BTreeSet<Member> = nodes.iter().map(|n| member(*n)).collect();
        ViewChange { joined: members.iter().map(|m| (*m, reason)).collect(), members, left: vec![] }
    }

    fn nodes(list: &[u32]) -> BTreeSet<NodeId> {
        list.iter().map(|n| NodeId(*n)).collect()
    }

    #[test]
    fn the_ring_may_come_before_our_own_join() {
        let mut view = View::of(member(1));
        view.ring_changed(RING, nodes(&[1]));
        assert!(!view.is_open());
        view.change(&joined(&[1], Reason::Join));
        assert!(view.is_open());
    }

    #[test]
    fn nothing_is_settled_while_quorum_speaks_of_another_ring() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1], Reason::Join));
        view.ring_changed(RING, nodes(&[1]));
        view.quorum_changed(RingId { nodeid: 1, seq: 4 }, true);
        assert!(view.is_open() && !view.is_settled() && !view.is_quorate());
        view.quorum_changed(RING, true);
        assert!(view.is_quorate());
    }

    #[test]
    fn a_loss_of_nodes_closes_the_view_until_its_ring_comes() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1, 2], Reason::Join));
        view.ring_changed(RING, nodes(&[1, 2]));
        let left = vec![(member(2), Reason::NodeDown)];
        view.change(&ViewChange { members: BTreeSet::from([member(1)]), left, joined: vec![] });
        assert!(!view.is_open() && view.is_opening());
        view.ring_changed(RingId { nodeid: 1, seq: 12 }, nodes(&[1]));
        assert!(view.is_open());
    }

    #[test]
    fn a_member_outside_the_ring_is_a_ghost_and_not_live() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1, 3], Reason::NodeUp));
        view.ring_changed(RING, nodes(&[1]));
        assert_eq!(view.ghosts(), BTreeSet::from([member(3)]));
        assert_eq!(view.live(), BTreeSet::from([member(1)]));
    }

    #[test]
    fn a_known_nonce_that_differs_names_another_view() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1], Reason::Join));
        view.ring_changed(RING, nodes(&[1]));
        let known = BTreeMap::from([(member(1), 7)]);
        let tag = |nonce| ViewTag { ring: RING, members: vec![(member(1), nonce)] };
        assert!(view.is_named_by(&tag(7), &known));
        assert!(view.is_named_by(&tag(0), &known));
        assert!(!view.is_named_by(&tag(8), &known));
    }
}
