//! A corosync of several nodes as its clients see it: CPG, the ring callback, and quorum on a stream of its own.
//!
//! What is modelled, each with its recorded trace (`tests/traces`, `suites/traces.rs` replays them):
//!
//! * one agreed order per ring of all joins, leaves and messages; a message waits while the ring is broken and
//!   is delivered in the next one, also to nodes that were elsewhere when it was sent;
//! * a new ring is announced on each handle as NODEDOWN, then NODEUP, then processes that vanished, then the
//!   ring; quorum follows on another stream, in no order to it;
//! * a node starts in a ring of its own and merges later; a quick restart is NODEDOWN and NODEUP in one go;
//! * a stopped corosync is silent until it is resumed, and learns late what the others decided;
//! * a terminated one reports its clients PROCDOWN first, and its node goes without a token loss;
//! * ghosts: a node that dies between its join list and the barrier is announced in the next ring.
//!
//! Modelled without a trace that it could replay: links that are not transitive, rings that order nothing, calls that
//! are to be tried again. Not modelled: flow control, messages above one fragment,
//! more than 128 members, names with NUL. Time is virtual; chance comes from one seed.

mod calls;
mod node;
mod ring;

use self::node::{Node, Stream};
use super::agenda::{Agenda, MS, Micros};
use super::rng::Rng;
use agent_core::event::Reason;
use agent_core::ids::{Member, RingId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub use self::calls::CallError;

/// A CPG handle: one socket of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle {
    /// Node it runs on.
    pub node: u32,
    /// Its process.
    pub pid: u32,
    /// Which of the process's handles.
    pub number: u32,
}

impl Handle {
    /// The process as a member of a group.
    #[must_use]
    pub fn member(self) -> Member {
        Member { nodeid: self.node, pid: self.pid }
    }
}

/// One callback.
#[allow(missing_docs, reason = "the fields are those of the callback")]
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// cpg_confchg_fn: `members` after the change.
    Confchg { group: Rc<str>, members: Vec<Member>, left: Vec<(Member, Reason)>, joined: Vec<(Member, Reason)> },
    /// cpg_deliver_fn. `order` is the place in the agreed order, which no real client is told.
    Deliver { group: Rc<str>, from: Member, bytes: Rc<[u8]>, order: u64 },
    /// cpg_totem_confchg_fn.
    Totem { ring: RingId, nodes: Vec<u32> },
    /// quorum_nodelist_notification_fn.
    Nodelist { ring: RingId, nodes: Vec<u32>, joined: Vec<u32>, left: Vec<u32> },
    /// quorum_notification_fn.
    Quorum { ring: RingId, quorate: bool, nodes: Vec<u32> },
    /// The connection broke: dispatch fails with CS_ERR_LIBRARY.
    Lost,
}

/// Who is called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// A CPG handle.
    Cpg(Handle),
    /// A quorum tracker.
    Quorum {
        /// Node it runs on.
        node: u32,
        /// Its process.
        pid: u32,
    },
}

impl Listener {
    /// Node it runs on.
    #[must_use]
    pub fn node(self) -> u32 {
        match self {
            Listener::Cpg(handle) => handle.node,
            Listener::Quorum { node, .. } => node,
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(self) -> u32 {
        match self {
            Listener::Cpg(handle) => handle.pid,
            Listener::Quorum { pid, .. } => pid,
        }
    }
}

/// How long things take, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Token loss is noticed after this.
    pub token: Micros,
    /// And a new ring stands after this more.
    pub consensus: Micros,
    /// From a link that works again to the merge.
    pub merge: Micros,
    /// From the new ring to its activation.
    pub sync: Micros,
    /// From a call to its place in the order.
    pub latency: Micros,
    /// From the order to the client.
    pub lag: Micros,
    /// From the activation of CPG to quorum's word.
    pub quorum: Micros,
}

impl Timing {
    /// corosync's defaults for so many nodes: the token grows by 650 ms for each node above two.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        let token = 1_000 * MS + 650 * MS * (nodes.max(2) as u64 - 2);
        Timing {
            token,
            consensus: token * 6 / 5,
            merge: 1_700 * MS,
            sync: 4 * MS,
            latency: 300,
            lag: 200,
            quorum: 2 * MS,
        }
    }

    /// Until a lost node is out of the ring.
    #[must_use]
    pub fn detection(&self) -> Micros {
        self.token + self.consensus
    }
}

/// Whether chance has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// Everything takes exactly its time, no message is lost half-way, no ghosts unless asked for.
    Off,
    /// Times vary, messages are cut off half-way, ghosts appear.
    On,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Corosync {
    now: Micros,
    rng: Rng,
    chance: Chance,
    timing: Timing,
    configured: BTreeSet<u32>,
    /// quorum.expected_votes; the nodelist counts where it is not set.
    expected_votes: Option<usize>,
    nodes: BTreeMap<u32, Node>,
    agenda: Agenda<Due>,
    ring_seq: u64,
    formation: u64,
    ordered: u64,
    ghost_wanted: bool,
    /// Nodes that do not hear each other although both may hear a third.
    cut: BTreeSet<(u32, u32)>,
}

#[derive(Clone, Debug)]
enum Due {
    /// This node's next message gets its place.
    Order(u32),
    /// The nodes that hear each other form rings, unless a later change of the network has come.
    Form(u64),
    /// All members of the ring reach the barrier.
    Activate(RingId),
    /// A callback arrives at its client, unless that corosync is gone.
    Call { listener: Listener, seen: Seen, life: u32 },
}

