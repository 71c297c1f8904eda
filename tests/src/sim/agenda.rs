//! What is still to come, by virtual time; of two things at one time the earlier planned comes first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Microseconds of virtual time.
pub type Micros = u64;

/// Microseconds in a millisecond.
pub const MS: Micros = 1_000;
/// Microseconds in a second.
pub const SECOND: Micros = 1_000_000;

/// A queue in time.
#[derive(Clone, Debug)]
pub struct Agenda<T> {
    heap: BinaryHeap<Reverse<Planned<T>>>,
    planned: u64,
}

#[derive(Clone, Debug)]
struct Planned<T> {
    at: Micros,
    number: u64,
    what: T,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Agenda { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<T> Agenda<T> {
    /// Adds something.
    pub fn plan(&mut self, at: Micros, what: T) {
        self.planned += 1;
        self.heap.push(Reverse(Planned { at, number: self.planned, what }));
    }

    /// When the next thing is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse(planned)| planned.at)
    }

    /// Takes the next thing.
    pub fn take(&mut self) -> Option<(Micros, T)> {
        self.heap.pop().map(|Reverse(planned)| (planned.at, planned.what))
    }

    /// Everything planned, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Micros, &T)> {
        self.heap.iter().map(|Reverse(planned)| (planned.at, &planned.what))
    }
}

impl<T> Planned<T> {
    fn key(&self) -> (Micros, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Planned<T> {}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Planned<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
