//! Everything that can happen to an agent. `inputs.rs` of the daemon builds these; it wraps, it never judges.

use crate::ids::{ClientId, Member, NodeId, OpId, RingId, TimerToken};
use crate::legacy::{LegacyRecovery, LegacyWait};
use crate::mount_client::MountAsk;
use crate::policy::Policy;
use crate::saved::Saved;
use proto::control::Ask;
use proto::peer::{DecodeError, Message, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// One thing that happened. The recorder writes it down before the core sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// First event of every run: who we are, and what was found.
    Started(Box<Started>),
    /// cmap was read, for the first time or again.
    ConfigChanged(ClusterConfig),
    /// cmap cannot be read, or makes no sense; what was read before holds.
    ConfigUnreadable {
        /// What is wrong with it.
        why: String,
    },
    /// corosync does not let us into our group; it is asked again.
    JoinRefused {
        /// Its call and error.
        why: String,
    },
    /// The settings were read again (SIGHUP or cmap) and hold from here on.
    PolicyChanged(Box<Policy>),
    /// libcpg is connected and the group join is on its way.
    CorosyncUp(Connected),
    /// The connection broke; everything still queued to us is lost.
    CorosyncLost {
        /// What was seen: a call and its error, or a hang-up.
        why: String,
    },
    /// A call into corosync did not return within its deadline.
    CorosyncStuck {
        /// Which call.
        call: String,
    },
    /// The call that was stuck has returned.
    CorosyncUnstuck,
    /// The member list of our group changed (CPG confchg).
    ViewChanged(ViewChange),
    /// The ring stands (CPG totem callback); it follows the view changes that node losses and merges cause.
    RingChanged {
        /// Its identity.
        ring: RingId,
        /// Nodes in it.
        nodes: BTreeSet<NodeId>,
    },
    /// Quorum of one ring. corosync reports it after the CPG side of the same change.
    QuorumChanged {
        /// Whether the ring may go on.
        quorate: bool,
        /// The ring it speaks of.
        ring: RingId,
    },
    /// A message came in agreed order. Undecodable bytes are an event too: every member got the same ones.
    Delivered {
        /// Who sent it.
        from: Member,
        /// What it says.
        body: Result<Message, DecodeError>,
    },
    /// A client of the control socket asks.
    Asked(ClientId, Ask),
    /// The control device took these, or why not.
    ControlDone(OpId, Result<(), KernelRefusal>),
    /// dlm_controld has said how these lockspaces stand to the node it was asked about; `Ok(None)`: it has no such lockspace,
    /// or is gone.
    LockspacesSeen(OpId, Vec<(VolumeId, Result<Option<Lockspace>, KernelRefusal>)>),
    /// The fence program has ended: `Err` says how it failed.
    FenceEnded(NodeId, Result<(), String>),
    /// A tool of a mount asked, over the ocfs2_controld socket. One client may ask again and again.
    MountAsked(ClientId, MountAsk),
    /// Groups that clients of the legacy service have, as `LEVEL:NAME`.
    LegacyGroups(Vec<String>),
    /// What the legacy service has seen of deaths.
    LegacyRecovery(LegacyRecovery),
    /// Legacy groups that have stood still for too long: all of them, each time one more does or one less.
    LegacyWaits(Vec<LegacyWait>),
    /// A client's connection is closed.
    ClientGone(ClientId),
    /// A batch of kernel operations ended; the tree was read again after it.
    KernelDone(OpId, KernelOutcome),
    /// The kernel's side was looked at, because something there changed or because we asked.
    KernelSeen(KernelView),
    /// A timer rang.
    TimerFired(TimerToken),
    /// This process or machine stood still for longer than it should have.
    Slept {
        /// For how long.
        ms: u64,
    },
    /// Nothing at all happened for longer than the token time. Whether this machine ran meanwhile is not known.
    Quiet,
    /// corosync asks whether it may shut down.
    ShutdownAsked,
    /// The service manager or a person asks this daemon to end.
    StopAsked {
        /// "SIGTERM", "SIGINT", …
        by: String,
    },
}

