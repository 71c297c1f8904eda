//! Seeds without end, and how many a second. A seed that fails is told when it does, and at the end, which is then 1.

#![allow(clippy::print_stdout, reason = "a program for people")]

use clap::Parser;
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

/// Lives of the simulated cluster, one a seed: `cargo run --profile nightly -p cluster-tests --bin nightly`.
#[derive(Parser)]
struct Words {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many
    #[arg(long, default_value_t = 10_000_000)]
    seeds: u64,
    /// Nodes of each cluster; else it goes by the seed, or is five where lives are brief
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16))]
    nodes: Option<u32>,
    /// Short lives that begin in a cluster that stands
    #[arg(long)]
    brief: bool,
    /// Tell the smallest plan that still fails line by line
    #[arg(long)]
    story: bool,
}

impl Words {
    fn plan(&self, seed: u64) -> Plan {
        match self.nodes {
            nodes if self.brief => Plan::brief(seed, nodes.unwrap_or(BRIEF_NODES)),
            None => Plan::of(seed),
            Some(nodes) => Plan::of_size(seed, nodes),
        }
    }
}

fn main() -> ExitCode {
    let words = Words::parse();
    let (start, done, said) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    let rate = |done: u64| done as f64 / start.elapsed().as_secs_f64();
    let runs = seeds::run(
        words.first..words.first + words.seeds,
        |seed| words.plan(seed),
        |seed, failure| {
            if let Some(failure) = failure {
                println!("seed {seed}: {failure}");
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let turn = start.elapsed().as_secs() / SAID_EVERY_S;
            if said.fetch_max(turn, Ordering::Relaxed) < turn {
                println!("{done} runs, {:.0} a second", rate(done));
            }
        },
    );
    println!("{}", runs.tally);
    println!("{:.0} runs a second, {:.0} s", rate(words.seeds), start.elapsed().as_secs_f64());
    println!("least often: {:?}", runs.tally.sometimes.rarest().into_iter().take(10).collect::<Vec<_>>());
    for (seed, failure) in runs.failures.iter().take(SHOWN_MAX) {
        println!("seed {seed}: {failure}");
    }
    for (seed, failure) in runs.failures.iter().take(SHRUNK_MAX) {
        let smallest = words.plan(*seed).shrunk(failure);
        println!("{smallest}");
        if words.story {
            println!("{}", smallest.told());
        }
    }
    ExitCode::from(u8::from(!runs.failures.is_empty()))
}
