//! Seeded faults, then a heal, then everything must come to rest; and the smallest plan that still fails.
//!
//! A seed names a plan: how many nodes, how they are configured, and what happens to them when. Each seed leaves out a
//! random half of the kinds of faults, so that the others meet more often. After the last deed all faults end, and within
//! [`REST_MAX`] every node must be let in, quiet, with the kernel it should have, and able to mount.

mod foundation;
mod outcome;
mod perform;
mod plan;
mod questions;
mod rest;
mod strange;

use self::foundation::Founded;
use super::agenda::{MS, Micros, SECOND};
use super::checkers::Ledger;
use super::cluster::{Cluster, Happening, user_stack};
use super::corosync::Chance;
use super::digest::{digest, mix};
use super::recording::Memory;
use crate::lines::Lines;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};

pub use self::foundation::Foundations;
pub use self::outcome::{Failure, Tally};
pub use self::plan::{Deed, EVENTS_MIN, FAULTS_MIN, Plan};
pub use self::strange::Strange;

/// Faults at one time of which at least every third run has so many.
pub const OVERLAP: usize = 3;
/// And the cluster is given so long to come to rest: the longest back-off twice, and the longest dead time.
pub const REST_MAX: Micros = 400 * SECOND;
/// As configured on all nodes, but for faults: 12 s of silence on the disk.
const DEAD_THRESHOLD: u32 = 7;

impl Plan {
    /// Runs it, with every sentence checked after every step.
    ///
    /// # Errors
    /// [`Failure`]: the first thing that did not hold.
    pub fn run(&self) -> Result<Tally, Failure> {
        self.run_on(&mut Foundations::default())
    }

    /// The same, beginning in one of these if it begins in a cluster that stands.
    ///
    /// # Errors
    /// [`Failure`]: the first thing that did not hold.
    pub fn run_on(&self, foundations: &mut Foundations) -> Result<Tally, Failure> {
        self.run_with(Memory::Last, foundations, |_| Ok(())).map(|(tally, _)| tally)
    }

    /// Runs it twice and demands that both went the same way, that every recording replays with the same effects, and
    /// that what is written to disks and dumps reads back. Takes some ten times as long.
    ///
    /// # Errors
    /// [`Failure`]: the first thing that did not hold.
    pub fn prove(&self) -> Result<Tally, Failure> {
        let (tally, one) = self.run_with(Memory::All, &mut Foundations::default(), |run| run.replay())?;
        let (_, other) = self.run_with(Memory::All, &mut Foundations::default(), |_| Ok(()))?;
        if one == other { Ok(tally) } else { Err(Failure::Uncertain { one, other }) }
    }

    /// `last` looks at the run when it is over.
    fn run_with(&self, memory: Memory, foundations: &mut Foundations, last: Look) -> Result<(Tally, u64), Failure> {
        let ended = panic::catch_unwind(AssertUnwindSafe(|| self.run_through(memory, foundations, last)));
        ended.unwrap_or_else(|said| {
            let text = said.downcast_ref::<String>().cloned();
            let text = text.or_else(|| said.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure::Panicked { what: text.unwrap_or_default() })
        })
    }

    fn run_through(&self, memory: Memory, foundations: &mut Foundations, last: Look) -> Result<(Tally, u64), Failure> {
        let mut run = Run::begin(self, memory, foundations)?;
        run.live()?;
        last(&run)?;
        let digest = run.digest();
        Ok((run.tally, digest))
    }

    /// The run as a story, line by line, with the deeds in it.
    #[must_use]
    pub fn told(&self) -> String {
        let begun = Run::begin(self, Memory::All, &mut Foundations::default());
        let Ok(mut run) = begun else { return "it was never founded".into() };
        run.lines = Some(Lines::default());
        let _told = run.live();
        run.lines.map_or_else(String::new, |mut lines| lines.take())
    }

