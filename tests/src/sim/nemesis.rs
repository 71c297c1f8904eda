//! Seeded faults, then a heal, then everything must come to rest; and the smallest plan that still fails.
//!
//! A seed names a plan: how many nodes, how they are configured, and what happens to them when. Each seed leaves out a
//! random half of the kinds of faults, so that the others meet more often. After the last deed all faults end, and within
//! [`REST_MAX`] every node must be let in, quiet, with the kernel it should have, and able to mount.

mod outcome;
mod plan;

use super::agenda::{MS, Micros, SECOND};
use super::checkers::Ledger;
use super::cluster::{Cluster, Happening, MountOutcome, Tool, address, user_stack};
use super::corosync::Chance;
use super::digest::{digest, mix};
use super::intruder::Manner;
use super::recording::Memory;
use crate::lines::Lines;
use agent_core::Agent;
use agent_core::ids::NodeId;
use agent_core::refusal::Refusal;
use agent_core::wait::Wait;
use configfs::Errno;
use configfs::model::Call;
use proto::control::{Ask, Condition};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};

pub use self::outcome::{Failure, Tally};
pub use self::plan::{Deed, FAULTS_MIN, Plan};

/// Faults at one time of which at least every third run has so many.
pub const OVERLAP: usize = 3;
/// And the cluster is given so long to come to rest: the longest back-off twice, and the longest dead time.
pub const REST_MAX: Micros = 400 * SECOND;
/// As configured on all nodes, but for faults: 12 s of silence on the disk.
const DEAD_THRESHOLD: u32 = 7;
/// At rest a tool has its word after this, and after the longest time in which corosync may still be busy.
const WORD_MAX: Micros = 30 * SECOND;
/// init looks for daemons that have ended so often.
const RESTART_EVERY: Micros = 2 * SECOND;
/// Most steps of a run: a cluster that turns in circles is restless too.
const STEPS_MAX: u64 = 400_000;

impl Plan {
    /// Runs it, with every sentence checked after every step.
    ///
    /// # Errors
    /// [`Failure`]: the first thing that did not hold.
    pub fn run(&self) -> Result<Tally, Failure> {
        self.run_with(Memory::Last).map(|(tally, _)| tally)
    }

    /// Runs it twice and demands that both went the same way, that every recording replays with the same effects, and
    /// that what is written to disks and dumps reads back. Takes some ten times as long.
    ///
    /// # Errors
    /// [`Failure`]: the first thing that did not hold.
    pub fn prove(&self) -> Result<Tally, Failure> {
        let (tally, one) = self.run_with(Memory::All)?;
        let (_, other) = self.run_with(Memory::All)?;
        if one == other { Ok(tally) } else { Err(Failure::Uncertain { one, other }) }
    }

    fn run_with(&self, memory: Memory) -> Result<(Tally, u64), Failure> {
        let ended = panic::catch_unwind(AssertUnwindSafe(|| self.run_through(memory)));
        ended.unwrap_or_else(|said| {
            let text = said.downcast_ref::<String>().cloned();
            let text = text.or_else(|| said.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Failure::Panicked { what: text.unwrap_or_default() })
        })
    }

    fn run_through(&self, memory: Memory) -> Result<(Tally, u64), Failure> {
        let mut run = Run::new(self);
        run.cluster.remember(memory);
        run.unrest()?;
        run.calm_down();
        run.rest()?;
        run.mount_everywhere()?;
        run.replay()?;
        let digest = run.digest();
        Ok((run.tally, digest))
    }

    /// The run as a story, line by line, with the deeds in it.
    #[must_use]
    pub fn told(&self) -> String {
        let mut run = Run::new(self);
        run.lines = Some(Lines::default());
        let _told = run.unrest().and_then(|()| {
            run.calm_down();
            run.rest()
        });
        run.lines.map_or_else(String::new, |mut lines| lines.take())
    }

