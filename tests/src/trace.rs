//! A recording of real corosync, and the same calls and faults given to the simulated one.

use crate::sim::agenda::{MS, Micros};
use crate::sim::corosync::{CallError, Corosync, Handle, Listener, Seen, Timing};
use agent_core::event::Reason;
use agent_core::ids::Member;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A recording.
#[derive(Debug)]
pub struct Trace {
    header: Value,
    lines: Vec<Value>,
}

/// What one listener was called back with, in order; nothing that depends on the run (ring numbers, time).
pub type Heard = BTreeMap<Listener, Vec<String>>;

/// What the harness and the processes did.
#[derive(Clone, Debug)]
enum Deed {
    Connect(Handle),
    ConnectWithoutRing(Handle),
    TrackQuorum(u32, u32),
    Join(Handle, String),
    Leave(Handle),
    Multicast(Handle, String),
    Finalize(Handle),
    Exit(u32, u32),
    Crash(u32),
    Terminate(u32),
    Start(u32),
    Pause(u32),
    Resume(u32),
    Partition(Vec<Vec<u32>>),
    Heal,
    /// The node killed next, in the middle of a merge, will be a ghost.
    WantGhost,
}

/// A process that was told to try again does so.
const RETRY: Micros = 2 * MS;
/// The exits of the teardown come within this time before the end.
const TEARDOWN: i64 = 400_000;
/// The ring is told to a handle that has asked for it so soon around its own join, in microseconds.
const INITIAL_RING: i64 = 100_000;
/// From corosync's end to what its clients notice, in microseconds.
const NOTICED_BY_CLIENT: i64 = 2_000;
/// corosync's exit status when another node has killed it.
const KILLED_BY_PEER: i64 = 255;
/// From that to the harness's notice.
const NOTICED_AFTER: i64 = 15_000;

