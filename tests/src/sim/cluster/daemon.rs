//! Lives of daemons: start, connection to corosync, the kernel thread, the end.

use super::{Cluster, Due, GROUP, Happening, KernelDeed, RETRY, RETRY_MAX};
use crate::sim::agenda::{MS, Micros};
use crate::sim::corosync::{CallError, Chance, Handle};
use crate::sim::host::{Daemon, Host, Job};
use crate::sim::recording::{Memory, Recording};
use agent_core::event::{Connected, KernelOutcome, Started};
use agent_core::saved::Saved;
use agent_core::{Agent, Event};
use std::collections::VecDeque;

/// From the start of a process to its first call into corosync.
const CONNECT_AFTER: Micros = 20 * MS;
/// From the return of corosync to the next try.
pub(super) const RECONNECT_AFTER: Micros = 300 * MS;
/// What one operation takes.
const OP_TIME: Micros = 20;
/// One time in so many cmap is read only after the group was joined.
const CMAP_LATE_EVERY: u64 = 9;
/// And so much later.
const CMAP_LATE: Micros = 50 * MS;
/// How often a kernel that stands still is looked at.
const STILL: Micros = 10 * MS;
/// Process ids count up from here, different ranges on different nodes.
const PID_FIRST: u32 = 1_000;

impl Cluster {
    /// Starts the daemon of a running machine, unless one runs.
    pub fn start_daemon(&mut self, node: u32) {
        let boots = self.hosts.get(&node).map_or(0, |host| host.boots);
        self.agenda.plan(self.now, Due::StartDaemon { node, boots });
    }

    pub(super) fn start_daemon_of(&mut self, node: u32, boots: u32) -> Happening {
        let tick = self.tick(node);
        self.lives += 1;
        let life = self.lives;
        let Some(host) = self.hosts.get_mut(&node) else { return Happening::Other };
        if !host.powered || host.boots != boots || host.daemon.is_some() {
            return Happening::Other;
        }
        if host.paused_since.is_some() {
            self.agenda.plan(self.now + RECONNECT_AFTER, Due::StartDaemon { node, boots });
            return Happening::Other;
        }
        host.daemons += 1;
        let pid = PID_FIRST * node + host.daemons;
        host.daemon = Some(Daemon {
            pid,
            life,
            agent: Agent::new(),
            handle: None,
            handles: 0,
            outbox: VecDeque::new(),
            jobs: VecDeque::new(),
            parked: VecDeque::new(),
            turned: tick,
            refused: 0,
            config: None,
            open_requests: Vec::new(),
        });
        host.recordings.push(Recording::default());
        let saved = read_back(host, self.memory);
        // What cannot be read at the start stays a conflict until a person has looked.
        host.needs_restart |= saved.is_err() || host.kernel.tree().is_err();
        let started = Event::Started(Box::new(Started {
            boot_id: host.boot_id(),
            started_ms: tick.0,
            release: "0.1.0".into(),
            backend: "model".into(),
            hostname: super::name(node),
            kernel_release: "6.1.0".into(),
            policy: host.policy.clone(),
            saved,
            kernel: host.kernel.view(),
            pid,
        }));
        let happening = self.give(node, life, started, None);
        self.agenda.plan(self.now + CONNECT_AFTER, Due::Connect { node, life });
        happening
    }

    /// Connects to corosync if it is there; otherwise its start brings us back here.
    pub(super) fn connect(&mut self, node: u32, life: u64) {
        let paused = self.hosts.get(&node).is_some_and(|host| host.paused_since.is_some());
        let Some(daemon) = self.daemon(node, life).filter(|daemon| daemon.handle.is_none()) else { return };
        let handle = Handle { node, pid: daemon.pid, number: daemon.handles };
        if paused {
            return self.agenda.plan(self.now + RECONNECT_AFTER, Due::Connect { node, life });
        }
        match self.open(handle) {
            Ok(()) => {}
            Err(CallError::TryAgain | CallError::Busy | CallError::Exist) => {
                self.corosync.finalize(handle);
                return self.try_again(node, life, Due::Connect { node, life });
            }
            Err(CallError::Library | CallError::NotExist) => return,
        }
        let nonce = self.rng.bits() | 1;
        if let Some(daemon) = self.daemon(node, life) {
            daemon.handle = Some(handle);
            daemon.handles += 1;
            daemon.refused = 0;
            daemon.config = None;
        }
        let up = Event::CorosyncUp(Connected { member: handle.member(), nonce });
        let cmap_is_late = self.chance == Chance::On && nonce % CMAP_LATE_EVERY == 0;
        if cmap_is_late {
            self.agenda.plan(self.now + CMAP_LATE, Due::Cmap { node, life });
        } else {
            self.tell_config(node);
        }
        self.plan_event(node, life, up, 0);
    }

    pub(super) fn read_cmap(&mut self, node: u32, life: u64) {
        if self.daemon(node, life).is_some() {
            self.tell_config(node);
        }
    }

    /// As the real one: at once at first, then less and less often.
    pub(super) fn try_again(&mut self, node: u32, life: u64, due: Due) {
        let Some(daemon) = self.daemon(node, life) else { return };
        let after = RETRY_MAX.min(RETRY << daemon.refused.min(RETRY_MAX.ilog2()));
        daemon.refused += 1;
        self.agenda.plan(self.now + after, due);
    }