    /// The smallest plan that still fails in the same way, found by leaving out deeds.
    #[must_use]
    pub fn shrunk(&self, failure: &Failure) -> Plan {
        let as_it_is = self.clone();
        let without = Plan { encores: Vec::new(), ..self.clone() };
        let mut plan = if without.fails_like(failure).is_some() { without } else { as_it_is };
        let mut chunk = plan.deeds.len() / 2;
        while chunk > 0 {
            let mut start = 0;
            while start < plan.deeds.len() {
                let mut smaller = plan.clone();
                smaller.deeds.drain(start..(start + chunk).min(smaller.deeds.len()));
                if smaller.fails_like(failure).is_some() {
                    plan = smaller;
                } else {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
        plan
    }

    /// How it fails, if it does in the same way.
    #[must_use]
    pub fn fails_like(&self, failure: &Failure) -> Option<Failure> {
        let run = match failure {
            Failure::Broken(_) | Failure::Restless { .. } | Failure::Panicked { .. } => self.run(),
            Failure::Replay { .. } | Failure::Uncertain { .. } => self.prove(),
        };
        run.err().filter(|other| other.sentence() == failure.sentence())
    }
}

type Look = fn(&Run<'_>) -> Result<(), Failure>;

struct Run<'a> {
    plan: &'a Plan,
    cluster: Cluster,
    ledger: Ledger,
    tally: Tally,
    /// When it began.
    begun: Micros,
    next_look: Micros,
    /// Nodes whose address is the other one.
    moved: BTreeMap<u32, bool>,
    /// Pins set on a node, of entries by name, or of its daemon.
    pinned: BTreeSet<(u32, Option<String>)>,
    /// Nodes on which a call into corosync did not return, or legacy programs had groups.
    stuck: BTreeSet<u32>,
    legacy: BTreeSet<u32>,
    /// Clients that wait for what may never be.
    patient: Vec<(u32, u64)>,
    /// Where the run is told, if anybody wants to read it.
    lines: Option<Lines>,
}

impl<'a> Run<'a> {
    /// Where the plan begins.
    fn begin(plan: &'a Plan, memory: Memory, foundations: &mut Foundations) -> Result<Self, Failure> {
        let Some(number) = plan.begins else { return Ok(Run::fresh(plan, memory)) };
        let Founded { mut cluster, ledger } = foundations.of(plan, number, memory)?;
        cluster.reseed(plan.seed);
        Ok(Run::of(plan, cluster, ledger))
    }

    /// With no node powered on.
    fn fresh(plan: &'a Plan, memory: Memory) -> Self {
        let mut cluster = Cluster::new(plan.nodes, Chance::On, plan.seed);
        let mut timing = cluster.corosync.timing();
        timing.quorum = plan.quorum_lag;
        cluster.corosync.set_timing(timing);
        cluster.corosync.expect_votes(plan.nodes as usize);
        for node in 1..=plan.nodes {
            cluster.set_policy(node, |policy| *policy = plan.policy());
        }
        if let Some(recovers_by_itself) = plan.user_stack {
            cluster.hosts.values_mut().for_each(|host| host.stack = user_stack(recovers_by_itself));
        }
        cluster.remember(memory);
        Run::of(plan, cluster, Ledger::default())
    }

    fn of(plan: &'a Plan, mut cluster: Cluster, ledger: Ledger) -> Self {
        for (index, (at, _)) in plan.deeds.iter().enumerate() {
            cluster.plan(*at, index);
        }
        Run {
            plan,
            begun: cluster.now(),
            cluster,
            ledger,
            tally: Tally {
                runs: 1,
                faults: plan.faults,
                overlapping: u64::from(plan.overlap >= OVERLAP),
                ..Tally::default()
            },
            next_look: 0,
            moved: BTreeMap::new(),
            pinned: BTreeSet::new(),
            stuck: BTreeSet::new(),
            legacy: BTreeSet::new(),
            patient: Vec::new(),
            lines: None,
        }
    }

    /// From the first deed to the last question.
    fn live(&mut self) -> Result<(), Failure> {
        self.unrest()?;
        self.calm_down();
        self.rest()?;
        for deed in &self.plan.encores {
            if self.tally.events >= EVENTS_MIN {
                break;
            }
            self.tally.faults += 1;
            self.perform_now(*deed);
            self.calm_down();
            self.rest()?;
        }
        self.mount_everywhere()?;
        self.tally.brief += u64::from(self.tally.events < EVENTS_MIN);
        Ok(())
    }

    fn unrest(&mut self) -> Result<(), Failure> {
        let until = self.plan.deeds.last().map_or(0, |(at, _)| *at);
        while self.cluster.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        let Some(happening) = self.cluster.step() else { return Ok(()) };
        self.tally.steps += 1;
        self.tally.time = self.cluster.now() - self.begun;
        self.tally.events += u64::from(matches!(happening, Happening::Handled(_)));
        if let Happening::Planned(index) = happening {
            self.perform_now(self.plan.deeds[index].1);
        }
        self.lines.iter_mut().for_each(|lines| lines.tell(&self.cluster, &happening));
        self.tally.sometimes.see(&self.cluster, &happening);
        Ok(self.ledger.check(&self.cluster, &happening)?)
    }

    fn perform_now(&mut self, deed: Deed) {
        let at = self.cluster.now();
        self.lines.iter_mut().for_each(|lines| lines.add(at, format!("-- {} ms {deed:?}", at / MS)));
        self.perform(deed);
    }

    /// Everything that every daemon saw and did.
    fn digest(&self) -> u64 {
        let records = self.cluster.hosts.values().flat_map(|host| &host.recordings).flat_map(|one| &one.records);
        records.fold(0, |sum, record| mix(sum, digest(&(record.tick, &record.event, &record.effects, record.order))))
    }

    fn replay(&self) -> Result<(), Failure> {
        for (node, host) in &self.cluster.hosts {
            for recording in &host.recordings {
                let replayed = recording.replay();
                replayed.map_err(|why| Failure::Replay { node: *node, why: why.to_string() })?;
            }
        }
        Ok(())
    }
}
