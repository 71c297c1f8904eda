//! View changes: who came and went, in the control CPG and in each group's own.
//!
//! What must be ordered against the steps of peers, the failures, is taken from the control CPG alone; the group's CPG gives
//! joins and leaves. How the two are put in order is told in `abreast`.

use super::abreast::Shown;
use super::change::Change;
use super::effect::{Effect, Effects, Exit, KillReason, Notice};
use super::event::{QuorumReport, Reason, ViewChange};
use super::group::Group;
use super::modes::Mode;
use super::node::Control;
use super::{Machine, Node, QUEUE_MAX};
use crate::event_id::Cause;
use crate::ids::{CpgId, Member, NodeId, RingId};
use crate::names::Level;

impl Machine {
    /// The control CPG changed. The order of these steps is the original's.
    pub(crate) fn control_changed(&mut self, change: &ViewChange, fx: &mut Effects) {
        let failed = self.note_members(change);
        self.modes.view_changed(change, self.now);
        self.see_who_knows_us(change, fx);
        self.say_version(change, fx);
        self.set_timer(fx);
        if self.modes.mode != Mode::Libgroup {
            return;
        }
        if std::mem::replace(&mut self.seen_control, true) {
            let joined: Vec<NodeId> = change.joined.iter().map(|(member, _)| member.node).collect();
            Node::say_global_ids(&joined, self.groups.values().map(|group| group.global_id), fx);
        }
        let came_up = change.joined.iter().filter(|(_, reason)| *reason == Reason::NodeUp);
        self.merging.extend(came_up.map(|(member, _)| member.node));
        for &(member, reason) in &failed {
            if reason == Reason::NodeDown {
                self.node.quorum.lose(member.node);
            }
            self.open_recovery_set(member, reason, fx);
        }
        for (gone, _) in failed {
            self.node_down(gone);
        }
        self.node.condemned.retain(|&node| self.node.control.contains(node));
        self.catch_up_all(fx);
        self.wake_gated();
    }

    /// Who is here now. Returns the daemons that failed: those that went without leaving, and those that
    /// left although a group of ours still has them (deviation B3: the original lets that group hang).
    fn note_members(&mut self, change: &ViewChange) -> Vec<(Member, Reason)> {
        let mut failed = Vec::new();
        for &(member, reason) in &change.left {
            if !self.node.control.is_daemon(member) {
                self.node.control.remove_other(member, reason);
                continue;
            }
            self.node.control.remove(member.node, reason);
            self.doubted.remove(&member);
            self.merging.remove(&member.node);
            let node = member.node;
            match reason {
                Reason::NodeDown | Reason::ProcDown => failed.push((member, reason)),
                _ if node != self.node.me && self.groups.values().any(|group| group.app.contains(&node)) => {
                    failed.push((member, Reason::ProcDown));
                }
                Reason::Leave | Reason::Join | Reason::NodeUp => {}
            }
        }
        for &(member, _) in &change.joined {
            self.node.control.others.forget(member); // it is back, whatever it was
        }
        self.node.control.meet_us(self.node.me, change);
        change.members.iter().for_each(|&member| self.node.control.add(member));
        self.node.control.members.clear();
        for Member { node, .. } in &change.members {
            if self.node.control.contains(*node) && !self.node.control.members.contains(node) {
                self.node.control.members.push(*node);
            }
        }
        failed
    }

    /// Remembers which of our groups must recover together: those that had this daemon, and not another process of its node
    /// beside it. A daemon that ends while its node lives leaves its clients running with stale knowledge: its node is killed,
    /// once by every survivor that shares a group.
    pub(crate) fn open_recovery_set(&mut self, gone: Member, reason: Reason, fx: &mut Effects) {
        let node = gone.node;
        let shared = self.groups.values().filter(|group| group.app.contains(&node) && !group.has_beside(gone));
        let shared: Vec<(CpgId, Level)> = shared.map(|group| (group.cpg, group.key.level)).collect();
        let failure = self.node.failure_of(node);
        self.node.recovery.failed(&failure, &shared, reason == Reason::NodeDown);
        if reason == Reason::ProcDown && !shared.is_empty() && !self.node.condemned.contains(&node) {
            fx.push(Effect::Kill(node, KillReason::DaemonGone));
        }
    }

    pub(crate) fn node_down(&mut self, gone: Member) {
        for (&cpg, group) in &mut self.groups {
            group.node_down(gone, &mut self.node);
            self.busy.insert(cpg);
        }
    }

    /// The CPG of a group changed.
    pub(crate) fn group_changed(&mut self, cpg: CpgId, change: &ViewChange, fx: &mut Effects) {
        self.shown(cpg, Shown::View(change.clone()), fx);
    }

    /// The CPG of a group is in this ring.
    pub(crate) fn group_ring_changed(&mut self, cpg: CpgId, ring: RingId, fx: &mut Effects) {
        self.shown(cpg, Shown::Ring(ring), fx);
    }

