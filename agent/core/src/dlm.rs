//! The DLM of a user stack must not give away a dead node's locks before ocfs2 of this kernel knows of the death (decision 11).
//!
//! dlm_controld with enable_fscontrol waits for that, but only for volumes that somebody has registered with it. So a tool
//! has its word when its volume is registered, and what is in use already is registered as soon as we are there. From then on
//! each node that fails in the lockspace is waited for until we say that ocfs2 was told: after DOWN, and at once of a node
//! that used nothing of ours, for a tool of it may have been in the lockspace.

use crate::agent::Agent;
use crate::deaths::Duty;
use crate::effect::Effects;
use crate::event::{ControlOp, KernelRefusal};
use crate::ids::NodeId;
use configfs::Errno;
use proto::peer::VolumeId;
use std::collections::BTreeSet;

/// dlm_controld has not seen the node fail.
const NOT_SEEN: i32 = Errno::EAGAIN.0;

impl Agent {
    /// Volumes whose recovery the DLM is to leave to us, and does not yet.
    fn unregistered(&self) -> BTreeSet<VolumeId> {
        self.volumes_here().difference(&self.control.registered).copied().collect()
    }

    /// Whether a death would wait for us before the volume goes on.
    pub(crate) fn is_registered(&self, volume: VolumeId) -> bool {
        !self.kernel.stack.needs_control() || self.control.registered.contains(&volume)
    }

    /// DOWN before that could come before the failure that it is for.
    pub(crate) fn dlm_has_answered(&self, volume: VolumeId) -> bool {
        self.is_registered(volume) || self.control.refused.contains(&volume)
    }

    /// One that is no longer used is forgotten: by its next mount dlm_controld may be another. Without corosync there is none, or
    /// one that is about to end (brief seed 46636).
    pub(crate) fn register(&mut self, fx: &mut Effects) {
        let stack = &self.kernel.stack;
        if !stack.needs_control() || !stack.control || self.member().is_none() || self.control_is_busy() {
            return;
        }
        let here = self.volumes_here();
        self.control.registered.retain(|volume| here.contains(volume));
        let new = self.unregistered();
        if !new.is_empty() && !planted!(NothingIsRegistered) {
            let ops = new.iter().map(|volume| ControlOp::Register { volume: *volume }).collect();
            self.control_op(Duty::Register(new), ops, fx);
        }
    }

    /// It ends with corosync: what it was asked for, and may still answer, is void.
    pub(crate) fn dlm_controld_ends(&mut self) {
        self.control.registered.clear();
        if let Some((_, Duty::Register(volumes))) = &mut self.control.under_way {
            volumes.clear();
        }
    }

    /// The last words of a death, for each lockspace of this kernel: an agent before us may have registered those that we have
    /// not (story 131).
    pub(crate) fn notifications(&self, node: NodeId) -> impl Iterator<Item = ControlOp> + use<> {
        let in_kernel = if self.kernel.stack.needs_control() { self.volumes_in_kernel() } else { BTreeSet::new() };
        in_kernel.into_iter().map(move |volume| ControlOp::Notified { volume, node: node.0 })
    }

    /// Nodes that went without anything of ours: nothing is to be done before the DLM goes on.
    pub(crate) fn let_the_dlm_go_on(&mut self, fx: &mut Effects) {
        let gone = self.control.gone.iter().find(|node| !self.deaths.contains_key(node)).copied();
        let Some(node) = gone.filter(|_| !self.control_is_busy()) else { return };
        let ops: Vec<ControlOp> = self.notifications(node).collect();
        if ops.is_empty() {
            self.control.gone.remove(&node);
        } else {
            self.control_op(Duty::Tell(node), ops, fx);
        }
    }

    /// Of a node that is back it need not have seen a failure: it was in no lockspace of ours.
    pub(crate) fn is_over_for_the_dlm(&self, node: NodeId, refusal: &KernelRefusal) -> bool {
        refusal.errno == NOT_SEEN && self.view.in_ring(node)
    }
}
