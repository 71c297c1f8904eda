//! Several machines and one world: a corosync that keeps the promises of the real one, and clients that
//! answer at once or when told.
//!
//! What is promised: one total order of all messages, joins and leaves; each handle sees its part of it in
//! that order; across handles there is no order ([`Cluster::step_any`]) but what the edge makes of it
//! ([`Cluster::step_never_behind`]); on a ring change first the lost nodes, then the found ones, then the totem callback, and
//! libquorum a little later.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

mod corosync;
mod doing;
mod faults;
mod ghosts;
#[path = "../original/mod.rs"]
pub mod original;
mod steps;

use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::ids::{ClientId, CpgId, EventNr, Member, NodeId, RingId};
use groupd_compat::machine::{Event, Machine, Reason, Settings};
use groupd_compat::names::{GroupName, Level};
use groupd_compat::records::Reply;
use groupd_compat::verbs::{Callback, Request};
use original::{Node, Original};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A libcpg or libquorum handle, or all clients: callbacks of one come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handle {
    Cpg(CpgId),
    Quorum,
    Clients,
}

/// One running daemon.
pub struct Daemon {
    pub machine: Node,
    pid: u32,
    /// No two have the same.
    life: u32,
    handles: BTreeMap<Handle, VecDeque<Event>>,
    /// Handles in the order of their callbacks, so that the usual case is the order in which things happened.
    arrivals: VecDeque<Handle>,
    names: BTreeMap<CpgId, Vec<u8>>,
    /// Members of each CPG as last announced to this handle.
    views: BTreeMap<CpgId, BTreeSet<u32>>,
    /// Ghosts of each CPG as last announced to this handle.
    ghosts: BTreeMap<CpgId, BTreeSet<Member>>,
    clients: BTreeMap<Level, ClientId>,
    pub exit: Option<groupd_compat::machine::Exit>,
}

impl Daemon {
    /// Is there such a group on this level? Only an original tells a client of another one (Q2), which does not answer.
    fn serves(&self, at: Level, name: &GroupName) -> bool {
        let Node::Original(original) = &self.machine else { return true };
        original.status().groups.iter().any(|group| group.key.level == at && group.key.name == *name)
    }
}

pub struct Cluster {
    pub daemons: BTreeMap<u32, Daemon>,
    /// Members of each CPG by name, with the handle.
    cpgs: BTreeMap<Vec<u8>, BTreeMap<u32, CpgId>>,
    /// Which nodes see each other. Nodes whose corosync is down are in none.
    sides: Vec<BTreeSet<u32>>,
    size: usize,
    seq: u64,
    /// The ring of each node.
    rings: BTreeMap<u32, RingId>,
    lives: u32,
    /// Of each node's last daemon.
    pids: BTreeMap<u32, u32>,
    /// Of each node, since it was switched on: a boot gives a daemon the process id that it had after the last one.
    starts: BTreeMap<u32, u32>,
    next_client: u64,
    /// The next daemon of this node is in the process of its last.
    again: Option<u32>,
    pub now: u64,
    /// Nodes whose clients answer only when told.
    pub manual: BTreeSet<(u32, Level)>,
    pub settings: fn(NodeId) -> Settings,
    /// Nodes whose daemon is the original.
    pub originals: BTreeSet<u32>,
    pub log: Vec<String>,
    kills: BTreeSet<u32>,
    /// Each departure of a process that ended is a message of its own in corosync, and others come in between.
    pub ragged: bool,
    /// Departures that are still to be ordered: of which node, from which CPG, who, how.
    departing: Vec<(u32, Vec<u8>, Member, Reason)>,
    /// Processes that have ended, and that corosync goes on listing.
    ghosts: ghosts::Ghosts,
    /// Everything each client was told.
    pub told: BTreeMap<(u32, Level), Vec<Callback>>,
    pub replies: Vec<(u32, Reply)>,
    timers: BTreeMap<u32, u64>,
}

pub fn level(level: i64) -> Level {
    Level::try_from(level).expect("a level")
}

pub fn name(name: &str) -> GroupName {
    GroupName::new(name.as_bytes()).expect("a name")
}

impl Cluster {
    /// `size` nodes, all up and quorate, a daemon on each.
    pub fn new(size: u32) -> Self {
        Cluster::with_originals(size, BTreeSet::new())
    }

