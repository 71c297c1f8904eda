//! The program on a node: the glue, with commands as lines on standard input and every event as a JSON line on
//! standard output.
//!
//! | line | does |
//! |---|---|
//! | `join G`, `leave G`, `close` | the command |
//! | `send G TEXT` | multicasts the text |
//! | `flood G COUNT LEN` | multicasts that many numbered messages, as fast as the queue takes them; `{"flooded":N}` |
//! | `quiet` | from here on messages are counted and checked for order, not printed |
//! | `count` | `{"count":{"NODEID":N},"out_of_order":N}` |
//! | `latency` | `{"latency_us":N}`: the longest the loop was held up since the last time it was asked |
//! | `hold`, `go` | stops reading events, and goes on |
//! | `answer yes`, `answer no`, `kill N` | cfg |
//! | `state G` | `{"state":{"waiting":N,"unreturned":N,"oldest_ms":N}}` |
//! | `open` | `{"open":N}`: descriptors |
//! | `cpu` | `{"cpu_us":N}`: processor time of all threads so far |
//! | `oops` | the next callback panics |
//! | `foreign G` | joins as a C program that counts its NUL, and says "foreign" in there; `{"foreign":true}` |
//! | `inspect MS` | `{"inspect":{"groups":…,"config":…,"quorum":…}}`, or the error's text |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cpg_glue::{Error, Event, Events, Glue, GroupName, NodeId, Options, Probe, Refused, Verdict, inspect};
use rust_corosync::cpg;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

static OOPS: AtomicBool = AtomicBool::new(false);

/// How often the loop proves that it is alive.
const TICK: Duration = Duration::from_millis(5);

/// Room for a crowd.
const GROUPS_MAX: usize = 256;

/// A flood that is being fed to the queue.
struct Flood {
    group: GroupName,
    next: u64,
    count: u64,
    len: usize,
}

#[derive(Default)]
struct Program {
    flood: Option<Flood>,
    quiet: bool,
    hold: bool,
    /// Messages by sender.
    count: BTreeMap<NodeId, u64>,
    out_of_order: u64,
}

/// Runs until `Closed`.
pub(crate) fn main() {
    cpg_glue::run_on_owner_thread("node", async || {
        let spares = std::env::var("SPARES").map_or(0, |number| number.parse().expect("a number"));
        let told_last = std::env::var_os("A_IS_TOLD_LAST").map(|_| b"a".as_slice());
        let (glue, events) =
            Glue::start(Options { probe: Some(panic_if_told), groups_max: GROUPS_MAX, spares, told_last });
        run(glue, events).await;
    })
    .expect("the owner thread runs");
}

fn panic_if_told(_: Probe) {
    assert!(!OOPS.swap(false, Ordering::Relaxed), "told to");
}

async fn run(glue: Glue, mut events: Events) {
    let mut lines = stdin_lines();
    let worst = Rc::new(RefCell::new(Duration::ZERO));
    tokio::task::spawn_local(tick(worst.clone()));
    let mut program = Program::default();
    loop {
        program.feed(&glue);
        tokio::select! {
            event = events.next(), if !program.hold => match event {
                Some(event) => program.take(event),
                None => return,
            },
            line = lines.recv() => match line {
                Some(line) => program.obey(&line, &glue, &worst),
                None => return,
            },
        }
    }
}

/// Measures how late its own ticks are: what a daemon on this thread would feel.
async fn tick(worst: Rc<RefCell<Duration>>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        interval.tick().await;
        let late = last.elapsed().saturating_sub(TICK);
        last = Instant::now();
        worst.replace_with(|worst| late.max(*worst));
    }
}

fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn say(value: serde_json::Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").expect("the test reads");
    out.flush().expect("the test reads");
}

impl Program {
    fn take(&mut self, event: Event) {
        if let Event::Message { from, bytes, .. } = &event
            && self.quiet
        {
            let number = bytes.first_chunk().map(|number| u64::from_le_bytes(*number));
            let next = self.count.entry(from.nodeid).or_default();
            self.out_of_order += u64::from(number != Some(*next));
            *next += 1;
            return;
        }
        say(json!({ "event": event }));
    }