impl Trace {
    /// Reads a file.
    #[must_use]
    pub fn read(path: &Path) -> Trace {
        let text = fs::read_to_string(path).expect("a readable recording");
        let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("a JSON line"));
        let header = lines.next().expect("a header");
        Trace { header, lines: lines.collect() }
    }

    /// What the real listeners were called back with.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let mut heard = Heard::new();
        let end = self.end();
        for line in self.lines.iter().filter(|line| number(line, "t") < end) {
            if let Some(told) = told_by_trace(line) {
                let (node, pid) = (small(line, "node"), small(line, "pid"));
                let listener = match word(line, "ev") {
                    "nodelist" | "quorum" => Listener::Quorum { node, pid },
                    _ => Listener::Cpg(Handle { node, pid, number: small(line, "h") }),
                };
                heard.entry(listener).or_default().push(told);
            }
        }
        heard
    }

    /// What the simulated ones are called back with.
    #[must_use]
    pub fn simulated(&self) -> Heard {
        let mut corosync = self.at_the_beginning();
        let mut deeds: BTreeMap<(Micros, usize), Deed> = BTreeMap::new();
        for (index, (at, deed)) in self.deeds().into_iter().enumerate() {
            deeds.insert((at, index), deed);
        }
        let end = Micros::try_from(self.end()).unwrap_or_default();
        let mut heard = Heard::new();
        loop {
            let deed = deeds.first_key_value().map(|((at, _), _)| *at);
            let next = corosync.next_at().into_iter().chain(deed).min().filter(|at| *at < end);
            let Some(next) = next else { return heard };
            if deed == Some(next) {
                let Some(((_, index), deed)) = deeds.pop_first() else { continue };
                corosync.pass(next);
                if !perform(&mut corosync, &deed) {
                    deeds.insert((next + RETRY, index), deed);
                }
            } else if let Some((listener, seen)) = corosync.step() {
                heard.entry(listener).or_default().extend(told_by_simulation(&seen));
            }
        }
    }

    fn at_the_beginning(&self) -> Corosync {
        let five = self.lines.iter().any(|line| number(line, "node") > 3);
        let nodes: Vec<u32> = (1..=if five { 5 } else { 3 }).collect();
        let mut corosync = Corosync::running(nodes.clone(), Timing::of(nodes.len()));
        let starts_first = |node: &u32| {
            let of_node = self.lines.iter().filter(|line| small(line, "target") == *node && number(line, "node") == 0);
            let mut faults = of_node.map(|line| word(line, "ev")).filter(|ev| ev.starts_with("corosync_"));
            faults.next() == Some("corosync_start")
        };
        let down: BTreeSet<u32> = nodes.into_iter().filter(starts_first).collect();
        corosync.never_started(&down);
        corosync
    }

    /// Before the teardown.
    fn end(&self) -> i64 {
        let last = self.lines.iter().map(|line| number(line, "t")).max().unwrap_or(0);
        let exits = self.lines.iter().filter(|line| word(line, "ev") == "exit").map(|line| number(line, "t"));
        exits.filter(|t| *t > last - TEARDOWN).min().unwrap_or(last)
    }

    fn deeds(&self) -> Vec<(Micros, Deed)> {
        let mut deeds: Vec<(i64, Deed)> = self.lines.iter().flat_map(|line| self.deed(line)).collect();
        deeds.sort_by_key(|(at, _)| *at);
        deeds.into_iter().map(|(at, deed)| (Micros::try_from(at).unwrap_or(0), deed)).collect()
    }

    fn deed(&self, line: &Value) -> Option<(i64, Deed)> {
        let (at, target) = (number(line, "t"), small(line, "target"));
        let deed = match word(line, "ev") {
            "corosync_signal" => match number(line, "sig") {
                9 => Deed::Crash(target),
                15 => Deed::Terminate(target),
                19 => Deed::Pause(target),
                _ => Deed::Resume(target),
            },
            "corosync_start" => Deed::Start(target),
            "corosync_stopped" => Deed::Pause(target),
            "ghost_seen" => return Some((0, Deed::WantGhost)),
            "corosync_state" if line["up"] == Value::Bool(false) => {
                let noticed =
                    self.lines.iter().find(|l| word(l, "ev") == "dispatch_err" && small(l, "node") == target)?;
                return Some((number(noticed, "t") - NOTICED_BY_CLIENT, Deed::Terminate(target)));
            }
            "corosync_exited" if number(line, "rc") == KILLED_BY_PEER => {
                return Some((at - NOTICED_AFTER, Deed::Crash(target)));
            }
            "link" if line["up"] == Value::Bool(true) => Deed::Heal,
            "link" => Deed::Partition(vec![vec![], vec![target]]),
            "partition" => Deed::Partition(serde_json::from_value(line["groups"].clone()).ok()?),
            "heal" => Deed::Heal,
            "signal" if number(line, "sig") == 9 => self.killed(word(line, "target"))?,
            "exit" => Deed::Exit(small(line, "node"), small(line, "pid")),
            "call" if word(line, "rc") == "OK" => return Some((at - number(line, "us"), self.call(line)?)),
            _ => return None,
        };
        Some((at, deed))
    }

    fn killed(&self, name: &str) -> Option<Deed> {
        let processes = self.header["procs"].as_object()?;
        let (pid, _) = processes.iter().find(|(_, process)| *process == name)?;
        let node = name.strip_prefix('n')?.split('.').next()?;
        Some(Deed::Exit(node.parse().ok()?, pid.parse().ok()?))
    }

    fn call(&self, line: &Value) -> Option<Deed> {
        let handle = Handle { node: small(line, "node"), pid: small(line, "pid"), number: small(line, "h") };
        Some(match word(line, "fn") {
            "cpg_initialize" if self.asks_for_ring(line) => Deed::Connect(handle),
            "cpg_initialize" => Deed::ConnectWithoutRing(handle),
            "quorum_trackstart" => Deed::TrackQuorum(handle.node, handle.pid),
            "cpg_join" => Deed::Join(handle, word(line, "group").to_owned()),
            "cpg_leave" => Deed::Leave(handle),
            "cpg_mcast" => Deed::Multicast(handle, word(line, "msg").to_owned()),
            "cpg_finalize" => Deed::Finalize(handle),
            _ => return None,
        })
    }

    /// The flag is not recorded; whoever set it is told the ring with its own join.
    fn asks_for_ring(&self, initialize: &Value) -> bool {
        let since = number(initialize, "t");
        let of_handle = |line: &&Value| {
            ["node", "pid", "h"].iter().all(|name| line[*name] == initialize[*name]) && number(line, "t") > since
        };
        let mut lines = self.lines.iter().filter(of_handle);
        let me = serde_json::json!([initialize["node"], initialize["pid"], "JOIN"]);
        let Some(joined) = lines.find(|line| line["joined"] == Value::Array(vec![me.clone()])) else { return false };
        let mut rings = self.lines.iter().filter(of_handle).filter(|line| word(line, "ev") == "totem");
        rings.any(|line| (number(line, "t") - number(joined, "t")).abs() < INITIAL_RING)
    }
}

