//! Seeded lives of clusters: machines over a corosync in agreed order, clients, kills, partitions, merges; then all heals.
//!
//! Checked after every step, of every client: starts and stops alternate, no change is started twice (but a failure that grew,
//! after another stop), nothing comes after `terminate`, and `finish` is of the start that stands. Where a node comes back only when all is quiet, also: nobody starts while a
//! member that it is told of still runs with another list. After the healing nobody waits, and all members agree.
//!
//! `SEED=7 SEEDS=1` tells one life; `SEEDS=100000` searches. `MIXED=0`: each node takes what comes in corosync's order;
//! `MIXED=1`: in any order that the edge can show a daemon that stood still, across its handles; `MIXED=2`: in any order across
//! them at all, as when a ring of libcpg was full. `RAGGED=1`: a daemon that ends departs from each CPG by itself, with other
//! events in between. What is known of the lives that do not end well is in COMPAT, "Open".

#![allow(clippy::disallowed_methods, reason = "a test, and which seeds it runs is asked of the environment")]

mod cluster;

use cluster::{Cluster, level, name};
use groupd_compat::ids::{EventNr, NodeId};
use groupd_compat::machine::{OnClientDeath, Settings};
use groupd_compat::names::Level;
use groupd_compat::verbs::{Callback, Request, StartKind};
use std::collections::{BTreeMap, BTreeSet};

/// In each `cargo test`.
const SEEDS: u64 = 4_000;
/// Each of these runs twice.
const TWICE_EACH: u64 = 100;
const DEEDS_MAX: u64 = 70;
/// A life that goes on after so many steps never ends.
const STEPS_MAX: usize = 100_000;
/// Of so many lives one may hang in which daemons end in pieces; 1 of 8,000 was measured.
const ONE_HANGS_OF: u64 = 2_000;
/// How a life goes wrong in which all wait for ever, and nothing else is wrong.
const HANG: &str = "hang: ";
const GROUPS: [&str; 3] = ["fence", "lock", "fs"];

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

/// What one client was told of its group.
#[derive(Default)]
struct Told {
    seen: usize,
    running: Option<(EventNr, BTreeSet<NodeId>)>,
    last: Option<EventNr>,
    finished: bool,
    ended: bool,
}

/// What a daemon may be shown; see above.
#[derive(Clone, Copy, Debug)]
struct World {
    mixed: u64,
    ragged: bool,
}

/// One life of a cluster, watched.
struct Life {
    cluster: Cluster,
    chance: Chance,
    size: u32,
    /// Nodes come back only when nothing is on its way.
    calm: bool,
    mixed: u64,
    told: BTreeMap<(u32, Level), Told>,
    pids: BTreeMap<u32, u32>,
    steps: usize,
}

fn held(me: NodeId) -> Settings {
    Settings { on_client_death: OnClientDeath::Leave, ..Settings::libgroup(me) }
}

impl Life {
    fn new(seed: u64, world: World) -> Self {
        let mut chance = Chance::of(seed);
        let size = 3 + chance.below(3) as u32;
        let settings = if chance.below(2) == 0 { Settings::libgroup } else { held };
        let mut cluster = Cluster::without_daemons(size, settings);
        (1..=size).for_each(|node| cluster.start_daemon(node));
        cluster.settle();
        let calm = chance.below(2) == 0;
        cluster.ragged = world.ragged;
        let (told, pids) = (BTreeMap::new(), BTreeMap::new());
        Life { cluster, chance, size, calm, mixed: world.mixed, told, pids, steps: 0 }
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
        match self.chance.below(42) {
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
            _ => {}
        }
        self.watch()
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
        match self.mixed {
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
            let (first, size) = (self.node(), self.size);
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

    /// Looks at everything that clients were told since the last time.
    fn watch(&mut self) -> Result<(), String> {
        for node in 1..=self.size {
            let pid = self.is_up(node).then(|| self.cluster.pid(node));
            if self.pids.get(&node).copied() != pid {
                self.told.iter_mut().filter(|((of, _), _)| *of == node).for_each(|(_, told)| told.forget());
                match pid {
                    Some(pid) => _ = self.pids.insert(node, pid),
                    None => _ = self.pids.remove(&node),
                }
            }
        }
        let news: Vec<_> = self.cluster.told.iter().map(|(&key, all)| (key, all.len())).collect();
        for ((node, at), len) in news {
            let seen = self.told.entry((node, at)).or_default().seen;
            for index in seen..len {
                let callback = self.cluster.told[&(node, at)][index].clone();
                let later = &self.cluster.told[&(node, at)][index + 1..len];
                let stands = !later.iter().any(|it| matches!(it, Callback::Stop { .. }));
                self.hear(node, at, &callback, stands)
                    .map_err(|why| format!("node {node}, level {at}: {why}: {callback:?}"))?;
            }
            self.told.entry((node, at)).or_default().seen = len;
        }
        Ok(())
    }

    /// A start that a failure has overtaken already is stopped in the same breath (kept, K5): it does not stand.
    fn hear(&mut self, node: u32, at: Level, callback: &Callback, stands: bool) -> Result<(), String> {
        if let (Callback::Start { members, .. }, true) = (callback, self.calm && stands) {
            self.all_are_stopped(node, at, members)?;
        }
        Ok(self.told.entry((node, at)).or_default().hear(callback)?)
    }

    /// No group is started on any member before all members are stopped.
    fn all_are_stopped(&self, node: u32, at: Level, members: &[NodeId]) -> Result<(), String> {
        let list: BTreeSet<NodeId> = members.iter().copied().collect();
        let others = list.iter().filter(|member| member.0 != node && self.is_up(member.0));
        let others = others.filter(|member| !self.cluster.is_to_lose(node, member.0));
        for member in others {
            let running = self.told.get(&(member.0, at)).and_then(|told| told.running.as_ref());
            if running.is_some_and(|(_, with)| *with != list) && self.cluster.sees(node, member.0) {
                return Err(format!("started while node {member} still runs"));
            }
        }
        Ok(())
    }

    /// Every node is back and nothing is on its way.
    fn heal(&mut self) -> Result<(), String> {
        self.cluster.heal();
        self.settle()?;
        (1..=self.size).for_each(|node| self.cluster.revive(node));
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
                return Err(format!("{group}: {seen:?}"));
            }
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..=self.chance.below(DEEDS_MAX) {
            self.deed()?;
        }
        self.heal()
    }
}

impl Told {
    /// The daemon ended, and its clients with it.
    fn forget(&mut self) {
        *self = Told { seen: self.seen, ..Told::default() };
    }

