//! corosync: one order of joins, leaves and messages; rings, and who is told of what.

use super::{Cluster, Handle};
use groupd_compat::cpg_message::Message;
use groupd_compat::ids::{CpgId, Member, NodeId, RingId};
use groupd_compat::machine::{Event, QuorumReport, Reason, ViewChange};
use std::collections::{BTreeMap, BTreeSet};

impl Cluster {
    pub(super) fn side_of(&self, node: u32) -> BTreeSet<u32> {
        self.sides.iter().find(|side| side.contains(&node)).cloned().unwrap_or_default()
    }

    pub(super) fn member(&self, node: u32) -> Member {
        Member { node: NodeId(node), pid: self.pids.get(&node).copied().unwrap_or(0) }
    }

    /// Members of a CPG that `node` can see, with their handles.
    pub(super) fn seen(&self, node: u32, name: &[u8]) -> BTreeMap<u32, CpgId> {
        let side = self.side_of(node);
        let members = self.cpgs.get(name).cloned().unwrap_or_default();
        members.into_iter().filter(|(member, _)| side.contains(member)).collect()
    }

    pub(super) fn order_join(&mut self, node: u32, cpg: CpgId, name: Vec<u8>) {
        if let Some(daemon) = self.daemons.get_mut(&node) {
            daemon.names.insert(cpg, name.clone());
        }
        if cpg != CpgId::CONTROL {
            let ring = self.rings[&node]; // what corosync tells of it behind the join, the edge hands in before that
            self.queue(node, Handle::Cpg(cpg), Event::GroupRingChanged(cpg, ring));
        }
        self.cpgs.entry(name.clone()).or_default().insert(node, cpg);
        self.announce(node, &name, vec![], vec![(self.member(node), Reason::Join)], &BTreeMap::new());
    }

    pub(super) fn order_leave(&mut self, node: u32, cpg: CpgId) {
        let Some(name) = self.daemons.get(&node).and_then(|daemon| daemon.names.get(&cpg)).cloned() else { return };
        self.cpgs.entry(name.clone()).or_default().remove(&node);
        let leaver = BTreeMap::from([(node, cpg)]);
        self.announce(node, &name, vec![(self.member(node), Reason::Leave)], vec![], &leaver);
    }

    /// One view change to all members that `node` can see, and to `others`.
    pub(super) fn announce(
        &mut self,
        node: u32,
        name: &[u8],
        left: Vec<(Member, Reason)>,
        joined: Vec<(Member, Reason)>,
        others: &BTreeMap<u32, CpgId>,
    ) {
        let to = self.seen(node, name);
        let side = self.side_of(node);
        let living: BTreeSet<u32> = to.keys().copied().collect();
        let members = self.listed(name, &living, &side);
        for (&member, &cpg) in to.iter().chain(others) {
            self.show_ghosts(member, cpg, self.ghosts.of(name, &side));
            let change = ViewChange { members: members.clone(), left: left.clone(), joined: joined.clone() };
            self.queue_view(member, cpg, change, &living);
        }
    }

    /// A view change, after which these nodes have a process in the CPG that lives.
    pub(super) fn queue_view(&mut self, node: u32, cpg: CpgId, change: ViewChange, living: &BTreeSet<u32>) {
        if let Some(daemon) = self.daemons.get_mut(&node) {
            daemon.views.insert(cpg, living.clone());
        }
        self.queue(node, Handle::Cpg(cpg), Event::ViewChanged(cpg, change));
    }

    pub(super) fn order_message(
        &mut self,
        node: u32,
        from: Member,
        name: &[u8],
        body: &Result<Message, groupd_compat::error::DecodeError>,
    ) {
        for (member, cpg) in self.seen(node, name) {
            self.queue(member, Handle::Cpg(cpg), Event::Delivered { cpg, from, body: body.clone() });
        }
    }

    pub(super) fn daemon_ends(&mut self, node: u32, control: Reason) {
        let Some(daemon) = self.daemons.remove(&node) else { return };
        let gone = Member { node: NodeId(node), pid: daemon.pid };
        let names = self.cpgs.iter().filter(|(_, members)| members.contains_key(&node)).map(|(name, _)| name.clone());
        for name in names.collect::<Vec<_>>() {
            let reason = if name == b"groupd\0" { control } else { Reason::ProcDown };
            self.departing.push((node, name, gone, reason));
        }
        if !self.ragged {
            self.depart_all(node);
        }
    }

    /// Orders one of the departures of processes that ended. False if there is none.
    pub fn depart(&mut self, pick: impl FnOnce(usize) -> usize) -> bool {
        if self.departing.is_empty() {
            return false;
        }
        let (node, name, gone, reason) = self.departing.remove(pick(self.departing.len()));
        if self.cpgs.get_mut(&name).and_then(|members| members.remove(&node)).is_some() {
            self.announce(node, &name, vec![(gone, reason)], vec![], &BTreeMap::new());
        }
        true
    }

