//! The DLM of a user stack must not give away a dead node's locks before ocfs2 of this kernel knows of the death (decision 11).
//!
//! dlm_controld with enable_fscontrol waits for that, but only for volumes that somebody has registered with it. So a tool
//! has its word when its volume is registered, and what is in use already is registered as soon as we are there. From then on
//! each node that fails in the lockspace is waited for until we say that ocfs2 was told: after DOWN, and at once of a node
//! that used nothing of ours, for a tool of it may have been in the lockspace. How it is said is in `words`.

use crate::agent::Agent;
use crate::control::{Control, Duty};
use crate::effect::Effects;
use crate::event::ControlOp;
use crate::words::Words;
use proto::peer::VolumeId;
use std::collections::BTreeSet;

impl Agent {
    /// Volumes whose recovery the DLM is to leave to us, and does not yet.
    fn unregistered(&self) -> BTreeSet<VolumeId> {
        let Control { registered, unguarded, .. } = &self.control;
        let is_settled = |volume: &VolumeId| registered.contains(volume) || unguarded.contains(volume);
        self.volumes_here().into_iter().filter(|volume| !is_settled(volume)).collect()
    }

    /// Whether a death would wait for us before the volume goes on.
    pub(crate) fn is_registered(&self, volume: VolumeId) -> bool {
        !self.kernel.stack.needs_control() || self.control.registered.contains(&volume)
    }

    /// DOWN before that could come before the failure that it is for.
    pub(crate) fn dlm_has_answered(&self, volume: VolumeId) -> bool {
        let Control { refused, unguarded, .. } = &self.control;
        self.is_registered(volume) || refused.contains(&volume) || unguarded.contains(&volume)
    }

    /// One that is no longer used is forgotten: by its next mount dlm_controld may be another. Without corosync there is none, or
    /// one that is about to end (brief seed 46636).
    pub(crate) fn register(&mut self, fx: &mut Effects) {
        self.guard_again(fx);
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

    /// What is out of use here has no lockspace any more, and can be registered like any other.
    fn guard_again(&mut self, fx: &mut Effects) {
        if self.control.unguarded.is_empty() {
            return;
        }
        let (in_kernel, before) = (self.volumes_in_kernel(), self.control.unguarded.len());
        self.control.unguarded.retain(|volume| in_kernel.contains(volume));
        if self.control.unguarded.len() < before {
            self.save(fx);
        }
    }

    /// It ends with corosync: what it was asked for and told, and may still answer, is void.
    pub(crate) fn dlm_controld_ends(&mut self) {
        self.control.registered.clear();
        self.control.words.values_mut().for_each(Words::begin_anew);
        if let Some((_, Duty::Register(volumes) | Duty::Tell(_, volumes))) = &mut self.control.under_way {
            volumes.clear();
        }
    }
}
