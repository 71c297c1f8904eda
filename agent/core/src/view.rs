//! CPG views, ring ids and quorum → who is here, and which view a message belongs to.
//!
//! Three streams come in, and corosync does not order them for us: confchgs and the ring come in order on
//! one handle, quorum on another. On a ring change the handle says NODEDOWN, then NODEUP, then the ring, and
//! quorum follows some milliseconds later. So a view has three degrees:
//!
//! * **open**: we are in the list and the ring of it is known. Messages of it can be told from others.
//! * **settled**: quorum has spoken about the same ring. Only now may anything be decided.
//!
//! and before the first, nothing.
//!
//! Nobody waits for a ghost. corosync before 2ab885ab keeps in its list, until a ring changes, what a node had that went
//! while rings were being merged, on those nodes only that had its join list. Such a member is known
//!
//! * by the ring, if its node is not in it;
//! * by its *name*, if its node is back: corosync tells all nodes of a ring the same, so whoever names this very ring
//!   without a member that has been listed here since the ring began says that it is none. All nodes get that message
//!   at one place of the order. What a node says of itself is enough, so the first word of its agent is: it has that from
//!   its own corosync, and the edge leaves out who has ended there.
//!
//! Two living processes of one node are in both lists, and neither is ever taken for a ghost.
//!
//! corosync may also fail to list who lives: then no message of the others names our view, and nothing can be agreed on, until
//! the ring changes and the lists are compared. An unlisted member that speaks is told to people. And where all others list a
//! ghost, its process may come to be with nobody told but itself, as corosync announces nobody who is listed: they think that it
//! has heard them. It asks them again (`anew`).

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
    /// Who joined since the ring stands: who speaks of this ring may not have heard of it yet.
    #[serde(default)]
    newcomers: BTreeSet<Member>,
    /// Heard in this ring, and not listed here.
    #[serde(default)]
    unlisted: BTreeSet<Member>,
    /// Listed here since the ring began, and by whom they were left out.
    #[serde(default, with = "crate::pairs")]
    left_out: BTreeMap<Member, BTreeSet<Member>>,
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
        self.newcomers.extend(change.joined.iter().map(|(member, _)| *member));
        self.left_out.retain(|member, _| change.members.contains(member) && !self.newcomers.contains(member));
        self.unlisted.retain(|member| !change.members.contains(member));
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
        self.newcomers.clear();
        self.left_out.clear();
        self.unlisted.clear();
    }

    /// Takes note of who speaks of this ring, to us, without being in our list: whatever a member says comes before its end,
    /// and after its beginning.
    pub fn hear(&mut self, from: Member, tag: &ViewTag) {
        let names = |member: Member| tag.members.iter().any(|(named, _)| *named == member);
        let is_here = self.is_open() && Some(tag.ring) == self.ring && self.me.is_some_and(names);
        if is_here && self.in_ring(NodeId(from.nodeid)) && !self.listed.contains(&from) {
            self.unlisted.insert(from);
        }
    }

    /// Members that speak and that corosync does not list here.
    #[must_use]
    pub fn unlisted(&self) -> &BTreeSet<Member> {
        &self.unlisted
    }

    /// Takes the name that a member has for this ring. Returns whether it shows who is a ghost, or is none.
    ///
    /// A ghost whose process has come to be is not announced where it is listed: then its own word counts, and that of
    /// those who left it out before.
    pub fn compare(&mut self, from: Member, tag: &ViewTag) -> bool {
        let names = |member: Member| tag.members.iter().any(|(named, _)| *named == member);
        // Who does not name us had not heard of our own join, nor perhaps of others before it.
        let speaks_of_it = self.is_open() && Some(tag.ring) == self.ring && self.me.is_some_and(names) && names(from);
        if !speaks_of_it {
            return false;
        }
        let before: Vec<Member> = self.left_out.keys().copied().collect();
        let newcomers = &mut self.newcomers;
        self.left_out.retain(|ghost, by| {
            let is_there = *ghost == from || by.contains(&from) && names(*ghost);
            if is_there {
                newcomers.insert(*ghost);
            }
            !is_there
        });
        let in_ring = |member: &&Member| self.ring_nodes.contains(&NodeId(member.nodeid));
        let is_old = |member: &&Member| !newcomers.contains(member) || planted!(NewcomersAreGhosts);
        for member in self.listed.iter().filter(in_ring).filter(is_old).filter(|member| !names(**member)) {
            self.left_out.entry(*member).or_default().insert(from);
        }
        !self.left_out.keys().eq(&before)
    }

    /// Whether others of this ring do not have this member: it is not its node's agent.
    #[must_use]
    pub fn is_left_out(&self, member: Member) -> bool {
        self.left_out.contains_key(&member)
    }

    /// Takes a quorum callback. Returns whether anything is new.
    pub fn quorum_changed(&mut self, ring: RingId, quorate: bool) -> bool {
        let new = Some((ring, quorate));
        let changed = self.quorum != new;
        self.quorum = new;
        changed
    }

    /// Members that are no ghosts.
    #[must_use]
    pub fn live(&self) -> BTreeSet<Member> {
        self.each_live().collect()
    }

    /// The same one by one, in order.
    pub fn each_live(&self) -> impl Iterator<Item = Member> + '_ {
        let live = |member: &Member| !self.is_ghost(*member) || planted!(GhostsAreLive);
        self.listed.iter().copied().filter(live)
    }

    fn is_ghost(&self, member: Member) -> bool {
        !self.in_ring(NodeId(member.nodeid)) || self.is_left_out(member)
    }

    /// Members corosync lists although they are gone: their node is not in the ring, or is without them.
    #[must_use]
    pub fn ghosts(&self) -> BTreeSet<Member> {
        if !self.is_open() {
            return BTreeSet::new();
        }
        self.listed.iter().copied().filter(|member| self.is_ghost(*member)).collect()
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

    /// Whether corosync's last word on it was no, of whichever ring.
    #[must_use]
    pub fn lacks_quorum(&self) -> bool {
        self.quorum.is_some_and(|(_, quorate)| !quorate)
    }

    /// Whether this name is the view in force, by ring, members, and every nonce that both sides know.
    #[must_use]
    pub fn is_named_by(&self, tag: &ViewTag, nonces: &BTreeMap<Member, u64>) -> bool {
        let named = || tag.members.iter().map(|(member, _)| *member);
        let same_life =
            |(member, nonce): &(Member, u64)| *nonce == 0 || nonces.get(member).is_none_or(|known| known == nonce);
        self.is_open()
            && (Some(tag.ring) == self.ring || planted!(MessagesOfAnyRing))
            && (named().eq(self.each_live()) || planted!(MessagesOfAnyMembers))
            && tag.members.iter().all(same_life)
    }

    /// The name of this view, for a message. Nonces not known yet are 0.
    #[must_use]
    pub fn tag(&self, nonces: &BTreeMap<Member, u64>) -> Option<ViewTag> {
        let ring = self.ring.filter(|_| self.is_open())?;
        let named = |member: Member| (member, nonces.get(&member).copied().unwrap_or(0));
        Some(ViewTag { ring, members: self.each_live().map(named).collect() })
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
    fn who_is_left_out_by_another_of_the_ring_is_a_ghost_until_its_own_word() {
        let (old, new) = (Member { nodeid: 3, pid: 7 }, member(3));
        let mut view = View::of(member(1));
        view.change(&joined(&[1, 2, 3], Reason::NodeUp));
        let all = view.listed.iter().copied().chain([old]).collect();
        view.change(&ViewChange { members: all, joined: vec![(old, Reason::NodeUp)], left: vec![] });
        view.ring_changed(RING, nodes(&[1, 2, 3]));
        let tag = |of: &[Member]| ViewTag { ring: RING, members: of.iter().map(|it| (*it, 0)).collect() };
        let others = tag(&[member(1), member(2), new]);
        assert!(!view.compare(member(2), &ViewTag { ring: RingId { nodeid: 1, seq: 4 }, ..others.clone() }));
        assert!(!view.compare(member(2), &tag(&[member(2), new])), "it has not heard of us");
        assert!(view.compare(new, &others) && !view.compare(member(2), &others));
        assert_eq!((view.ghosts(), view.is_named_by(&others, &BTreeMap::new())), (BTreeSet::from([old]), true));
        assert!(view.compare(old, &tag(&[member(1), member(2), old, new])));
        assert!(!view.compare(member(2), &others) && view.ghosts().is_empty());
    }

    #[test]
    fn who_joins_is_no_ghost_for_those_who_speak_before_they_hear_of_it() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1, 2], Reason::NodeUp));
        view.ring_changed(RING, nodes(&[1, 2]));
        let before = ViewTag { ring: RING, members: vec![(member(1), 0), (member(2), 0)] };
        let second = Member { nodeid: 2, pid: 7 };
        let members = BTreeSet::from([member(1), member(2), second]);
        view.change(&ViewChange { members, joined: vec![(second, Reason::Join)], left: vec![] });
        assert!(!view.compare(member(2), &before) && view.ghosts().is_empty());
    }

    #[test]
    fn who_speaks_of_this_ring_and_is_not_listed_is_unlisted_until_the_ring_changes() {
        let mut view = View::of(member(1));
        view.change(&joined(&[1, 3], Reason::NodeUp));
        view.ring_changed(RING, nodes(&[1, 2, 3]));
        let tag = |ring, of: &[u32]| ViewTag { ring, members: of.iter().map(|it| (member(*it), 0)).collect() };
        view.hear(member(2), &tag(RingId { nodeid: 1, seq: 4 }, &[1, 2, 3]));
        view.hear(member(2), &tag(RING, &[2, 3]));
        view.hear(member(3), &tag(RING, &[1, 2, 3]));
        assert!(view.unlisted().is_empty(), "of another ring, before us, and listed");
        view.hear(member(2), &tag(RING, &[1, 2, 3]));
        assert_eq!(view.unlisted(), &BTreeSet::from([member(2)]));
        view.ring_changed(RingId { nodeid: 1, seq: 12 }, nodes(&[1, 2, 3]));
        assert!(view.unlisted().is_empty());
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
