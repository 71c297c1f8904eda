//! Of two processes of one node in the control CPG, which is its daemon, and which corosync only goes on listing.
//!
//! corosync 3.1.7 may list a process that has ended beside the one that runs now, when its node was lost and back between two
//! rings (its commit 2ab885ab mends it). No word of its end ever comes. But a ghost is silent, and every daemon says its
//! version whenever somebody joins (K13). So the process that was listed first is believed (S1) until another one of its node
//! says its version while the first has been silent since that came: then the first has ended, as a daemon that ends does,
//! and is a ghost for as long as it is listed. If it does speak before that, the other is no daemon, and never will be beside it.
//! Of our own node no word is needed: the process that we have seen join is us, and no second one gets past the socket
//! (deviation B31).

use super::Machine;
use super::effect::{Effects, Notice};
use super::event::{Reason, ViewChange};
use super::node::Control;
use crate::cpg_message::Message;
use crate::ids::{Member, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Processes of the control CPG that are not their node's daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Others {
    listed: BTreeMap<Member, Kind>,
    /// Have we seen ourselves join?
    met_us: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    /// It came beside a daemon that has been silent since.
    Beside,
    /// The daemon has spoken since it came: another program.
    Stranger,
    /// It has ended, and is still listed.
    Ghost,
}

impl Others {
    /// A process is listed beside the daemon of its node.
    pub(crate) fn see(&mut self, member: Member) {
        self.listed.entry(member).or_insert(Kind::Beside);
    }

    /// This process is not listed any more, or is its node's daemon now.
    pub(crate) fn forget(&mut self, member: Member) -> bool {
        self.listed.remove(&member).is_some()
    }

    pub(crate) fn is_ghost(&self, member: Member) -> bool {
        self.listed.get(&member) == Some(&Kind::Ghost)
    }

    /// Might this be the daemon of its node, although another one is believed?
    pub(crate) fn is_beside(&self, member: Member) -> bool {
        self.listed.get(&member) == Some(&Kind::Beside)
    }

    fn end(&mut self, ghost: Member) {
        self.listed.insert(ghost, Kind::Ghost);
    }

    /// The daemon of a node speaks: whoever came beside it is another program.
    fn heard_daemon(&mut self, node: NodeId) {
        let beside = self.listed.iter_mut().filter(|(other, kind)| other.node == node && **kind == Kind::Beside);
        beside.for_each(|(_, kind)| *kind = Kind::Stranger);
    }
}

impl Control {
    /// The process of our own node that joins first is us. What else is listed of our node has ended.
    pub(crate) fn meet_us(&mut self, me: NodeId, change: &ViewChange) {
        let joins = |(member, reason): &(Member, Reason)| member.node == me && *reason == Reason::Join;
        let Some(&(us, _)) = change.joined.iter().find(|joined| !self.others.met_us && joins(joined)) else { return };
        self.others.met_us = true;
        change.members.iter().filter(|it| it.node == me && **it != us).for_each(|ghost| self.others.end(*ghost));
        self.add(us);
    }

    /// Daemons that are listed although their node is not in this ring: corosync never shows that they went.
    pub(crate) fn outside(&self, ring: &[NodeId]) -> Vec<Member> {
        self.daemons().filter(|daemon| !ring.contains(&daemon.node)).collect()
    }
}

impl Machine {
    /// Is this a daemon that speaks? If it is one that was only listed beside another, it is the daemon from now on.
    pub(crate) fn is_believed(&mut self, from: Member, message: &Message, fx: &mut Effects) -> bool {
        if self.node.control.is_daemon(from) {
            self.node.control.others.heard_daemon(from.node);
            return true;
        }
        let takes_over = self.node.control.others.is_beside(from) && matches!(message, Message::Version(_));
        if takes_over {
            self.take_over(from, fx);
        }
        takes_over
    }

    fn take_over(&mut self, daemon: Member, fx: &mut Effects) {
        let Some(ghost) = self.node.control.daemon_of(daemon.node) else { return };
        fx.notice(Notice::Ghost { ghost });
        self.ended_unseen(ghost, Reason::ProcDown, fx);
        self.node.control.others.heard_daemon(daemon.node);
        self.node.control.add(daemon);
        self.catch_up_all(fx);
        self.wake_gated();
    }

    /// A daemon has ended, and corosync goes on listing it.
    pub(crate) fn ended_unseen(&mut self, ghost: Member, reason: Reason, fx: &mut Effects) {
        self.node.control.remove(ghost.node, reason);
        self.node.control.others.end(ghost);
        self.doubted.remove(&ghost);
        self.open_recovery_set(ghost, reason, fx);
        for (&cpg, group) in &mut self.groups {
            group.without_ghost(ghost, &mut self.node);
            self.busy.insert(cpg);
        }
    }
}
