//! N agent-cores and one world: what happens is stepped through one by one, in virtual time, from one seed.
//!
//! The agents are real: the same `handle` as in the daemon. Messages go as bytes through the codec, kernel
//! operations through `configfs::apply` into a model of the kernel, the state file through JSON. Everything
//! that an agent sees and decides is recorded.

mod daemon;
mod deeds;
mod outgoing;
mod user_stack;

use super::agenda::{Agenda, MS, Micros};
use super::corosync::{Chance, Corosync, Handle, Listener, Seen, Timing};
use super::host::{Daemon, Host};
use super::intruder::Intruder;
use super::recording::{Memory, Record};
use super::rng::Rng;
use agent_core::event::{ClusterConfig, ConfiguredNode, KernelRefusal, ViewChange};
use agent_core::ids::{NodeId, Tick, TimerToken};
use agent_core::{Agent, Event};
use configfs::{NodeNum, Op};
use proto::peer::{DecodeError, Message};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

pub use self::deeds::MountOutcome;
pub use self::user_stack::{Tool, user_stack};

/// The name of our group.
pub const GROUP: &str = agent_core::status::CONTROL_GROUP;

/// See the module.
#[derive(Clone, Debug)]
pub struct Cluster {
    now: Micros,
    rng: Rng,
    chance: Chance,
    agenda: Agenda<Due>,
    /// What the nodes talk through.
    pub corosync: Corosync,
    /// The machines.
    pub hosts: BTreeMap<u32, Host>,
    intruders: BTreeMap<Handle, Intruder>,
    config: ClusterConfig,
    memory: Memory,
    decoded: Decoded,
    lives: u64,
    requests: u64,
    /// What an agent gets next, once it knows that nothing had happened for long.
    after_quiet: Option<(u32, u64, Event, Option<u64>)>,
}

#[derive(Clone, Debug)]
enum Due {
    /// The daemon tries to connect to corosync.
    Connect { node: u32, life: u64 },
    /// The daemon reads cmap, with what it holds by then.
    Cmap { node: u32, life: u64 },
    /// Something for the agent; a message has its place in the agreed order.
    Event { node: u32, life: u64, event: Box<Event>, order: Option<u64> },
    /// A timer rings.
    Timer { node: u32, life: u64, token: TimerToken },
    /// The kernel has finished the next operation.
    Kernel { node: u32, life: u64 },
    /// corosync may take now what it did not take before.
    Resend { node: u32, life: u64 },
    /// init starts the daemon.
    StartDaemon { node: u32, boots: u32 },
    /// The disk heartbeat of a peer has been silent for too long.
    HeartbeatDead { node: u32, boots: u32, peer: NodeNum },
    /// mount(2) of a tool ends.
    Mount { node: u32, boots: u32 },
    /// The next deed of a plan.
    Planned(usize),
}

/// What one step did.
#[derive(Debug)]
pub enum Happening {
    /// Nothing that an agent or a kernel took part in.
    Other,
    /// An agent got an event: the last record of its host.
    Handled(u32),
    /// A kernel did, or refused, one operation.
    Kernel(Box<KernelDeed>),
    /// It is time for this deed of the plan.
    Planned(usize),
}

/// One operation in a kernel.
#[derive(Debug)]
pub struct KernelDeed {
    /// Whose kernel.
    pub node: u32,
    /// What was to be done.
    pub op: Op,
    /// Whether it was.
    pub result: Result<(), KernelRefusal>,
    /// Faults were injected into this kernel.
    pub tampered: bool,
}

/// A daemon that is told to try again waits so long,
const RETRY: Micros = 2 * MS;
/// twice as long each time, and in the end this long.
const RETRY_MAX: Micros = 50 * MS;

impl Cluster {
    /// Nodes 1 to `nodes`, all without power.
    #[must_use]
    pub fn new(nodes: u32, chance: Chance, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let ids: Vec<u32> = (1..=nodes).collect();
        let timing = Timing::of(ids.len());
        let corosync = Corosync::new(ids.clone(), timing, chance, rng.split());
        let config = ClusterConfig {
            cluster_name: "lab".into(),
            nodes: ids.iter().map(|id| (NodeId(*id), configured(*id))).collect(),
            token_ms: in_ms(timing.token),
            consensus_ms: in_ms(timing.consensus),
            lacks_quorum: false,
        };
        Cluster {
            now: 0,
            rng,
            chance,
            agenda: Agenda::default(),
            corosync,
            hosts: ids.iter().map(|id| (*id, Host::new(*id))).collect(),
            intruders: BTreeMap::new(),
            config,
            memory: Memory::All,
            decoded: Decoded::default(),
            lives: 0,
            requests: 0,
            after_quiet: None,
        }
    }

