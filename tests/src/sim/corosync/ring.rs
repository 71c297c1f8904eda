//! What happens to nodes and links, and how rings form and are synchronised.

use super::node::{Joined, Node, Sent, State};
use super::{Corosync, Due, Listener, RING_SEQ_STEP, Seen};
use crate::sim::agenda::{MS, Micros};
use agent_core::event::Reason;
use agent_core::ids::{Member, RingId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A ring whose nodes all take part but which must change is formed again after this.
const REFORM: Micros = 10 * MS;
/// Of a hundred breaks, in how many a message on its way reaches only some nodes.
const CUT_HALF_WAY_PERCENT: u64 = 50;
/// Of a hundred synchronisations that lose a node, in how many it becomes a ghost.
const GHOST_PERCENT: u64 = 33;

impl Corosync {
    /// corosync is killed, or its node loses power.
    pub fn crash(&mut self, node: u32) {
        if !self.is_up(node) {
            return;
        }
        self.cut_half_way(&[node]);
        self.go_down(node);
        self.network_changed(self.timing.detection());
    }

    /// corosync is asked to end (SIGTERM): its clients are reported gone, then it leaves at once.
    pub fn terminate(&mut self, node: u32) {
        let Some(found) = self.nodes.get_mut(&node).filter(|node| node.up) else { return };
        if found.orders() {
            let mut last: Vec<Sent> = found.queue.drain(..).collect();
            let joined = found.handles.iter().filter(|(_, client)| client.state == State::Joined);
            let gone = joined.filter_map(|(handle, client)| {
                Some(Sent::Leave(handle.member(), client.group.clone()?, Reason::ProcDown))
            });
            last.extend(gone.collect::<Vec<_>>());
            let ring = found.ring;
            let others: Vec<u32> =
                self.nodes.values().filter(|n| n.up && n.ring == ring && n.id != node).map(|n| n.id).collect();
            for sent in &last {
                self.ordered += 1;
                others.iter().for_each(|other| self.execute(*other, sent));
            }
        }
        self.go_down(node);
        self.network_changed(REFORM);
    }

    /// corosync starts: alone at first, whoever else there is.
    pub fn start(&mut self, node: u32) {
        self.ring_seq += RING_SEQ_STEP;
        let ring = RingId { nodeid: node, seq: self.ring_seq };
        let found = self.nodes.entry(node).or_insert_with(|| Node::new(node));
        if found.up {
            return;
        }
        found.start(ring, &BTreeSet::from([node]));
        self.network_changed(self.timing.merge);
    }

    /// SIGSTOP.
    pub fn pause(&mut self, node: u32) {
        let now = self.now;
        if let Some(found) = self.nodes.get_mut(&node).filter(|node| node.hears()) {
            found.paused_since = Some(now);
            self.network_changed(self.timing.detection());
        }
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: u32) {
        let Some(since) = self.nodes.get_mut(&node).and_then(|node| node.paused_since.take()) else { return };
        let (ring, members) = (self.nodes[&node].ring, self.nodes[&node].ring_nodes.clone());
        let together = members.iter().all(|id| self.nodes[id].hears() && self.nodes[id].ring == ring);
        if together && self.now - since > self.timing.token {
            let of_ring = self.nodes.values_mut().filter(|node| node.ring == ring);
            of_ring.for_each(|node| node.must_reform = true);
        }
        self.network_changed(if together { REFORM } else { self.timing.merge });
    }

    /// Nodes named in different lists no longer hear each other; whoever is not named stays where it is.
    pub fn partition(&mut self, sides: &[Vec<u32>]) {
        let before: Vec<u32> = self.nodes.values().map(|node| node.side).collect();
        for (side, nodes) in sides.iter().enumerate() {
            for id in nodes {
                self.nodes.entry(*id).and_modify(|node| node.side = side as u32);
            }
        }
        if self.nodes.values().map(|node| node.side).ne(before) {
            let all: Vec<u32> = self.nodes.keys().copied().collect();
            self.cut_half_way(&all);
            self.network_changed(self.timing.detection());
        }
    }

    /// These two no longer hear each other, whoever else hears both: no ring can hold them together, and the nodes
    /// between them are in the ring of the one and then of the other (tests/traces/31).
    pub fn cut(&mut self, one: u32, other: u32) {
        if one != other && self.cut.insert(sorted(one, other)) {
            self.network_changed(self.timing.detection());
        }
    }

    /// For so long nothing is ordered in this node's ring, and nobody is told: messages get through in one direction
    /// only, or not at all, and the nodes do not agree on a new ring.
    pub fn stall(&mut self, node: u32, time: Micros) {
        let Some(ring) = self.nodes.get(&node).filter(|node| node.hears()).map(|node| node.ring) else { return };
        let of_ring = self.nodes.values_mut().filter(|node| node.ring == ring);
        of_ring.for_each(|node| node.must_reform = true);
        self.network_changed(time);
    }

    /// All links work.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.nodes.values_mut().for_each(|node| node.side = 0);
        self.network_changed(self.timing.merge);
    }

    /// Whether the network lets these two hear each other.
    #[must_use]
    pub fn reach_each_other(&self, one: u32, other: u32) -> bool {
        let same_side = |(one, other): (&Node, &Node)| one.side == other.side;
        self.nodes.get(&one).zip(self.nodes.get(&other)).is_some_and(same_side) && !self.is_cut(one, other)
    }

    fn is_cut(&self, one: u32, other: u32) -> bool {
        self.cut.contains(&sorted(one, other))
    }

    fn go_down(&mut self, node: u32) {
        let Some(found) = self.nodes.get_mut(&node) else { return };
        found.up = false;
        found.paused_since = None;
        let listeners: Vec<Listener> = found.streams.keys().copied().collect();
        for listener in listeners {
            self.call(listener, Seen::Lost, 0);
        }
        let Some(found) = self.nodes.get_mut(&node) else { return };
        found.streams.clear();
        found.handles.clear();
        found.processes.clear();
        found.queue.clear();
        found.ghosts.clear();
        found.life += 1;
    }

    /// The last message may have reached only some of the nodes before the ring broke. Nodes that stay together
    /// either all have it or none does.
    fn cut_half_way(&mut self, senders: &[u32]) {
        let sending = |id: &&u32| self.nodes[*id].orders() && !self.nodes[*id].queue.is_empty();
        let senders: Vec<u32> = senders.iter().filter(sending).copied().collect();
        if !self.happens(CUT_HALF_WAY_PERCENT) {
            return;
        }
        let Some(from) = self.rng.pick(&senders) else { return };
        let Some(sent) = self.nodes.get_mut(&from).and_then(|node| node.queue.pop_front()) else { return };
        let (ring, own_side) = (self.nodes[&from].ring, self.nodes[&from].side);
        let of_ring = |node: &&Node| node.ring == ring && node.hears();
        let sides: BTreeSet<u32> = self.nodes.values().filter(of_ring).map(|node| node.side).collect();
        // What some have and others lack is settled by a new ring only, even if the links work again before.
        self.nodes.values_mut().filter(|node| node.ring == ring).for_each(|node| node.must_reform = true);
        self.ordered += 1;
        for side in sides {
            if side == own_side || self.rng.chance(CUT_HALF_WAY_PERCENT) {
                let reached = self.nodes.values().filter(of_ring).filter(|node| node.side == side);
                let reached: Vec<u32> = reached.map(|node| node.id).collect();
                reached.iter().for_each(|id| self.execute(*id, &sent));
            }
        }
    }

    /// Rings with a node that no longer takes part stop ordering; new ones form later.
    fn network_changed(&mut self, after: Micros) {
        let place: BTreeMap<u32, (bool, u32, RingId)> =
            self.nodes.values().map(|node| (node.id, (node.hears(), node.side, node.ring))).collect();
        let cut = &self.cut;
        let torn = |ring: &BTreeSet<u32>| cut.iter().any(|(one, other)| ring.contains(one) && ring.contains(other));
        let mut mended = Vec::new();
        for node in self.nodes.values_mut().filter(|node| node.up) {
            let here = (true, node.side, node.ring);
            let was_broken = node.broken;
            let must = node.must_reform || torn(&node.ring_nodes);
            node.broken = must || node.ring_nodes.iter().any(|id| place.get(id) != Some(&here));
            if was_broken && !node.broken {
                mended.push((node.id, node.queue.len()));
            }
        }
        for (id, waiting) in mended {
            self.resume_order(id, waiting);
        }
        self.formation += 1;
        self.agenda.plan(self.now + after, Due::Form(self.formation));
    }

    fn resume_order(&mut self, node: u32, waiting: usize) {
        for place in 1..=waiting as u64 {
            let at = self.now + self.timing.latency * place;
            self.agenda.plan(at, Due::Order(node));
        }
    }

    /// One ring for all that hear each other.
    pub(super) fn form(&mut self) {
        let mut sides: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for node in self.nodes.values().filter(|node| node.hears()) {
            sides.entry(node.side).or_default().insert(node.id);
        }
        self.ring_seq += RING_SEQ_STEP;
        let rings: Vec<BTreeSet<u32>> = sides.into_values().flat_map(|nodes| self.cliques(nodes)).collect();
        for nodes in &rings {
            let Some(first) = nodes.first().copied() else { continue };
            // A synchronisation that was broken off does not go on by itself.
            let stands = |node: &Node| !node.broken && !node.syncing && node.ring == self.nodes[&first].ring;
            if !nodes.iter().all(|id| stands(&self.nodes[id])) {
                self.form_ring(RingId { nodeid: first, seq: self.ring_seq }, nodes);
            }
        }
        self.form_again(&rings);
    }

    /// Sets of nodes that all hear each other; who goes with whom is chance where links are not transitive.
    fn cliques(&mut self, nodes: BTreeSet<u32>) -> Vec<BTreeSet<u32>> {
        if self.cut.is_empty() {
            return vec![nodes];
        }
        let mut order: Vec<u32> = nodes.into_iter().collect();
        let turn = self.rng.below(order.len() as u64) as usize;
        order.rotate_left(turn);
        let mut cliques: Vec<BTreeSet<u32>> = Vec::new();
        for id in order {
            match cliques.iter_mut().find(|clique| clique.iter().all(|other| !self.cut.contains(&sorted(id, *other)))) {
                Some(clique) => _ = clique.insert(id),
                None => cliques.push(BTreeSet::from([id])),
            }
        }
        cliques
    }

    /// Where nodes of two rings hear each other the rings do not last.
    fn form_again(&mut self, rings: &[BTreeSet<u32>]) {
        let apart = |one: &BTreeSet<u32>, other: &BTreeSet<u32>| {
            one.iter().all(|one| other.iter().all(|other| !self.reach_each_other(*one, *other)))
        };
        let pairs =
            rings.iter().enumerate().flat_map(|(at, one)| rings[at + 1..].iter().map(move |other| (one, other)));
        let lasting = self.cut.is_empty() || pairs.into_iter().all(|(one, other)| apart(one, other));
        if !lasting {
            self.formation += 1;
            let after = self.jitter(self.timing.detection());
            self.agenda.plan(self.now + after, Due::Form(self.formation));
        }
    }

    fn form_ring(&mut self, ring: RingId, nodes: &BTreeSet<u32>) {
        let lists: Vec<Joined> = nodes.iter().flat_map(|id| self.nodes[id].own_processes()).collect();
        let old: BTreeMap<u32, RingId> = nodes.iter().map(|id| (*id, self.nodes[id].ring)).collect();
        let ghostly = self.ghostly(nodes);
        for id in nodes {
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let from_ring = |other: &u32| old[other] == old[id] && node.ring_nodes.contains(other);
            node.came_along = nodes.iter().copied().filter(from_ring).collect();
            if ghostly.contains(&node.ring) {
                let lost = std::mem::take(&mut node.join_lists).into_iter();
                node.ghosts.extend(lost.filter(|(member, _)| !nodes.contains(&member.nodeid)));
            }
            node.join_lists.clone_from(&lists);
            node.ring = ring;
            node.ring_nodes.clone_from(nodes);
            node.syncing = true;
            node.broken = false;
            node.must_reform = false;
        }
        let after = self.jitter(self.timing.sync);
        self.agenda.plan(self.now + after, Due::Activate(ring));
    }

    /// Rings that were being synchronised and whose join lists had been sent already.
    fn ghostly(&mut self, nodes: &BTreeSet<u32>) -> BTreeSet<RingId> {
        let syncing = nodes.iter().map(|id| &self.nodes[id]).filter(|node| node.syncing);
        let aborted: BTreeSet<RingId> = syncing.map(|node| node.ring).collect();
        let wanted = !aborted.is_empty() && std::mem::take(&mut self.ghost_wanted);
        aborted.into_iter().filter(|_| wanted || self.happens(GHOST_PERCENT)).collect()
    }

    /// The barrier of CPG: everybody announces the same, unless the ring broke meanwhile.
    pub(super) fn activate(&mut self, ring: RingId) {
        let ids: Vec<u32> = self.nodes.values().filter(|node| node.ring == ring).map(|node| node.id).collect();
        let Some(nodes) = ids.first().map(|id| self.nodes[id].ring_nodes.clone()) else { return };
        let ready = |id: &u32| self.nodes[id].hears() && self.nodes[id].syncing && !self.nodes[id].broken;
        if !nodes.iter().all(|id| ids.contains(id) && ready(id)) {
            return;
        }
        // What its clients did since the ring formed is in the queue: the lists sent then still hold.
        for id in &nodes {
            self.activate_node(*id, ring, &nodes);
        }
    }

    fn activate_node(&mut self, id: u32, ring: RingId, nodes: &BTreeSet<u32>) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let down: BTreeSet<u32> = node.activated.difference(&node.came_along).copied().collect();
        let came = nodes.iter().copied().filter(|n| !node.activated.contains(n) || down.contains(n)).collect();
        node.activated_ring = ring;
        node.activated.clone_from(nodes);
        let mut lists = std::mem::take(&mut node.join_lists);
        lists.extend(std::mem::take(&mut node.ghosts));
        lists.retain(|(member, _)| member.nodeid != id);

        self.announce_down(id, &down);
        self.announce_up(id, &lists);
        self.announce_vanished(id, &lists);
        self.tell_ring(id, ring, nodes, came, down.into_iter().collect());

        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.syncing = false;
        let waiting = node.queue.len();
        self.resume_order(id, waiting);
    }

    fn announce_down(&mut self, id: u32, down: &BTreeSet<u32>) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (gone, stay): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut node.processes).into_iter().partition(|(_, member)| down.contains(&member.nodeid));
        node.processes = stay;
        for (group, left) in by_group(gone, Reason::NodeDown) {
            self.announce(id, &group, left, vec![]);
        }
    }

    fn announce_up(&mut self, id: u32, lists: &[Joined]) {
        let new: BTreeSet<(Rc<str>, Member)> = lists
            .iter()
            .filter(|(member, group)| self.list(id, *member, group))
            .map(|(member, group)| (group.clone(), *member))
            .collect();
        for (group, joined) in by_group(new, Reason::NodeUp) {
            self.announce(id, &group, vec![], joined);
        }
    }

    /// Processes that this node lists and their own node does not.
    fn announce_vanished(&mut self, id: u32, lists: &[Joined]) {
        let Some(node) = self.nodes.get(&id) else { return };
        let listed = |member: &Member, group: &Rc<str>| lists.iter().any(|(m, g)| m == member && g == group);
        let foreign = node.processes.iter().filter(|(_, member)| member.nodeid != id);
        let vanished: Vec<(Rc<str>, Member)> = foreign.filter(|(group, m)| !listed(m, group)).cloned().collect();
        for (group, member) in vanished {
            self.unlist(id, member, &group, Reason::ProcDown);
        }
    }

    fn tell_ring(&mut self, id: u32, ring: RingId, nodes: &BTreeSet<u32>, joined: Vec<u32>, left: Vec<u32>) {
        let Some(node) = self.nodes.get(&id) else { return };
        let quorate = self.has_majority(nodes);
        let listeners: Vec<Listener> = node.streams.keys().copied().collect();
        let nodes: Vec<u32> = nodes.iter().copied().collect();
        let quorum_after = self.jitter(self.timing.quorum);
        for listener in listeners {
            match listener {
                Listener::Cpg(_) => self.call(listener, Seen::Totem { ring, nodes: nodes.clone() }, 0),
                Listener::Quorum { .. } => {
                    let (joined, left) = (joined.clone(), left.clone());
                    self.call(listener, Seen::Nodelist { ring, nodes: nodes.clone(), joined, left }, 0);
                    self.call(listener, Seen::Quorum { ring, quorate, nodes: nodes.clone() }, quorum_after);
                }
            }
        }
    }
}

fn sorted(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

fn by_group(processes: BTreeSet<(Rc<str>, Member)>, reason: Reason) -> BTreeMap<Rc<str>, Vec<(Member, Reason)>> {
    let mut groups: BTreeMap<Rc<str>, Vec<(Member, Reason)>> = BTreeMap::new();
    for (group, member) in processes {
        groups.entry(group).or_default().push((member, reason));
    }
    groups
}
