//! The end of this daemon, and corosync's question: never while something is pinned (rule P2).
//!
//! Every way out leaves the kernel as it is. A daemon that was asked to end while pinned stays, says which
//! pins, and goes when the last is gone.

use crate::agent::Agent;
use crate::effect::{Effect, Effects, Exit, ShutdownVerdict};
use crate::ids::{Member, NodeId};
use crate::notice::Notice;
use crate::pins::{self, Pin};
use crate::timers::{GOODBYE_MS, Timer};
use proto::peer::Body;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// Nobody has asked.
    #[default]
    No,
    /// Asked, and not gone yet: pinned, or the kernel thread is busy.
    Asked {
        /// By whom.
        by: String,
    },
    /// Goodbye is on its way.
    GoodbyeSent {
        /// Who asked.
        by: String,
    },
    /// Nothing more is done.
    Gone,
}

impl Leaving {
    /// Whether we have said Goodbye: nothing is said after it.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        matches!(self, Leaving::GoodbyeSent { .. } | Leaving::Gone)
    }
}

impl Agent {
    /// What keeps this daemon.
    #[must_use]
    pub fn pins(&self) -> BTreeSet<Pin> {
        let legacy = self.legacy.iter().cloned().map(Pin::LegacyGroup);
        pins::of_daemon(&self.kernel, &self.tokens).into_iter().chain(self.mount_pins()).chain(legacy).collect()
    }

    /// The same for somebody who asks and goes by the answer: he will not look again.
    pub(crate) fn pins_for_sure(&self) -> BTreeSet<Pin> {
        let busy = self.work.as_ref().map(|work| Pin::KernelBusy { work: work.kind.text() });
        self.pins().into_iter().chain(busy).collect()
    }

    fn pin_texts(&self) -> Vec<String> {
        self.pins().iter().map(Pin::to_string).collect()
    }

    pub(crate) fn stop_asked(&mut self, by: String, fx: &mut Effects) {
        fx.notice(Notice::StopAsked { by: by.clone(), pins: self.pin_texts() });
        fx.push(Effect::LookAtKernel);
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Asked { by };
        }
    }

    pub(crate) fn stop_if_possible(&mut self, fx: &mut Effects) {
        let Leaving::Asked { by } = &self.leaving else { return };
        let by = by.clone();
        if self.work.is_some() || !self.pins().is_empty() && !planted!(PinsDoNotHold) {
            return;
        }
        if !self.view.is_open() {
            return self.leave_now(fx);
        }
        self.say(Body::Goodbye("asked to end".into()), fx);
        self.leaving = Leaving::GoodbyeSent { by };
        self.timers.set(Timer::GoodbyeLost, GOODBYE_MS, fx);
    }

    /// The LEAVE that follows a Goodbye is a clean one; any other end of a process is not.
    pub(crate) fn heard_goodbye(&mut self, from: Member, fx: &mut Effects) {
        let node = NodeId(from.nodeid);
        let is_second = self.agreed.as_ref().is_some_and(|agreed| agreed.is_second(&from));
        // Of an agent that is missed, nothing that comes before its Hello: the node may have been off in between, and what it was
        // before may still have to be buried (brief seed 31392306).
        if !is_second && !self.absent.contains_key(&node) {
            self.left.insert(node);
        }
        // Not if we have taken it back meanwhile: what came in between keeps us.
        if self.member() == Some(from) && matches!(self.leaving, Leaving::GoodbyeSent { .. }) {
            self.leave_now(fx);
        }
    }

    /// Whoever mounts while the Goodbye is on its way keeps us after all; a Hello takes it back.
    pub(crate) fn leave_now(&mut self, fx: &mut Effects) {
        self.timers.cancel(Timer::GoodbyeLost);
        match &self.leaving {
            Leaving::Gone => return,
            Leaving::GoodbyeSent { by } if !self.pins().is_empty() && !planted!(LateMountIsOverlooked) => {
                self.leaving = Leaving::Asked { by: by.clone() };
                self.exchange.owed = true;
                return;
            }
            Leaving::No | Leaving::Asked { .. } | Leaving::GoodbyeSent { .. } => {}
        }
        self.leaving = Leaving::Gone;
        fx.push(Effect::LeaveGroup);
        fx.push(Effect::Exit(Exit::Asked));
    }

    /// A daemon that stood still hears this before it hears of what was mounted meanwhile: a yes waits for one more look.
    pub(crate) fn shutdown_asked(&mut self, fx: &mut Effects) {
        if !self.pins_for_sure().is_empty() || planted!(ShutdownIsFine) {
            return self.answer_shutdown(fx);
        }
        self.link.is_asked_to_end = true;
        fx.push(Effect::LookAtKernel);
    }

    /// After a look.
    pub(crate) fn answer_if_asked(&mut self, fx: &mut Effects) {
        if std::mem::take(&mut self.link.is_asked_to_end) {
            self.answer_shutdown(fx);
        }
    }

    fn answer_shutdown(&mut self, fx: &mut Effects) {
        let pins: Vec<String> = self.pins_for_sure().iter().map(Pin::to_string).collect();
        let yes = pins.is_empty() || planted!(ShutdownIsFine);
        fx.push(Effect::AnswerShutdown(if yes { ShutdownVerdict::Yes } else { ShutdownVerdict::No }));
        fx.notice(Notice::ShutdownAnswered { yes, pins });
    }
}
