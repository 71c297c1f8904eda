//! The daemon's own pulse: a tick while nothing happens, and the detection of having stood still.
//!
//! Somebody who slept longer than the token time may have been given up by the others (DESIGN §3.6). So the loop must
//! turn at least twice in a token time; a longer gap between two turns is a pause of this process or machine, whatever
//! caused it. The same tick feeds the service manager's watchdog, asks corosync for a sign of life (a stopped one looks
//! like a quiet one) and, now and then, has the kernel looked at. It is the only wake-up of an idle daemon.

use agent_core::ids::Tick;
use std::time::Duration;

/// Before corosync has said what the token time is: its default.
const TOKEN_DEFAULT_MS: u64 = 3000;
/// A shorter token time is not served by more ticks.
const PERIOD_MIN_MS: u64 = 500;
/// A longer one is not a reason for fewer.
const PERIOD_MAX_MS: u64 = 5000;
/// How often the kernel is looked at without any sign of a change.
const SCAN_EVERY_MS: u64 = 30_000;

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    token_ms: u64,
    period_max_ms: u64,
    last: Tick,
    scanned: Tick,
    checked: Tick,
}

impl Pulse {
    /// `watchdog`: how long the service manager waits for a sign of life.
    pub(crate) fn new(now: Tick, watchdog: Option<Duration>) -> Pulse {
        let third = watchdog.map(|it| u64::try_from(it.as_millis() / 3).unwrap_or(u64::MAX).max(1));
        let period_max_ms = third.unwrap_or(PERIOD_MAX_MS).min(PERIOD_MAX_MS);
        Pulse { token_ms: TOKEN_DEFAULT_MS, period_max_ms, last: now, scanned: now, checked: now }
    }

    pub(crate) fn set_token(&mut self, token_ms: u32) {
        self.token_ms = u64::from(token_ms);
    }

    /// How long the loop may wait without any event.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_millis((self.token_ms / 2).max(PERIOD_MIN_MS).min(self.period_max_ms))
    }

    /// The loop turns. Says how long it stood still, if for too long.
    pub(crate) fn turn(&mut self, now: Tick) -> Option<u64> {
        let gap = now.since(self.last);
        self.last = now;
        let allowed = self.token_ms.max(2 * PERIOD_MIN_MS);
        (gap > allowed).then_some(gap)
    }

    /// Whether corosync is to be asked whether it is still there: with each beat, and no less when much happens.
    pub(crate) fn check_is_due(&mut self, now: Tick) -> bool {
        let due = u128::from(now.since(self.checked)) >= self.period().as_millis();
        if due {
            self.checked = now;
        }
        due
    }

    /// Whether the kernel is to be looked at.
    pub(crate) fn scan_is_due(&mut self, now: Tick) -> bool {
        let due = now.since(self.scanned) >= SCAN_EVERY_MS;
        if due {
            self.scanned = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_longer_than_the_token_time_is_a_pause() {
        let mut pulse = Pulse::new(Tick(0), None);
        pulse.set_token(3000);
        assert_eq!(pulse.turn(Tick(1500)), None);
        assert_eq!(pulse.turn(Tick(4500)), None);
        assert_eq!(pulse.turn(Tick(7501)), Some(3001));
        assert_eq!(pulse.turn(Tick(7502)), None);
    }

    #[test]
    fn two_turns_fit_into_a_token_time_and_three_into_the_watchdogs() {
        let mut pulse = Pulse::new(Tick(0), None);
        assert_eq!(pulse.period(), Duration::from_millis(1500));
        pulse.set_token(60_000);
        assert_eq!(pulse.period(), Duration::from_secs(5));
        pulse.set_token(100);
        assert_eq!(pulse.period(), Duration::from_millis(500));
        assert_eq!(pulse.turn(Tick(900)), None);
        let pulse = Pulse::new(Tick(0), Some(Duration::from_millis(900)));
        assert_eq!(pulse.period(), Duration::from_millis(300));
    }

    #[test]
    fn corosync_is_asked_once_a_period_however_often_the_loop_turns() {
        let mut pulse = Pulse::new(Tick(0), None);
        let asked = (1..=3000).filter(|now| pulse.check_is_due(Tick(*now))).collect::<Vec<_>>();
        assert_eq!(asked, [1500, 3000]);
    }

    #[test]
    fn the_kernel_is_looked_at_now_and_then() {
        let mut pulse = Pulse::new(Tick(0), None);
        assert!(!pulse.scan_is_due(Tick(29_999)));
        assert!(pulse.scan_is_due(Tick(30_000)));
        assert!(!pulse.scan_is_due(Tick(30_001)));
    }
}