    /// The smallest plan that still fails in the same way, found by leaving out deeds.
    #[must_use]
    pub fn shrunk(&self, failure: &Failure) -> Plan {
        let mut plan = self.clone();
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

struct Run<'a> {
    plan: &'a Plan,
    cluster: Cluster,
    ledger: Ledger,
    tally: Tally,
    next_look: Micros,
    /// Nodes whose address is the other one.
    moved: BTreeMap<u32, bool>,
    /// Pins set on a node, of entries by name.
    pinned: BTreeSet<(u32, String)>,
    /// Where the run is told, if anybody wants to read it.
    lines: Option<Lines>,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut cluster = Cluster::new(plan.nodes, Chance::On, plan.seed);
        let mut timing = cluster.corosync.timing();
        timing.quorum = plan.quorum_lag;
        cluster.corosync.set_timing(timing);
        cluster.corosync.expect_votes(plan.nodes as usize);
        for node in 1..=plan.nodes {
            cluster.set_policy(node, |policy| {
                policy.forget = plan.forget;
                policy.fence = plan.fence;
                policy.attributes.dead_threshold = DEAD_THRESHOLD;
            });
        }
        if let Some(recovers_by_itself) = plan.user_stack {
            cluster.hosts.values_mut().for_each(|host| host.stack = user_stack(recovers_by_itself));
        }
        for (index, (at, _)) in plan.deeds.iter().enumerate() {
            cluster.plan(*at, index);
        }
        Run {
            plan,
            cluster,
            ledger: Ledger::default(),
            tally: Tally {
                runs: 1,
                faults: plan.faults,
                overlapping: u64::from(plan.overlap >= OVERLAP),
                ..Tally::default()
            },
            next_look: 0,
            moved: BTreeMap::new(),
            pinned: BTreeSet::new(),
            lines: None,
        }
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
        self.tally.time = self.cluster.now();
        self.tally.events += u64::from(matches!(happening, Happening::Handled(_)));
        if let Happening::Planned(index) = happening {
            let (at, deed) = self.plan.deeds[index];
            self.lines.iter_mut().for_each(|lines| lines.add(at, format!("-- {} ms {deed:?}", at / MS)));
            self.perform(deed);
        }
        self.lines.iter_mut().for_each(|lines| lines.tell(&self.cluster, &happening));
        self.tally.sometimes.see(&self.cluster, &happening);
        Ok(self.ledger.check(&self.cluster, &happening)?)
    }

