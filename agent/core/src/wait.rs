//! Every reason for "not yet", as a value. `status` prints them, so "why is it stuck?" needs no debugger.

#![allow(missing_docs, reason = "the fields say what the variant names")]

use crate::event::KernelRefusal;
use crate::ids::{Member, NodeId, Tick};
use proto::peer::VolumeId;
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
    Config { why: String },
    /// Our join of the group has not come back.
    Join { why: String },
    /// Quorum has not spoken about this ring.
    QuorumRing,
    /// Not quorate.
    Quorum { here: usize, configured: usize },
    /// These agents have not said Hello in this view.
    Hello { from: BTreeSet<Member> },
    /// corosync does not list this agent here, whose messages come: no view is the same to all.
    Unlisted { member: Member },
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
    /// A node uses volumes, and its agent is not let in; its kernel has nobody else to hear of deaths from.
    Outsider { node: NodeId, why: String },
    /// A node died with volumes mounted; the kernels go on once its disk heartbeat has run out.
    HeartbeatEnds { node: NodeId, by: Tick },
    /// A tool may mount once all members know of it.
    MountJoins { volume: VolumeId },
    /// A tool may mount once this node, which may use volumes, has spoken, is off, or has had its time to speak.
    MountAfterHello { volume: VolumeId, node: NodeId },
    /// A tool may mount once this death is handled.
    MountAfterDeath { volume: VolumeId, node: NodeId },
    /// The tool of a mount is gone; the kernel has not shown what came of it.
    MountDecides { volume: VolumeId },
    /// The control device, which mounts on this stack need.
    Control { why: String },
    /// dlm_controld, which is to let this volume wait for us when a node fails.
    Dlm { volume: VolumeId, why: String },
    /// dlm_controld, which is to take the word that this kernel knows of a node's end.
    DlmWord { node: NodeId, why: String },
    /// dlm_controld is gone, and left these volumes behind.
    Deserted { volumes: BTreeSet<VolumeId> },
    /// The fence gate of a dead node is closed.
    Fence { node: NodeId, why: String },
    /// A legacy group of a lower level recovers from this death first.
    LegacyGroup { node: NodeId, group: String },
    /// The legacy service has not taken note of this death.
    LegacyService { node: NodeId },
    /// The gate is open; the kernel has not taken the news of the death yet.
    Buries { node: NodeId, why: String },
    /// We have heard none of our own messages for too long.
    Deaf,
    /// We stood still, and do not trust what we hold until a message of ours has come back.
    Probe,
    /// We were asked to end, but these pins stand.
    Pinned { pins: Vec<String> },
}

const TWO_PROCESSES_FIX: &str = "two processes of one node, and o2cpgd of that node has not spoken: if one of them has ended, its first \
    message shows it; see o2cpg status on that node";

/// What to do about a configuration that cannot be read.
pub(crate) const CONFIG_FIX: &str = "mend /etc/corosync/corosync.conf on all nodes, then corosync-cfgtool -R (it keeps keys of the section o2cpg that \
    were taken out: corosync-cmapctl -d KEY); or o2cpg.toml, if that is named, then systemctl reload o2cpgd";

const UNLISTED_FIX: &str = "a fault of corosync, met in 3.1.7: its lists differ between nodes, and are compared again when its ring \
    changes; restart corosync on a node where o2cpg can-stop says yes, else on one without mounts: it costs legacy clients their groups";

