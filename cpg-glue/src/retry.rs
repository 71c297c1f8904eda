//! How long corosync is asked again, how often, and by whom.
//!
//! | what | answer that repeats it | who waits | pace | until |
//! |---|---|---|---|---|
//! | connect | any | timer of the owner loop | [`CONNECT`] | for ever; one `Down` is told |
//! | join, leave, trackstart, iteration | `TRY_AGAIN` | the calls thread | [`CALL`] | [`CALL_TRIES_MAX`], then refused |
//! | join of a wanted group | any | timer of the owner loop | [`CONNECT`] | for ever; each refusal is told |
//! | open a spare | any | timer of the owner loop | [`SPARE`] | for ever; nobody waits for it |
//! | read of the map | any, or no two equal in a row | timer of the owner loop | [`READ`] | for ever; told once |
//! | multicast | `TRY_AGAIN` | timer of the owner loop | [`SEND`] | for ever; the message stays first in its queue |
//!
//! The pace is a pure function of the number of failures, without jitter: one process a node asks its own corosync.

use std::thread;
use std::time::Duration;

use crate::error::Code;

/// A pace that doubles from `first` to `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
}

/// corosync is back 0.4 s after its start at the earliest.
pub const CONNECT: Pace = Pace { first: Duration::from_millis(50), max: Duration::from_secs(1) };
/// A full queue drains within a token rotation; a broken ring takes seconds.
pub const SEND: Pace = Pace { first: Duration::from_millis(1), max: Duration::from_millis(50) };
/// A shortage of descriptors or memory lasts; a join opens its own connection meanwhile.
pub const SPARE: Pace = Pace { first: Duration::from_secs(1), max: Duration::from_secs(60) };
/// A whole read costs milliseconds of corosync's time, and what lasts is for people to mend.
pub const READ: Pace = Pace { first: Duration::from_millis(250), max: Duration::from_secs(30) };
/// Synchronisation refuses joins for at most 10 ms.
pub const CALL: Pace = Pace { first: Duration::from_millis(1), max: Duration::from_millis(50) };
/// With [`CALL`]'s pace: 5.7 s.
pub const CALL_TRIES_MAX: u32 = 120;

impl Pace {
    /// How long to wait after `failures` failures in a row; zero of them need no wait.
    pub fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => self.first.saturating_mul(1 << doublings.min(20)).min(self.max),
        }
    }
}

/// Repeats `call` while it says `TRY_AGAIN`, sleeping in between: only for the calls thread.
pub(crate) fn patiently<T>(mut call: impl FnMut() -> Result<T, Code>) -> Result<T, Code> {
    for failures in 1..CALL_TRIES_MAX {
        match call() {
            Err(Code::TRY_AGAIN) => thread::sleep(CALL.delay(failures)),
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_doubles_up_to_its_bound() {
        let ms: Vec<_> = (0..9).map(|n| SEND.delay(n).as_millis()).collect();
        assert_eq!(ms, [0, 1, 2, 4, 8, 16, 32, 50, 50]);
        assert_eq!(CONNECT.delay(1).as_millis(), 50);
        assert_eq!(CONNECT.delay(u32::MAX).as_millis(), 1000);
    }

    #[test]
    fn calls_give_up_after_five_seconds_and_some() {
        let total: Duration = (1..CALL_TRIES_MAX).map(|n| CALL.delay(n)).sum();
        assert!((5..6).contains(&total.as_secs()), "{total:?}");
    }

    #[test]
    fn only_try_again_is_repeated() {
        let mut answers = [Code::TRY_AGAIN, Code::TRY_AGAIN, Code::OK].into_iter();
        assert_eq!(patiently(|| answers.next().unwrap().ok()), Ok(()));
        let mut asked = 0;
        let refused: Result<(), Code> = patiently(|| {
            asked += 1;
            Err(Code::LIBRARY)
        });
        assert_eq!((refused, asked), (Err(Code::LIBRARY), 1));
    }
}
