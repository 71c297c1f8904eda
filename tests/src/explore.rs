//! Small worlds, searched to the end: every order in which messages get their place, agents take them, kernels finish or
//! refuse, and a daemon dies.
//!
//! The agents are the real ones, the kernels those of the simulator; there is no second model. Left out is time: no timer
//! rings, so what is tried again later is not part of a world. Worlds that differ only in the way that led to them are one.

use crate::sim::checkers::agreed_state;
use crate::sim::cluster::configured;
use crate::sim::digest::{digest, mix};
use crate::sim::kernel::Kernel;
use agent_core::event::{ClusterConfig, Connected, KernelOutcome, KernelRefusal, Reason, Started, ViewChange};
use agent_core::ids::{Member, NodeId, OpId, RingId, Tick};
use agent_core::policy::Policy;
use agent_core::{Agent, Effect, Effects, Event};
use configfs::Op;
use proto::peer::Message;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

/// What may go wrong in one world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Batches that kernels refuse.
    pub refusals: u32,
    /// Daemons that die.
    pub deaths: u32,
}

/// What a search has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Different worlds.
    pub states: usize,
    /// Worlds in which nothing more happens.
    pub ends: usize,
    /// Steps from the first world to the furthest.
    pub depth: usize,
}

/// A world in which something does not hold.
#[derive(Debug, thiserror::Error)]
#[error("after {depth} steps: {what}")]
pub struct Wrong {
    /// How far from the beginning.
    pub depth: usize,
    /// What does not hold.
    pub what: String,
}

/// More worlds than this are not searched.
pub const STATES_MAX: usize = 3_000_000;

const RING: RingId = RingId { nodeid: 1, seq: 8 };
const NEXT_RING: RingId = RingId { nodeid: 1, seq: 12 };
/// EBUSY.
const BUSY: i32 = 16;

/// See the module.
#[derive(Clone)]
pub struct World {
    nodes: Vec<Node>,
    log: Vec<Rc<Placed>>,
    budget: Budget,
    /// Nothing has gone wrong.
    calm: bool,
}

#[derive(Clone)]
struct Node {
    member: Member,
    agent: Rc<Agent>,
    /// Of agent, kernel and batch.
    sum: u64,
    kernel: Rc<Kernel>,
    /// Sent and without a place in the order.
    outbox: VecDeque<Rc<Placed>>,
    /// How much of the order it has taken.
    at: usize,
    batch: Option<(OpId, Rc<Vec<Op>>)>,
    dead: bool,
}

/// What has, or is to get, its place in the agreed order.
struct Placed {
    item: Item,
    sum: u64,
}

enum Item {
    Message(Member, Box<Message>),
    /// The daemon has died.
    Gone(Member),
}

/// What can happen next; by the index of a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Order(usize),
    Take(usize),
    Finish(usize),
    Refuse(usize),
    Die(usize),
}

impl World {
    /// Nodes 1 to `count` in one quorate ring, their agents joined, nothing in their kernels.
    #[must_use]
    pub fn booted(count: u32, budget: Budget) -> World {
        let mut world = World { nodes: (1..=count).map(Node::new).collect(), log: Vec::new(), budget, calm: true };
        let all: BTreeSet<Member> = world.nodes.iter().map(|node| node.member).collect();
        let change = ViewChange {
            members: all.clone(),
            left: vec![],
            joined: all.iter().map(|member| (*member, Reason::Join)).collect(),
        };
        let ring: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
        for node in &mut world.nodes {
            let id = node.member.nodeid;
            node.give(Event::Started(Box::new(started(id))));
            node.give(Event::ConfigChanged(config(1..=count)));
            node.give(Event::CorosyncUp(Connected { member: node.member, nonce: u64::from(id) }));
            node.give(Event::ViewChanged(change.clone()));
            node.give(Event::RingChanged { ring: RING, nodes: ring.clone() });
            node.give(Event::QuorumChanged { quorate: true, ring: RING });
        }
        world
    }

    /// All of those are in, the last of them has died, and the nodelist no longer has it.
    #[must_use]
    pub fn bereaved(count: u32, budget: Budget) -> World {
        let mut world = World::booted(count, Budget::default());
        while let Some(step) = world.steps().first() {
            world = world.after(*step);
        }
        let Some(gone) = world.nodes.pop() else { return world };
        let members: BTreeSet<Member> = world.nodes.iter().map(|node| node.member).collect();
        let left = vec![(gone.member, Reason::NodeDown)];
        let ring: BTreeSet<NodeId> = members.iter().map(|member| NodeId(member.nodeid)).collect();
        for node in &mut world.nodes {
            node.give(Event::ConfigChanged(config(1..count)));
            node.give(Event::ViewChanged(ViewChange { members: members.clone(), left: left.clone(), joined: vec![] }));
            node.give(Event::RingChanged { ring: NEXT_RING, nodes: ring.clone() });
            node.give(Event::QuorumChanged { quorate: true, ring: NEXT_RING });
        }
        world.budget = budget;
        world
    }