    /// Puts as much of the flood into the queue as it takes.
    fn feed(&mut self, glue: &Glue) {
        let Some(flood) = &mut self.flood else { return };
        while flood.next < flood.count {
            let mut bytes = vec![0; flood.len.max(8)];
            bytes[..8].copy_from_slice(&flood.next.to_le_bytes());
            match glue.multicast(&flood.group, bytes) {
                Ok(()) => flood.next += 1,
                Err(Refused::QueueFull { .. }) => return,
                Err(why) => return say(json!({ "refused": why.to_string() })),
            }
        }
        say(json!({ "flooded": flood.count }));
        self.flood = None;
    }

    fn obey(&mut self, line: &str, glue: &Glue, worst: &RefCell<Duration>) {
        let words: Vec<&str> = line.split(' ').collect();
        let group = || GroupName::new(words[1]).expect("a group name");
        let number = |n: usize| words[n].parse::<u64>().expect("a number");
        let result = match words[0] {
            "join" => glue.join(&group()),
            "leave" => glue.leave(&group()),
            "send" => glue.multicast(&group(), words[2..].join(" ").into_bytes()),
            "answer" => glue.answer_shutdown(if words[1] == "yes" { Verdict::Yes } else { Verdict::No }),
            "kill" => glue.kill_node(NodeId(words[1].parse().expect("a nodeid")), "test"),
            other => {
                match other {
                    "flood" => {
                        let len = usize::try_from(number(3)).expect("a length");
                        self.flood = Some(Flood { group: group(), next: 0, count: number(2), len });
                    }
                    "quiet" => self.quiet = true,
                    "hold" => self.hold = true,
                    "go" => self.hold = false,
                    "oops" => OOPS.store(true, Ordering::Relaxed),
                    "close" => glue.close(),
                    "count" => say(json!({ "count": self.count, "out_of_order": self.out_of_order })),
                    "foreign" => foreign(format!("{}\0", words[1])),
                    "inspect" => look(Duration::from_millis(number(1))),
                    "open" => {
                        let open = std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count();
                        say(json!({ "open": open }));
                    }
                    "cpu" => say(json!({ "cpu_us": cpu_us() })),
                    "latency" => {
                        let max_us = worst.take().as_micros() as u64;
                        say(json!({ "latency_us": max_us }));
                    }
                    "state" => {
                        let oldest = glue.oldest_unreturned(&group()).map(|at| at.elapsed().as_millis() as u64);
                        let (waiting, unreturned) = (glue.waiting(&group()), glue.unreturned(&group()));
                        let state = json!({ "waiting": waiting, "unreturned": unreturned, "oldest_ms": oldest });
                        say(json!({ "state": state }));
                    }
                    _ => panic!("unknown line {line:?}"),
                }
                Ok(())
            }
        };
        if let Err(why) = result {
            say(json!({ "refused": why.to_string() }));
        }
    }
}

/// As the scheduler counts it, thread by thread: nanoseconds are the first word.
fn cpu_us() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("proc is mounted").flatten();
    let spent = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    spent.filter_map(|words| words.split(' ').next()?.parse::<u64>().ok()).sum::<u64>() / 1000
}

/// Joins under a name that ends in NUL, and stays.
fn foreign(name: String) {
    std::thread::Builder::new()
        .stack_size(cpg_glue::OWNER_STACK_LEN)
        .spawn(move || {
            let model = cpg::Model1Data {
                flags: cpg::Model1Flags::None,
                deliver_fn: None,
                confchg_fn: None,
                totem_confchg_fn: None,
            };
            let handle = cpg::initialize(&cpg::ModelData::ModelV1(model), 0).expect("corosync runs");
            cpg::join(&handle, &name).expect("it can be joined");
            cpg::mcast_joined(&handle, cpg::Guarantee::TypeAgreed, b"foreign").expect("it can be sent");
            say(json!({ "foreign": true }));
            std::thread::park();
        })
        .expect("a thread can be made");
}

/// Asks what a command without the daemon asks. Not on the loop: it waits.
fn look(within: Duration) {
    std::thread::spawn(move || {
        let all = || -> Result<_, Error> {
            let (groups, config) = (inspect::groups(within)?, inspect::config(within)?);
            Ok(json!({ "groups": groups, "config": config, "quorum": inspect::quorum(within)? }))
        };
        say(json!({ "inspect": all().unwrap_or_else(|error| json!(error.to_string())) }));
    });
}