    /// From here on chance comes from this seed; not as in a new cluster of the same seed, or numbers that are to be
    /// used once would come again.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed).split();
        self.corosync.reseed(self.rng.split());
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Says what is kept of the past. What goes through JSON on its way to a disk does so only where all is kept: it
    /// is what takes the most time.
    pub fn remember(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// A node's agent, while its daemon runs.
    #[must_use]
    pub fn agent(&self, node: u32) -> Option<&Agent> {
        self.hosts.get(&node)?.agent()
    }

    /// The last thing a node's agent was given.
    #[must_use]
    pub fn last_record(&self, node: u32) -> Option<&Record> {
        self.hosts.get(&node)?.recordings.last()?.records.last()
    }

    /// Plans a deed: [`Happening::Planned`] comes back at its time.
    pub fn plan(&mut self, at: Micros, index: usize) {
        self.agenda.plan(at, Due::Planned(index));
    }

    /// Whether anything but timers is under way.
    #[must_use]
    pub fn is_active(&self) -> bool {
        let active = |due: &Due| !matches!(due, Due::Timer { .. } | Due::HeartbeatDead { .. });
        self.after_quiet.is_some() || self.corosync.is_busy() || self.agenda.iter().any(|(_, due)| active(due))
    }

    /// When the next step is.
    #[must_use]
    pub fn next_at(&self) -> Option<Micros> {
        let after_quiet = self.after_quiet.as_ref().map(|_| self.now);
        after_quiet.into_iter().chain(self.agenda.next_at()).chain(self.corosync.next_at()).min()
    }

    /// Lets time pass up to here without anything happening.
    pub fn pass(&mut self, until: Micros) {
        self.now = self.now.max(until);
        self.corosync.pass(self.now);
    }

    /// Does the next thing.
    pub fn step(&mut self) -> Option<Happening> {
        if let Some((node, life, event, order)) = self.after_quiet.take() {
            return Some(self.give(node, life, event, order));
        }
        let ours = self.agenda.next_at();
        let next = self.next_at()?;
        if ours == Some(next) {
            let (at, due) = self.agenda.take()?;
            self.pass(at);
            return Some(self.carry_out(due));
        }
        let called = self.corosync.step();
        self.pass(next);
        Some(called.map_or(Happening::Other, |(listener, seen)| self.called_back(listener, seen)))
    }

    fn carry_out(&mut self, due: Due) -> Happening {
        match due {
            Due::Connect { node, life } => self.connect(node, life),
            Due::Cmap { node, life } => self.read_cmap(node, life),
            Due::Event { node, life, event, order } => return self.give(node, life, *event, order),
            Due::Timer { node, life, token } => return self.give(node, life, Event::TimerFired(token), None),
            Due::Kernel { node, life } => return self.kernel_step(node, life),
            Due::Resend { node, life } => self.flush(node, life),
            Due::StartDaemon { node, boots } => return self.start_daemon_of(node, boots),
            Due::HeartbeatDead { node, boots, peer } => self.heartbeat_dead(node, boots, peer),
            Due::Mount { node, boots } => self.mount_ends(node, boots),
            Due::Planned(index) => return Happening::Planned(index),
        }
        Happening::Other
    }

    /// A callback of corosync becomes an event of the daemon.
    fn called_back(&mut self, listener: Listener, seen: Seen) -> Happening {
        if let Listener::Cpg(handle) = listener {
            if self.intruders.contains_key(&handle) {
                self.intruder_sees(handle, &seen);
                return Happening::Other;
            }
        }
        let node = listener.node();
        let Some(daemon) = self.hosts.get_mut(&node).and_then(|host| host.daemon.as_mut()) else {
            return Happening::Other;
        };
        let ours = match listener {
            Listener::Cpg(handle) => daemon.handle == Some(handle),
            Listener::Quorum { pid, .. } => daemon.pid == pid,
        };
        if !ours {
            return Happening::Other;
        }
        let life = daemon.life;
        if seen == Seen::Lost && matches!(listener, Listener::Cpg(_)) {
            self.disconnected(node);
        }
        let Some((event, order)) = self.event_of(listener, seen) else { return Happening::Other };
        self.give(node, life, event, order)
    }

    /// Gives an agent an event, unless its machine stands still, and does what it asks for.
    fn give(&mut self, node: u32, life: u64, event: Event, order: Option<u64>) -> Happening {
        let tick = self.tick(node);
        if self.was_quiet(node, life, tick) {
            self.after_quiet = Some((node, life, event, order));
            return self.give(node, life, Event::Quiet, None);
        }
        let Some(host) = self.hosts.get_mut(&node) else { return Happening::Other };
        let Some(daemon) = host.daemon.as_mut().filter(|daemon| daemon.life == life) else {
            return Happening::Other;
        };
        if host.paused_since.is_some() {
            daemon.parked.push_back((event, order));
            return Happening::Other;
        }
        let effects = handle(&mut daemon.agent, tick, event.clone());
        for effect in &effects {
            if self.dies_now(node) {
                self.crash_daemon(node);
                break;
            }
            self.perform(node, effect);
        }
        let memory = self.memory;
        if let Some(recording) = self.hosts.get_mut(&node).and_then(|host| host.recordings.last_mut()) {
            recording.add(Record { tick, event, effects, order }, memory);
        }
        Happening::Handled(node)
    }

    fn event_of(&mut self, listener: Listener, seen: Seen) -> Option<(Event, Option<u64>)> {
        Some(match seen {
            Seen::Confchg { members, left, joined, .. } => {
                (Event::ViewChanged(ViewChange { members: members.into_iter().collect(), left, joined }), None)
            }
            Seen::Deliver { from, bytes, order, .. } => {
                (Event::Delivered { from, body: self.decoded.of(order, &bytes) }, Some(order))
            }
            Seen::Totem { ring, nodes } => {
                (Event::RingChanged { ring, nodes: nodes.into_iter().map(NodeId).collect() }, None)
            }
            Seen::Quorum { ring, quorate, .. } => (Event::QuorumChanged { quorate, ring }, None),
            Seen::Lost if matches!(listener, Listener::Cpg(_)) => {
                (Event::CorosyncLost { why: "dispatch: CS_ERR_LIBRARY".into() }, None)
            }
            Seen::Nodelist { .. } | Seen::Lost => return None,
        })
    }

    /// The loop turns, for the first time in more than a token time.
    fn was_quiet(&mut self, node: u32, life: u64, now: Tick) -> bool {
        let token_ms = self.corosync.timing().token / MS;
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.paused_since.is_none()) else { return false };
        let Some(daemon) = host.daemon.as_mut().filter(|daemon| daemon.life == life) else { return false };
        let before = std::mem::replace(&mut daemon.turned, now);
        now.since(before) > token_ms
    }

