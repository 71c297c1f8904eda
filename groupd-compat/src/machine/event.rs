//! Everything that can happen to the machine. The caller wraps what it sees; it never judges.

use crate::cpg_message::Message;
use crate::error::DecodeError;
use crate::ids::{ClientId, CpgId, Member, NodeId, RingId};
use crate::verbs::Request;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// First event of every run.
    Started,
    /// Somebody connected to the client socket.
    ClientCame(ClientId, Caller),
    /// A frame came. One that cannot be decoded is an event too; the client gets no answer.
    Asked(ClientId, Result<Request, DecodeError>),
    /// The connection is closed. Frames read before that were handed in first (deviation Q3).
    ClientGone(ClientId),
    /// A CPG's members changed.
    ViewChanged(CpgId, ViewChange),
    /// A CPG could not be joined, for example for want of descriptors.
    JoinFailed(CpgId),
    /// A message came in agreed order. Bytes that cannot be decoded reach all members alike.
    Delivered {
        /// Through which CPG.
        cpg: CpgId,
        /// Who sent it.
        from: Member,
        /// What it says.
        body: Result<Message, DecodeError>,
    },
    /// libquorum spoke. It counts once the control CPG has seen the same ring.
    QuorumChanged(QuorumReport),
    /// The control CPG's totem callback: every view change of this ring has been handed in.
    RingChanged {
        /// Its identity.
        ring: RingId,
        /// Nodes in it.
        nodes: Vec<NodeId>,
    },
    /// The totem callback of a group's CPG: every view change of this ring has been handed in.
    GroupRingChanged(CpgId, RingId),
    /// The timer rang.
    TimerFired,
    /// SIGTERM.
    StopAsked,
    /// corosync asks whether it may shut down.
    ShutdownAsked,
    /// The connection to corosync broke.
    CorosyncLost,
}

/// Who is at the other end of a client connection (SO_PEERCRED).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// What it may do.
    pub access: Access,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Everything.
    Full,
    /// Only get_groups, get_group, get_version and dump; the rest is ignored.
    Queries,
}

/// How a member came or went: corosync's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The process joined.
    Join,
    /// The process left.
    Leave,
    /// Its node went.
    NodeDown,
    /// Its node came, with the process already in the CPG: partitions merge.
    NodeUp,
    /// The process ended without leaving.
    ProcDown,
}

/// One CPG confchg. Order is corosync's: it decides event ids (kept, K3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// After the change.
    pub members: Vec<Member>,
    /// Who went, and how.
    pub left: Vec<(Member, Reason)>,
    /// Who came, and how.
    pub joined: Vec<(Member, Reason)>,
}

impl ViewChange {
    /// How many nodes are in it after the change.
    pub(crate) fn nodes(&self) -> usize {
        self.members.iter().map(|member| member.node).collect::<BTreeSet<_>>().len()
    }
}

/// What libquorum says about one ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumReport {
    /// May this ring go on?
    pub quorate: bool,
    /// Which ring.
    pub ring: RingId,
    /// Its nodes.
    pub nodes: Vec<NodeId>,
    /// Nodes that went with this change, as libquorum names them: a node that restarts quickly is never
    /// missing from `nodes`.
    pub left: Vec<NodeId>,
}
