//! `./x bench mounts`: how long a mount tool waits for its answer, against a bare message through the same corosync; what
//! fifty volumes cost; and, on real kernels, how soon a mount is seen and what a death costs the survivors.
//!
//! On one and on three nodes in namespaces with real corosync, the kernel modelled: its own part of a mount is not ours.
//! The tool is this program; it asks for one volume over and over, and takes its word back each time.

#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "mounts/real.rs"]
mod real;
mod support;

use agent::measure;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Lab, Result, run, workspace};

const ROUNDS: usize = 300;
const VOLUMES: usize = 50;
const RATIO_MAX: f64 = 4.0;
const STATUS_MAX_MS: f64 = 50.0;
const DEATHS: u32 = 100;
const DECISION_MAX_MS: f64 = 20.0;
const BLOCK_LEN: usize = 256;
/// The daemon looks at the kernel after each mount; the next one is not to meet that. The bare messages are as far apart: the
/// ratio is to say what we add, not what a sleeping processor and a sleeping corosync take.
const APART: Duration = Duration::from_millis(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Where devices are: o2cpgd looks there without a thread.
const DEVICE: &str = "/dev/bench-disk";
const DAEMON: &str = "exec o2cpgd --backend model --configfs-root /tmp/configfs --test-controld bench-";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("--mounts") => mounts(),
        Some("--hold") => hold(),
        _ => measure_all(),
    }
}

fn measure_all() -> Result<()> {
    [1, 3].into_iter().try_for_each(on)?;
    decision()?;
    let programs = Path::new(env!("CARGO_BIN_EXE_o2cpgd")).parent().ok_or("a program without a folder")?;
    real::seen(programs)?;
    ["user", "o2cb"].into_iter().try_for_each(|stack| real::power_off(programs, stack))
}

/// The cores, the recorder and the state file of the measured node are real, corosync and the kernel are not.
fn decision() -> Result<()> {
    let run_dir = tempfile::tempdir_in("/run")?;
    let mut took = measure::bury(run_dir.path(), VOLUMES, DEATHS)?;
    if took.len() < DEATHS as usize {
        return Err(format!("only {} of {DEATHS} deaths came to an end", took.len()).into());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)] as f64 / 1e6;
    verdict("confchg of a death → DOWN for 50 volumes, 3 nodes in one process", at(99) <= DECISION_MAX_MS);
    println!("    p50 {:.2} ms  p99 {:.2} ms  of {DEATHS} deaths  (limit {DECISION_MAX_MS} ms)", at(50), at(99));
    Ok(())
}

// ---- in a node: the tool of a mount ------------------------------------------------------------------------------------

fn mounts() -> Result<()> {
    let mut tool = Tool::connect()?;
    let mut waited = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        tool.ask(&mount(0))?;
        waited.push(begun.elapsed().as_nanos());
        tool.ask(&format!("MRESULT ocfs2 {} 5 ocfs2", uuid(0)))?;
        std::thread::sleep(APART);
    }
    waited.sort_unstable();
    let at = |percent: usize| waited[(waited.len() * percent / 100).min(waited.len() - 1)] as f64 / 1000.0;
    println!("{:.1} {:.1}", at(50), at(99));
    Ok(())
}

/// Fifty mounts under way, until standard input ends.
fn hold() -> Result<()> {
    let mut tools = Vec::new();
    for volume in 0..VOLUMES {
        let mut tool = Tool::connect()?;
        tool.ask(&mount(volume))?;
        tools.push(tool);
    }
    std::fs::write("/tmp/holding", "")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

struct Tool(UnixStream);

impl Tool {
    fn connect() -> Result<Tool> {
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name("bench-ocfs2_controld_sock")?)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Tool(stream))
    }

    /// One message and its STATUS, which has to be 0.
    fn ask(&mut self, text: &str) -> Result<()> {
        let mut block = [0; BLOCK_LEN];
        block[..text.len()].copy_from_slice(text.as_bytes());
        self.0.write_all(&block)?;
        self.0.read_exact(&mut block)?;
        let answer = String::from_utf8_lossy(&block);
        if answer.starts_with("STATUS 0 ") {
            Ok(())
        } else {
            Err(format!("{text}: {}", answer.trim_end_matches('\0')).into())
        }
    }
}

fn uuid(volume: usize) -> String {
    format!("{:032X}", 0xa000_usize + volume)
}

fn mount(volume: usize) -> String {
    format!("MOUNT ocfs2 {} lab {DEVICE} ocfs2", uuid(volume))
}

// ---- outside -----------------------------------------------------------------------------------------------------------

