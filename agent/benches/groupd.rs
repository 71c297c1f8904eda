//! `./x bench groupd`: joins, recoveries, questions and data through the groupd service, against what libcpg itself needs
//! for the same (tests/bench/groupd), on real corosync in namespaces.
//!
//! The nodes share one machine and one monotonic clock, so moments of different nodes can be compared. Limits are those
//! of the project; absolute times are this machine's.

#![allow(clippy::print_stdout, reason = "a benchmark prints its table")]

mod support;

use groupd_compat::frame::{FRAME_LEN, Frame, FrameReader};
use groupd_compat::names::{ClientKind, GroupName, Level};
use groupd_compat::verbs::{Callback, Request};
use nix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Lab, Result, run, workspace};

const NODES: [u32; 3] = [1, 2, 3];
/// Joins of one client, one after the other.
const JOINS: usize = 50;
/// Between a leave and the next join: a program that joins now and then finds a spare connection.
const APART: Duration = Duration::from_millis(30);
/// How many groups there are, and the limits: all joined on three nodes, NODEDOWN to the last finish (milliseconds).
const CROWDS: [(usize, f64, f64); 4] =
    [(10, UNLIMITED, UNLIMITED), (100, UNLIMITED, 40.0), (500, 4500.0, 250.0), (1000, 9500.0, 500.0)];
/// Only for the curve.
const UNLIMITED: f64 = f64::INFINITY;
const JOIN_RATIO_MAX: f64 = 1.15;
const RECOVERY_RATIO_MAX: f64 = 2.0;
const START_1_MAX_MS: f64 = 2.0;
const FINISH_3_MAX_MS: f64 = 3.0;
const QUERIES_MIN_PER_S: f64 = 5000.0;
const SENDS_MIN_PER_S: f64 = 15000.0;
const SENDS: usize = 30_000;
const QUERY_TIME: Duration = Duration::from_secs(2);
/// From the moment the clients are started to the one at which they begin.
const AHEAD_NS: u64 = 1_500_000_000;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "--client") {
        return client(&words[2..]);
    }
    let lab = Lab("bench-groupd");
    let build = tempfile::tempdir()?;
    let bare = build.path().join("bare");
    let source = workspace().join("tests/bench/groupd/bare.c");
    run(Command::new("gcc").args(["-O2", "-Wall", "-o"]).arg(&bare).arg(source).arg("-lcpg"))?;
    let bench = build.path().join("load");
    std::fs::copy(std::env::current_exe()?, &bench)?;
    let programs = [env!("CARGO_BIN_EXE_groupd").into(), bare.to_string_lossy(), bench.to_string_lossy()];
    on_nodes(&lab, 1, &programs, one_node)?;
    on_nodes(&lab, 3, &programs, three_nodes)?;
    let crowds = CROWDS.iter().map(|crowd| on_nodes(&lab, 3, &programs, |lab| crowded(lab, *crowd)));
    println!("\n{}", curve(&crowds.collect::<Result<Vec<_>>>()?));
    Ok(())
}