    /// Nothing is connected before the join would be taken: whoever tries it again is not told all of quorum again.
    fn open(&mut self, handle: Handle) -> Result<(), CallError> {
        self.corosync.would_join(handle.member(), GROUP)?;
        self.corosync.connect(handle)?;
        self.corosync.track_quorum(handle.node, handle.pid)?;
        self.corosync.join(handle, GROUP)
    }

    /// The connection is gone; if corosync is back already, try again soon.
    pub(super) fn disconnected(&mut self, node: u32) {
        let Some(daemon) = self.hosts.get_mut(&node).and_then(|host| host.daemon.as_mut()) else { return };
        daemon.handle = None;
        daemon.refused = 0;
        daemon.outbox.retain(|out| !matches!(out, crate::sim::host::Outgoing::Message(_)));
        let life = daemon.life;
        self.agenda.plan(self.now + RECONNECT_AFTER, Due::Connect { node, life });
        self.flush(node, life);
    }

    /// Starts the next job of the kernel thread.
    pub(super) fn kick_kernel(&mut self, node: u32, life: u64) {
        let Some(host) = self.hosts.get(&node) else { return };
        let delay = match host.daemon.as_ref().and_then(|daemon| daemon.jobs.front()) {
            Some(Job::Batch { done: 0, .. }) => host.kernel_delay,
            Some(Job::Batch { .. } | Job::Look) => 0,
            None => return,
        };
        self.agenda.plan(self.now + OP_TIME + delay, Due::Kernel { node, life });
    }

    /// Queues a job; the kernel thread does one after the other.
    pub(super) fn queue_job(&mut self, node: u32, life: u64, job: Job) {
        let Some(daemon) = self.daemon(node, life) else { return };
        daemon.jobs.push_back(job);
        if daemon.jobs.len() == 1 {
            self.kick_kernel(node, life);
        }
    }

    pub(super) fn kernel_step(&mut self, node: u32, life: u64) -> Happening {
        let Some(host) = self.hosts.get_mut(&node) else { return Happening::Other };
        if host.paused_since.is_some() {
            self.agenda.plan(self.now + STILL, Due::Kernel { node, life });
            return Happening::Other;
        }
        let Some(daemon) = host.daemon.as_mut().filter(|daemon| daemon.life == life) else {
            return Happening::Other;
        };
        let happening = match daemon.jobs.front_mut() {
            None => return Happening::Other,
            Some(Job::Look) => {
                daemon.jobs.pop_front();
                let seen = Event::KernelSeen(host.kernel.view());
                self.plan_event(node, life, seen, 0);
                Happening::Other
            }
            Some(Job::Batch { .. }) => self.batch_step(node, life),
        };
        self.kick_kernel(node, life);
        happening
    }

    /// Does one operation of the batch; after the last, or the first refusal, the tree is read back.
    fn batch_step(&mut self, node: u32, life: u64) -> Happening {
        let Some(host) = self.hosts.get_mut(&node) else { return Happening::Other };
        let Some(Job::Batch { op, ops, done }) = host.daemon.as_mut().and_then(|daemon| daemon.jobs.front_mut()) else {
            return Happening::Other;
        };
        // A region that breaks off is in the way of what is being written.
        let tampered = host.kernel.is_tampered() || host.is_meddled || host.kernel.has_broken_region();
        let (op, now_done) = (*op, ops.get(*done).cloned());
        *done += 1;
        let last = *done >= ops.len();
        let result = now_done.as_ref().map_or(Ok(()), |op| host.kernel.perform(op));
        if last || result.is_err() {
            let outcome = KernelOutcome { result: result.clone(), tree: host.kernel.owned_tree() };
            host.daemon.as_mut().map(|daemon| daemon.jobs.pop_front());
            self.plan_event(node, life, Event::KernelDone(op, outcome), OP_TIME);
        }
        now_done.map_or(Happening::Other, |op| Happening::Kernel(Box::new(KernelDeed { node, op, result, tampered })))
    }

    /// kill -9. An operation in the kernel may still come through.
    pub fn crash_daemon(&mut self, node: u32) {
        let through = self.chance == Chance::On && self.rng.chance(50);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let Some(daemon) = host.daemon.take() else { return };
        if let (true, Some(Job::Batch { ops, done, .. })) = (through, daemon.jobs.front()) {
            ops.get(*done).into_iter().for_each(|op| drop(host.kernel.perform(op)));
        }
        host.effects_left = None;
        self.tool_loses_daemon(node);
        self.corosync.exit(node, daemon.pid);
    }

    /// The process ends by itself.
    pub(super) fn exit_daemon(&mut self, node: u32) {
        if let Some(daemon) = self.hosts.get_mut(&node).and_then(|host: &mut Host| host.daemon.take()) {
            self.tool_loses_daemon(node);
            self.corosync.exit(node, daemon.pid);
        }
    }
}

/// The state file goes through its form on disk.
fn read_back(host: &Host, memory: Memory) -> Result<Option<Saved>, String> {
    if host.is_state_cut {
        return Err("it ends in the middle".into());
    }
    if let Some(why) = host.saved.as_ref().and_then(Saved::is_newer) {
        return Err(why);
    }
    let (Some(saved), Memory::All) = (&host.saved, memory) else { return Ok(host.saved.clone()) };
    let text = serde_json::to_string(saved).map_err(|err| err.to_string())?;
    serde_json::from_str(&text).map(Some).map_err(|err| err.to_string())
}
