//! What was refused is tried again, later each time.

use crate::agent::Agent;
use crate::effect::Effects;
use crate::ids::NodeId;
use crate::refusal::Refusal;
use crate::table::Standing;
use crate::timers::{Timer, backoff_ms};
use proto::peer::Entry;
use serde::{Deserialize, Serialize};

/// How often something was tried, for back-off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tries {
    /// Hellos said again after a refusal by a kernel.
    pub hello: u32,
    /// Removals proposed again after somebody needed the entry.
    pub propose: u32,
    /// Probes sent; each has the next number.
    pub probe: u64,
}

impl Agent {
    /// What a kernel refused may be possible later: whoever is concerned says Hello again, with back-off.
    pub(crate) fn retry_if_refused(&mut self, fx: &mut Effects) {
        if self.is_concerned() && !self.timers.is_running(Timer::HelloAgain) {
            self.timers.set(Timer::HelloAgain, backoff_ms(self.tries.hello), fx);
            self.tries.hello += 1;
        }
        let (Some(agreed), Some(me)) = (self.agreed.as_ref(), self.member()) else { return };
        if agreed.leader() == Some(me) && !agreed.kept.is_empty() && !self.timers.is_running(Timer::ProposeAgain) {
            self.timers.set(Timer::ProposeAgain, backoff_ms(self.tries.propose), fx);
            self.tries.propose += 1;
        }
    }

    /// What is refused after all was done is tried again as soon as the first time.
    pub(crate) fn forget_tries(&mut self) {
        if self.tries.hello > 0 && !self.is_concerned() {
            self.tries.hello = 0;
        }
        if self.tries.propose > 0 && self.agreed.as_ref().is_some_and(|agreed| agreed.kept.is_empty()) {
            self.tries.propose = 0;
        }
    }

    /// Whether a kernel refused something that this node asks for or lacks.
    pub(crate) fn is_concerned(&self) -> bool {
        let (Some(agreed), Some(me)) = (self.agreed.as_ref(), self.member()) else { return false };
        let kernel_refused = matches!(agreed.standing.get(&me), Some(Standing::Refused(Refusal::Kernel(_))));
        let has_another = |entry: &Entry| agreed.held.get(&me).is_some_and(|held| held.contains_key(&entry.number));
        // Of a node that is gone the one asks whose kernel still has what it was before.
        let add_refused = agreed.refused.values().any(|(entry, _, _)| match agreed.of_node(NodeId(entry.nodeid)) {
            Some(_) => entry.nodeid == me.nodeid,
            None => has_another(entry),
        });
        kernel_refused || add_refused || agreed.misaligned.contains_key(&me)
    }
}