    /// Searches everything that can become of it.
    ///
    /// # Errors
    /// The first world in which something does not hold.
    pub fn search(self) -> Result<Searched, Wrong> {
        let mut seen = BTreeSet::from([self.sum()]);
        let mut searched = Searched { states: 1, ..Searched::default() };
        let mut frontier = vec![self];
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for world in &frontier {
                let steps = world.steps();
                searched.ends += usize::from(steps.is_empty());
                let wrong = |what| Wrong { depth: searched.depth, what };
                world.check(steps.is_empty()).map_err(wrong)?;
                let worlds = steps.into_iter().map(|step| world.after(step));
                next.extend(worlds.filter(|world| seen.insert(world.sum())));
            }
            searched.states += next.len();
            searched.depth += usize::from(!next.is_empty());
            assert!(searched.states <= STATES_MAX, "too many worlds: {searched:?}");
            frontier = next;
        }
        Ok(searched)
    }

    fn sum(&self) -> u64 {
        let spent = mix(u64::from(self.budget.refusals), u64::from(self.budget.deaths));
        let order = self.log.iter().fold(spent, |sum, placed| mix(sum, placed.sum));
        self.nodes.iter().fold(order, |sum, node| {
            let outbox = node.outbox.iter().fold(0, |sum, placed| mix(sum, placed.sum));
            mix(sum, mix(mix(node.sum, outbox), (node.at as u64) << 1 | u64::from(node.dead)))
        })
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.dead) {
            steps.extend((!node.outbox.is_empty()).then_some(Step::Order(index)));
            steps.extend((node.at < self.log.len()).then_some(Step::Take(index)));
            if node.batch.is_some() {
                steps.push(Step::Finish(index));
                steps.extend((self.budget.refusals > 0).then_some(Step::Refuse(index)));
            }
            steps.extend((self.budget.deaths > 0).then_some(Step::Die(index)));
        }
        steps
    }

    fn after(&self, step: Step) -> World {
        let mut world = self.clone();
        match step {
            Step::Order(index) => {
                let sent = world.nodes[index].outbox.pop_front();
                world.log.extend(sent);
            }
            Step::Take(index) => world.take(index),
            Step::Finish(index) => world.nodes[index].finish(),
            Step::Refuse(index) => {
                world.budget.refusals -= 1;
                world.calm = false;
                world.nodes[index].refuse();
            }
            Step::Die(index) => {
                world.budget.deaths -= 1;
                world.calm = false;
                let node = &mut world.nodes[index];
                (node.dead, node.batch) = (true, None);
                node.outbox.clear();
                let gone = Placed { item: Item::Gone(node.member), sum: digest(&node.member) };
                world.log.push(Rc::new(gone));
            }
        }
        world
    }

    fn take(&mut self, index: usize) {
        let at = self.nodes[index].at;
        let event = match &self.log[at].item {
            Item::Message(from, message) => Event::Delivered { from: *from, body: Ok((**message).clone()) },
            Item::Gone(gone) => {
                let before = self.log[..=at].iter().filter_map(|placed| match &placed.item {
                    Item::Gone(member) => Some(*member),
                    Item::Message(..) => None,
                });
                let dead: BTreeSet<Member> = before.collect();
                let members = self.nodes.iter().map(|node| node.member).filter(|member| !dead.contains(member));
                let left = vec![(*gone, Reason::ProcDown)];
                Event::ViewChanged(ViewChange { members: members.collect(), left, joined: vec![] })
            }
        };
        self.nodes[index].at += 1;
        self.nodes[index].give(event);
    }

    fn check(&self, ended: bool) -> Result<(), String> {
        self.who_is_local_is_known_to_all()?;
        self.all_agree()?;
        if ended { self.all_is_quiet().and_then(|()| self.all_are_in()) } else { Ok(()) }
    }

    fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.dead)
    }

    /// The join barrier, and its other side: no entry of a node that is local is missing in the kernel of another.
    fn who_is_local_is_known_to_all(&self) -> Result<(), String> {
        for node in self.alive() {
            let Some(local) = node.kernel.local() else { continue };
            let own = node.kernel.entries().find(|(number, _)| *number == local);
            let lacks =
                |other: &&Node| other.kernel.local().is_some() && !other.kernel.entries().any(|e| Some(e) == own);
            if let Some(other) = self.alive().find(lacks) {
                return Err(format!("{} is local, {} does not have its entry", node.member, other.member));
            }
        }
        Ok(())
    }

    /// At one place of the order all hold the same.
    fn all_agree(&self) -> Result<(), String> {
        let agreed = |node: &Node| node.agent.agreed().map(agreed_state);
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.dead) {
            let other = self.nodes[..index].iter().find(|other| !other.dead && other.at == node.at);
            if let Some(other) = other.filter(|other| agreed(other) != agreed(node)) {
                return Err(format!(
                    "{} and {}: {:?}\n{:?}",
                    other.member,
                    node.member,
                    other.agent.agreed(),
                    node.agent.agreed()
                ));
            }
        }
        Ok(())
    }

    /// Where nothing more happens all kernels are equal, and whoever waits says why.
    fn all_is_quiet(&self) -> Result<(), String> {
        let mut local = self.alive().filter(|node| node.kernel.local().is_some());
        if let Some(first) = local.next() {
            let differs = |node: &Node| node.kernel.table() != first.kernel.table() && node.agent.waits().is_empty();
            if let Some(other) = local.find(|node| differs(node)) {
                return Err(format!("{:?} and {:?}", first.kernel.table(), other.kernel.table()));
            }
        }
        let stuck = |node: &&Node| !node.agent.is_quiet() && node.agent.waits().is_empty();
        match self.alive().find(stuck) {
            Some(node) => Err(format!("{} is not quiet and waits for nothing", node.member)),
            None => Ok(()),
        }
    }

    /// Where nothing has gone wrong everybody is in, and nobody else is.
    fn all_are_in(&self) -> Result<(), String> {
        let all = self.nodes.len();
        if self.calm && self.outcome() != (all, all) {
            return Err(format!("of {all} nodes, (local, entries) are {:?}", self.outcome()));
        }
        Ok(())
    }

    /// Nodes whose kernel is local, and the entries in the kernel of the first.
    #[must_use]
    pub fn outcome(&self) -> (usize, usize) {
        let local = self.alive().filter(|node| node.kernel.local().is_some()).count();
        (local, self.nodes.first().map_or(0, |node| node.kernel.entries().count()))
    }

    /// The agent of the first node.
    #[must_use]
    pub fn first_agent(&self) -> Agent {
        self.nodes.first().map_or_else(Agent::new, |node| (*node.agent).clone())
    }

    /// One way to the end.
    #[must_use]
    pub fn ended(mut self) -> World {
        while let Some(step) = self.steps().first() {
            self = self.after(*step);
        }
        self
    }
}