/// `false` if it is to be tried again.
fn perform(corosync: &mut Corosync, deed: &Deed) -> bool {
    let outcome = match deed {
        Deed::Connect(handle) => corosync.connect(*handle),
        Deed::ConnectWithoutRing(handle) => corosync.connect_without_ring(*handle),
        Deed::TrackQuorum(node, pid) => corosync.track_quorum(*node, *pid),
        Deed::Join(handle, group) => corosync.join(*handle, group),
        Deed::Leave(handle) => corosync.leave(*handle),
        Deed::Multicast(handle, text) => corosync.multicast(*handle, text.as_bytes()),
        other => {
            disturb(corosync, other);
            Ok(())
        }
    };
    !matches!(outcome, Err(CallError::TryAgain | CallError::Busy))
}

fn disturb(corosync: &mut Corosync, deed: &Deed) {
    match deed {
        Deed::Finalize(handle) => corosync.finalize(*handle),
        Deed::Exit(node, pid) => corosync.exit(*node, *pid),
        Deed::Crash(node) => corosync.crash(*node),
        Deed::Terminate(node) => corosync.terminate(*node),
        Deed::Start(node) => corosync.start(*node),
        Deed::Pause(node) => corosync.pause(*node),
        Deed::Resume(node) => corosync.resume(*node),
        Deed::Partition(sides) => corosync.partition(sides),
        Deed::Heal => corosync.heal(),
        Deed::WantGhost => corosync.want_ghost(),
        Deed::Connect(_)
        | Deed::ConnectWithoutRing(_)
        | Deed::TrackQuorum(..)
        | Deed::Join(..)
        | Deed::Leave(_)
        | Deed::Multicast(..) => {}
    }
}

fn told_by_trace(line: &Value) -> Option<String> {
    let list = |name: &str| -> BTreeSet<u32> { serde_json::from_value(line[name].clone()).unwrap_or_default() };
    Some(match word(line, "ev") {
        "confchg" => {
            let members: BTreeSet<(u32, u32)> = serde_json::from_value(line["members"].clone()).ok()?;
            let left: BTreeSet<(u32, u32, String)> = serde_json::from_value(line["left"].clone()).ok()?;
            let joined: BTreeSet<(u32, u32, String)> = serde_json::from_value(line["joined"].clone()).ok()?;
            confchg(word(line, "group"), &members, &left, &joined)
        }
        "totem" => format!("totem {:?}", list("members")),
        "nodelist" => format!("nodelist {:?} joined {:?} left {:?}", list("members"), list("joined"), list("left")),
        "quorum" => format!("quorum {} {:?}", number(line, "quorate") == 1, list("members")),
        _ => return None,
    })
}

fn told_by_simulation(seen: &Seen) -> Option<String> {
    let set = |nodes: &[u32]| -> BTreeSet<u32> { nodes.iter().copied().collect() };
    Some(match seen {
        Seen::Confchg { group, members, left, joined } => {
            let members = members.iter().map(|member| (member.nodeid, member.pid)).collect();
            confchg(group, &members, &with_words(left), &with_words(joined))
        }
        Seen::Totem { nodes, .. } => format!("totem {:?}", set(nodes)),
        Seen::Nodelist { nodes, joined, left, .. } => {
            format!("nodelist {:?} joined {:?} left {:?}", set(nodes), set(joined), set(left))
        }
        Seen::Quorum { quorate, nodes, .. } => format!("quorum {quorate} {:?}", set(nodes)),
        Seen::Deliver { .. } | Seen::Lost => return None,
    })
}

type Members = BTreeSet<(u32, u32)>;
type Changed = BTreeSet<(u32, u32, String)>;

fn confchg(group: &str, members: &Members, left: &Changed, joined: &Changed) -> String {
    format!("confchg {group} {members:?} left {left:?} joined {joined:?}")
}

fn with_words(list: &[(Member, Reason)]) -> Changed {
    let word = |reason: &Reason| match reason {
        Reason::Join => "JOIN",
        Reason::Leave => "LEAVE",
        Reason::NodeDown => "NODEDOWN",
        Reason::NodeUp => "NODEUP",
        Reason::ProcDown => "PROCDOWN",
        Reason::Unknown(_) => "?",
    };
    list.iter().map(|(member, reason)| (member.nodeid, member.pid, word(reason).to_owned())).collect()
}

fn word<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
}

fn number(line: &Value, name: &str) -> i64 {
    line[name].as_i64().unwrap_or(0)
}

fn small(line: &Value, name: &str) -> u32 {
    u32::try_from(number(line, name)).unwrap_or(0)
}