    fn perform(&mut self, deed: Deed) {
        let cluster = &mut self.cluster;
        match deed {
            Deed::PowerOff(node) => cluster.power_off(node),
            Deed::PowerOn(node) => cluster.power_on(node),
            Deed::Blackout => (1..=self.plan.nodes).for_each(|node| cluster.power_off(node)),
            Deed::CrashDaemon(node) => cluster.crash_daemon(node),
            Deed::CrashDaemonAfter(node, effects) => cluster.crash_daemon_after(node, effects),
            Deed::StartDaemon(node) => cluster.start_daemon(node),
            Deed::StopDaemon(node) => cluster.stop_daemon(node),
            Deed::AskShutdown(node) => cluster.ask_shutdown(node),
            Deed::CrashCorosync(node) => cluster.crash_corosync(node),
            Deed::StopCorosync(node) => cluster.stop_corosync(node),
            Deed::StartCorosync(node) => cluster.start_corosync(node),
            Deed::Pause(node) => cluster.pause(node),
            Deed::PauseDaemon(node) => cluster.pause_daemon(node),
            Deed::JumpClock(node, ms) => cluster.jump_clock(node, ms * MS),
            Deed::Cut(one, other) => cluster.corosync.cut(one, other),
            Deed::Stall(node, ms) => cluster.corosync.stall(node, ms * MS),
            Deed::Busy(node, ms) => cluster.corosync.busy(node, ms * MS),
            Deed::Ghost => cluster.corosync.want_ghost(),
            Deed::Resume(node) => cluster.resume(node),
            Deed::PauseCorosync(node) => cluster.pause_corosync(node),
            Deed::ResumeCorosync(node) => cluster.resume_corosync(node),
            Deed::Partition(mask) => {
                let (there, here) = (1..=self.plan.nodes).partition(|node| mask & (1 << node) != 0);
                cluster.corosync.partition(&[here, there]);
            }
            Deed::Heal => cluster.heal(),
            Deed::Mount(node) if self.plan.user_stack.is_some() => cluster.tool_mounts(node),
            Deed::Mount(node) => _ = cluster.mount(node),
            Deed::Umount(node) if self.plan.user_stack.is_some() => cluster.tool_umounts(node),
            Deed::Umount(node) => cluster.umount(node),
            Deed::ToolDies(node) => cluster.tool_dies(node),
            Deed::RefuseControl(node) => self.control_answers(node, Some(Errno::EIO.0)),
            Deed::AllowControl(node) => self.control_answers(node, None),
            Deed::AckDead(node, dead) => self.ack_dead(node, dead),
            Deed::SlowKernel(node, ms) => {
                cluster.hosts.entry(node).and_modify(|host| host.kernel_delay = ms * MS);
            }
            Deed::RefuseOnce(node, byte) => self.refuse(node, byte, true),
            Deed::Refuse(node, byte) => self.refuse(node, byte, false),
            Deed::Allow(node) => self.allow(node),
            Deed::RemoveFromNodelist(node) => cluster.configure(|config| _ = config.nodes.remove(&NodeId(node))),
            Deed::AddToNodelist(node) => self.configure(node),
            Deed::ChangeAddress(node) => {
                *self.moved.entry(node).or_default() ^= true;
                self.configure(node);
            }
            Deed::ChangeThreshold(node) => {
                cluster.set_policy(node, |policy| policy.attributes.dead_threshold ^= 8);
            }
            Deed::Ask(node, byte) => self.ask(node, byte),
            Deed::Intrude(node, byte) => {
                let manners = [Manner::Silent, Manner::Garbage, Manner::Bent, Manner::SecondAgent];
                cluster.intrude(node, manners[usize::from(byte) % manners.len()]);
            }
            Deed::IntrudersEnd => cluster.intruders_end(),
        }
    }

    fn control_answers(&mut self, node: u32, errno: Option<i32>) {
        self.cluster.hosts.entry(node).and_modify(|host| host.kernel.control_errno = errno);
    }

    /// Whoever says that a node is dead has made sure.
    fn ack_dead(&mut self, node: u32, dead: u32) {
        let waits = |agent: &Agent| {
            let waits = agent.waits();
            waits.iter().any(|standing| matches!(standing.wait, Wait::Fence { node, .. } if node.0 == dead))
        };
        if self.cluster.agent(node).is_some_and(waits) {
            self.cluster.power_off(dead);
            self.cluster.ask(node, Ask::AckDead { node: dead.to_string(), by: "a person".into() });
        }
    }

    fn refuse(&mut self, node: u32, byte: u8, once: bool) {
        let Some(host) = self.cluster.hosts.get_mut(&node) else { return };
        let errno = [Errno::EBUSY, Errno::EACCES, Errno::EIO][usize::from(byte) % 3];
        let (call, pattern) = [
            (Call::Mkdir, "*/node/*"),
            (Call::Rmdir, "*/node/*"),
            (Call::Store, "*/num"),
            (Call::Store, "*/local"),
            (Call::Mkdir, "lab"),
        ][usize::from(byte / 3) % 5];
        let model = host.kernel.model();
        if once { model.refuse_once(call, pattern, errno) } else { model.refuse(call, pattern, errno) }
    }

    fn allow(&mut self, node: u32) {
        let Some(host) = self.cluster.hosts.get_mut(&node) else { return };
        let model = host.kernel.model();
        let patterns: Vec<String> = model.faults().iter().map(|fault| fault.pattern.clone()).collect();
        patterns.iter().for_each(|pattern| model.allow(pattern));
    }

    fn configure(&mut self, node: u32) {
        let mut configured = super::cluster::configured(node);
        if self.moved.get(&node) == Some(&true) {
            configured.address = Ok(address(node + 100));
        }
        self.cluster.configure(|config| _ = config.nodes.insert(NodeId(node), configured));
    }