/// What the daemon knows before it talks to anybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Of the running kernel: /proc/sys/kernel/random/boot_id.
    pub boot_id: [u8; 16],
    /// CLOCK_BOOTTIME of this daemon's start, ms.
    pub started_ms: u64,
    /// Of the daemon, for people.
    pub release: String,
    /// "kernel" or "model".
    pub backend: String,
    /// uname -n: the node name where corosync's nodelist has none.
    pub hostname: String,
    /// uname -r.
    pub kernel_release: String,
    /// Settings in force.
    pub policy: Policy,
    /// The state file in /run, or why it cannot be used.
    pub saved: Result<Option<Saved>, String>,
    /// The kernel's side as found.
    pub kernel: KernelView,
    /// Process id of this daemon.
    pub pid: u32,
}

/// The connection to corosync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// This process as a CPG member.
    pub member: Member,
    /// Chosen at random by the shell, new for each connection: tells two lives of one (nodeid, pid) apart.
    pub nonce: u64,
}

/// How a member came or went: corosync's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// The process joined the group.
    Join,
    /// The process left the group.
    Leave,
    /// Its node went.
    NodeDown,
    /// Its node came, with the process already in the group.
    NodeUp,
    /// The process ended without leaving. Says nothing about its node.
    ProcDown,
    /// A word this release does not know.
    Unknown(u32),
}

/// One CPG confchg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// After the change.
    pub members: BTreeSet<Member>,
    /// Who went, and how.
    pub left: Vec<(Member, Reason)>,
    /// Who came, and how.
    pub joined: Vec<(Member, Reason)>,
}

/// What we use of cmap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// totem.cluster_name.
    pub cluster_name: String,
    /// nodelist, by nodeid; positions mean nothing.
    pub nodes: BTreeMap<NodeId, ConfiguredNode>,
    /// Effective token time.
    pub token_ms: u32,
    /// Effective consensus time.
    pub consensus_ms: u32,
    /// It has no quorum provider, and says of each part of a split that it is quorate.
    #[serde(default)]
    pub lacks_quorum: bool,
}

/// One node of corosync's nodelist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredNode {
    /// nodelist.node.N.name, if it is set.
    pub name: Option<String>,
    /// The address of the chosen link, or why there is no IPv4 in it. Host names are resolved by the shell.
    pub address: Result<Ipv4Addr, String>,
}

/// What the kernel's side looked like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelView {
    /// configfs; `Ok(None)` where no cluster exists yet.
    pub tree: Option<Result<Option<configfs::Tree>, KernelRefusal>>,
    /// ocfs2 mounts of this machine; `None` where they were not looked at.
    pub mounts: Option<Vec<Mount>>,
    /// The cluster stack; `None` where it was not looked at.
    pub stack: Option<Stack>,
}

/// What the kernel's side of the cluster stack says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// /sys/fs/ocfs2/cluster_stack: four characters, "o2cb" unless it was changed; empty where ocfs2 is not loaded.
    pub label: String,
    /// The DLM tells the file system of deaths by itself (dlm/cluster/recover_callbacks); `None` without a DLM cluster.
    pub recovers_by_itself: Option<bool>,
    /// Highest locking protocol of the kernel, major and minor (/sys/fs/ocfs2/max_locking_protocol).
    pub locking: Option<(u8, u8)>,
    /// Lockspaces with the name of a volume (/sys/kernel/dlm).
    pub lockspaces: BTreeSet<VolumeId>,
    /// We hold the control device open, and its handshake is done.
    pub control: bool,
    /// There are lockspaces, and dlm_controld, which drives them, is gone: what needs a lock stands still, and no new
    /// dlm_controld takes them over.
    #[serde(default)]
    pub deserted: bool,
}

impl Stack {
    /// The label, or the one that a kernel has until somebody changes it.
    #[must_use]
    pub fn word(&self) -> &str {
        if self.label.is_empty() { "o2cb" } else { &self.label }
    }

    /// Whether a disk heartbeat decides on life and death: o2cb, which is what a kernel has until somebody changes it.
    #[must_use]
    pub fn fences_by_disk(&self) -> bool {
        self.word() == "o2cb"
    }

