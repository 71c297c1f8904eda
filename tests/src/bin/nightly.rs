//! Seeds without end: `cargo run --profile nightly -p cluster-tests --bin nightly -- --seeds 10000000 [--first N] [--nodes N] [--brief]
//! [--story]`.
//!
//! With `--brief` the lives begin in a cluster of five nodes (or `--nodes`) that stands, and are short.
//! Says every ten seconds how many runs a second it makes, and ends with 1 if a seed failed. With `--story` the
//! smallest plan that still fails is told line by line.

#![allow(clippy::print_stdout, reason = "a program for people")]

use cluster_tests::seeds;
use cluster_tests::sim::nemesis::Plan;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Between two lines.
const SAID_EVERY_S: u64 = 10;
/// Nodes of a brief life.
const BRIEF_NODES: u32 = 5;
/// Failing seeds that are shown.
const SHOWN_MAX: usize = 20;

/// And how many of them are shrunk.
const SHRUNK_MAX: usize = 3;

/// The number behind an option.
fn option(words: &[String], name: &str) -> Option<u64> {
    let place = words.iter().position(|word| word == name)?;
    words.get(place + 1)?.parse().ok()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let (first, count) = (option(&words, "--first").unwrap_or(1), option(&words, "--seeds").unwrap_or(10_000_000));
    let nodes = option(&words, "--nodes").and_then(|nodes| u32::try_from(nodes).ok());
    let (start, done, said) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    let brief = words.iter().any(|word| word == "--brief");
    let plan = |seed| match nodes {
        _ if brief => Plan::brief(seed, nodes.unwrap_or(BRIEF_NODES)),
        None => Plan::of(seed),
        Some(nodes) => Plan::of_size(seed, nodes),
    };
    let rate = |done: u64| done as f64 / start.elapsed().as_secs_f64();
    let runs = seeds::run(first..first + count, plan, |_| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        let turn = start.elapsed().as_secs() / SAID_EVERY_S;
        if said.fetch_max(turn, Ordering::Relaxed) < turn {
            println!("{done} runs, {:.0} a second", rate(done));
        }
    });
    println!("{}", runs.tally);
    println!("{:.0} runs a second, {:.0} s", rate(count), start.elapsed().as_secs_f64());
    println!("least often: {:?}", runs.tally.sometimes.rarest().into_iter().take(10).collect::<Vec<_>>());
    for (seed, failure) in runs.failures.iter().take(SHOWN_MAX) {
        println!("seed {seed}: {failure}");
    }
    for (seed, failure) in runs.failures.iter().take(SHRUNK_MAX) {
        let smallest = plan(*seed).shrunk(failure);
        println!("{smallest}");
        if words.iter().any(|word| word == "--story") {
            println!("{}", smallest.told());
        }
    }
    ExitCode::from(u8::from(!runs.failures.is_empty()))
}
