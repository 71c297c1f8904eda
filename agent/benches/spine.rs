//! `./x bench spine`: from a joiner's Hello to its entry in the kernel, from a confchg to the decision, and what an idle
//! daemon costs.
//!
//! The first is measured inside a User Mode Linux node on the real configfs, in rounds that take turns with a C program
//! that makes the same writes (tests/bench/install); the others on three nodes in namespaces with real corosync, where a
//! process joins the group and leaves it over and over (tests/bench/churn). Absolute times are this machine's.

#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod support;

use agent::kernel::Choice;
use agent::measure;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;
use support::{Lab, Result, run, workspace};

const TURNS: usize = 5;
const ROUNDS: u32 = 100;
const IDLE_S: u64 = 20;
const CHURN: usize = 300;
const DAEMON: &str = "exec o2cpgd --backend model --configfs-root /tmp/configfs --test-latency /tmp/latency";
const INSTALL_RATIO_MAX: f64 = 1.3;
const DECIDE_P99_MAX_US: f64 = 50.0;
const RSS_MAX_KIB: u64 = 15 * 1024;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "--inside") {
        return inside(&words[2], &words[3]);
    }
    let lab = Lab("bench");
    install(&lab)?;
    namespaces(&lab)
}

// ---- from the Hello to the entry ---------------------------------------------------------------------------------------

/// In the node: a table of its own, on the node's kernel.
fn inside(install: &str, address: &str) -> Result<()> {
    tracing::subscriber::set_global_default(Marks)?;
    let address: std::net::Ipv4Addr = address.parse()?;
    let root = PathBuf::from("/sys/kernel/config/cluster");
    let run_dir = tempfile::tempdir_in("/run")?;
    let (mut ours, mut read_back, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let figures = measure::run(&Choice::Kernel(root.clone()), run_dir.path(), address, ROUNDS, applied)?;
        ours.extend(figures.iter().map(|(written, _)| *written));
        read_back.extend(figures.iter().map(|(_, back)| *back));
        let third = std::net::Ipv4Addr::from(u32::from(address) + 2).to_string();
        let bare = Command::new(install)
            .arg(root.join("bench"))
            .args(["n3", "3", &third, "7777", &ROUNDS.to_string()])
            .output()?;
        let text = String::from_utf8(bare.stdout)?;
        theirs.extend(text.lines().filter_map(|line| line.parse::<u64>().ok()));
        clear(&root.join("bench"))?;
    }
    for list in [&mut ours, &mut read_back, &mut theirs] {
        list.sort_unstable();
    }
    println!("{} {} {} {}", at(&ours, 50), at(&read_back, 50), at(&theirs, 50), ours.len().min(theirs.len()));
    Ok(())
}

fn clear(cluster: &Path) -> Result<()> {
    for entry in std::fs::read_dir(cluster.join("node"))? {
        std::fs::remove_dir(entry?.path())?;
    }
    Ok(std::fs::remove_dir(cluster)?)
}

fn install(lab: &Lab) -> Result<()> {
    let build = tempfile::tempdir()?;
    let program = build.path().join("install");
    let source = workspace().join("tests/bench/install/install.c");
    run(Command::new("gcc").args(["-O2", "-Wall", "-o"]).arg(&program).arg(source))?;
    let bench = build.path().join("spine");
    std::fs::copy(std::env::current_exe()?, &bench)?;
    lab.run(&["up", "1", "--no-corosync"])?;
    let measured = (|| {
        lab.run(&["share", "--into", "bin", &program.to_string_lossy(), &bench.to_string_lossy()])?;
        lab.run(&["exec", "1", "-t", "60", "--", "modprobe", "-a", "ocfs2", "ocfs2_stack_o2cb"])?;
        lab.run(&["exec", "1", "-t", "120", "--", "/lab/bin/spine", "--inside", "/lab/bin/install", "10.78.2.1"])
    })();
    lab.run(&["down"])?;
    let text = measured?;
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [ours, read_back, theirs, rounds] = figures[..] else { return Err(format!("unexpected: {text}").into()) };
    let ratio = ours / theirs;
    verdict("joiner's Hello delivered → its entry written, real configfs", ratio <= INSTALL_RATIO_MAX);
    println!(
        "    ours p50 {ours:.1} µs (read back {read_back:.1})  C p50 {theirs:.1} µs  ratio {ratio:.2}  of {rounds} joins  (limit {INSTALL_RATIO_MAX})"
    );
    Ok(())
}

// ---- real corosync: an idle daemon, and a confchg to the decision ----------------------------------------------------------