    /// The same, with the original on some of them.
    pub fn with_originals(size: u32, originals: BTreeSet<u32>) -> Self {
        let mut cluster = Cluster::without_daemons(size, Settings::libgroup);
        cluster.originals = originals;
        for node in 1..=size {
            cluster.start_daemon(node);
        }
        cluster.settle();
        cluster.log.clear();
        cluster
    }

    pub fn without_daemons(size: u32, settings: fn(NodeId) -> Settings) -> Self {
        Cluster {
            daemons: BTreeMap::new(),
            cpgs: BTreeMap::new(),
            sides: vec![(1..=size).collect()],
            size: size as usize,
            seq: 4,
            rings: (1..=size).map(|node| (node, RingId { representative: 1, seq: 4 })).collect(),
            lives: 0,
            pids: BTreeMap::new(),
            starts: BTreeMap::new(),
            next_client: 0,
            again: None,
            now: 0,
            manual: BTreeSet::new(),
            settings,
            originals: BTreeSet::new(),
            log: Vec::new(),
            kills: BTreeSet::new(),
            ragged: false,
            departing: Vec::new(),
            ghosts: ghosts::Ghosts::default(),
            told: BTreeMap::new(),
            replies: Vec::new(),
            timers: BTreeMap::new(),
        }
    }

    // ---- what a test does ----

    pub fn start_daemon(&mut self, node: u32) {
        self.depart_all(node);
        self.lives += 1;
        let starts = self.starts.entry(node).or_default();
        *starts += 1;
        let pid = 1000 + *starts;
        self.pids.insert(node, pid);
        let again = self.again.take_if(|it| *it == node).is_some();
        let settings = Settings { again, ..(self.settings)(NodeId(node)) };
        let original = self.originals.contains(&node);
        let daemon = Daemon {
            machine: if original {
                Node::Original(Box::new(Original::new(settings)))
            } else {
                Node::Ours(Box::new(Machine::new(settings)))
            },
            pid,
            life: self.lives,
            handles: BTreeMap::new(),
            arrivals: VecDeque::new(),
            names: BTreeMap::new(),
            views: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            clients: BTreeMap::new(),
            exit: None,
        };
        self.daemons.insert(node, daemon);
        self.handle(node, Event::Started);
        let side = self.side_of(node);
        self.tell_ring(node, &side, &[]);
    }

    /// What the client of this level on this node asks for.
    pub fn ask(&mut self, node: u32, at: Level, request: Request) {
        let Some(client) = self.client(node, at) else { return };
        self.handle(node, Event::Asked(client, Ok(request)));
    }

    pub fn join(&mut self, node: u32, at: i64, group: &str) {
        self.ask(node, level(at), Request::Join { name: name(group) });
    }

    pub fn leave(&mut self, node: u32, at: i64, group: &str) {
        self.ask(node, level(at), Request::Leave { name: name(group) });
    }

    pub fn stop_done(&mut self, node: u32, at: i64, group: &str) {
        self.ask(node, level(at), Request::StopDone { name: name(group) });
    }

    /// Answers the last start that this client was told.
    pub fn start_done(&mut self, node: u32, at: i64, group: &str) {
        let nr = self.last_start(node, at, group).expect("a start");
        self.ask(node, level(at), Request::StartDone { name: name(group), nr });
    }

    pub fn last_start(&self, node: u32, at: i64, group: &str) -> Option<EventNr> {
        self.told_to(node, at).iter().rev().find_map(|callback| match callback {
            Callback::Start { name, nr, .. } if name.as_bytes() == group.as_bytes() => Some(*nr),
            _ => None,
        })
    }

    pub fn told_to(&self, node: u32, at: i64) -> &[Callback] {
        self.told.get(&(node, level(at))).map_or(&[], Vec::as_slice)
    }

    /// As `told_to`, in the words of the wire.
    pub fn words(&self, node: u32, at: i64) -> Vec<String> {
        self.told_to(node, at).iter().map(shown_callback).collect()
    }

    pub fn client_dies(&mut self, node: u32, at: i64) {
        let Some(daemon) = self.daemons.get_mut(&node) else { return };
        if let Some(client) = daemon.clients.remove(&level(at)) {
            self.handle(node, Event::ClientGone(client));
        }
    }

