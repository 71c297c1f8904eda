//! Every reason for "not yet", as a value. `status` prints them, so "why is it stuck?" needs no debugger.

#![allow(missing_docs, reason = "the fields say what the variant names")]

use crate::event::KernelRefusal;
use crate::ids::{Member, NodeId, Tick};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What something waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// No connection to corosync.
    Corosync { why: String },
    /// A call into corosync does not return.
    CorosyncStuck { call: String },
    /// cmap has not been read yet.
    Config,
    /// Our join of the group has not come back.
    Join,
    /// Quorum has not spoken about this ring.
    QuorumRing,
    /// Not quorate.
    Quorum { here: usize, configured: usize },
    /// These agents have not said Hello in this view.
    Hello { from: BTreeSet<Member> },
    /// These have not answered the step.
    Answers { step: String, from: BTreeSet<Member> },
    /// Our own kernel thread has not finished.
    Kernel { what: String },
    /// A kernel refused an addition; tried again.
    AddRefused { entry: String, by: NodeId, refusal: KernelRefusal },
    /// A kernel refuses entries that the others have.
    Misaligned { node: NodeId, refusal: KernelRefusal },
    /// An entry to be removed is still needed.
    Held { entry: String, by: NodeId, pins: Vec<String> },
    /// The agent of a node that has volumes mounted is gone, the node is not.
    Absent { node: NodeId, mounts: u32 },
    /// A node died with volumes mounted; the kernels go on once its disk heartbeat has run out.
    HeartbeatEnds { node: NodeId, by: Tick },
    /// We have heard none of our own messages for too long.
    Deaf,
    /// We stood still, and do not trust what we hold until a message of ours has come back.
    Probe,
    /// We were asked to end, but these pins stand.
    Pinned { pins: Vec<String> },
}

impl Wait {
    /// A stable word for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Wait::Corosync { .. } => "corosync",
            Wait::CorosyncStuck { .. } => "corosync-stuck",
            Wait::Config => "config",
            Wait::Join => "join",
            Wait::QuorumRing => "quorum-ring",
            Wait::Quorum { .. } => "quorum",
            Wait::Hello { .. } => "hello",
            Wait::Answers { .. } => "answers",
            Wait::Kernel { .. } => "kernel",
            Wait::AddRefused { .. } => "add-refused",
            Wait::Misaligned { .. } => "misaligned",
            Wait::Held { .. } => "held",
            Wait::Absent { .. } => "absent",
            Wait::HeartbeatEnds { .. } => "heartbeat",
            Wait::Deaf => "deaf",
            Wait::Probe => "probe",
            Wait::Pinned { .. } => "pinned",
        }
    }

    /// Who is waited for.
    #[must_use]
    pub fn nodes(&self) -> Vec<u32> {
        match self {
            Wait::Hello { from } | Wait::Answers { from, .. } => from.iter().map(|m| m.nodeid).collect(),
            Wait::AddRefused { by: node, .. }
            | Wait::Misaligned { node, .. }
            | Wait::Held { by: node, .. }
            | Wait::HeartbeatEnds { node, .. }
            | Wait::Absent { node, .. } => vec![node.0],
            Wait::Corosync { .. }
            | Wait::CorosyncStuck { .. }
            | Wait::Config
            | Wait::Join
            | Wait::QuorumRing
            | Wait::Quorum { .. }
            | Wait::Kernel { .. }
            | Wait::Deaf
            | Wait::Probe
            | Wait::Pinned { .. } => vec![],
        }
    }

    /// What a person can do, where there is something.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Wait::Corosync { .. } => {
                "systemctl status corosync; the daemon reconnects by itself, the kernel is left as it is".into()
            }
            Wait::CorosyncStuck { .. } => {
                "ps -o pid,stat,wchan,args -C corosync: T is stopped (kill -CONT), D waits for the kernel; else top"
                    .into()
            }
            Wait::Quorum { .. } => {
                "start the missing nodes, or see corosync-quorumtool -s; nothing is changed without quorum".into()
            }
            Wait::Hello { .. } => {
                "if that pid is o2cpgd, see o2cpg status on that node; any other program in the group has to be ended"
                    .into()
            }
            Wait::Answers { .. } => "see o2cpg status on the node that is missing".into(),
            Wait::Kernel { .. } => "a write to configfs blocks; see dmesg and /proc/PID/stack of o2cpgd".into(),
            Wait::AddRefused { .. } | Wait::Misaligned { .. } => {
                "see o2cpg plan on that node; tried again by itself".into()
            }
            Wait::Held { .. } => "nothing, if the node died just now: its disk heartbeat must run out first".into(),
            Wait::Absent { .. } => "start o2cpgd on that node again, or restart the node".into(),
            Wait::HeartbeatEnds { .. } => {
                "nothing to do: the kernels fence it and recover its journals by themselves; writes may stand still meanwhile"
                    .into()
            }
            Wait::Deaf => {
                "the ring has not delivered our own message: corosync-cfgtool -s on all nodes (one-way links?)".into()
            }
            Wait::Pinned { .. } => "unmount these volumes or remove the pins; o2cpg can-stop lists them".into(),
            Wait::Config | Wait::Join | Wait::QuorumRing | Wait::Probe => String::new(),
        }
    }
}

fn names(members: &BTreeSet<Member>) -> String {
    let names: Vec<String> = members.iter().map(|m| m.nodeid.to_string()).collect();
    names.join(", ")
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Corosync { why } => write!(f, "corosync is not reachable: {why}"),
            Wait::CorosyncStuck { call } => write!(f, "corosync does not answer {call}"),
            Wait::Config => f.write_str("corosync's configuration (cmap)"),
            Wait::Join => f.write_str("our own join of the group o2cpg"),
            Wait::QuorumRing => f.write_str("quorum's word on this ring"),
            Wait::Quorum { here, configured } => write!(f, "quorum: {here} of {configured} nodes are here"),
            Wait::Hello { from } => {
                let named: Vec<String> = from.iter().map(|m| format!("node {} (pid {})", m.nodeid, m.pid)).collect();
                write!(f, "the first message of {}", named.join(", "))
            }
            Wait::Answers { step, from } => write!(f, "{step}: answer of node {}", names(from)),
            Wait::Kernel { what } => write!(f, "this node's kernel: {what}"),
            Wait::AddRefused { entry, by, refusal } => {
                write!(f, "adding {entry}: the kernel of node {by} refused ({refusal})")
            }
            Wait::Misaligned { node, refusal } => {
                write!(f, "node {node} lacks entries that the others have: {refusal}")
            }
            Wait::Held { entry, by, pins } => write!(f, "removing {entry}: node {by} needs it ({})", pins.join(", ")),
            Wait::Absent { node, mounts } => {
                write!(f, "the agent of node {node}, which is gone while the node has {mounts} ocfs2 mounts")
            }
            Wait::HeartbeatEnds { node, .. } => {
                write!(f, "the disk heartbeat to decide whether node {node} is dead")
            }
            Wait::Deaf => f.write_str("our own messages, which the ring does not deliver"),
            Wait::Probe => f.write_str("a message of our own, after this machine stood still"),
            Wait::Pinned { pins } => write!(f, "the end of: {}", pins.join(", ")),
        }
    }
}