fn namespaces(lab: &Lab) -> Result<()> {
    let build = tempfile::tempdir()?;
    let churn = build.path().join("churn");
    let source = workspace().join("tests/bench/churn/churn.c");
    run(Command::new("gcc").args(["-O2", "-Wall", "-o"]).arg(&churn).arg(source).arg("-lcpg"))?;
    lab.run(&["up", "3", "--kind", "ns"])?;
    let measured = idle(lab, &churn).and_then(|text| Ok((text, decide(lab)?)));
    lab.run(&["down"])?;
    let (idle, latency) = measured?;
    tell_idle(&idle)?;
    tell_decide(&latency)
}

fn idle(lab: &Lab, churn: &Path) -> Result<String> {
    let [daemon, command] = [env!("CARGO_BIN_EXE_o2cpgd"), env!("CARGO_BIN_EXE_o2cpg")];
    lab.run(&["share", "--into", "bin", daemon, command, &churn.to_string_lossy()])?;
    for node in ["1", "2", "3"] {
        lab.run(&["exec", node, "-d", &format!("/lab/node{node}/agent.out"), DAEMON])?;
    }
    alone_on_a_core(lab)?;
    lab.run(&["exec", "all", "-t", "40", "--", "o2cpg", "wait", "--for", "settled", "--timeout", "30s"])?;
    let script = format!(
        "p=$(pidof o2cpgd); w() {{ cat /proc/$p/task/*/status | awk '/^voluntary/ {{n+=$2}} END {{print n}}'; }}; \
         a=$(w); sleep {IDLE_S}; b=$(w); echo $((b-a)) $(awk '/VmRSS/ {{print $2}}' /proc/$p/status)"
    );
    lab.run(&["exec", "1", "-t", "60", &script])
}

/// On a real cluster the measured daemon shares its machine with one corosync, not with three and two more daemons: it
/// gets a core, all the others have the rest.
fn alone_on_a_core(lab: &Lab) -> Result<()> {
    for node in ["1", "2", "3"] {
        lab.run(&["exec", node, "-t", "10", "for p in $(pidof corosync o2cpgd); do taskset -apc 0 $p; done"])?;
    }
    lab.run(&["exec", "1", "-t", "10", "taskset -apc 1 $(pidof o2cpgd)"])?;
    Ok(())
}

/// Each confchg is measured by the daemon itself, from the callback to the last effect.
fn decide(lab: &Lab) -> Result<String> {
    lab.run(&["exec", "2", "-t", "120", "--", "churn", "o2cpg", &CHURN.to_string()])?;
    lab.run(&["exec", "1", "-t", "30", "kill $(pidof o2cpgd); while pidof o2cpgd >/dev/null; do sleep 0.1; done"])?;
    lab.run(&["exec", "1", "-t", "10", "--", "cat", "/tmp/latency"])
}

fn tell_idle(text: &str) -> Result<()> {
    let figures: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [switches, rss] = figures[..] else { return Err(format!("unexpected: {text}").into()) };
    verdict("idle, one of three nodes", rss <= RSS_MAX_KIB);
    println!("    {switches} wake-ups in {IDLE_S} s, all threads  RSS {rss} KiB  (limit {RSS_MAX_KIB})");
    Ok(())
}

fn tell_decide(text: &str) -> Result<()> {
    let confchg = |line: &str| line.split_once(' ').filter(|(kind, _)| *kind == "view").map(|(_, ns)| ns.to_owned());
    let mut all: Vec<u64> = text.lines().filter_map(confchg).filter_map(|ns| ns.parse().ok()).collect();
    if all.len() < CHURN {
        return Err(format!("only {} confchgs were measured", all.len()).into());
    }
    all.sort_unstable();
    let (p50, p99) = (at(&all, 50), at(&all, 99));
    verdict("confchg callback → decision, effects handed over, 3 nodes", p99 <= DECIDE_P99_MAX_US);
    println!("    p50 {p50:.1} µs  p99 {p99:.1} µs  of {} confchgs  (limit p99 {DECIDE_P99_MAX_US} µs)", all.len());
    Ok(())
}

// ---- small things --------------------------------------------------------------------------------------------------------

fn verdict(what: &str, holds: bool) {
    println!("{} {what}", if holds { "  ok  " } else { " MISS " });
}

/// The value below which `percent` of the sorted list lie, in microseconds.
fn at(sorted: &[u64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(f64::NAN, |ns| *ns as f64 / 1000.0)
}

static APPLIED: Mutex<Option<Instant>> = Mutex::new(None);

fn applied() -> Instant {
    APPLIED.lock().ok().and_then(|at| *at).unwrap_or_else(Instant::now)
}

/// Notes when the kernel thread says that a batch is applied; everything else is off.
struct Marks;

impl tracing::Subscriber for Marks {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "agent::kernel" && *metadata.level() == tracing::Level::TRACE
    }
    fn event(&self, _: &tracing::Event<'_>) {
        if let Ok(mut at) = APPLIED.lock() {
            *at = Some(Instant::now());
        }
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
