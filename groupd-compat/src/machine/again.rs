//! A machine that begins anew in the process of another one (deviation B32).
//!
//! corosync knows a member by node and process id, so what others still read of the first machine's end looks as if it were of
//! the second. A group's CPG and the control CPG are two handles: whoever stood still may read there that we joined, and here that
//! we went, and take us for dead. So we join no group before each daemon of the control CPG has spoken since our own join. It
//! says its version when it has read that (K13), and by then it has read all that came before: the control CPG is told last.
//! An old daemon that knows no versions is waited for as long as its mode would be.
//!
//! It is no proof: a version that was said for an earlier join looks the same. Who stands still through several joins may
//! still take one machine for the other, and a group then hangs (docs/COMPAT.md, "Open").

use super::Machine;
use super::effect::{Effect, Effects};
use super::event::{Reason, ViewChange};
use super::node::Control;
use crate::ids::{Member, NodeId, Tick};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Do the others know us from the machine that was here before?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Known {
    /// There was none, or all do.
    #[default]
    Yes,
    /// Our own join has not come.
    NotYet,
    /// These have not spoken since then.
    Except { daemons: BTreeSet<Member>, since: Tick },
}

impl Control {
    /// May groups be joined?
    pub(crate) fn knows_us(&self) -> bool {
        self.known == Known::Yes
    }

    /// Who has not spoken since our own join.
    pub(crate) fn unheard(&self) -> BTreeSet<NodeId> {
        match &self.known {
            Known::Except { daemons, .. } => daemons.iter().map(|daemon| daemon.node).collect(),
            Known::Yes | Known::NotYet => BTreeSet::new(),
        }
    }

    fn strike(&mut self, done: impl Fn(Member) -> bool) {
        if let Known::Except { daemons, .. } = &mut self.known {
            daemons.retain(|daemon| !done(*daemon));
            if daemons.is_empty() {
                self.known = Known::Yes;
            }
        }
    }
}

impl Machine {
    /// The control CPG changed, and its daemons are known.
    pub(crate) fn see_who_knows_us(&mut self, change: &ViewChange, fx: &mut Effects) {
        let (me, wait_ms) = (self.node.me, self.settings.wait_ms);
        let control = &mut self.node.control;
        let joins = change.joined.iter().any(|(member, reason)| member.node == me && *reason == Reason::Join);
        if control.known == Known::NotYet && joins {
            let daemons = change.members.iter().copied().filter(|it| it.node != me).collect();
            control.known = Known::Except { daemons, since: self.now };
            fx.push(Effect::SetTimer(wait_ms));
        }
        self.no_longer_unheard(|daemon| !change.members.contains(&daemon));
    }

    /// This daemon speaks.
    pub(crate) fn is_known_to(&mut self, daemon: Member) {
        self.no_longer_unheard(|it| it.node == daemon.node);
    }

    pub(crate) fn stop_waiting_to_be_known(&mut self) {
        if let Known::Except { since, .. } = &self.node.control.known
            && self.now.since(*since) >= self.settings.wait_ms
        {
            self.no_longer_unheard(|_| true);
        }
    }

    fn no_longer_unheard(&mut self, done: impl Fn(Member) -> bool) {
        if self.node.control.knows_us() {
            return;
        }
        self.node.control.strike(done);
        if self.node.control.knows_us() {
            self.busy.extend(self.groups.values().filter(|group| !group.asked).map(|group| group.cpg));
        }
    }
}