impl Node {
    fn new(nodeid: u32) -> Node {
        let member = Member { nodeid, pid: 100 + nodeid };
        Node {
            member,
            agent: Rc::new(Agent::new()),
            sum: 0,
            kernel: Rc::new(Kernel::default()),
            outbox: VecDeque::new(),
            at: 0,
            batch: None,
            dead: false,
        }
    }

    fn give(&mut self, event: Event) {
        let mut fx = Effects::default();
        Rc::make_mut(&mut self.agent).handle(Tick(1), event, &mut fx);
        for effect in fx.drain() {
            match effect {
                Effect::Multicast(message) => {
                    let sum = digest(&(self.member, &*message));
                    self.outbox.push_back(Rc::new(Placed { item: Item::Message(self.member, message), sum }));
                }
                Effect::Kernel(op, ops) => self.batch = Some((op, Rc::new(ops))),
                _ => {}
            }
        }
        self.sum = digest(&(&*self.agent, self.kernel.tree().ok(), self.batch.as_ref().map(|(op, ops)| (op, &**ops))));
    }

    fn finish(&mut self) {
        let Some((op, ops)) = self.batch.take() else { return };
        let kernel = Rc::make_mut(&mut self.kernel);
        let result = ops.iter().try_for_each(|op| kernel.perform(op));
        let tree = self.kernel.owned_tree();
        self.give(Event::KernelDone(op, KernelOutcome { result, tree }));
    }

    /// The first operation is refused, and nothing was done.
    fn refuse(&mut self) {
        let Some((op, ops)) = self.batch.take() else { return };
        let what = ops.first().map(Op::to_string).unwrap_or_default();
        let result = Err(KernelRefusal { errno: BUSY, path: "node".into(), what });
        let tree = self.kernel.owned_tree();
        self.give(Event::KernelDone(op, KernelOutcome { result, tree }));
    }
}

fn started(node: u32) -> Started {
    let mut boot_id = [0; 16];
    boot_id[..4].copy_from_slice(&node.to_be_bytes());
    Started {
        boot_id,
        started_ms: 1,
        release: "0.1.0".into(),
        backend: "model".into(),
        hostname: crate::sim::cluster::name(node),
        kernel_release: "6.1.0".into(),
        policy: Policy::default(),
        saved: Ok(None),
        kernel: Kernel::default().view(),
        pid: 100 + node,
    }
}

fn config(nodes: impl Iterator<Item = u32>) -> ClusterConfig {
    ClusterConfig {
        cluster_name: "lab".into(),
        nodes: nodes.map(|node| (NodeId(node), configured(node))).collect(),
        token_ms: 1_650,
        consensus_ms: 1_980,
        lacks_quorum: false,
    }
}