    fn ask(&mut self, node: u32, byte: u8) {
        let other = super::cluster::name(1 + u32::from(byte) % self.plan.nodes);
        let ask = match byte % 9 {
            0 => Ask::Status,
            1 => Ask::Plan,
            2 => Ask::CanStop,
            3 => Ask::Wait(Condition::Settled),
            4 => Ask::Wait(Condition::NodeReady(other)),
            5 => Ask::Forget { node: other },
            6 => {
                self.pinned.insert((node, other.clone()));
                Ask::Pin { text: "x".into(), node: Some(other) }
            }
            7 => Ask::Unpin { text: "x".into(), node: Some(other) },
            _ => Ask::Groups,
        };
        let client = self.cluster.ask(node, ask);
        if byte > 200 {
            self.cluster.hang_up(node, client);
        }
    }

    /// All faults end, and everything is on.
    fn calm_down(&mut self) {
        for node in 1..=self.plan.nodes {
            self.cluster.resume(node);
            self.cluster.resume_corosync(node);
            self.restart_if_deserted(node);
            self.cluster.power_on(node);
            self.cluster.start_corosync(node);
            self.allow(node);
            self.control_answers(node, None);
            self.configure(node);
            self.cluster.set_policy(node, |policy| policy.attributes.dead_threshold = DEAD_THRESHOLD);
            self.unmount_if_drifted(node);
            self.cluster.hosts.entry(node).and_modify(|host| {
                host.kernel_delay = 0;
                host.effects_left = None;
            });
        }
        for (node, other) in std::mem::take(&mut self.pinned) {
            self.cluster.ask(node, Ask::Unpin { text: "x".into(), node: Some(other) });
        }
        self.cluster.intruders_end();
        self.cluster.heal();
        self.lines.iter_mut().for_each(|lines| lines.add(self.cluster.now(), "-- all faults end".into()));
    }

    /// What the status of such a node asks for: without dlm_controld its volumes stand still for ever.
    fn restart_if_deserted(&mut self, node: u32) {
        if self.cluster.hosts.get(&node).is_some_and(|host| host.kernel.stack.deserted) {
            self.cluster.power_off(node);
        }
    }

    /// What the status of such a node asks for: attributes cannot change under a mount.
    fn unmount_if_drifted(&mut self, node: u32) {
        let tree = self.cluster.hosts.get(&node).and_then(|host| host.kernel.tree().ok().flatten());
        if tree.is_some_and(|tree| tree.attributes.dead_threshold != DEAD_THRESHOLD) {
            self.cluster.umount(node);
            self.cluster.tool_umounts(node);
        }
    }

    /// init restarts what has ended; a daemon that was asked to end may do so.
    fn restart(&mut self) {
        if self.cluster.now() < self.next_look {
            return;
        }
        self.next_look = self.cluster.now() + RESTART_EVERY;
        for node in 1..=self.plan.nodes {
            // A fence device may have turned it off at last, and corosync may have ended under its volumes.
            self.restart_if_deserted(node);
            self.cluster.power_on(node);
            if self.cluster.agent(node).is_none() {
                self.cluster.start_daemon(node);
            }
            if !self.cluster.corosync.is_up(node) {
                self.cluster.start_corosync(node);
            }
        }
    }

    fn rest(&mut self) -> Result<(), Failure> {
        let until = self.cluster.now() + REST_MAX;
        loop {
            self.restart();
            let wrong = if self.cluster.is_active() { Some("still active".to_owned()) } else { self.wrong() };
            let Some(what) = wrong else { return Ok(()) };
            if self.cluster.now() > until || self.tally.steps > STEPS_MAX {
                return Err(Failure::Restless { what: self.wrong().unwrap_or(what) });
            }
            let chunk = self.cluster.now() + RESTART_EVERY;
            while self.cluster.next_at().is_some_and(|at| at <= chunk) && self.tally.steps <= STEPS_MAX {
                self.step()?;
            }
            self.cluster.pass(chunk);
        }
    }

    /// What is not as it should be at the end.
    fn wrong(&self) -> Option<String> {
        (1..=self.plan.nodes).find_map(|node| self.wrong_with(node))
    }

