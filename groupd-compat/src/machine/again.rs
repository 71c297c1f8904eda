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
use super::effect::Effects;
use super::event::{Reason, ViewChange};
use super::node::Control;
use super::wait::Wait;
use crate::ids::{Member, Tick};
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

    /// What joins wait for until then.
    pub(crate) fn wait_to_be_known(&self) -> Wait {
        match &self.known {
            Known::Except { daemons, .. } => Wait::ToBeKnown { by: daemons.iter().map(|daemon| daemon.node).collect() },
            Known::Yes | Known::NotYet => Wait::OwnJoin,
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
        let me = self.node.me;
        let control = &mut self.node.control;
        let joins = change.joined.iter().any(|(member, reason)| member.node == me && *reason == Reason::Join);
        if control.known == Known::NotYet && joins {
            let daemons = change.members.iter().copied().filter(|it| it.node != me).collect();
            control.known = Known::Except { daemons, since: self.now };
        }
        self.no_longer_unheard(|daemon| !change.members.contains(&daemon), fx);
    }

    /// This daemon speaks.
    pub(crate) fn is_known_to(&mut self, daemon: Member, fx: &mut Effects) {
        self.no_longer_unheard(|it| it.node == daemon.node, fx);
    }

    /// Milliseconds until the silent are waited for no longer.
    pub(crate) fn known_due(&self) -> Option<u64> {
        let Known::Except { since, .. } = &self.node.control.known else { return None };
        Some(self.settings.wait_ms.saturating_sub(self.now.since(*since)))
    }

    pub(crate) fn stop_waiting_to_be_known(&mut self, fx: &mut Effects) {
        if self.known_due() == Some(0) {
            self.no_longer_unheard(|_| true, fx);
        }
    }

    fn no_longer_unheard(&mut self, done: impl Fn(Member) -> bool, fx: &mut Effects) {
        if self.node.control.knows_us() {
            return;
        }
        self.node.control.strike(done);
        if self.node.control.knows_us() {
            self.join_what_waits(fx);
        }
    }
}
