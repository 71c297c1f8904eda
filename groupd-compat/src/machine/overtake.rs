//! A node fails while its groups are busy with another change.
//!
//! The failure never simply waits: what is current depends on an answer that the dead node cannot give. Members
//! see the failure at the same place among the steps, because both come through the control CPG, and take the
//! same turn here; of several failures who stood still may see another one first (deviation B36).

use super::change::{Change, Owed};
use super::effect::Effects;
use super::group::Group;
use super::node::Node;
use crate::cpg_message::Step;
use crate::event_id::{Cause, EventId, Phase};
use crate::ids::NodeId;

impl Group {
    /// Lets a queued failure act on the current change. True if that changed anything.
    pub(crate) fn overtake(&mut self, node: &mut Node, fx: &mut Effects) -> bool {
        let Some(at) = self.queue.iter().position(|change| change.cause == Cause::Fail) else { return false };
        let Some(change) = &self.current else { return false };
        match (change.cause, change.phase) {
            (Cause::Fail, _) => self.merge(at, node, fx),
            (Cause::Join, Phase::StopWait) if change.node == node.me => self.overtake_own_join(at, node, fx),
            (Cause::Join | Cause::Leave, Phase::StopWait | Phase::AllStopped) => self.hurry(at),
            (Cause::Join | Cause::Leave, Phase::StartWait | Phase::AllStarted) => self.replace(at, node, fx),
            (Cause::Join | Cause::Leave, Phase::Begin) => false,
        }
    }

    /// One failure more while one is current: the current one grows and keeps its id. Who has started stops
    /// again, and needs everybody's word for that again.
    fn merge(&mut self, at: usize, node: &mut Node, fx: &mut Effects) -> bool {
        let (Some(queued), Some(change)) = (self.queue.remove(at), &mut self.current) else { return false };
        let id = change.id;
        change.failed.extend(&queued.failed);
        let mut repeat = false;
        match change.phase {
            Phase::Begin => {}
            Phase::StopWait => change.stopped.extend(&queued.failed),
            Phase::AllStopped => {
                // Another member may have started and now stops again: it must hear of us once more, and we
                // wait for those that are known to have started (deviation B8; the original says nothing).
                change.stopped.retain(|member| !change.started.contains(member));
                change.stopped.extend(change.failed.iter().chain(&queued.failed));
                change.phase = Phase::StopWait;
                repeat = true;
                node.recovery.restopping(self.cpg);
            }
            Phase::StartWait | Phase::AllStarted => {
                change.phase = Phase::Begin;
                change.stopped.clear();
                change.started.clear();
                node.recovery.restopping(self.cpg);
            }
        }
        self.say(Step::Recover, queued.id, fx);
        if repeat {
            self.say(Step::Stopped, id, fx);
        }
        true
    }

    /// We wait to be taken in, and one of those we found dies.
    ///
    /// Was it a member, or only waiting like us? If a member was stopped for us already, a member: then our
    /// join starts and the failure replaces it everywhere. If not, the others tell: who speaks of the failure
    /// first recovers first; who takes us in and then speaks of the failure had it as a member; who takes us
    /// in and starts never had. (The original starts at the first word; deviation B13.)
    fn overtake_own_join(&mut self, at: usize, node: &mut Node, fx: &mut Effects) -> bool {
        let (Some(change), Some(failure)) = (&self.current, self.queue.get(at)) else { return false };
        let others = self.app.iter().copied().filter(|&member| member != node.me);
        let alive: Vec<NodeId> = others.filter(|member| !failure.failed.contains(member)).collect();
        if alive.is_empty() {
            let id = failure.id;
            self.skip(at, node);
            self.say(Step::Recover, id, fx);
            return true; // nobody is left to take us in: we go on alone
        }
        let taken_in = alive.iter().any(|member| change.stopped.contains(member));
        let spoken = self.saved.failure_spoken_of(&alive, &failure.failed);
        if taken_in && (spoken.is_some() || !change.unsure) {
            self.adopt(at, spoken);
            return self.hurry(at); // they take us in first, and recover after that
        }
        if spoken.is_some() || (taken_in && alive.iter().any(|member| change.started.contains(member))) {
            self.skip(at, node);
            return true; // they recover without us, or the dead node was never one of them
        }
        if let Some(change) = &mut self.current {
            change.unsure = true; // their next word tells; our client, never started, holds up no other group
            node.recovery.stopped(self.cpg, &failure.failed);
        }
        false
    }

    /// Of the nodes that we take for failed members some may never have been members; the others' failure is
    /// then named after another one.
    fn adopt(&mut self, at: usize, spoken: Option<EventId>) {
        if let (Some(failure), Some(id)) = (self.queue.get_mut(at), spoken) {
            failure.id = id;
            failure.node = id.node();
        }
    }

    /// A failure that is not ours to recover from.
    fn skip(&mut self, at: usize, node: &mut Node) {
        let Some(failure) = self.queue.remove(at) else { return };
        self.app.retain(|member| !failure.failed.contains(member));
        node.recovery.drop_from(self.cpg, &failure.failed);
    }

    /// The current change runs on to its start, with the dead still listed and whatever lower levels do,
    /// because members wait for the failure's stop only after it (kept, K5). The original does so only while
    /// it waits for stops; a change that waits for lower levels then blocks their recovery (deviation B9).
    fn hurry(&mut self, at: usize) -> bool {
        let (Some(change), Some(failure)) = (&mut self.current, self.queue.get(at)) else { return false };
        let known = change.stopped.len();
        change.stopped.extend(&failure.failed);
        let hurried = std::mem::replace(&mut change.start_anyway, true);
        !hurried || change.stopped.len() > known
    }

    /// The failure takes the place of a change that has started; that one never finishes.
    fn replace(&mut self, at: usize, node: &mut Node, fx: &mut Effects) -> bool {
        let (Some(mut failure), Some(old)) = (self.queue.remove(at), self.current.take()) else { return false };
        if old.is_own(Cause::Join, node.me) {
            self.unanswered = (old.owes == Some(Owed::StartDone)).then_some(old.id);
            self.replaced = Some(old.id);
            self.joined();
        }
        self.saved.forget(old.id, &[]);
        self.overtaken.insert(old.id);
        node.recovery.restopping(self.cpg);
        failure.settles.extend(self.unsettled(&old, node));
        self.say(Step::Recover, failure.id, fx);
        self.current = Some(failure);
        true
    }

    /// Failed nodes whose recovery was to end with the change that is replaced.
    fn unsettled(&self, old: &Change, node: &Node) -> Vec<NodeId> {
        old.recovers().into_iter().filter(|&dead| node.recovery.knows(dead)).collect()
    }
}