    fn wrong_with(&self, node: u32) -> Option<String> {
        let host = self.cluster.hosts.get(&node)?;
        let Some(agent) = host.agent() else { return Some(format!("n{node} has no daemon")) };
        let said = |what: String| Some(format!("n{node} {what}"));
        if agent.view().live().len() != self.plan.nodes as usize {
            return said(format!("sees {:?}", agent.view().live()));
        }
        let allowed = |wait: &Wait| matches!(wait, Wait::Pinned { .. });
        if let Some(standing) = agent.waits().iter().find(|standing| !allowed(&standing.wait)) {
            return said(format!("waits: {}", standing.wait));
        }
        let Some(agreed) = agent.agreed() else { return said("has agreed on nothing".into()) };
        let moving =
            |refusal: &Refusal| matches!(refusal, Refusal::LiveWithoutQuorum { .. } | Refusal::IdentityChanged { .. });
        if let Some((member, refusal)) = agreed.troubles.iter().find(|(_, refusal)| !moving(refusal)) {
            return said(format!("has a trouble with {member}: {refusal}"));
        }
        let in_ = agreed.established();
        if in_.len() != self.plan.nodes as usize {
            return said(format!("has not let all in: {:?}", agreed.standing));
        }
        // Who waits for "settled" waits for the end of the pins, too.
        let open =
            if agent.is_quiet() { host.daemon.iter().flat_map(|daemon| &daemon.open_requests).count() } else { 0 };
        let wanted: Vec<u8> = agreed.table.entries.keys().copied().collect();
        let found: Vec<u8> = host.kernel.table().keys().map(|number| number.as_u8()).collect();
        let all: Vec<u8> = (1..=self.plan.nodes as u8).collect();
        let half_made = host.kernel.half_made();
        if !host.needs_down.is_empty() {
            return said(format!("has the volume mounted, and DOWN was not written for {:?}", host.needs_down));
        }
        if wanted != all || found != all || open > 0 || !half_made.is_empty() {
            return said(format!("has table {wanted:?}, kernel {found:?} and {half_made:?}, {open} open requests"));
        }
        None
    }

    /// After all the faults each node can mount, whoever has the volume mounted already.
    fn mount_everywhere(&mut self) -> Result<(), Failure> {
        if self.plan.user_stack.is_some() {
            return self.ask_everywhere();
        }
        for node in 1..=self.plan.nodes {
            let outcome = self.cluster.mount(node);
            let mounted = self.cluster.hosts.get(&node).is_some_and(|host| host.kernel.is_mounted());
            if !mounted {
                return Err(Failure::Restless { what: format!("n{node} cannot mount: {outcome:?}") });
            }
            debug_assert!(matches!(outcome, MountOutcome::Mounted | MountOutcome::Impossible));
        }
        Ok(())
    }

    /// Every tool that asks has its word soon.
    fn ask_everywhere(&mut self) -> Result<(), Failure> {
        (1..=self.plan.nodes).for_each(|node| self.cluster.tool_mounts(node));
        let until = self.cluster.now() + WORD_MAX;
        while self.cluster.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        match self.cluster.hosts.values().find(|host| host.tool == Some(Tool::Asks)) {
            Some(host) => Err(Failure::Restless { what: format!("n{}: the tool has no word", host.node) }),
            None => Ok(()),
        }
    }

    /// Everything that every daemon saw and did.
    fn digest(&self) -> u64 {
        let records = self.cluster.hosts.values().flat_map(|host| &host.recordings).flat_map(|one| &one.records);
        records.fold(0, |sum, record| mix(sum, digest(&(record.tick, &record.event, &record.effects, record.order))))
    }

    fn replay(&self) -> Result<(), Failure> {
        if self.cluster.memory() == Memory::Last {
            return Ok(());
        }
        for (node, host) in &self.cluster.hosts {
            for recording in &host.recordings {
                let replayed = recording.replay();
                replayed.map_err(|why| Failure::Replay { node: *node, why: why.to_string() })?;
            }
        }
        Ok(())
    }
}