    fn hear(&mut self, callback: &Callback) -> Result<(), &'static str> {
        let wrong = match callback {
            Callback::Start { .. } if self.running.is_some() => Some("started twice without a stop"),
            Callback::Start { nr, kind, .. } if self.last == Some(*nr) && *kind != StartKind::Failed => {
                Some("one change started twice")
            }
            Callback::Finish { nr, .. } if self.running.as_ref().is_none_or(|(running, _)| running != nr) => {
                Some("finish of what does not run")
            }
            Callback::Finish { .. } if self.finished => Some("finished twice"),
            Callback::Stop { .. } | Callback::Start { .. } | Callback::Finish { .. } if self.ended => {
                Some("told something after its end")
            }
            _ => None,
        };
        match callback {
            Callback::SetId { .. } => self.ended = false, // a new join of the same name
            Callback::Start { nr, members, .. } => {
                self.running = Some((*nr, members.iter().copied().collect()));
                (self.last, self.finished) = (Some(*nr), false);
            }
            Callback::Stop { .. } => self.running = None,
            Callback::Finish { .. } => self.finished = true,
            Callback::Terminate { .. } => {
                *self = Told { ended: true, seen: self.seen, last: self.last, ..Told::default() }
            }
            Callback::Deliver { .. } => {}
        }
        wrong.map_or(Ok(()), Err)
    }
}

/// FNV-1a of everything that was said and done.
fn digest(cluster: &Cluster) -> u64 {
    let bytes = cluster.log.iter().flat_map(|line| line.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Lives one life; what went wrong, with everything that was said.
fn run(seed: u64, world: World) -> Result<u64, String> {
    let mut life = Life::new(seed, world);
    let lived = life.live();
    lived.map_err(|why| format!("SEED={seed} {world:?}: {why}\n{}", life.cluster.log.join("\n")))?;
    Ok(digest(&life.cluster))
}

fn asked(word: &str, otherwise: u64) -> u64 {
    std::env::var(word).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What went wrong in the lives that are asked for.
fn live_all(world: World) -> Vec<String> {
    let first = asked("SEED", 1);
    let mut wrong = Vec::new();
    for seed in first..first + asked("SEEDS", SEEDS) {
        match run(seed, world) {
            Ok(digest) if seed % TWICE_EACH == 0 => assert_eq!(run(seed, world), Ok(digest), "seed {seed} lives twice"),
            Ok(_) => {}
            Err(why) => wrong.push(why),
        }
    }
    wrong
}

fn assert_none(wrong: &[String]) {
    let seeds: Vec<&str> = wrong.iter().filter_map(|why| why.lines().next()).collect();
    assert!(wrong.is_empty(), "{} lives\n{}\n{}", wrong.len(), seeds.join("\n"), wrong[0]);
}

#[test]
fn every_life_ends_well() {
    let (mixed, ragged) = (asked("MIXED", 0), asked("RAGGED", 0) == 1);
    assert_none(&live_all(World { mixed, ragged }));
}

#[test]
fn every_life_of_daemons_that_stand_still_ends_well() {
    assert_none(&live_all(World { mixed: 1, ragged: false }));
}

/// A daemon's end shows in each CPG by itself. A join or another death between these is seen in another order by those who
/// stood still: some hang, nobody starts who should not.
#[test]
fn no_end_in_pieces_starts_who_should_not() {
    for mixed in [0, 1] {
        let (hangs, wrong) = live_all(World { mixed, ragged: true })
            .into_iter()
            .partition::<Vec<_>, _>(|why| why.lines().next().is_some_and(|line| line.contains(HANG)));
        assert_none(&wrong);
        assert!(hangs.len() as u64 <= asked("SEEDS", SEEDS).div_ceil(ONE_HANGS_OF), "{}", hangs.join("\n"));
    }
}