    pub fn manual(&mut self, node: u32, at: i64) {
        self.manual.insert((node, level(at)));
    }

    pub fn auto(&mut self, node: u32, at: i64) {
        self.manual.remove(&(node, level(at)));
    }

    pub fn sigterm(&mut self, node: u32) {
        self.handle(node, Event::StopAsked);
    }

    /// Hands over everything that is on its way, in the order in which it happened, until nothing is.
    /// Nodes that were asked to be killed die when all is quiet.
    pub fn settle(&mut self) {
        loop {
            while self.step() {}
            if !self.kill_one() {
                break;
            }
        }
    }

    /// The next of those that were asked to be killed dies. False if there is none.
    pub fn kill_one(&mut self) -> bool {
        let Some(node) = self.kills.pop_first() else { return false };
        if self.sides.iter().any(|side| side.contains(&node)) {
            self.crash(node);
        }
        true
    }

    /// Are these two in one ring?
    pub fn sees(&self, node: u32, other: u32) -> bool {
        self.side_of(node).contains(&other)
    }

    /// Is the news on its way to `node` that its ring lost `other`? Then only fencing can keep the two apart.
    pub fn is_to_lose(&self, node: u32, other: u32) -> bool {
        let lost = |event: &Event| matches!(event, Event::ViewChanged(_, view) if view.left.iter().any(|(it, _)| it.node.0 == other));
        let control = self.daemons.get(&node).and_then(|daemon| daemon.handles.get(&Handle::Cpg(CpgId::CONTROL)));
        control.is_some_and(|queue| queue.iter().any(lost))
    }

    /// As [`Cluster::settle`], but nobody is killed.
    pub fn settle_without_kills(&mut self) {
        while self.step() {}
    }

    pub fn execute_kills(&mut self) {
        self.settle();
    }

    pub fn kills(&self) -> &BTreeSet<u32> {
        &self.kills
    }

    /// The handle of the CPG of that name on this node.
    pub fn handle_of(&self, node: u32, name: &[u8]) -> Option<Handle> {
        self.daemons.get(&node)?.names.iter().find(|(_, known)| *known == name).map(|(&cpg, _)| Handle::Cpg(cpg))
    }

    pub fn pass_time(&mut self, ms: u64) {
        self.now += ms;
        let due: Vec<u32> = self.timers.iter().filter(|&(_, &at)| at <= self.now).map(|(&node, _)| node).collect();
        for node in due {
            self.timers.remove(&node);
            self.handle(node, Event::TimerFired);
        }
    }

    /// Why each group does not go on, one line each.
    pub fn waits(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (node, daemon) in &self.daemons {
            for group in daemon.machine.status().groups {
                if let Some(wait) = group.waits {
                    out.push(format!("n{node} . {} waits: {wait}", group.key));
                }
            }
        }
        out
    }

    /// Hands a node an event that the world did not make.
    pub fn inject(&mut self, node: u32, event: Event) {
        self.handle(node, event);
    }

    /// A message of any process on a node, through a CPG.
    pub fn multicast_as(&mut self, node: u32, pid: u32, cpg: &[u8], bytes: &[u8]) {
        let from = Member { node: NodeId(node), pid };
        self.order_message(node, from, cpg, &Message::decode(bytes));
    }

    pub fn pid(&self, node: u32) -> u32 {
        self.daemons[&node].pid
    }

    /// Of one node, each daemon that it has had has another.
    pub fn life(&self, node: u32) -> u32 {
        self.daemons[&node].life
    }
}

pub fn shown_callback(callback: &Callback) -> String {
    let frame = callback.encode().expect("fits");
    frame.text().escape_ascii().to_string()
}

pub fn shown_message(message: &Message) -> String {
    match message {
        Message::Step { step, key, id, .. } => {
            let step = match step {
                Step::Stopped => "STOPPED",
                Step::Started => "STARTED",
                Step::Recover => "RECOVER",
            };
            format!("{step} {key} {id}")
        }
        Message::Data { data, .. } => format!("DATA {}", data.escape_ascii()),
        Message::GlobalId(id) => format!("GLOBAL_ID {:#x}", id.0),
        Message::Version(v) => {
            format!(
                "VERSION node {} generation {} mode {} compat {} groups {}",
                v.node, v.generation, v.mode, v.compat, v.groups
            )
        }
    }
}