fn on_nodes<T>(
    lab: &Lab,
    nodes: u32,
    programs: &[std::borrow::Cow<'_, str>],
    measure: impl FnOnce(&Lab) -> Result<T>,
) -> Result<T> {
    lab.run(&["up", &nodes.to_string(), "--kind", "ns"])?;
    let share: Vec<&str> =
        ["share", "--into", "bin"].into_iter().chain(programs.iter().map(|program| &**program)).collect();
    let measured = lab.run(&share).and_then(|_| measure(lab));
    lab.run(&["down"])?;
    measured
}

// ---- what is measured --------------------------------------------------------------------------------------------------

fn one_node(lab: &Lab) -> Result<()> {
    let bare = lab.bare("join", JOINS, &[1])? / 1e6 / JOINS as f64;
    lab.groupd(&[1])?;
    let [start, finish, left] = lab.joins(APART)?;
    verdict("join → start, 1 node", start <= START_1_MAX_MS);
    println!(
        "    p50 {start:.2} ms  → finish {finish:.2} ms  leave → terminate {left:.2} ms  of {JOINS}, {APART:?} apart"
    );
    println!("    (limit {START_1_MAX_MS}; the original 4.9, 5.2, 1.1; a bare initialize and join {bare:.2})");
    let [start, finish, left] = lab.joins(Duration::ZERO)?;
    println!("    without a pause {start:.2} ms  → finish {finish:.2} ms  leave → terminate {left:.2} ms");
    Ok(())
}

fn three_nodes(lab: &Lab) -> Result<()> {
    lab.groupd(&NODES)?;
    for node in [2, 3] {
        lab.crowd(node, JOINS, 0)?;
    }
    lab.seen(2, "full")?;
    lab.seen(3, "full")?;
    let [start, finish, left] = lab.joins(APART)?;
    verdict("join → finish, 3 nodes", finish <= FINISH_3_MAX_MS);
    println!(
        "    p50 {finish:.2} ms  (start {start:.2} ms)  leave → terminate {left:.2} ms  of {JOINS}, {APART:?} apart"
    );
    println!("    (limit {FINISH_3_MAX_MS}; the original 6.0, 5.1, 1.8)");
    let [start, finish, left] = lab.joins(Duration::ZERO)?;
    println!("    without a pause {finish:.2} ms  (start {start:.2} ms)  leave → terminate {left:.2} ms");
    let sends: f64 = lab.client(1, &["sends", &SENDS.to_string()])?.trim().parse()?;
    verdict("send 100 B, 3 nodes", sends >= SENDS_MIN_PER_S);
    println!("    {sends:.0} messages/s  of {SENDS}  (limit {SENDS_MIN_PER_S}; the original 14900)");
    Ok(())
}

/// What one crowd came to: times in milliseconds, memory of one group in KiB.
struct Crowd {
    count: usize,
    joined: f64,
    bare_joined: f64,
    recovered: f64,
    bare_recovered: f64,
    rss: f64,
    shm: f64,
}

/// So many groups on three nodes: joined, asked for, and recovered when node 3 dies.
fn crowded(lab: &Lab, (count, joined_max, recovered_max): (usize, f64, f64)) -> Result<Crowd> {
    let bare_joined = lab.bare("join", count, &NODES)? / 1e6;
    lab.groupd(&NODES)?;
    let empty = lab.memory(1)?;
    let begin = now_ns() + AHEAD_NS;
    NODES.iter().try_for_each(|&node| lab.crowd(node, count, begin))?;
    let joined = (lab.last(&NODES, "joined")? - begin as f64) / 1e6;
    let ratio = joined / bare_joined;
    let limits = (joined_max, JOIN_RATIO_MAX);
    verdict(&format!("{count} groups joined on 3 nodes"), within(joined, ratio, limits));
    println!("    {joined:.0} ms  bare joins {bare_joined:.0} ms  ratio {ratio:.2}  ({})", told(limits));
    let full = lab.memory(1)?;
    let [rss, shm] = [0, 1].map(|at| (full[at] - empty[at]) / count as f64);
    println!("    a group: {rss:.0} KiB of RSS, {shm:.0} KiB of /dev/shm  (RSS of groupd {:.1} MiB)", full[0] / 1024.0);
    if count == 100 {
        queried(lab)?;
    }
    lab.run(&["crash", "3"])?;
    let recovered = (lab.last(&[1, 2], "recovered")? - lab.first(&[1, 2], "stopped")?) / 1e6;
    let bare_recovered = lab.bare("talk", count, &[1, 2])? / 1e6;
    let ratio = recovered / bare_recovered;
    let limits = (recovered_max, RECOVERY_RATIO_MAX);
    verdict(&format!("{count} groups: first stop → last finish"), within(recovered, ratio, limits));
    println!("    {recovered:.1} ms  bare messages {bare_recovered:.1} ms  ratio {ratio:.1}  ({})", told(limits));
    Ok(Crowd { count, joined, bare_joined, recovered, bare_recovered, rss, shm })
}

/// Both the time and its ratio to what libcpg itself needs.
fn within(ms: f64, ratio: f64, (ms_max, ratio_max): (f64, f64)) -> bool {
    ms_max == UNLIMITED || (ms <= ms_max && ratio <= ratio_max)
}

fn told((ms_max, ratio_max): (f64, f64)) -> String {
    if ms_max == UNLIMITED { "no limit".to_owned() } else { format!("limits {ms_max} ms, {ratio_max}") }
}

fn queried(lab: &Lab) -> Result<()> {
    let queries: f64 = lab.client(1, &["queries"])?.trim().parse()?;
    verdict("get_groups with 100 groups, new connections", queries >= QUERIES_MIN_PER_S);
    println!("    {queries:.0}/s  (limit {QUERIES_MIN_PER_S}; the original 3240)");
    Ok(())
}

/// What one group costs, by how many there are: the columns are to be flat.
fn curve(crowds: &[Crowd]) -> String {
    let mut table = "a group of so many   join µs  bare µs   recover µs  bare µs   RSS KiB  /dev/shm KiB\n".to_owned();
    for Crowd { count, joined, bare_joined, recovered, bare_recovered, rss, shm } in crowds {
        let [join, bare_join, recover, bare_recover] =
            [joined, bare_joined, recovered, bare_recovered].map(|ms| ms * 1000.0 / *count as f64);
        table += &format!(
            "{count:>18}  {join:>8.0} {bare_join:>8.0}   {recover:>10.0} {bare_recover:>8.0}   {rss:>7.0}  {shm:>12.0}\n"
        );
    }
    table
}

fn pair(text: &str) -> Result<(f64, f64)> {
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [first, second] = figures[..] else { return Err(format!("unexpected: {text}").into()) };
    Ok((first, second))
}

fn verdict(what: &str, holds: bool) {
    println!("{} {what}", if holds { "  ok  " } else { " MISS " });
}

// ---- the lab -------------------------------------------------------------------------------------------------------------

impl Lab {
    fn groupd(&self, nodes: &[u32]) -> Result<()> {
        let start = |node: &u32| self.run(&["exec", &node.to_string(), "-t", "20", "--", "groupd", "-g", "1"]);
        nodes.iter().try_for_each(|node| start(node).map(drop))
    }

    fn client(&self, node: u32, words: &[&str]) -> Result<String> {
        let node = node.to_string();
        let head = ["exec", &node, "-t", "120", "--", "/lab/bin/load", "--client"];
        self.run(&[&head[..], words].concat())
    }

    /// Medians of node 1: join → start, join → finish, leave → terminate, in milliseconds.
    fn joins(&self, apart: Duration) -> Result<[f64; 3]> {
        let text = self.client(1, &["joins", &JOINS.to_string(), &apart.as_millis().to_string()])?;
        let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        figures.try_into().map_err(|_| format!("unexpected: {text}").into())
    }

    /// A client that joins g0, g1 … at that moment and answers for them; what it sees goes to a file of its node.
    fn crowd(&self, node: u32, count: usize, begin: u64) -> Result<()> {
        let line = format!("exec /lab/bin/load --client crowd {count} {begin}");
        self.run(&["exec", &node.to_string(), "-d", &format!("/lab/node{node}/crowd"), &line]).map(drop)
    }

    /// When this was seen last on all these nodes.
    fn last(&self, nodes: &[u32], what: &str) -> Result<f64> {
        let seen = nodes.iter().map(|&node| self.seen(node, what)).collect::<Result<Vec<f64>>>()?;
        Ok(seen.into_iter().fold(f64::MIN, f64::max))
    }

    fn first(&self, nodes: &[u32], what: &str) -> Result<f64> {
        let seen = nodes.iter().map(|&node| self.seen(node, what)).collect::<Result<Vec<f64>>>()?;
        Ok(seen.into_iter().fold(f64::MAX, f64::min))
    }

    fn seen(&self, node: u32, what: &str) -> Result<f64> {
        let wait = format!("until grep {what} /lab/node{node}/crowd; do sleep 0.1; done");
        let text = self.run(&["exec", &node.to_string(), "-t", "120", &wait])?;
        let moment = text.split_whitespace().nth(1).ok_or("no moment")?;
        Ok(moment.parse()?)
    }

    /// Nanoseconds that the C program needed on the slowest node.
    fn bare(&self, what: &str, count: usize, nodes: &[u32]) -> Result<f64> {
        let (begin, members) = (now_ns() + AHEAD_NS, nodes.len());
        for node in nodes {
            let line = format!("exec bare {what} {count} {begin} {members}");
            self.run(&["exec", &node.to_string(), "-d", &format!("/lab/node{node}/bare-{what}"), &line])?;
        }
        let mut slowest = 0.0f64;
        for node in nodes {
            let wait = "while pidof bare >/dev/null; do sleep 0.1; done";
            self.run(&["exec", &node.to_string(), "-t", "120", wait])?;
            let text = self.run(&["exec", &node.to_string(), "--", "cat", &format!("/lab/node{node}/bare-{what}")])?;
            slowest = slowest.max(text.trim().parse().map_err(|_| format!("bare: {text}"))?);
        }
        Ok(slowest)
    }

    /// RSS of groupd and /dev/shm of the node, KiB.
    fn memory(&self, node: u32) -> Result<[f64; 2]> {
        let line = "awk '/VmRSS/ {print $2}' /proc/$(pidof groupd)/status; du -sk /dev/shm | cut -f1";
        let (rss, shm) = pair(&self.run(&["exec", &node.to_string(), line])?)?;
        Ok([rss, shm])
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

// ---- in the nodes --------------------------------------------------------------------------------------------------------

fn client(words: &[String]) -> Result<()> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["joins", count, apart] => joins(count.parse()?, Duration::from_millis(apart.parse()?)),
        ["sends", count] => sends(count.parse()?),
        ["queries"] => queries(),
        ["crowd", count, begin] => crowd(count.parse()?, begin.parse()?),
        _ => Err("no such client".into()),
    }
}

struct Groupd {
    stream: UnixStream,
    frames: FrameReader,
    waiting: std::collections::VecDeque<Callback>,
}

impl Groupd {
    fn connect() -> Result<Groupd> {
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name("groupd_socket")?)?;
        Ok(Groupd { stream, frames: FrameReader::default(), waiting: Default::default() })
    }

    fn set_up() -> Result<Groupd> {
        let mut groupd = Groupd::connect()?;
        groupd.say(&Request::Setup { kind: ClientKind::new(b"bench"), level: Level::try_from(1)? })?;
        Ok(groupd)
    }

    fn say(&mut self, request: &Request) -> Result<()> {
        Ok(self.stream.write_all(request.encode()?.as_bytes())?)
    }

    /// The next callback; stops and starts are answered.
    fn hear(&mut self) -> Result<Callback> {
        let mut buffer = [0; 16 * FRAME_LEN];
        while self.waiting.is_empty() {
            let read = self.stream.read(&mut buffer)?;
            let (frames, mut bytes) = (&mut self.frames, &buffer[..read]);
            let whole: Vec<Frame> = std::iter::from_fn(|| frames.next_frame(&mut bytes)).collect();
            for frame in whole {
                self.waiting.push_back(Callback::decode(&frame)?);
            }
            if read == 0 {
                return Err("groupd has closed the connection".into());
            }
        }
        let callback = self.waiting.pop_front().ok_or("nothing was said")?;
        match &callback {
            Callback::Stop { name } => self.say(&Request::StopDone { name: name.clone() })?,
            Callback::Start { name, nr, .. } => self.say(&Request::StartDone { name: name.clone(), nr: *nr })?,
            _ => {}
        }
        Ok(callback)
    }

    fn until(&mut self, is_it: impl Fn(&Callback) -> bool) -> Result<Instant> {
        while !is_it(&self.hear()?) {}
        Ok(Instant::now())
    }
}