/// RingId.seq grows by this at each formation.
const RING_SEQ_STEP: u64 = 4;

impl Corosync {
    /// Nodes that are all down.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = u32>, timing: Timing, chance: Chance, rng: Rng) -> Self {
        let configured: BTreeSet<u32> = nodes.into_iter().collect();
        Corosync {
            now: 0,
            rng,
            chance,
            timing,
            nodes: configured.iter().map(|id| (*id, Node::new(*id))).collect(),
            configured,
            expected_votes: None,
            agenda: Agenda::default(),
            ring_seq: 0,
            formation: 0,
            ordered: 0,
            ghost_wanted: false,
            cut: BTreeSet::new(),
        }
    }

    /// Nodes that are all up, in one ring.
    #[must_use]
    pub fn running(nodes: impl IntoIterator<Item = u32>, timing: Timing) -> Self {
        let mut corosync = Corosync::new(nodes, timing, Chance::Off, Rng::new(0));
        corosync.ring_seq = RING_SEQ_STEP;
        let all = corosync.configured.clone();
        let ring = RingId { nodeid: all.first().copied().unwrap_or(0), seq: RING_SEQ_STEP };
        for node in corosync.nodes.values_mut() {
            node.start(ring, &all);
        }
        corosync
    }

    /// These nodes have not been started yet, and the others never saw them.
    pub fn never_started(&mut self, down: &BTreeSet<u32>) {
        let up: BTreeSet<u32> = self.nodes.keys().copied().filter(|node| !down.contains(node)).collect();
        let ring = RingId { nodeid: up.first().copied().unwrap_or(0), seq: self.ring_seq };
        for (id, node) in &mut self.nodes {
            *node = Node::new(*id);
            if up.contains(id) {
                node.start(ring, &up);
            }
        }
    }

    /// From here on chance comes from here.
    pub fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// How long things take.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Changes how long things take from here on.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// When something happens next.
    #[must_use]
    pub fn next_at(&self) -> Option<Micros> {
        self.agenda.next_at()
    }

    /// Lets time pass without anything happening.
    pub fn pass(&mut self, now: Micros) {
        self.now = self.now.max(now);
    }

    /// Whether anything is under way: a callback, a message, a ring.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.agenda.next_at().is_some()
    }

    /// The next thing that happens; a callback if it was one.
    pub fn step(&mut self) -> Option<(Listener, Seen)> {
        let (at, due) = self.agenda.take()?;
        self.pass(at);
        match due {
            Due::Order(node) => self.order(node),
            Due::Form(formation) if formation == self.formation => self.form(),
            Due::Form(_) => {}
            Due::Activate(ring) => self.activate(ring),
            Due::Call { listener, seen, life } => {
                let current = self.nodes.get(&listener.node()).is_some_and(|node| node.life == life);
                if current || seen == Seen::Lost {
                    return Some((listener, seen));
                }
            }
        }
        None
    }

    /// Nodes of the last ring this node took part in, if it runs.
    #[must_use]
    pub fn ring_of(&self, node: u32) -> Option<(RingId, BTreeSet<u32>)> {
        let node = self.nodes.get(&node).filter(|node| node.up)?;
        Some((node.ring, node.ring_nodes.clone()))
    }

    /// Whether corosync runs on this node.
    #[must_use]
    pub fn is_up(&self, node: u32) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.up)
    }

    /// Whether the process is in a group, by the corosync of its own node.
    #[must_use]
    pub fn lists_its_own(&self, member: Member) -> bool {
        let node = self.nodes.get(&member.nodeid).filter(|node| node.up);
        node.is_some_and(|node| node.processes.iter().any(|(_, listed)| *listed == member))
    }

    /// Whether the node is between a new ring and its activation.
    #[must_use]
    pub fn is_syncing(&self, node: u32) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.up && node.syncing)
    }

    /// Whether this ring holds a majority of the configured nodes.
    #[must_use]
    pub fn has_majority(&self, nodes: &BTreeSet<u32>) -> bool {
        nodes.len() * 2 > self.expected_votes.unwrap_or(self.configured.len())
    }

    /// Fixes the votes, whatever the nodelist says: a nodelist that shrinks during a partition would make both sides
    /// quorate.
    pub fn expect_votes(&mut self, votes: usize) {
        self.expected_votes = Some(votes);
    }

    /// A new nodelist; quorum is counted by it from the next ring on.
    pub fn configure(&mut self, nodes: BTreeSet<u32>) {
        for id in &nodes {
            self.nodes.entry(*id).or_insert_with(|| Node::new(*id));
        }
        self.configured = nodes;
    }

    /// The next ring that forms while another is being synchronised brings back whom it lost as ghosts.
    pub fn want_ghost(&mut self) {
        self.ghost_wanted = true;
    }

    fn jitter(&mut self, time: Micros) -> Micros {
        match self.chance {
            Chance::Off => time,
            Chance::On => time / 2 + self.rng.below(time),
        }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.chance == Chance::On && self.rng.chance(percent)
    }

    /// Calls a client back, after what it was called with before.
    fn call(&mut self, listener: Listener, seen: Seen, after: Micros) {
        let lag = self.jitter(self.timing.lag);
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&listener.node()) else { return };
        let life = node.life;
        let Some(stream) = node.streams.get_mut(&listener) else { return };
        let at = stream.next(now + after + lag);
        self.agenda.plan(at, Due::Call { listener, seen, life });
    }
}

impl Stream {
    /// The next moment at which this client can be called.
    fn next(&mut self, wanted: Micros) -> Micros {
        self.last = wanted.max(self.last + 1);
        self.last
    }
}
