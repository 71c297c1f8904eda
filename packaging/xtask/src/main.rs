//! `cargo xtask`: what the project does to itself. One module per subcommand; `./x` calls this
//! after it made sure that the machine has what is needed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people at a terminal")]

mod bench;
mod chaos;
mod codegen;
mod coverage;
mod demo;
mod error;
mod fuzz;
mod lab;
mod llvm;
mod machine;
mod night;
mod run;
mod story;
mod suites;
mod tally;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use error::Error;

#[derive(Parser)]
#[command(name = "./x", about = "o2cpg: build, test, show and measure", disable_help_subcommand = false)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must pass, or only the named suites
    Test(test::Args),
    /// The main job on three real kernels: mount, write, power off, recover, come back
    Demo(demo::Args),
    /// Measures, and prints the table of ratios
    Bench(bench::Args),
    /// Seeded faults on real corosync or real kernels, and what held: `./x chaos --minutes 10 --seed 1`
    Chaos(chaos::Args),
    /// Generated input for decoders and machines, minutes of each: `./x fuzz --minutes 60 machine`
    Fuzz(fuzz::Args),
    /// Clusters of namespaces or real kernels on this machine: `./x lab help`
    Lab(lab::Words),
    /// Makes a golden story of recordings: `./x story node2.jsonl node1.jsonl -o tests/golden/NN-name.txt`
    Story(lab::Words),
    /// Lives of the simulated cluster, 10 million unless told otherwise: `./x night --brief --seeds 100000`
    Night(lab::Words),
    /// How many lines of the core the simulation alone reaches
    Coverage(coverage::Args),
    /// Generates proto/src/generated from proto/*.proto
    Codegen(codegen::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Story(args) => story::run(&args),
        Command::Night(args) => night::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Codegen(args) => codegen::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {}", error::chain(&error));
        ExitCode::FAILURE
    })
}
