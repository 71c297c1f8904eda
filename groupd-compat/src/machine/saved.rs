//! Steps of peers that came before the change they belong to is current here.

use crate::cpg_message::Step;
use crate::event_id::{Cause, EventId};
use crate::ids::{GlobalId, NodeId};
use serde::{Deserialize, Serialize};

/// Steps kept for one group. Each member has at most a few changes ahead of us; the oldest go first.
pub(crate) const SAVED_MAX: usize = 1024;

/// One step of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedStep {
    pub(crate) from: NodeId,
    pub(crate) step: Step,
    pub(crate) id: EventId,
    pub(crate) global_id: GlobalId,
}

/// Steps in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved(Vec<SavedStep>);

impl Saved {
    pub(crate) fn push(&mut self, step: SavedStep) {
        if self.0.contains(&step) {
            return;
        }
        if self.0.len() == SAVED_MAX {
            self.0.remove(0);
        }
        self.0.push(step);
    }

    /// Takes out, in order, what `wanted` picks.
    pub(crate) fn take(&mut self, mut wanted: impl FnMut(&SavedStep) -> bool) -> Vec<SavedStep> {
        let (taken, kept) = self.0.drain(..).partition(|step| wanted(step));
        self.0 = kept;
        taken
    }

    /// A change is over: what speaks of it is late (deviation B7), except what the `reborn` say.
    pub(crate) fn forget(&mut self, id: EventId, reborn: &[NodeId]) {
        self.0.retain(|step| !step.id.is_same(id) || reborn.contains(&step.from));
    }

    /// A node has started its own join: what it said of failures before belongs to what it joined after (deviation B16).
    pub(crate) fn forget_failures_of(&mut self, joiner: NodeId) {
        self.0.retain(|step| step.from != joiner || step.id.cause() != Cause::Fail);
    }

    /// A node is gone.
    pub(crate) fn forget_from(&mut self, node: NodeId) {
        self.0.retain(|step| step.from != node);
    }

    /// Our own join came: who is no member now has spoken of a time before us, if it spoke at all (deviation B17).
    pub(crate) fn keep_from(&mut self, members: &[NodeId]) {
        self.0.retain(|step| members.contains(&step.from));
    }

    /// The failure of one of these nodes that the living speak of first.
    pub(crate) fn failure_spoken_of(&self, alive: &[NodeId], failed: &[NodeId]) -> Option<EventId> {
        let of_these = |id: EventId| id.cause() == Cause::Fail && failed.contains(&id.node());
        self.0.iter().find(|step| alive.contains(&step.from) && of_these(step.id)).map(|step| step.id)
    }

    /// Our own join is over. Nobody was past it before we were: what was said of joins and leaves was of others' former lives
    /// (deviation B22), what was said of a failure only counts if it is of a member.
    pub(crate) fn purge_before(&mut self, members: &[NodeId]) {
        self.0.retain(|SavedStep { step, id, .. }| {
            *step != Step::Recover && id.cause() == Cause::Fail && members.contains(&id.node())
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