    pub(crate) fn shown(&mut self, cpg: CpgId, shown: Shown, fx: &mut Effects) {
        match self.modes.mode {
            Mode::Libgroup => {}
            Mode::Pending => return self.modes.keep(cpg, shown),
            Mode::Libcpg => return,
        }
        let Some(group) = self.groups.get_mut(&cpg) else { return };
        group.abreast.show(shown);
        if group.abreast.len() > QUEUE_MAX {
            return self.end(Exit::Overwhelmed, fx);
        }
        self.catch_up(cpg, fx);
    }

    /// The control CPG has shown more: what waited for that is due.
    pub(crate) fn catch_up_all(&mut self, fx: &mut Effects) {
        let waiting = self.groups.values().filter(|group| group.abreast.len() > 0);
        for cpg in waiting.map(|group| group.cpg).collect::<Vec<_>>() {
            self.catch_up(cpg, fx);
        }
    }

    fn catch_up(&mut self, cpg: CpgId, fx: &mut Effects) {
        let ring = self.node.quorum.ring();
        while let Some(group) = self.groups.get_mut(&cpg)
            && let Some(change) = group.abreast.take(&group.members, &self.node.control, ring)
        {
            self.view_taken(cpg, &change, fx);
        }
    }

    /// The ring is complete on the control CPG: so it is on the others. Who is to join and is not here now never will be; but
    /// before our own join it shows a ring and nobody (deviation B33).
    fn complete_ring(&mut self, ring: RingId, fx: &mut Effects) {
        let has_joined = self.node.control.contains(self.node.me);
        for cpg in self.groups.keys().copied().collect::<Vec<_>>() {
            let due = self.groups.get_mut(&cpg).map(|group| group.abreast.take_until(ring, self.node.me));
            due.iter().flatten().for_each(|change| self.view_taken(cpg, change, fx));
            if let Some(group) = self.groups.get_mut(&cpg).filter(|_| has_joined) {
                group.drop_strangers(&self.node.control);
            }
        }
    }

    /// A view change of a group takes effect. Joins come before leaves.
    fn view_taken(&mut self, cpg: CpgId, change: &ViewChange, fx: &mut Effects) {
        for &(member, _) in &change.joined {
            self.lives_again(member, fx);
        }
        let Some(group) = self.groups.get_mut(&cpg) else { return };
        let mut count = change.nodes() - change.joined.len().min(change.nodes());
        for &(member, reason) in &change.joined {
            count += 1;
            if member.node == self.node.me {
                group.own_join_came(change, &mut self.node);
            } else {
                group.join_came(member, count, &mut self.node);
            }
            let comes_back = reason == Reason::NodeUp && self.node.control.may_be_daemon(member);
            if comes_back && self.node.condemned.insert(member.node) && self.node.quorum.had_quorum() {
                fx.push(Effect::Kill(member.node, KillReason::Merged));
            }
        }
        for &(member, reason) in &change.left {
            match reason {
                Reason::Leave | Reason::Join | Reason::NodeUp => {
                    group.leave_came(member, change.nodes(), &mut self.node);
                }
                Reason::NodeDown | Reason::ProcDown => {
                    if group.members.contains(&member) && self.node.control.is_daemon(member) {
                        self.doubted.insert(member);
                    }
                    group.daemon_gone(member, &mut self.node);
                }
            }
        }
        self.busy.insert(cpg);
    }

    /// A daemon speaks or joins a group, after a group has shown its end: that was the end of what it was before. Its corosync
    /// has restarted under it, and the control CPG, where it is back as the same process, showed neither. What it was in has to
    /// recover as from a daemon that ends (deviation B30).
    pub(crate) fn lives_again(&mut self, member: Member, fx: &mut Effects) {
        if self.doubted.remove(&member) {
            self.open_recovery_set(member, Reason::ProcDown, fx);
            self.node_down(member);
        }
    }

    pub(crate) fn join_failed(&mut self, cpg: CpgId, fx: &mut Effects) {
        if cpg == CpgId::CONTROL {
            return self.end(Exit::CorosyncLost, fx);
        }
        if let Some(group) = self.groups.get(&cpg) {
            fx.notice(Notice::JoinFailed { group: group.key.clone() });
            self.succeed(cpg, fx); // no zombie that refuses to be joined again (deviation Q14)
        }
    }

    pub(crate) fn quorum_changed(&mut self, report: QuorumReport, fx: &mut Effects) {
        self.node.quorum.hear(report);
        self.settle_quorum(fx);
    }

    /// Every view change of this ring is known. Whom we met, having groups and no quorum, went on without
    /// us: nothing of ours may start again (deviation B4). Only after that a new quorum is believed.
    pub(crate) fn ring_changed(&mut self, ring: RingId, nodes: &[NodeId], fx: &mut Effects) {
        for ghost in self.node.control.outside(nodes) {
            fx.notice(Notice::Ghost { ghost });
            self.ended_unseen(ghost, Reason::NodeDown, fx);
            self.node.control.members.retain(|node| *node != ghost.node);
        }
        self.complete_ring(ring, fx);
        self.node.control.ring_stands(nodes);
        let met = std::mem::take(&mut self.merging).iter().any(|node| nodes.contains(node));
        let has_members = self.groups.values().any(|group| !group.members.is_empty());
        if met && has_members && !self.node.quorum.had_quorum() {
            if self.groups.values().any(|group| group.id_told) {
                fx.push(Effect::Kill(self.node.me, KillReason::Merged));
            }
            return self.end(Exit::MergedWithoutQuorum, fx);
        }
        self.node.quorum.ring_stands(ring);
        self.catch_up_all(fx);
        self.settle_quorum(fx);
    }

