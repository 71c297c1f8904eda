//! View changes.

use super::Original;
use super::group::Change;
use groupd_compat::cpg_message::Message;
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::ids::{CpgId, NodeId};
use groupd_compat::machine::{Effect, Effects, KillReason, Mode, Reason, ViewChange};

impl Original {
    pub(super) fn control_changed(&mut self, change: &ViewChange, fx: &mut Effects) {
        self.versions.view_changed(change, self.now);
        if !change.joined.is_empty() {
            self.say_version(self.versions.mode, fx);
        }
        self.merged |= change.joined.iter().any(|(_, why)| *why == Reason::NodeUp);
        self.control = change.members.iter().map(|member| member.node).collect();
        if self.versions.mode != Mode::Libgroup {
            return;
        }
        if std::mem::replace(&mut self.seen_control, true) {
            self.say_global_ids(change, fx);
        }
        let failed: Vec<(NodeId, Reason)> = change
            .left
            .iter()
            .filter(|(_, why)| *why != Reason::Leave)
            .map(|&(member, why)| (member.node, why))
            .collect();
        for &(node, why) in &failed {
            self.recover(node, why == Reason::ProcDown, fx);
        }
        for (node, _) in failed {
            self.node_down(node);
        }
    }

    fn say_global_ids(&self, change: &ViewChange, fx: &mut Effects) {
        for (member, _) in &change.joined {
            let made = self.groups.iter().map(|group| group.global_id).filter(|id| id.made_by(member.node));
            if let Some(id) = made.max_by_key(|id| id.counter()) {
                fx.push(Effect::Multicast(CpgId::CONTROL, Message::GlobalId(id)));
            }
        }
    }

    /// A set for the node; a daemon that shared groups has its node killed; whoever leaves does not wait for the node.
    fn recover(&mut self, node: NodeId, process: bool, fx: &mut Effects) {
        let shared = self.groups.iter().filter(|group| group.has_app(node));
        let shared = shared.map(|group| (group.cpg, group.key.level)).collect();
        if self.recovery.control_saw(node, shared, process) && process {
            fx.push(Effect::Kill(node, KillReason::DaemonGone));
        }
        let me = self.me;
        for group in &mut self.groups {
            let leaves = |change: &Change| change.is_own(Cause::Leave, me) && change.phase == Phase::StopWait;
            if group.current.as_ref().is_some_and(leaves) {
                group.mark_stopped(node);
            }
        }
    }

    /// Groups in which it is no CPG member do not hear of it: a leaver is none any more (B1).
    fn node_down(&mut self, node: NodeId) {
        for at in 0..self.groups.len() {
            let group = &mut self.groups[at];
            if !group.members.contains(&node) {
                group.does_not_hear_of(node);
                continue;
            }
            group.members.retain(|&member| member != node);
            let joins = group.queue.iter().any(|change| change.is_own(Cause::Join, node));
            group.queue.retain(|change| change.cause == Cause::Fail || change.node != node);
            if joins {
                continue;
            }
            let count = group.members.len();
            match group.queue.iter_mut().find(|change| change.cause == Cause::Fail) {
                Some(failure) => failure.extend(node, count),
                None => self.queue(at, Cause::Fail, node),
            }
        }
    }

    fn queue(&mut self, at: usize, cause: Cause, node: NodeId) {
        let nr = self.next_nr();
        let group = &mut self.groups[at];
        group.queue.push_back(Change::new(cause, node, group.members.len(), nr));
    }

    pub(super) fn group_changed(&mut self, cpg: CpgId, change: &ViewChange) {
        let Some(at) = self.groups.iter().position(|group| group.cpg == cpg) else { return };
        if self.versions.mode != Mode::Libgroup {
            return; // M1: never to be seen again
        }
        for (member, _) in &change.joined {
            if member.node == self.me {
                self.own_join(at, change);
            } else {
                self.groups[at].members.push(member.node);
                self.queue(at, Cause::Join, member.node);
            }
        }
        for (member, why) in &change.left {
            let group = &mut self.groups[at];
            if *why == Reason::Leave {
                group.members.retain(|node| *node != member.node);
                self.queue(at, Cause::Leave, member.node);
            } else {
                group.saved.retain(|step| step.from != member.node);
            }
        }
    }

    fn own_join(&mut self, at: usize, change: &ViewChange) {
        let found: Vec<NodeId> = change.members.iter().map(|member| member.node).collect();
        self.groups[at].members.clone_from(&found);
        if found.len() == 1 {
            self.groups[at].global_id = self.next_global_id();
        }
        self.queue(at, Cause::Join, self.me);
        if let Some(join) = self.groups[at].queue.back_mut() {
            join.found = found;
        }
    }
}
