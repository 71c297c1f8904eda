//! The daemon's own pulse: a tick while nothing happens, and the detection of having stood still.
//!
//! Somebody who slept longer than the token time may have been given up by the others (rule M6). A gap between two
//! turns of the loop that is longer than the loop asked for is a pause of this process or machine. A gap within that
//! time may hide one: [`Gap::Quiet`], which costs nothing until something is to be done (docs/decisions/0006). The same
//! tick feeds the service manager's watchdog, asks corosync for a sign of life (a stopped one looks like a quiet one)
//! and, now and then, has the kernel looked at. It is the only wake-up of an idle daemon.

use agent_core::ids::Tick;
use std::time::Duration;

/// Before corosync has said what the token time is: its default.
const TOKEN_DEFAULT_MS: u64 = 3000;
/// The loop is not late before this much, however short the token time is.
const LATE_MIN_MS: u64 = 1000;
/// The longest time without a turn.
const PERIOD_MAX_MS: u64 = 5000;
/// How often the kernel is looked at without any sign of a change.
const SCAN_EVERY_MS: u64 = 30_000;

/// Times of the loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    token_ms: u64,
    period_ms: u64,
    last: Tick,
    scanned: Tick,
    checked: Tick,
}

/// What the time between two turns of the loop means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// We were here all the time.
    Short,
    /// Nothing happened for longer than the token time, or we were away.
    Quiet,
    /// We stood still for so long, in ms.
    Slept(u64),
}

impl Pulse {
    /// `watchdog`: how long the service manager waits for a sign of life.
    pub(crate) fn new(now: Tick, watchdog: Option<Duration>) -> Pulse {
        let third = watchdog.map(|it| u64::try_from(it.as_millis() / 3).unwrap_or(u64::MAX).max(1));
        let period_ms = third.unwrap_or(PERIOD_MAX_MS).min(PERIOD_MAX_MS);
        Pulse { token_ms: TOKEN_DEFAULT_MS, period_ms, last: now, scanned: now, checked: now }
    }

    pub(crate) fn set_token(&mut self, token_ms: u32) {
        self.token_ms = u64::from(token_ms);
    }

    /// How long the loop may wait without any event.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    /// The loop turns.
    pub(crate) fn turn(&mut self, now: Tick) -> Gap {
        let gap = now.since(self.last);
        self.last = now;
        match gap {
            _ if gap > self.period_ms + self.token_ms.max(LATE_MIN_MS) => Gap::Slept(gap),
            _ if gap > self.token_ms => Gap::Quiet,
            _ => Gap::Short,
        }
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
    fn a_turn_that_comes_a_token_time_late_was_a_pause_and_an_earlier_one_may_hide_one() {
        let mut pulse = Pulse::new(Tick(0), None);
        pulse.set_token(3000);
        assert_eq!(pulse.turn(Tick(3000)), Gap::Short);
        assert_eq!(pulse.turn(Tick(6001)), Gap::Quiet);
        assert_eq!(pulse.turn(Tick(14_001)), Gap::Quiet);
        assert_eq!(pulse.turn(Tick(22_002)), Gap::Slept(8001));
        assert_eq!(pulse.turn(Tick(22_003)), Gap::Short);
    }

    #[test]
    fn a_short_token_time_does_not_make_a_late_turn_a_pause() {
        let mut pulse = Pulse::new(Tick(0), None);
        pulse.set_token(100);
        assert_eq!(pulse.turn(Tick(6000)), Gap::Quiet);
        assert_eq!(pulse.turn(Tick(12_001)), Gap::Slept(6001));
    }

    #[test]
    fn three_turns_fit_into_the_watchdogs_time() {
        assert_eq!(Pulse::new(Tick(0), None).period(), Duration::from_secs(5));
        assert_eq!(Pulse::new(Tick(0), Some(Duration::from_secs(60))).period(), Duration::from_secs(5));
        assert_eq!(Pulse::new(Tick(0), Some(Duration::from_millis(900))).period(), Duration::from_millis(300));
    }

    #[test]
    fn corosync_is_asked_once_a_period_however_often_the_loop_turns() {
        let mut pulse = Pulse::new(Tick(0), None);
        let asked = (1..=10_000).filter(|now| pulse.check_is_due(Tick(*now))).collect::<Vec<_>>();
        assert_eq!(asked, [5000, 10_000]);
    }

    #[test]
    fn the_kernel_is_looked_at_now_and_then() {
        let mut pulse = Pulse::new(Tick(0), None);
        assert!(!pulse.scan_is_due(Tick(29_999)));
        assert!(pulse.scan_is_due(Tick(30_000)));
        assert!(!pulse.scan_is_due(Tick(30_001)));
    }
}