impl Wait {
    /// A stable word for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Wait::Corosync { .. } => "corosync",
            Wait::CorosyncStuck { .. } => "corosync-stuck",
            Wait::Config { .. } => "config",
            Wait::Join { .. } => "join",
            Wait::QuorumRing => "quorum-ring",
            Wait::Quorum { .. } => "quorum",
            Wait::Hello { .. } => "hello",
            Wait::Unlisted { .. } => "unlisted",
            Wait::Answers { .. } => "answers",
            Wait::Kernel { .. } => "kernel",
            Wait::AddRefused { .. } => "add-refused",
            Wait::Misaligned { .. } => "misaligned",
            Wait::Held { .. } => "held",
            Wait::Absent { .. } => "absent",
            Wait::Outsider { .. } => "outsider",
            Wait::HeartbeatEnds { .. } => "heartbeat",
            Wait::MountJoins { .. } => "mount",
            Wait::MountAfterHello { .. } => "mount-silent",
            Wait::MountAfterDeath { .. } => "mount-death",
            Wait::MountDecides { .. } => "mount-decides",
            Wait::Control { .. } => "control",
            Wait::Dlm { .. } => "dlm",
            Wait::DlmWord { .. } => "dlm-word",
            Wait::Deserted { .. } => "dlm-controld",
            Wait::Fence { .. } => "fence",
            Wait::LegacyGroup { .. } => "legacy-group",
            Wait::LegacyService { .. } => "legacy-service",
            Wait::Buries { .. } => "death",
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
            Wait::Unlisted { member } => vec![member.nodeid],
            Wait::AddRefused { by: node, .. }
            | Wait::Misaligned { node, .. }
            | Wait::Held { by: node, .. }
            | Wait::HeartbeatEnds { node, .. }
            | Wait::MountAfterHello { node, .. }
            | Wait::MountAfterDeath { node, .. }
            | Wait::Fence { node, .. }
            | Wait::DlmWord { node, .. }
            | Wait::LegacyGroup { node, .. }
            | Wait::LegacyService { node }
            | Wait::Buries { node, .. }
            | Wait::Outsider { node, .. }
            | Wait::Absent { node, .. } => vec![node.0],
            Wait::Corosync { .. }
            | Wait::CorosyncStuck { .. }
            | Wait::Config { .. }
            | Wait::Join { .. }
            | Wait::QuorumRing
            | Wait::Quorum { .. }
            | Wait::Kernel { .. }
            | Wait::MountJoins { .. }
            | Wait::MountDecides { .. }
            | Wait::Control { .. }
            | Wait::Dlm { .. }
            | Wait::Deserted { .. }
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
                "start corosync if it is stopped; the daemon reconnects by itself, the kernel is left as it is".into()
            }
            Wait::CorosyncStuck { .. } => {
                "ps -o pid,stat,wchan,args -C corosync: T is stopped (kill -CONT), D waits for the kernel; else top"
                    .into()
            }
            Wait::Quorum { .. } => {
                "start the missing nodes, or see corosync-quorumtool -s; nothing is changed without quorum".into()
            }
            Wait::Hello { from } if are_two_of_one_node(from) => {
                TWO_PROCESSES_FIX.into()
            }
            Wait::Hello { .. } => {
                "if that pid is o2cpgd, see o2cpg status on that node; if there is no such process, start o2cpgd there; any other program in the group has to be ended"
                    .into()
            }
            Wait::Unlisted { .. } => UNLISTED_FIX.into(),
            Wait::Answers { .. } => "see o2cpg status on the node that is missing".into(),
            Wait::Kernel { .. } => "a write to configfs blocks; see dmesg and /proc/PID/stack of o2cpgd".into(),
            Wait::AddRefused { .. } | Wait::Misaligned { .. } => {
                "see o2cpg plan on that node; EBUSY: unmount what is mounted there; tried again by itself".into()
            }
            Wait::Held { .. } => "nothing, if the node died just now: its disk heartbeat must run out first".into(),
            Wait::Absent { .. } => "start o2cpgd on that node again, or restart the node".into(),
            Wait::Outsider { node, .. } => format!(
                "see o2cpg status on node {node}, or restart that node: until it is in nobody else is let in, and nobody mounts what it uses"
            ),
            Wait::HeartbeatEnds { .. } => {
                "nothing to do: the kernels fence it and recover its journals by themselves; writes may stand still meanwhile"
                    .into()
            }
            Wait::MountJoins { .. } => "the mount goes on when this node is ready and quorate: o2cpg status".into(),
            Wait::MountAfterHello { node, .. } => format!(
                "start o2cpgd on node {node}; if it never runs there, nothing: the mount goes on by itself, restart_grace_s after all agents began anew"
            ),
            Wait::MountAfterDeath { .. } => "see the wait for that node".into(),
            Wait::MountDecides { .. } => String::new(),
            Wait::Control { .. } => {
                "modprobe ocfs2_stack_user; ls -l /dev/ocfs2_control: no other program may hold it; tried again by itself".into()
            }
            Wait::Dlm { .. } => {
                "dlm_tool dump_config: enable_fscontrol must be 1, as it was when dlm_controld set up the kernel; restart dlm_controld while nothing is mounted here; tried again by itself".into()
            }
            Wait::DlmWord { .. } => {
                "milliseconds, unless dlm_controld hangs or waits for something else first: dlm_tool ls; dlm_tool dump | tail; tried again by itself".into()
            }
            Wait::Deserted { .. } => {
                "restart this node by force (systemctl reboot -ff): a new dlm_controld refuses, and nothing unmounts them; the others go on once this node is fenced".into()
            }
            Wait::Fence { node, .. } => format!(
                "make sure that node {node} writes no more (power it off), then: o2cpg ack-dead {node} --yes-i-am-sure={node}"
            ),
            Wait::LegacyGroup { .. } => {
                "o2cpg groups --legacy, on each node: let the program that owes its group an answer give it, or end that program".into()
            }
            Wait::LegacyService { .. } => "milliseconds, unless corosync hangs: journalctl -u o2cpgd".into(),
            Wait::Buries { .. } => "tried again by itself; see dmesg".into(),
            Wait::Deaf => {
                "the ring has not delivered our own message: corosync-cfgtool -s on all nodes (one-way links?)".into()
            }
            Wait::Pinned { .. } => "unmount these volumes or remove the pins; o2cpg can-stop lists them".into(),
            Wait::Config { why } if !why.is_empty() => CONFIG_FIX.into(),
            Wait::Join { why } if !why.is_empty() => "it is tried again by itself; see the log of corosync".into(),
            Wait::Config { .. } | Wait::Join { .. } | Wait::QuorumRing | Wait::Probe => String::new(),
        }
    }
}

