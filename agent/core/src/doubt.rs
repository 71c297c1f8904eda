//! Whether what we hold is old: we may have stood still without knowing.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::notice::Notice;
use proto::peer::Body;

impl Agent {
    /// After a pause nothing we hold is trusted until a message of our own has come back and the kernel was
    /// looked at again (DESIGN §3.6).
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
}
