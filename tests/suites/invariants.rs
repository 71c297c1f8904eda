//! Whatever happens, what must hold holds, and in the end everything comes to rest.
//!
//! `SEEDS=100000 SEED_FIRST=1 cargo test --release -p cluster-tests --test invariants` runs more; a failing seed is
//! printed with the smallest plan that still fails, and its story is written to a file.

#![allow(clippy::print_stdout, reason = "a failed seed is told with its plan")]

use cluster_tests::sim::nemesis::{Failure, Plan, Tally};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};

/// Of one `cargo test`: about 20 s on two cores, with optimisation or without.
const SEEDS: u64 = if cfg!(debug_assertions) { 300 } else { 2_000 };
/// Of how many seeds one is run twice and replayed.
const PROVED_EVERY: u64 = 100;
/// Failing seeds that are shrunk and shown.
const SHOWN_MAX: usize = 3;
/// Failing seeds that are listed.
const LISTED_MAX: usize = 20;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number of seeds"))
}

#[test]
fn what_must_hold_holds_under_any_faults_and_then_all_comes_to_rest() {
    let first = number("SEED_FIRST", 1);
    let last = first + number("SEEDS", SEEDS);
    let next = AtomicU64::new(first);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let runs: Vec<(Tally, Vec<(u64, Failure)>)> = thread::scope(|scope| {
        let worker = || {
            let (mut tally, mut failures) = (Tally::default(), Vec::new());
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= last {
                    return (tally, failures);
                }
                let plan = Plan::of(seed);
                match if seed % PROVED_EVERY == 0 { plan.prove() } else { plan.run() } {
                    Ok(run) => tally += run,
                    Err(failure) => failures.push((seed, failure)),
                }
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().map(|handle| handle.join().expect("no run panics")).collect()
    });
    let mut tally = Tally::default();
    runs.iter().for_each(|(run, _)| tally += *run);
    println!("{tally}");
    let mut failures: Vec<(u64, Failure)> = runs.into_iter().flat_map(|(_, failures)| failures).collect();
    failures.sort_by_key(|(seed, _)| *seed);
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).take(LISTED_MAX).collect();
    let shown: Vec<String> = failures.iter().take(SHOWN_MAX).map(|(seed, failure)| show(*seed, failure)).collect();
    assert!(failures.is_empty(), "{} seeds failed, such as {seeds:?}\n\n{}", failures.len(), shown.join("\n"));
}

fn show(seed: u64, failure: &Failure) -> String {
    let plan = Plan::of(seed).shrunk(failure);
    let now = plan.fails_like(failure).expect("a shrunk plan fails alike");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.txt"));
    let written = fs::write(&file, format!("{plan}{now}\n\n{}", plan.told()));
    let place = written.map_or_else(|error| error.to_string(), |()| format!("told in {}", file.display()));
    format!("{plan}{now}\n{place}\n")
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in [1, 7, 42] {
        let (one, two) = (Plan::of(seed).run().map(|t| t.steps), Plan::of(seed).run().map(|t| t.steps));
        assert_eq!(one, two, "seed {seed}");
    }
}
