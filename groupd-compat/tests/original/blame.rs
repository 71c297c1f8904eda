//! Which known defect a group hangs on, as far as this daemon alone can tell.

use super::Original;
use super::group::Group;
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::ids::NodeId;
use groupd_compat::machine::Wait;
use groupd_compat::names::GroupKey;

impl Original {
    /// The row of docs/COMPAT.md.
    pub fn defect(&self, key: &GroupKey) -> Option<&'static str> {
        let group = self.groups.iter().find(|group| group.key == *key)?;
        let change = group.current.as_ref();
        match self.wait_of(group)? {
            Wait::Stopped { by } | Wait::Started { by } if by.contains(&self.me) && group.orphaned => Some("Q1"),
            Wait::Stopped { by } | Wait::Started { by } if by.iter().any(|node| group.unheard.contains(node)) => {
                Some("B1")
            }
            Wait::Stopped { .. } if change.is_some_and(|change| group.early == Some(change.nr)) => Some("B7"),
            Wait::Stopped { .. } if change.is_some_and(|change| change.ends_own_join) => Some("B13"),
            Wait::Stopped { .. } if self.waits_to_join(group) && self.has_failure_behind(group) => Some("B13"),
            Wait::StopOfAll { .. } if !self.is_in_a_set(group) => Some("B2"),
            Wait::LowerLevel { .. } if self.waits_to_start_a_join(group) && self.has_failure_behind(group) => {
                Some("B9")
            }
            Wait::StopOfAll { node } | Wait::LowerLevel { node, .. } if self.has_ignored(node) => Some("B1"),
            Wait::QuorumReport { gone } if gone.iter().any(|node| self.nodes.contains(node)) => Some("B27"),
            _ => None,
        }
    }

    /// Has it met nodes from which a partition had cut it off (B4)?
    pub fn has_merged(&self) -> bool {
        self.merged
    }

    /// Is there a group that its failure will never be over in?
    fn has_ignored(&self, node: NodeId) -> bool {
        self.groups.iter().any(|group| group.unheard.contains(&node))
    }

    fn has_failure_behind(&self, group: &Group) -> bool {
        group.queue.iter().any(|change| change.cause == Cause::Fail)
    }

    fn waits_to_join(&self, group: &Group) -> bool {
        group.current.as_ref().is_some_and(|change| change.is_own(Cause::Join, self.me))
    }

    fn waits_to_start_a_join(&self, group: &Group) -> bool {
        let waits = |cause, phase| cause == Cause::Join && phase == Phase::AllStopped;
        group.current.as_ref().is_some_and(|change| waits(change.cause, change.phase))
    }

    fn is_in_a_set(&self, group: &Group) -> bool {
        self.recovery.sets.iter().flat_map(|set| &set.entries).any(|entry| entry.cpg == group.cpg)
    }
}

impl Group {
    /// A member that is none of the CPG any more is gone: nothing comes of it (B1).
    pub(super) fn does_not_hear_of(&mut self, node: NodeId) {
        if self.has_app(node) || self.queue.iter().any(|change| change.node == node) {
            self.unheard.push(node);
        }
    }
}
