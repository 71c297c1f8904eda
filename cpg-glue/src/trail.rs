//! The group that is told last, if one is: what it shows is held until all that corosync had written on the other handles before
//! is told.
//!
//! corosync writes everything in one order, but each handle has a ring of its own. Whoever reads one ring first learns what
//! happened there before what happened earlier elsewhere. Held behind the others, a group is never ahead of them; the other way
//! round nothing is promised.
//!
//! What is read in one turn goes in a later one, when all that the other handles may have held by then is read: between two turns
//! the runtime has looked at all descriptors, so whoever has something unread in the next turn may, and nobody else. It is behind
//! until it has nothing left, or as much as a full ring holds has been read: a flood that goes on does not count. A handle that the
//! calls thread joins is not read before it is back, so that is waited for too.
//!
//! Not covered: a ring that was full. What corosync could not write then comes late, without a sign.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Event;
use crate::ids::GroupName;

/// Events that a full ring holds: 1 MiB, at least 160 bytes each.
const RING_EVENTS_MAX: usize = (1 << 20) / 160;
/// As long as this a join that hangs is waited for.
const JOIN_MAX: Duration = Duration::from_millis(100);

/// What is held of it, from one turn.
pub(crate) struct Trail {
    /// Its name; no group is told last without.
    name: Option<&'static [u8]>,
    held: Vec<Event>,
    since: Instant,
    /// How many jobs of the calls thread must have ended.
    jobs: u64,
    /// Groups that may hold what was written before, and how many events of it at most. `None` until the turn after the one
    /// in which it was read.
    behind: Option<BTreeMap<GroupName, usize>>,
    /// So may the services.
    services_behind: bool,
}

impl Trail {
    pub(crate) fn of(name: Option<&'static [u8]>) -> Self {
        let since = Instant::now();
        Self { name, held: Vec::new(), since, jobs: 0, behind: None, services_behind: false }
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
        (self.held, self.jobs, self.since) = (events, jobs, now);
        (self.behind, self.services_behind) = (None, true);
    }

    /// A turn begins, and these have something to read.
    pub(crate) fn look<'a>(&mut self, unread: impl Iterator<Item = &'a GroupName>) {
        if !self.held.is_empty() && self.behind.is_none() {
            self.behind = Some(unread.map(|name| (name.clone(), RING_EVENTS_MAX)).collect());
        }
    }

    /// The calls thread has joined this one: there may be something in it already.
    pub(crate) fn joined(&mut self, name: &GroupName) {
        if let Some(behind) = self.behind.as_mut().filter(|_| self.name != Some(name.as_bytes())) {
            behind.insert(name.clone(), RING_EVENTS_MAX);
        }
    }

    /// So many events were read of this group, and whether that was all.
    pub(crate) fn read(&mut self, name: &GroupName, events: usize, is_all: bool) {
        let Some(left) = self.behind.as_mut().and_then(|behind| behind.get_mut(name)) else { return };
        *left = left.saturating_sub(events);
        if *left == 0 || is_all {
            self.behind.iter_mut().for_each(|behind| _ = behind.remove(name));
        }
    }

    /// All that the services had was read.
    pub(crate) fn services_read(&mut self) {
        self.services_behind &= self.behind.is_none();
    }

    /// What may go now; so many jobs have `ended`.
    pub(crate) fn due(&mut self, ended: u64, now: Instant) -> Vec<Event> {
        let is_read = self.behind.as_ref().is_some_and(BTreeMap::is_empty) && !self.services_behind;
        let is_joined = ended >= self.jobs || self.since + JOIN_MAX <= now;
        if is_read && is_joined { self.take() } else { Vec::new() }
    }

    /// All of it, due or not.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        self.behind = None;
        std::mem::take(&mut self.held)
    }

    /// When it is due whatever the calls thread does. Not while nothing can be told: then that is what is waited for.
    pub(crate) fn deadline(&self, can_tell: bool) -> Option<Instant> {
        (can_tell && !self.held.is_empty()).then(|| self.since + JOIN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(jobs: u64) -> (Trail, Instant) {
        let (mut trail, now) = (Trail::of(Some(b"last")), Instant::now());
        trail.hold(vec![Event::Closed { clean: true }], jobs, now);
        (trail, now)
    }

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    #[test]
    fn it_goes_when_all_that_the_others_had_is_read() {
        let (mut trail, now) = held(0);
        // In the turn that read it nobody knows what the others have.
        trail.services_read();
        assert!(trail.due(0, now).is_empty());
        let (a, b) = (group("a"), group("b"));
        trail.look([&a, &b].into_iter());
        trail.services_read();
        trail.read(&a, 3, true);
        assert!(trail.due(0, now).is_empty());
        // What comes to one that was read is behind it.
        trail.look([&a].into_iter());
        trail.read(&b, 256, false);
        assert!(trail.due(0, now).is_empty());
        trail.read(&b, 0, true);
        assert_eq!(trail.due(0, now).len(), 1);
        assert!(trail.is_empty() && trail.deadline(true).is_none());
    }

    #[test]
    fn a_flood_holds_it_up_for_no_more_than_a_full_ring() {
        let (mut trail, now) = held(0);
        let flood = group("flood");
        trail.look([&flood].into_iter());
        trail.services_read();
        let mut read = 0;
        while trail.due(0, now).is_empty() {
            assert!(read <= RING_EVENTS_MAX, "it never goes");
            trail.read(&flood, 50, false);
            read += 50;
        }
        assert!(read >= RING_EVENTS_MAX, "it went after {read}");
    }

    #[test]
    fn the_services_are_read_before_it() {
        let (mut trail, now) = held(0);
        trail.look([].into_iter());
        assert!(trail.due(0, now).is_empty());
        trail.services_read();
        assert_eq!(trail.due(0, now).len(), 1);
    }

    #[test]
    fn it_waits_for_a_join_that_runs_but_not_for_one_that_hangs() {
        let ready = |jobs| {
            let (mut trail, now) = held(jobs);
            trail.look([].into_iter());
            trail.services_read();
            (trail, now)
        };
        let (mut trail, now) = ready(3);
        assert!(trail.due(2, now).is_empty());
        trail.joined(&group("new"));
        assert!(trail.due(3, now).is_empty());
        trail.read(&group("new"), 1, true);
        assert_eq!(trail.due(3, now).len(), 1);
        let (mut trail, now) = ready(3);
        assert!(trail.due(2, now).is_empty());
        let deadline = trail.deadline(true).unwrap();
        assert_eq!(trail.due(2, deadline).len(), 1);
    }

    #[test]
    fn nobody_wakes_for_it_while_nothing_can_be_told() {
        let (trail, _) = held(0);
        assert!(trail.deadline(true).is_some() && trail.deadline(false).is_none());
    }
}