    /// Whether mounts need the control device: a user stack whose DLM leaves recovery to a daemon.
    #[must_use]
    pub fn needs_control(&self) -> bool {
        !self.fences_by_disk() && self.recovers_by_itself == Some(false)
    }
}

/// Something for whom a user stack needs besides the node tree: the control device, /dev/ocfs2_control, and dlm_controld.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlOp {
    /// Open it and shake hands: this node's number, the locking protocol of the cluster.
    Handshake {
        /// corosync's node id.
        node: u32,
        /// Major and minor.
        locking: (u8, u8),
    },
    /// This node is dead: recover its part of the volume.
    Down {
        /// Which volume.
        volume: VolumeId,
        /// corosync's node id.
        node: u32,
    },
    /// dlm_controld: whenever a node fails in the lockspace of this volume, its recovery waits for [`ControlOp::Notified`].
    Register {
        /// Which volume.
        volume: VolumeId,
    },
    /// dlm_controld: the kernel knows that this node is dead, the lockspace of the volume may be recovered.
    Notified {
        /// Which volume.
        volume: VolumeId,
        /// corosync's node id.
        node: u32,
    },
    /// dlm_controld: wait for us no longer with the lockspace of this volume.
    Unregister {
        /// Which volume.
        volume: VolumeId,
    },
}

/// How a lockspace of dlm_controld stands to a node that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockspace {
    /// A change of it was completed; in a first mount that is under way none is.
    pub is_started: bool,
    /// Of all that its next change could wait for, it waits for us.
    pub waits_for_us: bool,
    /// The node is a member.
    pub is_member: bool,
    /// The node has failed, and dlm_controld has not gone by a word of ours since.
    pub is_missed: bool,
}

/// One mounted ocfs2 volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// As in mountinfo.
    pub device: String,
    /// Mount point.
    pub path: String,
    /// Volume id in capital hex, where the shell could find it out.
    pub uuid: Option<String>,
    /// Major and minor of the device.
    #[serde(default)]
    pub number: Option<(u64, u64)>,
}

/// How a batch of kernel operations ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelOutcome {
    /// `Err`: where it stopped; the operations before it were done.
    pub result: Result<(), KernelRefusal>,
    /// Read back afterwards.
    pub tree: Result<Option<configfs::Tree>, KernelRefusal>,
}

/// The kernel said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what}: {path}: {}", errno_text(*.errno))]
pub struct KernelRefusal {
    /// 0 where there is none (unreadable answer, value not taken).
    pub errno: i32,
    /// Path in configfs.
    pub path: String,
    /// What was tried.
    pub what: String,
}

/// The errnos a node tree really gives, in the kernel's own words and ours.
#[must_use]
pub fn errno_text(errno: i32) -> String {
    let (name, text) = match errno {
        0 => return "the value was not taken".into(),
        1 => ("EPERM", "not permitted here"),
        2 => ("ENOENT", "no such entry"),
        5 => ("EIO", "the device failed"),
        11 => ("EAGAIN", "not yet"),
        13 => ("EACCES", "permission denied"),
        16 => ("EBUSY", "still in use, or already set"),
        17 => ("EEXIST", "already taken by another entry"),
        19 => ("ENODEV", "no such device"),
        22 => ("EINVAL", "not valid, or not now"),
        28 => ("ENOSPC", "only one cluster can exist"),
        30 => ("EROFS", "read-only"),
        34 => ("ERANGE", "out of range"),
        36 => ("ENAMETOOLONG", "name too long"),
        39 => ("ENOTEMPTY", "not empty"),
        71 => ("EPROTO", "an answer that is none"),
        95 => ("EOPNOTSUPP", "not enabled there"),
        99 => ("EADDRNOTAVAIL", "the address is not on this host"),
        110 => ("ETIMEDOUT", "no answer in time"),
        111 => ("ECONNREFUSED", "nobody listens"),
        other => return format!("errno {other}"),
    };
    format!("{name} ({text})")
}
