//! Whatever happens, what must hold holds, and in the end everything comes to rest.
//!
//! `SEEDS=100000 SEED_FIRST=1 cargo test --release -p cluster-tests --test invariants` runs more; a failing seed is
//! printed with the smallest plan that still fails, and its story is written to a file.

#![allow(clippy::print_stdout, reason = "a failed seed is told with its plan")]

use cluster_tests::seeds::{self, Runs};
use cluster_tests::sim::nemesis::{Failure, Plan};
use std::path::Path;
use std::{env, fs};

/// Of one `cargo test`: half a minute on two cores, with optimisation or without.
const SEEDS: u64 = if cfg!(debug_assertions) { 300 } else { 20_000 };
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
    let Runs { tally, failures } = seeds::run(first..last, Plan::of, |_, _| ());
    println!("{tally}");
    let seeds: Vec<u64> = failures.iter().map(|(seed, _)| *seed).take(LISTED_MAX).collect();
    let shown: Vec<String> =
        failures.iter().take(SHOWN_MAX).map(|(seed, failure)| show(*seed, &Plan::of(*seed), failure)).collect();
    println!("least often: {:?}", tally.sometimes.rarest().into_iter().take(LISTED_MAX).collect::<Vec<_>>());
    assert!(failures.is_empty(), "{} seeds failed, such as {seeds:?}\n\n{}", failures.len(), shown.join("\n"));
    if last - first >= SEEDS {
        let never = tally.sometimes.never();
        assert!(never.is_empty(), "never reached: {never:?}");
        assert!(3 * tally.overlapping >= tally.runs, "faults do not overlap: {tally}");
    }
}

#[test]
fn brief_lives_hold_as_well() {
    let first = number("SEED_FIRST", 1);
    let Runs { tally, failures } = seeds::run(first..first + SEEDS / 10, brief, |_, _| ());
    println!("brief: {tally}");
    let shown: Vec<String> =
        failures.iter().take(SHOWN_MAX).map(|(seed, failure)| show(*seed, &brief(*seed), failure)).collect();
    assert!(failures.is_empty(), "{} brief seeds failed\n\n{}", failures.len(), shown.join("\n"));
}

fn brief(seed: u64) -> Plan {
    Plan::brief(seed, 5)
}

fn show(seed: u64, plan: &Plan, failure: &Failure) -> String {
    let plan = plan.shrunk(failure);
    let now = plan.fails_like(failure).expect("a shrunk plan fails alike");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed-{seed}.txt"));
    let written = fs::write(&file, format!("{plan}{now}\n\n{}", plan.told()));
    let place = written.map_or_else(|error| error.to_string(), |()| format!("told in {}", file.display()));
    format!("{plan}{now}\n{place}\n")
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for seed in [1, 7, 42] {
        for plan in [Plan::of(seed), brief(seed)] {
            let (one, two) = (plan.run().map(|t| t.steps), plan.run().map(|t| t.steps));
            assert_eq!(one, two, "seed {seed}");
        }
    }
}
