//! One life of a cluster: what is done to it, and how it ends. `told` knows what its clients must be told and must not, `plan` what
//! may be done.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

mod blame;
mod told;

use crate::cluster::{Cluster, level, name};
use groupd_compat::ids::NodeId;
use groupd_compat::machine::{OnClientDeath, Settings};
use groupd_compat::names::Level;
use groupd_compat::verbs::Request;
use std::collections::{BTreeMap, BTreeSet};
use told::Told;

const DEEDS_MAX: u64 = 70;
/// Longer than anything waits for time to pass.
const PATIENCE_MS: u64 = 10_000;
/// A life that goes on after so many steps never ends.
const STEPS_MAX: usize = 100_000;
/// How a life goes wrong in which all wait for ever, and nothing else is wrong.
pub const HANG: &str = "hang: ";
/// How a life goes wrong in which nobody waits, but members have other lists or ids of one group.
pub const SPLIT: &str = "split: ";
pub const GROUPS: [&str; 3] = ["fence", "lock", "fs"];

/// xorshift64*: small, and the same everywhere. Source: Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled", 2016.
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// What may be done in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plan {
    /// Everything, at any moment.
    Any,
    /// Joins, leaves, data, and nodes and daemons that die, at any moment.
    Deaths,
    /// The same, but who dies does it alone and in quiet, and is back in quiet.
    Quiet,
}

/// Which nodes run the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Originals {
    None,
    /// One or two, other ones in each life.
    Some,
    All,
}

/// What happens in some lives only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    Nothing,
    /// groupd begins anew in the same process.
    Anew,
    /// A daemon ends, and who stands still is shown that behind another failure.
    Unheard,
}

/// What a life is made of.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// What a daemon may be shown: 0 corosync's order, 1 what the edge makes of it, 2 any.
    pub mixed: u64,
    /// Does a daemon that ends depart from each CPG by itself?
    pub ragged: bool,
    pub plan: Plan,
    pub originals: Originals,
    /// Do nodes take what comes in an order of its own, so that lives of one plan can be compared?
    pub own_order: bool,
    /// What else may happen.
    pub also: Also,
}

impl World {
    /// Of our daemons only.
    pub fn ours(mixed: u64, ragged: bool) -> Self {
        World { mixed, ragged, plan: Plan::Any, originals: Originals::None, own_order: false, also: Also::Nothing }
    }

    /// In corosync's order, the same for all choices of originals.
    pub fn of(plan: Plan, originals: Originals) -> Self {
        World { mixed: 0, ragged: false, plan, originals, own_order: true, also: Also::Nothing }
    }
}

/// One life of a cluster, watched.
pub struct Life {
    pub cluster: Cluster,
    /// What is done, and in our own lives also in which order nodes take what comes.
    chance: Chance,
    /// That order where lives of one plan are compared.
    order: Option<Chance>,
    size: u32,
    /// Nodes come back only when nothing is on its way.
    calm: bool,
    world: World,
    told: BTreeMap<(u32, Level), Told>,
    lives: BTreeMap<u32, u32>,
    steps: usize,
    /// Starts on originals that should not have been.
    pub misstarts: Vec<String>,
}

fn held(me: NodeId) -> Settings {
    Settings { on_client_death: OnClientDeath::Leave, ..Settings::libgroup(me) }
}

impl Originals {
    fn pick(self, seed: u64, size: u32) -> BTreeSet<u32> {
        let mut chance = Chance::of(!seed);
        match self {
            Originals::None => BTreeSet::new(),
            Originals::Some => (0..=chance.below(2)).map(|_| 1 + chance.below(u64::from(size)) as u32).collect(),
            Originals::All => (1..=size).collect(),
        }
    }
}

impl Life {
    pub fn new(seed: u64, world: World) -> Self {
        let mut chance = Chance::of(seed);
        let size = 3 + chance.below(3) as u32;
        let settings = if chance.below(2) == 0 { Settings::libgroup } else { held };
        let mut cluster = Cluster::without_daemons(size, settings);
        cluster.originals = world.originals.pick(seed, size);
        (1..=size).for_each(|node| cluster.start_daemon(node));
        cluster.settle();
        let calm = chance.below(2) == 0 || world.plan == Plan::Quiet;
        cluster.ragged = world.ragged;
        Life {
            cluster,
            chance,
            order: world.own_order.then(|| Chance::of(seed ^ 1 << 32)),
            size,
            calm,
            world,
            told: BTreeMap::new(),
            lives: BTreeMap::new(),
            steps: 0,
            misstarts: Vec::new(),
        }
    }

    fn node(&mut self) -> u32 {
        1 + self.chance.below(u64::from(self.size)) as u32
    }

    fn is_up(&self, node: u32) -> bool {
        self.cluster.daemons.contains_key(&node)
    }

