//! How a run ended, and what it was made of.

use super::{EVENTS_MIN, REST_MAX};
use crate::sim::agenda::{Micros, SECOND};
use crate::sim::checkers::Broken;
use crate::sim::sometimes::Sometimes;
use std::fmt;
use std::ops::AddAssign;

/// How a run ended badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A sentence was broken on the way.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It did not come to rest.
    #[error("no rest {} s after the heal: {what}", REST_MAX / SECOND)]
    Restless {
        /// What is not as it should be.
        what: String,
    },
    /// A recording did not replay.
    #[error("replay of node {node}: {why}")]
    Replay {
        /// Whose.
        node: u32,
        /// Where it took another way.
        why: String,
    },
    /// An agent panicked.
    #[error("no event stops the daemon: {what}")]
    Panicked {
        /// What it said.
        what: String,
    },
    /// The same seed did not give the same run.
    #[error("one seed, two runs: {one:x} and {other:x}")]
    Uncertain {
        /// The digest of the one.
        one: u64,
        /// And of the other.
        other: u64,
    },
}

impl Failure {
    /// What did not hold.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        match self {
            Failure::Broken(broken) => broken.sentence,
            Failure::Restless { .. } => "all_comes_to_rest",
            Failure::Replay { .. } => "the_same_events_give_the_same_effects",
            Failure::Uncertain { .. } => "one_seed_gives_one_run",
            Failure::Panicked { .. } => "no_event_stops_the_daemon",
        }
    }
}

/// What a run was made of.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Steps of the world.
    pub steps: u64,
    /// Events handled by agents.
    pub events: u64,
    /// Faults planned.
    pub faults: u64,
    /// Runs.
    pub runs: u64,
    /// Runs with fewer events than [`EVENTS_MIN`].
    pub brief: u64,
    /// Runs in which three faults last at one time.
    pub overlapping: u64,
    /// Virtual time.
    pub time: Micros,
    /// Interesting places.
    pub sometimes: Sometimes,
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.sometimes += &other.sometimes;
        self.runs += other.runs;
        self.brief += other.brief;
        self.steps += other.steps;
        self.events += other.events;
        self.faults += other.faults;
        self.overlapping += other.overlapping;
        self.time += other.time;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { runs, steps, events, faults, brief, overlapping, time, .. } = self;
        let each = |sum: &u64| sum / (*runs).max(1);
        write!(
            f,
            "{runs} runs, each on average {} faults, {} events of agents ({brief} runs have fewer than {EVENTS_MIN}), {} steps, {} s of virtual time; in {} % three faults at one time",
            each(faults),
            each(events),
            each(steps),
            each(time) / SECOND,
            100 * overlapping / (*runs).max(1),
        )
    }
}