    /// Who failed and is still named is killed (again): only what is seen to go is known to have gone.
    fn settle_quorum(&mut self, fx: &mut Effects) {
        let gone = self.node.quorum.settle();
        self.node.recovery.quorum_noticed(&gone);
        let named = self.node.quorum.spoken_of().map(|ring| self.node.recovery.still_named(ring));
        for node in named.into_iter().flatten() {
            fx.push(Effect::Kill(node, KillReason::StillNamed));
        }
        self.wake_gated();
        self.join_what_waits(fx);
    }
}

impl Group {
    /// Our own join: whoever is in the list is a member, but for processes that are gone from the control CPG: the others had
    /// that before us, and their departure from this CPG is on its way (deviation B25). Alone, we have created the group.
    fn own_join_came(&mut self, change: &ViewChange, node: &mut Node) {
        if !self.joining || self.current.is_some() {
            return;
        }
        self.members.clear();
        let is_gone = |member: Member| node.control.lingers(member) || node.control.others.is_ghost(member);
        for &member in change.members.iter().filter(|member| !is_gone(**member)) {
            if node.control.others.is_beside(member) || self.members.iter().all(|known| known.node != member.node) {
                self.members.push(member);
            }
        }
        let mut found = Vec::new();
        for Member { node, .. } in &self.members {
            if !found.contains(node) {
                found.push(*node);
            }
        }
        self.saved.keep_from(&found);
        if found.len() == 1 {
            self.global_id = node.next_global_id();
        }
        let mut join = Change::new(Cause::Join, node.me, change.nodes(), node.next_nr());
        join.found = found;
        self.queue.push_back(join);
    }

    /// Another process of a member's node is none of ours.
    fn join_came(&mut self, joiner: Member, count: usize, node: &mut Node) {
        if self.members.is_empty() || node.control.others.is_ghost(joiner) {
            return; // before our own join
        }
        if let Some(known) = self.members.iter().find(|member| member.node == joiner.node) {
            if *known != joiner {
                self.beside.push((joiner, count));
            }
            return;
        }
        self.members.push(joiner);
        self.queue.push_back(Change::of(Cause::Join, joiner, count, node.next_nr()));
    }

    /// Joins of those who are not in the control CPG, although all that happened before this ring is known: they died when
    /// nobody saw it (deviation B26).
    fn drop_strangers(&mut self, control: &Control) {
        let joiner = |change: &Change| {
            let pid = change.pid.filter(|_| change.cause == Cause::Join)?;
            Some(Member { node: change.node, pid })
        };
        let is_stranger = |change: &Change| joiner(change).is_some_and(|member| !control.may_be_daemon(member));
        let strangers: Vec<Member> =
            self.queue.iter().filter(|change| is_stranger(change)).filter_map(joiner).collect();
        self.queue.retain(|change| !is_stranger(change));
        self.members.retain(|member| !strangers.contains(member));
    }

    /// A ghost is no member any more: whoever joined beside it joins now.
    pub(crate) fn without_ghost(&mut self, ghost: Member, node: &mut Node) {
        self.node_down(ghost, node);
        let (due, rest) = std::mem::take(&mut self.beside).into_iter().partition(|(it, _)| it.node == ghost.node);
        self.beside = rest;
        for (joiner, count) in Vec::into_iter(due) {
            self.join_came(joiner, count, node);
        }
    }

    fn leave_came(&mut self, leaver: Member, count: usize, node: &mut Node) {
        self.beside.retain(|(member, _)| *member != leaver);
        if !self.members.contains(&leaver) {
            return;
        }
        self.members.retain(|&member| member != leaver);
        self.queue.push_back(if leaver.node == node.me {
            Change::new(Cause::Leave, leaver.node, count, node.next_nr())
        } else {
            Change::of(Cause::Leave, leaver, count, node.next_nr())
        });
    }

    /// What it said last is void. If the control CPG forgot it before we knew it as a member, this is the
    /// last we hear of it (deviation B10).
    fn daemon_gone(&mut self, gone: Member, node: &mut Node) {
        let dead = gone.node;
        self.beside.retain(|(member, _)| *member != gone);
        self.saved.forget_from(dead);
        if !self.members.contains(&gone) || node.control.is_daemon(gone) {
            return;
        }
        let is_failing = |change: &Change| change.failed.contains(&dead);
        if self.app.contains(&dead) && !self.current.iter().chain(&self.queue).any(is_failing) {
            node.recovery.add(&node.failure_of(dead), self.cpg, self.key.level);
        }
        self.node_down(gone, node);
    }
}
