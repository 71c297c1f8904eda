//! Timer kinds and tokens. The only place where the core knows of durations besides the policy.

use crate::effect::{Effect, Effects};
use crate::ids::TimerToken;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a timer is for. At most one of each kind runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// None of our own messages has come back for too long.
    Deaf,
    /// Say Hello again: something that was refused may be possible now.
    HelloAgain,
    /// Propose again what was held.
    ProposeAgain,
    /// The Goodbye does not come back.
    GoodbyeLost,
    /// Say again what is waited for.
    Reminder,
    /// The disk heartbeat of a dead node has run out.
    HeartbeatEnds,
    /// The last look for a mount whose tool is gone.
    MountDecides,
    /// The fence program failed and may be run again.
    FenceAgain,
    /// The control device refused and may be tried again.
    ControlAgain,
    /// dlm_controld is to be looked at once more.
    WordAgain,
    /// The kernel is to be looked at once more.
    LookAgain,
    /// The groups of the volumes are to be shown as they are.
    Publish,
    /// An agent that is gone has had its time to come back.
    Grace,
    /// So have those of whom nobody knows what they use.
    Silence,
}

/// After a refusal by a kernel: first retry after 2 s, doubling to 60 s.
pub const RETRY_FIRST_MS: u64 = 2_000;
/// See [`RETRY_FIRST_MS`].
pub const RETRY_MAX_MS: u64 = 60_000;
/// A Goodbye that does not come back in this time is given up; the daemon leaves without it.
pub const GOODBYE_MS: u64 = 2_000;
/// o2hb writes and checks its slots once in this time (O2HB_REGION_TIMEOUT_MS of the kernel).
pub const HEARTBEAT_MS: u64 = 2_000;
/// Groups of volumes are shown this much later: joining one costs corosync some milliseconds that a mount should not wait.
pub const PUBLISH_AFTER_MS: u64 = 1_000;
/// A wait is said again after a minute, then every hour.
pub const REMINDER_FIRST_MS: u64 = 60_000;
/// See [`REMINDER_FIRST_MS`].
pub const REMINDER_MS: u64 = 3_600_000;

/// Running timers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timers {
    last: u64,
    running: BTreeMap<TimerToken, Timer>,
}

impl Timers {
    /// Sets a timer, replacing a running one of the same kind.
    pub fn set(&mut self, timer: Timer, after_ms: u64, fx: &mut Effects) {
        self.cancel(timer);
        self.last += 1;
        let token = TimerToken(self.last);
        self.running.insert(token, timer);
        fx.push(Effect::SetTimer(token, after_ms));
    }

    /// Sets a timer unless one of its kind runs.
    pub fn set_unless_running(&mut self, timer: Timer, after_ms: u64, fx: &mut Effects) {
        if !self.is_running(timer) {
            self.set(timer, after_ms, fx);
        }
    }

    /// The shell's timer still rings; its token is then unknown and ignored.
    pub fn cancel(&mut self, timer: Timer) {
        self.running.retain(|_, running| *running != timer);
    }

    /// Whether one of this kind runs.
    #[must_use]
    pub fn is_running(&self, timer: Timer) -> bool {
        self.running.values().any(|running| *running == timer)
    }

    /// What this token was set for; `None` for a stale one.
    pub fn take(&mut self, token: TimerToken) -> Option<Timer> {
        self.running.remove(&token)
    }
}

/// Delay before try number `tries` (0 is the first retry).
#[must_use]
pub fn backoff_ms(tries: u32) -> u64 {
    if planted!(NoBackOff) {
        return 1;
    }
    RETRY_FIRST_MS.saturating_mul(1 << tries.min(10)).min(RETRY_MAX_MS)
}