    /// Counts the effects up to the one before which the daemon is killed.
    fn dies_now(&mut self, node: u32) -> bool {
        let Some(host) = self.hosts.get_mut(&node) else { return false };
        match host.effects_left {
            Some(0) => {
                host.effects_left = None;
                true
            }
            Some(left) => {
                host.effects_left = Some(left - 1);
                false
            }
            None => false,
        }
    }

    /// CLOCK_BOOTTIME of a machine.
    fn tick(&self, node: u32) -> Tick {
        let ahead = self.hosts.get(&node).map_or(0, |host| host.clock_ahead);
        Tick((self.now + ahead) / MS)
    }

    fn daemon(&mut self, node: u32, life: u64) -> Option<&mut Daemon> {
        self.hosts.get_mut(&node)?.daemon.as_mut().filter(|daemon| daemon.life == life)
    }

    fn plan_event(&mut self, node: u32, life: u64, event: Event, after: Micros) {
        self.agenda.plan(self.now + after, Due::Event { node, life, event: Box::new(event), order: None });
    }

    /// For a daemon that runs, whichever it is.
    fn tell(&mut self, node: u32, event: Event) {
        if let Some(life) = self.hosts.get(&node).and_then(|host| host.daemon.as_ref()).map(|daemon| daemon.life) {
            self.plan_event(node, life, event, 0);
        }
    }

    /// corosync.conf as this node has it.
    fn config_of(&self, node: u32) -> ClusterConfig {
        self.hosts.get(&node).and_then(|host| host.own_config.clone()).unwrap_or_else(|| self.config.clone())
    }
}

/// The last messages as they read: every member gets the same bytes.
#[derive(Clone, Debug, Default)]
struct Decoded(VecDeque<(u64, Result<Message, DecodeError>)>);

/// More are never on their way at once, but in a flood.
const DECODED_MAX: usize = 16;

impl Decoded {
    fn of(&mut self, order: u64, bytes: &[u8]) -> Result<Message, DecodeError> {
        if let Some((_, message)) = self.0.iter().find(|(known, _)| *known == order) {
            return message.clone();
        }
        let message = Message::decode(bytes);
        self.0.truncate(DECODED_MAX - 1);
        self.0.push_front((order, message.clone()));
        message
    }
}

fn handle(agent: &mut Agent, tick: Tick, event: Event) -> Vec<agent_core::Effect> {
    let mut fx = agent_core::Effects::default();
    agent.handle(tick, event, &mut fx);
    fx.drain().collect()
}

/// The nodelist entry of a node, as the lab numbers them.
#[must_use]
pub fn configured(node: u32) -> ConfiguredNode {
    ConfiguredNode { name: Some(name(node)), address: Ok(address(node)) }
}

/// Names are short: n1, n2 …
#[must_use]
pub fn name(node: u32) -> String {
    format!("n{node}")
}

/// 10.0.0.NODE; nodeids above 255 go on in the third byte.
#[must_use]
pub fn address(node: u32) -> Ipv4Addr {
    let [_, _, high, low] = node.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

fn in_ms(time: Micros) -> u32 {
    u32::try_from(time / MS).unwrap_or(u32::MAX)
}
