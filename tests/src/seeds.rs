//! Many seeds on all cores.

use crate::sim::nemesis::{Failure, Foundations, Plan, Tally};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Of how many seeds one is run twice and replayed.
pub const PROVED_EVERY: u64 = 100;
/// More failing seeds are not kept.
const FAILURES_MAX: usize = 1_000;

/// What became of them.
#[derive(Debug, Default)]
pub struct Runs {
    /// Of those that went well.
    pub tally: Tally,
    /// The others, by seed.
    pub failures: Vec<(u64, Failure)>,
}

/// Runs the plans of these seeds; `done` is called after each, with what became of it.
///
/// # Panics
/// If a thread cannot be waited for.
#[must_use]
pub fn run(seeds: Range<u64>, plan: impl Fn(u64) -> Plan + Sync, done: impl Fn(u64, Option<&Failure>) + Sync) -> Runs {
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let (mut runs, mut foundations) = (Runs::default(), Foundations::default());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return runs;
            }
            let plan = plan(seed);
            let run = if seed % PROVED_EVERY == 0 { plan.prove() } else { plan.run_on(&mut foundations) };
            done(seed, run.as_ref().err());
            match run {
                Ok(tally) => runs.tally += &tally,
                Err(failure) if runs.failures.len() < FAILURES_MAX => runs.failures.push((seed, failure)),
                Err(_) => {}
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Runs::default();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for handle in handles {
            let runs = handle.join().expect("a run that panics is a failure of the run");
            all.tally += &runs.tally;
            all.failures.extend(runs.failures);
        }
    });
    all.failures.sort_by_key(|(seed, _)| *seed);
    all
}
