//! The group that is told last, if one is: what it shows is held until all that corosync had written on the other handles before
//! is told.
//!
//! corosync writes everything in one order, but each handle has a ring of its own. Whoever reads one ring first learns what
//! happened there before what happened earlier elsewhere. Held behind the others, a group is never ahead of them; the other way
//! round nothing is promised.
//!
//! What is read in one turn may go in a later one that leaves nothing unread on the other handles: between two turns the runtime
//! has looked at all descriptors. A handle that the calls thread joins is not read before it is back, so that is waited for too.
//!
//! Not covered: a ring that was full. What corosync could not write then comes late, without a sign.

use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;

/// More turns than it takes to read a full ring: 1 MiB, at least 160 bytes an event, `DISPATCH_BATCH` events a turn.
const TURNS_MAX: u32 = 32;
/// As long as this a join that hangs is waited for.
const JOIN_MAX: Duration = Duration::from_millis(100);

/// What is held of it, from one turn.
pub(crate) struct Trail {
    /// Its name; no group is told last without.
    name: Option<&'static [u8]>,
    held: Vec<Event>,
    since: Instant,
    turns: u32,
    /// How many jobs of the calls thread must have ended.
    jobs: u64,
}

impl Trail {
    pub(crate) fn of(name: Option<&'static [u8]>) -> Self {
        Self { name, held: Vec::new(), since: Instant::now(), turns: 0, jobs: 0 }
    }

    /// Is this the group?
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name == Some(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Holds what was read now. `jobs` will have ended when those that run now have.
    pub(crate) fn hold(&mut self, events: Vec<Event>, jobs: u64, now: Instant) {
        (self.held, self.jobs, self.since, self.turns) = (events, jobs, now, 0);
    }

    /// What may go now. `quiet`: the other handles have been read, and nothing is left there; so many jobs have `ended`.
    pub(crate) fn due(&mut self, quiet: bool, ended: u64, now: Instant) -> Vec<Event> {
        self.turns += 1;
        let all_read = quiet || self.turns >= TURNS_MAX;
        let joined = ended >= self.jobs || self.since + JOIN_MAX <= now;
        if all_read && joined { std::mem::take(&mut self.held) } else { Vec::new() }
    }

    /// When it is due whatever the calls thread does.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.held.is_empty()).then(|| self.since + JOIN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(trail: &mut Trail, quiet: bool, ended: u64, now: Instant) -> usize {
        trail.due(quiet, ended, now).len()
    }

    fn held(jobs: u64) -> (Trail, Instant) {
        let (mut trail, now) = (Trail::of(Some(b"last")), Instant::now());
        trail.hold(vec![Event::Closed { clean: true }], jobs, now);
        (trail, now)
    }

    #[test]
    fn it_goes_when_the_others_are_read_or_a_full_ring_would_be() {
        let (mut trail, now) = held(0);
        assert_eq!((events(&mut trail, false, 0, now), events(&mut trail, true, 0, now)), (0, 1));
        assert!(trail.is_empty() && trail.deadline().is_none());
        let (mut trail, now) = held(0);
        let turns = (1..).find(|_| events(&mut trail, false, 0, now) == 1);
        assert_eq!(turns, Some(TURNS_MAX));
    }

    #[test]
    fn it_waits_for_a_join_that_runs_but_not_for_one_that_hangs() {
        let (mut trail, now) = held(3);
        assert_eq!((events(&mut trail, true, 2, now), events(&mut trail, true, 3, now)), (0, 1));
        let (mut trail, now) = held(3);
        assert_eq!(events(&mut trail, true, 2, now), 0);
        let deadline = trail.deadline().unwrap();
        assert_eq!(events(&mut trail, true, 2, deadline), 1);
    }
}