/// What follows a wait, where it is known.
fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn names(members: &BTreeSet<Member>) -> String {
    let names: Vec<String> = members.iter().map(|m| m.nodeid.to_string()).collect();
    names.join(", ")
}

fn are_two_of_one_node(members: &BTreeSet<Member>) -> bool {
    members.iter().zip(members.iter().skip(1)).any(|(one, next)| one.nodeid == next.nodeid)
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Corosync { why } => write!(f, "corosync is not reachable: {why}"),
            Wait::CorosyncStuck { call } => write!(f, "corosync does not answer {call}"),
            Wait::Config { why } => write!(f, "corosync's configuration (cmap){}", because(why)),
            Wait::Join { why } => write!(f, "our own join of the group o2cpg{}", because(why)),
            Wait::QuorumRing => f.write_str("quorum's word on this ring"),
            Wait::Quorum { here, configured } => write!(f, "quorum: {here} of {configured} nodes are here"),
            Wait::Hello { from } => write!(f, "the first message of {}", processes(from)),
            Wait::Unlisted { member } => write!(
                f,
                "corosync on this node to list node {} (pid {}), whose messages come",
                member.nodeid, member.pid
            ),
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
            Wait::Outsider { node, why } => {
                write!(f, "node {node}, which uses volumes and cannot take part: {why}")
            }
            Wait::HeartbeatEnds { node, .. } => {
                write!(f, "the disk heartbeat to decide whether node {node} is dead")
            }
            Wait::MountJoins { volume } => write!(f, "the cluster to take note of the mount of {volume}"),
            Wait::MountAfterHello { volume, node } => {
                write!(
                    f,
                    "the mount of {volume}: node {node} is without o2cpgd, and nobody knows whether it uses volumes"
                )
            }
            Wait::MountAfterDeath { volume, node } => {
                write!(f, "the mount of {volume}: the death of node {node}, which used it, is not handled yet")
            }
            Wait::MountDecides { volume } => write!(f, "what came of the mount of {volume}, whose tool is gone"),
            Wait::Control { why } if why.is_empty() => f.write_str("the handshake of the control device"),
            Wait::Control { why } => write!(f, "the control device: {why}"),
            Wait::Dlm { volume, why } => {
                write!(f, "dlm_controld to wait for this node whenever another fails with {volume}{}", because(why))
            }
            Wait::DlmWord { node, why } => write!(f, "dlm_controld to go on without node {node}{}", because(why)),
            Wait::Deserted { volumes } => {
                let volumes: Vec<String> = volumes.iter().map(ToString::to_string).collect();
                write!(f, "dlm_controld, which is gone; on this node these volumes stand still: {}", volumes.join(", "))
            }
            Wait::Fence { node, why } => write!(f, "the fence gate of node {node}: {why}"),
            Wait::LegacyGroup { node, group } => {
                write!(f, "legacy group {group} to recover from the death of node {node}, before the volumes do")
            }
            Wait::LegacyService { node } => write!(f, "the legacy service to take note of the death of node {node}"),
            Wait::Buries { node, why } => {
                write!(f, "this kernel to take the news of node {node}'s death{}", because(why))
            }
            Wait::Deaf => f.write_str("our own messages, which the ring does not deliver"),
            Wait::Probe => f.write_str("a message of our own, after this machine stood still"),
            Wait::Pinned { pins } => write!(f, "the end of: {}", pins.join(", ")),
        }
    }
}

fn processes(members: &BTreeSet<Member>) -> String {
    let named: Vec<String> = members.iter().map(|m| format!("node {} (pid {})", m.nodeid, m.pid)).collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_node_that_is_listed_twice_one_may_have_ended() {
        let wait =
            |pids: &[u32]| Wait::Hello { from: pids.iter().map(|pid| Member { nodeid: 3, pid: *pid }).collect() };
        assert!(wait(&[3001, 3002]).fix().contains("two processes"));
        assert!(!wait(&[3001]).fix().contains("two processes"));
    }
}
