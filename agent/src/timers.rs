//! Timers of the core that run, earliest first. One sleep serves all of them.

use agent_core::ids::TimerToken;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Timers kept; the core has five kinds and re-sets each at most once for a message, so this is never reached. The latest
/// ones give way: the core's timers only hurry things that the next event would do anyway.
const TIMERS_MAX: usize = 16 * 1024;

/// Shared between who sets and who waits; both on one thread.
#[derive(Clone, Default)]
pub(crate) struct Timers(Rc<RefCell<BTreeSet<(Instant, TimerToken)>>>);

impl Timers {
    pub(crate) fn set(&self, token: TimerToken, after: Duration) {
        let mut timers = self.0.borrow_mut();
        timers.insert((Instant::now() + after, token));
        if timers.len() > TIMERS_MAX {
            timers.pop_last();
        }
    }

    /// The next one that rings; never, if none runs. Safe to drop and call again.
    pub(crate) async fn next(&self) -> TimerToken {
        let first = self.0.borrow().first().copied();
        let Some((at, token)) = first else { return std::future::pending().await };
        sleep_until(at).await;
        self.0.borrow_mut().remove(&(at, token));
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_ring_in_order_of_time_and_each_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let timers = Timers::default();
            for (token, after) in [(1, 30), (2, 10), (3, 20)] {
                timers.set(TimerToken(token), Duration::from_millis(after));
            }
            let rung = [timers.next().await, timers.next().await, timers.next().await];
            assert_eq!(rung, [TimerToken(2), TimerToken(3), TimerToken(1)]);
            let more = tokio::time::timeout(Duration::from_secs(1), timers.next()).await;
            assert!(more.is_err());
        });
    }
}
