//! cpg-glue against the same loop in C on libcpg: round trip and throughput of own messages, on real corosync.
//!
//! The two take turns on the same running cluster, size by size, and who begins changes from round to
//! round. What is judged is the median of the ratios of the rounds, because the machine's own noise moves both: on a
//! busy one the ratios of single rounds scatter by a factor of two, on a quiet one by a tenth. Needs root and a C
//! compiler.
#![allow(clippy::print_stdout)] // its table is its output

#[path = "../tests/support/lab.rs"]
#[allow(dead_code)] // the tests use the rest
mod lab;
#[path = "../examples/glue_bench.rs"]
#[allow(dead_code)] // its main is an example's
mod peer;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use lab::{Lab, Node};
use serde::Deserialize;

const ROUNDS: usize = 9;
const SIZES: [&str; 3] = ["100", "1024", "65536"];
/// Round trips a size and round.
const COUNT: &str = "1000";
/// How long messages are sent for the throughput.
const MILLIS: &str = "1000";
/// The glue's round trip may take so much of C's.
const RTT_RATIO_MAX: f64 = 1.15;
/// The glue's throughput must reach so much of C's.
const THROUGHPUT_RATIO_MIN: f64 = 0.95;

type Failed = Box<dyn Error + Send + Sync>;

/// One line of a peer.
#[derive(Deserialize)]
struct Line {
    figure: String,
    size: usize,
    #[serde(alias = "per_s")]
    p50_us: f64,
}

/// Figure and size.
type Figures = BTreeMap<(String, usize), f64>;

fn main() -> Result<ExitCode, Failed> {
    if std::env::var_os("O2CPG_PEER").is_some() {
        peer::main()?;
        return Ok(ExitCode::SUCCESS);
    }
    let c = build_c_peer()?;
    let mut met = true;
    println!("nodes figure       bytes         C      glue  ratio  (median of {ROUNDS} rounds; µs, messages/s)");
    for nodes in [1, 3] {
        let Some(lab) = Lab::up(nodes) else { return Ok(ExitCode::SUCCESS) };
        met &= compare(&lab, &c)?;
    }
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build_c_peer() -> Result<PathBuf, Failed> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/cpg/bench.c");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cpg-bench-c");
    let built = Command::new("cc").arg("-O2").arg("-o").arg(&binary).arg(source).arg("-lcpg").status()?;
    if built.success() { Ok(binary) } else { Err("the C peer does not build".into()) }
}

/// Runs the rounds on one cluster and prints its lines. True if every ratio is met.
fn compare(lab: &Lab, c: &Path) -> Result<bool, Failed> {
    let (c, me) = (c.to_string_lossy().into_owned(), std::env::current_exe()?.to_string_lossy().into_owned());
    let mut stayers: Vec<_> = lab.nodes[1..]
        .iter()
        .map(|node| node.command(&[&c, "stay", "bench"]).stdin(Stdio::piped()).spawn())
        .collect::<Result<_, _>>()?;
    let mut met = true;
    for size in SIZES {
        let c_run = [c.as_str(), "run", "bench", COUNT, MILLIS, size];
        let glue_run = ["env", "O2CPG_PEER=1", &me, "bench", COUNT, MILLIS, size];
        let rounds = (0..ROUNDS).map(|round| in_turn(&lab.nodes[0], round, &c_run, &glue_run));
        met &= print(lab.nodes.len(), &rounds.collect::<Result<Vec<_>, _>>()?);
    }
    for stayer in &mut stayers {
        drop(stayer.stdin.take());
        stayer.wait()?;
    }
    Ok(met)
}

/// One round: both, and the other first than in the round before.
fn in_turn(node: &Node, round: usize, c: &[&str], glue: &[&str]) -> Result<(Figures, Figures), Failed> {
    if round % 2 == 0 {
        let c = run(node, c)?;
        Ok((c, run(node, glue)?))
    } else {
        let glue = run(node, glue)?;
        Ok((run(node, c)?, glue))
    }
}

fn run(node: &Node, argv: &[&str]) -> Result<Figures, Failed> {
    let output = node.run(argv);
    if !output.status.success() {
        return Err(format!("{argv:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line)?;
            Ok(((line.figure, line.size), line.p50_us))
        })
        .collect()
}

fn print(nodes: usize, rounds: &[(Figures, Figures)]) -> bool {
    let mut met = true;
    for key in rounds[0].0.keys() {
        let median_of =
            |pick: &dyn Fn(f64, f64) -> f64| median(rounds.iter().map(|(c, glue)| pick(c[key], glue[key])).collect());
        let (c, glue) = (median_of(&|c, _| c), median_of(&|_, glue| glue));
        let ratio = median_of(&|c, glue| glue / c);
        let (figure, size) = key;
        let fits = if figure == "rtt" { ratio <= RTT_RATIO_MAX } else { ratio >= THROUGHPUT_RATIO_MIN };
        let verdict = if fits { "" } else { "  MISSED" };
        println!("{nodes:5} {figure:10} {size:7} {c:9.0} {glue:9.0}  {ratio:5.2}{verdict}");
        met &= fits;
    }
    met
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
