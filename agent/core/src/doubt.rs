//! Whether what we hold is old: we may have stood still without knowing, or hear our own messages no more.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::notice::Notice;
use crate::timers::Timer;
use proto::peer::Body;

impl Agent {
    /// After a pause nothing we hold is trusted until a message of our own has come back and the kernel was
    /// looked at again (rule M6).
    pub(crate) fn slept(&mut self, ms: u64, fx: &mut Effects) {
        fx.notice(Notice::Slept { ms });
        fx.push(Effect::LookAtKernel);
        self.probe(fx);
    }

    fn probe(&mut self, fx: &mut Effects) {
        self.link.doubt = false;
        if self.view.is_open() {
            self.tries.probe += 1;
            self.link.probe = Some(self.tries.probe);
            self.say(Body::Probe(self.tries.probe), fx);
        }
    }

    /// Before something is done: whether it has to wait for a message of our own. A quiet daemon does not wake up only to
    /// see whether it was away (docs/decisions/0006); it asks when the answer matters.
    pub(crate) fn probe_if_in_doubt(&mut self, fx: &mut Effects) -> bool {
        if self.link.doubt {
            self.probe(fx);
        }
        self.link.probe.is_some()
    }

    /// A message of ours is on its way.
    pub(crate) fn is_to_come_back(&mut self, fx: &mut Effects) {
        if self.link.unheard == 0 {
            self.link.listens_since = self.now;
        }
        self.link.unheard += 1;
        self.timers.set_unless_running(Timer::Deaf, self.deaf_after_ms(), fx);
    }

    pub(crate) fn came_back(&mut self) {
        self.link.unheard = self.link.unheard.saturating_sub(1);
        self.link.listens_since = self.now;
        self.link.deaf = false;
    }

    /// One timer for many messages: it may have been set for one that is back.
    pub(crate) fn listen(&mut self, fx: &mut Effects) {
        let listened = self.now.since(self.link.listens_since);
        match self.deaf_after_ms().checked_sub(listened).filter(|left| *left > 0) {
            _ if self.link.unheard == 0 || planted!(DeafIsNotNoticed) => {}
            Some(left) => self.timers.set(Timer::Deaf, left, fx),
            None => self.link.deaf = true,
        }
    }

    /// Token plus consensus: after that corosync itself would have reported a broken ring.
    fn deaf_after_ms(&self) -> u64 {
        let times = self.config.as_ref().map_or((3000, 3600), |config| (config.token_ms, config.consensus_ms));
        u64::from(times.0) + u64::from(times.1)
    }
}