    /// Orders the departure of a node's last daemon from one CPG. False if there is none.
    pub fn depart_from(&mut self, node: u32, name: &[u8]) -> bool {
        let at = self.departing.iter().position(|(of, from, ..)| *of == node && from == name);
        at.is_some_and(|at| self.depart(|_| at))
    }

    /// All that is left of a node's last daemon.
    pub(super) fn depart_all(&mut self, node: u32) {
        while let Some(at) = self.departing.iter().position(|(of, ..)| *of == node) {
            self.depart(|_| at);
        }
    }

    /// A ring change: lost nodes, found nodes, the ring; then quorum.
    pub(super) fn change_sides(&mut self, before: &[BTreeSet<u32>], after: Vec<BTreeSet<u32>>) {
        self.seq += 4;
        self.sides = after.clone();
        for side in &after {
            for &node in side {
                let old = before.iter().find(|side| side.contains(&node)).cloned().unwrap_or_default();
                if old == *side {
                    continue;
                }
                let representative = side.first().copied().unwrap_or(0);
                self.rings.insert(node, RingId { representative, seq: self.seq });
                self.tell_views(node, side);
                let lost: Vec<u32> = old.difference(side).copied().collect();
                self.tell_ring(node, side, &lost);
            }
        }
    }

    pub(super) fn tell_views(&mut self, node: u32, side: &BTreeSet<u32>) {
        let Some(daemon) = self.daemons.get(&node) else { return };
        let mut known: Vec<(CpgId, Vec<u8>)> = daemon.names.iter().map(|(&cpg, name)| (cpg, name.clone())).collect();
        known.sort_by(|(_, name), (_, other)| name.cmp(other)); // as corosync
        for (cpg, name) in known {
            let members = self.cpgs.get(&name).into_iter().flat_map(|members| members.keys().copied());
            let members: BTreeSet<u32> = members.filter(|member| side.contains(member)).collect();
            if !members.contains(&node) {
                continue; // it has left
            }
            let view = self.daemons[&node].views.get(&cpg).cloned().unwrap_or_default();
            let (lost, found) = (&view - &members, &members - &view);
            let ghosts = self.ghosts.of(&name, side);
            let [ghosts_lost, ghosts_found] = self.show_ghosts(node, cpg, ghosts);
            let with = |nodes: &BTreeSet<u32>, ghosts: Vec<Member>, why| {
                let living = nodes.iter().map(|&n| self.member(n));
                living.chain(ghosts).map(|member| (member, why)).collect::<Vec<_>>()
            };
            let (here, away): (BTreeSet<u32>, BTreeSet<u32>) = lost.iter().partition(|node| side.contains(node));
            let joined = with(&found, ghosts_found.clone(), Reason::NodeUp);
            let all = self.listed(&name, &members, side);
            let came = |member: &Member| found.contains(&member.node.0) || ghosts_found.contains(member);
            let stayed: Vec<Member> = all.iter().copied().filter(|member| !came(member)).collect();
            // Nodes that went come first; behind them processes that ended while this node stood still.
            let steps = [
                (with(&away, ghosts_lost, Reason::NodeDown), &here),
                (with(&here, vec![], Reason::ProcDown), &BTreeSet::new()),
            ];
            for (left, still) in steps.into_iter().filter(|(left, _)| !left.is_empty()) {
                let mut list = stayed.clone();
                list.extend(still.iter().map(|&n| self.member(n)));
                list.sort();
                let down = ViewChange { members: list, left, joined: vec![] };
                self.queue_view(node, cpg, down, &(&(&members - &found) | still));
            }
            if !joined.is_empty() {
                let up = ViewChange { members: all, left: vec![], joined };
                self.queue_view(node, cpg, up, &members);
            }
        }
    }

    pub(super) fn tell_ring(&mut self, node: u32, side: &BTreeSet<u32>, lost: &[u32]) {
        let ring = self.rings[&node];
        let nodes: Vec<NodeId> = side.iter().copied().map(NodeId).collect();
        let control = Handle::Cpg(CpgId::CONTROL);
        let cpgs: Vec<CpgId> = self.daemons.get(&node).into_iter().flat_map(|it| it.names.keys().copied()).collect();
        for cpg in cpgs.into_iter().filter(|&cpg| cpg != CpgId::CONTROL) {
            self.queue(node, Handle::Cpg(cpg), Event::GroupRingChanged(cpg, ring));
        }
        self.queue(node, control, Event::RingChanged { ring, nodes: nodes.clone() });
        let quorate = side.len() * 2 > self.size;
        let left = lost.iter().copied().map(NodeId).collect();
        self.queue(node, Handle::Quorum, Event::QuorumChanged(QuorumReport { quorate, ring, nodes, left }));
    }
}