fn numbered(number: usize) -> Result<GroupName> {
    Ok(GroupName::new(format!("g{number}").as_bytes())?)
}

/// Medians of join → start, join → finish and leave → terminate, milliseconds.
fn joins(count: usize, apart: Duration) -> Result<()> {
    let mut groupd = Groupd::set_up()?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for number in 0..count {
        let name = numbered(number)?;
        std::thread::sleep(apart);
        let began = Instant::now();
        groupd.say(&Request::Join { name: name.clone() })?;
        times[0].push(groupd.until(|callback| matches!(callback, Callback::Start { .. }))? - began);
        times[1].push(groupd.until(|callback| matches!(callback, Callback::Finish { .. }))? - began);
        let began = Instant::now();
        groupd.say(&Request::Leave { name })?;
        times[2].push(groupd.until(|callback| matches!(callback, Callback::Terminate { .. }))? - began);
    }
    let [start, finish, left] = times.map(median_ms);
    println!("{start} {finish} {left}");
    Ok(())
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

/// Messages of 100 bytes a second, from the first send to the last own delivery.
fn sends(count: usize) -> Result<()> {
    let (mut groupd, name) = (Groupd::set_up()?, numbered(0)?);
    groupd.say(&Request::Join { name: name.clone() })?;
    groupd.until(|callback| matches!(callback, Callback::Finish { .. }))?;
    let mut writer = groupd.stream.try_clone()?;
    let frame = Request::Send { name: name.clone(), data: vec![7; 100] }.encode()?;
    let began = Instant::now();
    let writing = std::thread::spawn(move || {
        let batch = frame.as_bytes().repeat(10);
        (0..count / 10).try_for_each(|_| writer.write_all(&batch))
    });
    for _ in 0..count / 10 * 10 {
        groupd.until(|callback| matches!(callback, Callback::Deliver { .. }))?;
    }
    let took = began.elapsed();
    writing.join().map_err(|_| "the writer has panicked")??;
    groupd.say(&Request::Leave { name })?;
    groupd.until(|callback| matches!(callback, Callback::Terminate { .. }))?;
    println!("{}", count as f64 / took.as_secs_f64());
    Ok(())
}

/// get_groups a second, each on a connection of its own.
fn queries() -> Result<()> {
    let began = Instant::now();
    let (mut count, mut answer) = (0, Vec::new());
    while began.elapsed() < QUERY_TIME {
        let mut groupd = Groupd::connect()?;
        groupd.say(&Request::GetGroups { max: 1000 })?;
        groupd.stream.shutdown(std::net::Shutdown::Write)?;
        answer.clear();
        groupd.stream.read_to_end(&mut answer)?;
        count += 1;
    }
    println!("{}", f64::from(count) / began.elapsed().as_secs_f64());
    Ok(())
}

/// Says when all groups are joined here, when all have finished with three members, when the first was stopped after that, and when all have
/// finished with two.
fn crowd(count: usize, begin: u64) -> Result<()> {
    let mut groupd = Groupd::set_up()?;
    std::thread::sleep(Duration::from_nanos(begin.saturating_sub(now_ns())));
    let mut writer = groupd.stream.try_clone()?;
    let joining = std::thread::spawn(move || -> std::result::Result<(), String> {
        for number in 0..count {
            let name = GroupName::new(format!("g{number}").as_bytes()).map_err(|error| error.to_string())?;
            let frame = Request::Join { name }.encode().map_err(|error| error.to_string())?;
            writer.write_all(frame.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(())
    });
    let mut members: BTreeMap<GroupName, usize> = BTreeMap::new();
    let (mut own, mut full, mut left, mut stopped) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), false);
    loop {
        match groupd.hear()? {
            Callback::Start { name, members: list, .. } => _ = members.insert(name, list.len()),
            Callback::Stop { .. } if full.len() == count && !stopped => {
                stopped = true;
                println!("stopped {}", now_ns());
            }
            Callback::Finish { name, .. } => {
                let nodes = members.get(&name).copied();
                if own.insert(name.clone()) && own.len() == count {
                    println!("full {}", now_ns());
                }
                if nodes == Some(NODES.len()) && full.insert(name.clone()) && full.len() == count {
                    println!("joined {}", now_ns());
                }
                if stopped && nodes == Some(NODES.len() - 1) && left.insert(name) && left.len() == count {
                    println!("recovered {}", now_ns());
                    break;
                }
            }
            _ => {}
        }
    }
    joining.join().map_err(|_| "the joiner has panicked")??;
    groupd.until(|_| false).map(drop)
}