fn on(nodes: usize) -> Result<()> {
    let build = tempfile::tempdir()?;
    let bare = build.path().join("bare");
    let source = workspace().join("tests/bench/cpg/bench.c");
    run(Command::new("gcc").args(["-O2", "-Wall", "-o"]).arg(&bare).arg(source).arg("-lcpg"))?;
    let tool = build.path().join("mounts");
    std::fs::copy(std::env::current_exe()?, &tool)?;
    let lab = Lab("bench");
    lab.run(&["up", &nodes.to_string(), "--kind", "ns"])?;
    let measured = measure(&lab, nodes, &bare, &tool);
    lab.run(&["down"])?;
    measured
}

fn measure(lab: &Lab, nodes: usize, bare: &Path, tool: &Path) -> Result<()> {
    let [daemon, command] = [env!("CARGO_BIN_EXE_o2cpgd"), env!("CARGO_BIN_EXE_o2cpg")];
    lab.run(&["share", "--into", "bin", daemon, command, &bare.to_string_lossy(), &tool.to_string_lossy()])?;
    for node in 1..=nodes {
        lab.run(&["exec", &node.to_string(), "-d", &format!("/lab/node{node}/agent.out"), DAEMON])?;
    }
    lab.run(&["exec", "all", "-t", "40", "--", "o2cpg", "wait", "--for", "settled", "--timeout", "30s"])?;
    lab.run(&["exec", "all", "--", "mknod", DEVICE, "b", "7", "200"])?;
    let (rounds, apart) = (ROUNDS.to_string(), APART.as_micros().to_string());
    let stream = bare_message(lab, &["run", "bench", "1000", "1", "100"])?;
    let message = bare_message(lab, &["apart", "bench", &rounds, &apart, "100"])?;
    let waited = lab.run(&["exec", "1", "-t", "60", "--", "mounts", "--mounts"])?;
    let waited: Vec<f64> = waited.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [p50, p99] = waited[..] else { return Err("no figures of the mounts".into()) };
    let ratio = p50 / message;
    verdict(&format!("MOUNT → STATUS 0, {nodes} node(s)"), ratio <= RATIO_MAX);
    println!(
        "    p50 {p50:.1} µs  p99 {p99:.1} µs  a message of 100 bytes {message:.1} µs  ratio {ratio:.2}  of {ROUNDS}, {apart} µs apart  (limit {RATIO_MAX})\n    \
         against messages without a pause, {stream:.1} µs: {:.2}",
        p50 / stream
    );
    fifty(lab, nodes)
}

/// What the plain loop in C takes from multicast to its own delivery, p50 in microseconds.
fn bare_message(lab: &Lab, words: &[&str]) -> Result<f64> {
    let said = lab.run(&[&["exec", "1", "-t", "60", "--", "bare"], words].concat())?;
    figure(&said, "\"p50_us\":").ok_or_else(|| format!("unexpected: {said}").into())
}

/// Status and memory with fifty volumes in use on each node.
fn fifty(lab: &Lab, nodes: usize) -> Result<()> {
    let rss = "awk '/VmRSS/ {print $2}' /proc/$(pidof o2cpgd)/status";
    let before: f64 = lab.run(&["exec", "1", rss])?.trim().parse()?;
    for node in (1..=nodes).map(|node| node.to_string()) {
        lab.run(&["exec", &node, "-d", "/tmp/hold.log", "sleep 60 | mounts --hold"])?;
        lab.run(&["exec", &node, "-t", "30", "until test -e /tmp/holding; do sleep 0.1; done"])?;
    }
    let asked = "for i in 1 2 3 4 5 6 7 8 9 10; do o2cpg -o json status >/tmp/s; done; \
                 s=$(date +%s%N); for i in 1 2 3 4 5 6 7 8 9 10; do o2cpg -o json status >/tmp/s; done; e=$(date +%s%N); \
                 echo $(((e-s)/10000)); o2cpg -o json groups | grep -c ocfs2:";
    let told = lab.run(&["exec", "1", "-t", "30", asked])?;
    let figures: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [micros, groups] = figures[..] else { return Err(format!("unexpected: {told}").into()) };
    let after: f64 = lab.run(&["exec", "1", rss])?.trim().parse()?;
    verdict("o2cpg status with 50 volumes, the whole command", micros / 1000.0 <= STATUS_MAX_MS);
    println!(
        "    {:.1} ms  {groups} volumes  RSS {:.1} KiB a volume  (limit {STATUS_MAX_MS} ms)",
        micros / 1000.0,
        (after - before) / VOLUMES as f64
    );
    Ok(())
}

fn figure(line: &str, name: &str) -> Option<f64> {
    line.lines().find(|line| line.contains("rtt"))?.split(name).nth(1)?.split([',', '}']).next()?.parse().ok()
}

fn verdict(what: &str, holds: bool) {
    println!("{} {what}", if holds { "  ok  " } else { " MISS " });
}