    /// Something happens.
    fn deed(&mut self) -> Result<(), String> {
        let (node, at) = (self.node(), self.chance.below(3) as i64);
        let group = GROUPS[at as usize];
        let ghosts = u64::from(self.order.is_none()); // to an original they are the daemon that it knew
        let deed = self.chance.below(42 + ghosts + u64::from(self.world.also != Also::Nothing));
        match (self.world.plan, deed) {
            (Plan::Quiet, 16..=18) => return self.die_in_quiet(node, deed == 18),
            (Plan::Quiet, 19..=24 | 40..) | (Plan::Deaths, 19..=21 | 40..) => return Ok(()),
            _ => {}
        }
        if self.order.is_some() {
            self.cluster.log.push(format!("-- deed {deed} on node {node}, level {at}"));
        }
        match deed {
            0..=9 => self.cluster.join(node, at, group),
            10..=13 => self.cluster.leave(node, at, group),
            14..=15 => {
                self.cluster.ask(node, level(at), Request::Send { name: name(group), data: b"data".to_vec() });
            }
            16..=17 if self.is_up(node) => self.cluster.crash(node),
            18 if self.is_up(node) => self.cluster.kill_daemon(node),
            19 => {
                self.cluster.client_dies(node, at);
                self.watch()?;
                self.told.entry((node, level(at))).or_default().forget();
            }
            20 => self.cluster.cut_off(node),
            21 => self.cluster.heal(),
            22..=24 => {
                if self.calm {
                    self.settle()?;
                }
                self.cluster.revive(node);
            }
            25..=37 => return self.some_steps(),
            38..=39 => return self.settle(),
            40 if self.is_up(node) => self.cluster.blink(node),
            41 => return self.die_alone(node),
            42 if self.is_up(node) => self.haunt(node),
            43 if self.is_up(node) && self.world.also == Also::Anew => self.cluster.begin_anew(node),
            43 if self.is_up(node) => self.end_unheard(node),
            _ => {}
        }
        self.watch()
    }

    /// One node or daemon, when nothing is on its way, and back when all have recovered.
    fn die_in_quiet(&mut self, node: u32, process: bool) -> Result<(), String> {
        self.settle()?;
        if process {
            self.cluster.kill_daemon(node)
        } else {
            self.cluster.crash(node)
        }
        self.settle()?;
        self.cluster.revive(node);
        self.settle()
    }

    /// The node restarts, and corosync goes on listing its daemon: in the control CPG, and in the groups of an old join list.
    fn haunt(&mut self, node: u32) {
        let mut names = self.cluster.names_of(node);
        let only = self.chance.below(2) == 0;
        names.retain(|name| name == b"groupd\0" || (!only && self.chance.below(2) == 0));
        self.cluster.haunt(node, &names);
    }

    /// The daemon ends while another node stands still, and a third one goes: one ring shows the second all of that.
    fn end_unheard(&mut self, node: u32) {
        let (deaf, other) = (self.node(), self.node());
        let is_one_ring = self.cluster.sees(deaf, node) && self.cluster.sees(deaf, other);
        if BTreeSet::from([node, deaf, other]).len() == 3 && is_one_ring && self.is_up(other) {
            self.cluster.kill_daemon_unheard(node, deaf);
            self.cluster.crash(other);
        }
    }

    /// A node that is cut off loses clients, before or after that; node and clients come back.
    fn die_alone(&mut self, node: u32) -> Result<(), String> {
        let first = self.chance.below(2) == 0;
        if first {
            self.cluster.cut_off(node);
        }
        for at in (0..3).filter(|_| self.chance.below(2) == 0).collect::<Vec<_>>() {
            self.cluster.client_dies(node, at);
            self.watch()?;
            self.told.entry((node, level(at))).or_default().forget();
        }
        if !first {
            self.cluster.cut_off(node);
        }
        if self.calm {
            self.settle()?;
        } else {
            self.some_steps()?;
        }
        self.cluster.heal();
        for (at, group) in (0..).zip(GROUPS) {
            self.cluster.join(node, at, group);
        }
        self.watch()
    }

    fn step(&mut self, node: u32) -> bool {
        let Life { cluster, chance, .. } = self;
        if cluster.ragged && chance.below(4) == 0 && cluster.depart(|count| chance.below(count as u64) as usize) {
            return true;
        }
        match self.world.mixed {
            0 => cluster.step_of(node),
            1 => cluster.step_never_behind(node, |ready| chance.below(ready as u64) as usize),
            _ => cluster.step_any(node, |ready| chance.below(ready as u64) as usize),
        }
    }

    fn some_steps(&mut self) -> Result<(), String> {
        let node = self.node();
        for _ in 0..=self.chance.below(11) {
            self.step(node);
            self.watch()?;
        }
        Ok(())
    }

    /// Until nothing is on its way, nodes in any order; who was to be killed is, when all else is quiet.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            let size = self.size;
            let first = 1 + self.order.as_mut().unwrap_or(&mut self.chance).below(u64::from(size)) as u32;
            let mut order = (0..size).map(|turn| 1 + (first + turn) % size);
            let Some(_) = order.find(|&node| self.step(node)) else {
                let Life { cluster, chance, .. } = self;
                if !cluster.depart(|count| chance.below(count as u64) as usize) && !cluster.kill_one() {
                    return Ok(());
                }
                continue;
            };
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err("it never gets quiet".into());
            }
            self.watch()?;
        }
    }

    /// Every node is back and nothing is on its way.
    fn heal(&mut self) -> Result<(), String> {
        self.cluster.heal();
        self.settle()?;
        (1..=self.size).for_each(|node| self.cluster.revive(node));
        self.settle()?;
        self.cluster.pass_time(PATIENCE_MS);
        self.settle()?;
        let waits = self.cluster.waits();
        if waits.is_empty() { self.agree() } else { Err(format!("{HANG}{}", waits.join("; "))) }
    }

    /// Members and id of a group are the same on all.
    fn agree(&self) -> Result<(), String> {
        for group in GROUPS {
            let mut seen = BTreeSet::new();
            for daemon in self.cluster.daemons.values() {
                for status in daemon.machine.status().groups.into_iter().filter(|it| it.key.name == name(group)) {
                    let members: BTreeSet<NodeId> = status.record.members.iter().copied().collect();
                    seen.insert((members, status.record.global_id));
                }
            }
            if seen.len() > 1 {
                return Err(format!("{SPLIT}{group}: {seen:?}"));
            }
        }
        Ok(())
    }

    pub fn live(&mut self) -> Result<(), String> {
        for _ in 0..=self.chance.below(DEEDS_MAX) {
            self.deed()?;
        }
        self.heal()
    }
}
