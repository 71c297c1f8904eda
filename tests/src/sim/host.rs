//! One machine: its kernel, its /run, and perhaps a daemon.

use super::agenda::Micros;
use super::cluster::Tool;
use super::corosync::Handle;
use super::dlm::Dlm;
use super::kernel::Kernel;
use super::recording::Recording;
use agent_core::Agent;
use agent_core::event::{ClusterConfig, Event, Stack};
use agent_core::ids::{OpId, Tick};
use agent_core::policy::Policy;
use agent_core::saved::Saved;
use configfs::Op;
use std::collections::{BTreeSet, VecDeque};

/// A machine of the cluster.
#[derive(Clone, Debug)]
pub struct Host {
    /// corosync's nodeid.
    pub node: u32,
    /// The power is on.
    pub powered: bool,
    /// Counts boots.
    pub boots: u32,
    /// The whole machine stands still since then.
    pub paused_since: Option<Micros>,
    /// When it last went on after that.
    pub resumed_at: Micros,
    /// How far the clock has jumped ahead.
    pub clock_ahead: Micros,
    /// Its kernel; gone with the power.
    pub kernel: Kernel,
    /// The cluster stack that it boots with.
    pub stack: Stack,
    /// What its one mount tool is doing, on a user stack.
    pub tool: Option<Tool>,
    /// Dead nodes for which the mounted volume stands still until DOWN is written here.
    pub needs_down: BTreeSet<u32>,
    /// Nodes, and which of their boots, that were written DOWN here.
    pub downs: BTreeSet<(u32, u32)>,
    /// Its dlm_controld.
    pub dlm: Dlm,
    /// When dlm_controld ended under a mounted volume: who mounts later has no locks in common with this node.
    pub deserted_at: Option<Micros>,
    /// Since when the volume is mounted.
    pub mounted_since: Micros,
    /// The state file in /run; gone with the power.
    pub saved: Option<Saved>,
    /// o2cpg.toml.
    pub policy: Policy,
    /// corosync.conf as this node has it, where it differs from the others'.
    pub own_config: Option<ClusterConfig>,
    /// The daemon, while it runs.
    pub daemon: Option<Daemon>,
    /// Every life of a daemon on this machine, the present one last.
    pub recordings: Vec<Recording>,
    /// How long the kernel takes for a batch beyond the usual.
    pub kernel_delay: Micros,
    /// The daemon is killed after so many more effects.
    pub effects_left: Option<u32>,
    /// The state file ends in the middle.
    pub is_state_cut: bool,
    /// Another program has written to this kernel's tree.
    pub is_meddled: bool,
    /// Nothing but a restart helps: a state file was lost, or a region broken off.
    pub needs_restart: bool,
    /// Daemons started so far; makes their process ids.
    pub daemons: u32,
}

/// A running o2cpgd.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its process.
    pub pid: u32,
    /// Unique among all daemons of the run: what was planned for a former one reaches nobody.
    pub life: u64,
    /// What decides.
    pub agent: Agent,
    /// Its CPG handle, while connected.
    pub handle: Option<Handle>,
    /// How many handles it has had.
    pub handles: u32,
    /// What corosync has not taken yet, in order.
    pub outbox: VecDeque<Outgoing>,
    /// What the kernel thread has to do, in order.
    pub jobs: VecDeque<Job>,
    /// Events that wait because the machine stands still.
    pub parked: VecDeque<(Event, Option<u64>)>,
    /// When its loop turned last.
    pub turned: Tick,
    /// Calls in a row that corosync wanted tried again.
    pub refused: u32,
    /// corosync.conf as it was told last.
    pub config: Option<ClusterConfig>,
    /// Requests asked and not answered.
    pub open_requests: Vec<u64>,
}

/// Something for corosync.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// A message for the group.
    Message(Vec<u8>),
    /// Leave the group.
    Leave,
    /// Nothing more: the process ends.
    Exit,
}

/// Something for the kernel thread.
#[derive(Clone, Debug)]
pub enum Job {
    /// Do these, then read the tree.
    Batch {
        /// To answer with.
        op: OpId,
        /// In order.
        ops: Vec<Op>,
        /// How many are done.
        done: usize,
    },
    /// Read the tree and the mounts.
    Look,
}

impl Host {
    /// A machine without power.
    #[must_use]
    pub fn new(node: u32) -> Self {
        Host {
            node,
            powered: false,
            boots: 0,
            paused_since: None,
            resumed_at: 0,
            clock_ahead: 0,
            kernel: Kernel::default(),
            stack: Stack::default(),
            tool: None,
            needs_down: BTreeSet::new(),
            downs: BTreeSet::new(),
            dlm: Dlm::default(),
            deserted_at: None,
            mounted_since: 0,
            saved: None,
            policy: Policy::default(),
            own_config: None,
            daemon: None,
            recordings: Vec::new(),
            kernel_delay: 0,
            effects_left: None,
            is_state_cut: false,
            is_meddled: false,
            needs_restart: false,
            daemons: 0,
        }
    }

    /// The daemon's decider, while it runs.
    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        self.daemon.as_ref().map(|daemon| &daemon.agent)
    }

    /// /proc/sys/kernel/random/boot_id.
    #[must_use]
    pub fn boot_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.node.to_be_bytes());
        id[12..].copy_from_slice(&self.boots.to_be_bytes());
        id
    }
}
