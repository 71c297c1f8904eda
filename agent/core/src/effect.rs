//! Everything an agent can ask for. `hands.rs` of the daemon performs these in the order given.

use crate::event::ControlOp;
use crate::ids::{ClientId, NodeId, OpId, TimerToken};
use crate::mount_client::MountAnswer;
use crate::notice::Notice;
use crate::saved::Saved;
use proto::control::api::Response;
use proto::peer::{Message, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One thing to do. An effect that takes time carries an id, and its end comes back as an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Send to our group, in agreed order.
    Multicast(Box<Message>),
    /// Write the state file. Always ahead of the kernel operations it announces.
    Save(Box<Saved>),
    /// Do these on the kernel thread, in order, up to the first refusal; then read the tree back.
    Kernel(OpId, Vec<configfs::Op>),
    /// Do these on the kernel thread, with the control device, in order up to the first refusal.
    Control(OpId, Vec<ControlOp>),
    /// Ask dlm_controld, on the kernel thread, how the lockspaces of these volumes stand to this node.
    LookAtLockspaces(OpId, NodeId, BTreeSet<VolumeId>),
    /// Run the fence program for this node (nodeid and name). It ends, or its deadline does.
    Fence(NodeId, String),
    /// Have corosync end this node: its agent is gone, and its kernel may go on.
    KillNode(NodeId, String),
    /// Show this volume as a CPG group of its own, or no longer.
    Publish(VolumeId, bool),
    /// Look at the kernel's side again.
    LookAtKernel,
    /// Answer a client. The connection stays open.
    Reply(ClientId, Box<Response>),
    /// Answer a tool of a mount. The connection stays open.
    MountReply(ClientId, MountAnswer),
    /// Ring once after so many milliseconds.
    SetTimer(TimerToken, u64),
    /// corosync's question is answered.
    AnswerShutdown(ShutdownVerdict),
    /// Something a person may want to know: to the journal and to `o2cpg events`.
    Notice(Notice),
    /// Leave the group; nothing of ours is in the way any more.
    LeaveGroup,
    /// End the daemon.
    Exit(Exit),
}

/// May corosync shut down on this node?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownVerdict {
    /// Nothing is pinned.
    Yes,
    /// Something is.
    No,
}

/// Why the daemon ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It was asked to and nothing was pinned.
    Asked,
}

/// Effects in the order they must happen.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Appends one.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Tells people.
    pub fn notice(&mut self, notice: Notice) {
        self.push(Effect::Notice(notice));
    }

    /// Hands all over, leaving none.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// What waits to be handed over.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.0
    }
}
