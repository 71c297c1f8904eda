//! What the agent tells people as it happens: one line in the journal, one line of `o2cpg events`.

#![allow(missing_docs, reason = "the fields say what the variant names")]

use crate::ids::{Member, NodeId, RingId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One thing worth telling. The tag of the JSON form is the event's kind, which never changes once shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// What was made of one thing found at start.
    Verdict { verdict: String, thing: String, why: String },
    /// corosync is connected.
    CorosyncUp { nodeid: u32 },
    /// corosync is gone; the kernel is left as it is.
    CorosyncLost { why: String },
    /// A new view stands.
    View { ring: RingId, members: Vec<u32>, quorate: bool },
    /// A node's agent came.
    NodeJoined { node: NodeId },
    /// A node's agent went, and how.
    NodeLeft { node: NodeId, how: String },
    /// corosync lists members that are gone: nobody waits for them.
    Ghosts { members: BTreeSet<Member> },
    /// The agreed table changed.
    Table { step: u64, change: String },
    /// This node is a full member: local, and every member has its entry.
    Ready,
    /// A step of a change began.
    Step { round: u32, what: String },
    /// A node is not let in.
    Refused { node: NodeId, what: String, cause: String, fix: String },
    /// Something is waited for.
    WaitStarted { what: String, fix: String },
    /// It is still waited for.
    WaitStill { what: String, for_s: u64 },
    /// It came.
    WaitEnded { what: String, after_ms: u64 },
    /// A kernel said no.
    KernelRefused { what: String },
    /// Somebody else changed the tree.
    Drift { what: String },
    /// A message was dropped.
    Dropped { from: u32, why: String },
    /// This machine stood still.
    Slept { ms: u64 },
    /// Asked to end.
    StopAsked { by: String, pins: Vec<String> },
    /// A pin was set or removed by a person.
    PinChanged { text: String, set: bool },
    /// The volumes mounted here changed.
    Mounts { mounts: Vec<String> },
    /// corosync asked whether it may shut down.
    ShutdownAnswered { yes: bool, pins: Vec<String> },
    /// A tool of a mount was told no; it shows its user neither errno nor text.
    MountRefused { what: String, errno: i32, why: String },
    /// The tool of a mount went without a word; the kernel has shown what came of it.
    MountDecided { volume: String, mounted: bool },
    /// The fence gate of a dead node is open, and by whom.
    FenceOpened { node: NodeId, by: String },
    /// The fence program failed; it is run again.
    FenceFailed { node: NodeId, why: String },
    /// Everything of ours that a death asks for is done.
    Buried { node: NodeId, by: String, after_ms: u64 },
    /// dlm_controld cannot be told of a node's end for these volumes: it waits for us no longer with them.
    Unguarded { node: NodeId, volumes: Vec<String> },
    /// corosync was asked to end a node whose agent did not come back.
    NodeEnded { node: NodeId, after_ms: u64 },
}

/// How loud a notice is in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudness {
    /// Why a choice was made.
    Debug,
    /// A change of state.
    Info,
    /// Wrong, but coping.
    Warn,
}

impl Notice {
    /// How loud.
    #[must_use]
    pub fn loudness(&self) -> Loudness {
        match self {
            Notice::Step { .. } => Loudness::Debug,
            Notice::CorosyncLost { .. }
            | Notice::Ghosts { .. }
            | Notice::Refused { .. }
            | Notice::WaitStill { .. }
            | Notice::KernelRefused { .. }
            | Notice::Drift { .. }
            | Notice::Slept { .. }
            | Notice::MountRefused { .. }
            | Notice::FenceFailed { .. }
            | Notice::Unguarded { .. }
            | Notice::NodeEnded { .. }
            | Notice::Dropped { .. } => Loudness::Warn,
            Notice::Verdict { .. }
            | Notice::CorosyncUp { .. }
            | Notice::View { .. }
            | Notice::NodeJoined { .. }
            | Notice::NodeLeft { .. }
            | Notice::Table { .. }
            | Notice::Ready
            | Notice::WaitStarted { .. }
            | Notice::WaitEnded { .. }
            | Notice::StopAsked { .. }
            | Notice::PinChanged { .. }
            | Notice::Mounts { .. }
            | Notice::MountDecided { .. }
            | Notice::FenceOpened { .. }
            | Notice::Buried { .. }
            | Notice::ShutdownAnswered { .. } => Loudness::Info,
        }
    }
}
