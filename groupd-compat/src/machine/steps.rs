//! A group works through its changes: one step after the other, until it has to wait.

use super::change::{Change, Owed};
use super::effect::{Effect, Effects, Notice};
use super::group::{Group, Keeper};
use super::node::Node;
use super::saved::SavedStep;
use super::wait::Wait;
use crate::cpg_message::Step;
use crate::event_id::{Cause, Phase};
use crate::ids::{Member, NodeId};
use crate::verbs::Callback;

/// What is left of a group after it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits, for an event or for others.
    Waits,
    /// Its own leave is complete.
    Gone,
}

impl Group {
    /// Goes on as far as possible.
    ///
    /// Failures overtake queued joins and leaves, but not the current change except as `overtake.rs` says.
    /// Each turn takes a change from the queue, moves the current one to its next phase, or ends it.
    pub(crate) fn work(&mut self, node: &mut Node, fx: &mut Effects) -> After {
        while self.current.is_some() || self.take_next(node) {
            self.evaluate(node.me, fx);
            let moved = self.act(node, fx);
            if self.leave_is_complete(node) {
                self.terminate(node, fx);
                return After::Gone;
            }
            let overtaken = self.overtake(node, fx) || self.join_anew(node);
            if !moved && !overtaken {
                break;
            }
        }
        if self.keeper == Keeper::Ourselves {
            self.answer_for_client(node, fx);
        }
        After::Waits
    }

    /// Answers only what is still asked when all steps are done, as a client would: a start that a failure
    /// has replaced meanwhile is not answered.
    fn answer_for_client(&mut self, node: &Node, fx: &mut Effects) {
        if !self.stop_done(fx) {
            self.start_done(fx);
        }
        if self.may_leave(node.me) {
            self.leave(fx);
        }
    }

    /// Makes the first failure current, or the head of the queue. A joiner that the control CPG does not
    /// know is dead, or its view change is still on its way; both show soon (deviation B10).
    fn take_next(&mut self, node: &Node) -> bool {
        let failure = self.queue.iter().position(|change| change.cause == Cause::Fail);
        let at = failure.unwrap_or(0);
        let Some(change) = self.queue.get(at) else { return false };
        let is_here = |pid| node.control.is_daemon(Member { node: change.node, pid });
        if change.cause == Cause::Join && !change.pid.is_none_or(is_here) {
            return false;
        }
        self.current = self.queue.remove(at);
        true
    }

    /// Applies the saved steps that speak of the current change, in the order they came.
    fn evaluate(&mut self, me: NodeId, fx: &mut Effects) {
        let Some(change) = self.current.as_mut().filter(|change| change.phase != Phase::Begin) else { return };
        if self.saved.is_empty() {
            return;
        }
        // Only who waits to be taken in wants to know of others' recovery.
        let wait_to_join = change.is_own(Cause::Join, me) && change.phase == Phase::StopWait;
        let due = self.saved.take(|saved| match saved.step {
            Step::Recover => !wait_to_join,
            Step::Stopped | Step::Started => change.is_named(saved.id),
        });
        for SavedStep { from, step, global_id, .. } in due {
            if step == Step::Recover {
                continue;
            }
            // Until the client knows it, the newest word of a member counts: an older one may be of a former
            // life of ours, whose join had the same id.
            let unsettled = !self.id_told && self.app.contains(&from) && from != me;
            if global_id.is_known() && (unsettled || !self.global_id.is_known()) {
                self.global_id = global_id;
            }
            let stoppable = matches!(change.phase, Phase::Begin | Phase::StopWait);
            if !self.app.contains(&from) || (step == Step::Stopped && !stoppable) {
                fx.notice(Notice::Late { group: self.key.clone(), from });
            } else if step == Step::Stopped {
                change.stopped.insert(from);
                change.started.remove(&from);
            } else {
                change.started.insert(from);
            }
        }
    }

    /// Moves the current change to its next phase if nothing is in the way.
    fn act(&mut self, node: &mut Node, fx: &mut Effects) -> bool {
        let Some(change) = &self.current else { return false };
        match change.phase {
            Phase::Begin => self.begin(node, fx),
            Phase::StopWait if self.missing(&change.stopped).is_empty() => self.all_stopped(node),
            Phase::AllStopped if self.may_start(change, node).is_ok() => self.start(node, fx),
            Phase::StartWait if self.missing(&change.started).is_empty() => self.finish(node, fx),
            Phase::StopWait | Phase::AllStopped | Phase::StartWait | Phase::AllStarted => return false,
        }
        true
    }

    /// Tells the client to stop. A joiner counts as stopped without saying so, and so do the dead; a leaver
    /// does not (kept, K4).
    fn begin(&mut self, node: &Node, fx: &mut Effects) {
        let Some(change) = &mut self.current else { return };
        change.phase = Phase::StopWait;
        match change.cause {
            Cause::Join if change.node == node.me => {
                self.app = std::mem::take(&mut change.found);
                change.stopped.insert(node.me);
                return;
            }
            Cause::Join => {
                self.app.insert(0, change.node);
                change.stopped.insert(change.node);
            }
            Cause::Leave => {}
            Cause::Fail => change.stopped.extend(&change.failed),
        }
        change.owes = Some(Owed::StopDone);
        self.tell(Callback::Stop { name: self.key.name.clone() }, fx);
    }

    fn all_stopped(&mut self, node: &mut Node) {
        let Some(change) = &mut self.current else { return };
        change.phase = Phase::AllStopped;
        if change.is_failure() {
            node.recovery.stopped(self.cpg, &change.recovers());
        }
    }

    /// May the group, all stopped, start? Quorum and lower levels matter for joins and failures, not for
    /// leaves (kept): a leave takes nothing from anybody.
    pub(crate) fn may_start(&self, change: &Change, node: &Node) -> Result<(), Wait> {
        let quorate = || if node.quorum.is_quorate() { Ok(()) } else { Err(Wait::Quorum) };
        match change.cause {
            Cause::Leave if !change.leaver_failed || change.start_anyway => Ok(()),
            Cause::Join if change.start_anyway => quorate(),
            Cause::Join if node.condemned.contains(&change.node) => Err(Wait::Condemned { node: change.node }),
            Cause::Join => quorate().and_then(|()| node.recovery.lower_level_done(self.key.level)),
            Cause::Leave | Cause::Fail => quorate().and_then(|()| node.recovery.may_start(self.cpg, self.key.level)),
        }
    }

    /// Tells the client to start, after its group's id if that was never told.
    fn start(&mut self, node: &mut Node, fx: &mut Effects) {
        let Some(change) = &mut self.current else { return };
        change.phase = Phase::StartWait;
        change.start_anyway = false;
        change.owes = Some(Owed::StartDone);
        let (nr, kind) = (change.nr, change.start_kind());
        match change.cause {
            Cause::Join => {}
            Cause::Leave => self.app.retain(|&member| member != change.node),
            Cause::Fail => self.app.retain(|member| !change.failed.contains(member)),
        }
        let name = self.key.name.clone();
        if !self.id_told {
            self.id_told = true;
            if !self.global_id.is_known() {
                self.global_id = node.next_global_id(); // its creator died before anybody heard it (deviation B5)
            }
            self.tell(Callback::SetId { name: name.clone(), id: self.global_id }, fx);
        }
        self.tell(Callback::Start { name, nr, kind, members: self.app.clone() }, fx);
    }

    /// All members have started: tells the client, and is done with this change.
    fn finish(&mut self, node: &mut Node, fx: &mut Effects) {
        let Some(change) = self.current.take() else { return };
        self.tell(Callback::Finish { name: self.key.name.clone(), nr: change.nr }, fx);
        if change.is_own(Cause::Join, node.me) {
            self.joined();
        }
        node.recovery.recovered(self.cpg, &change.recovers());
        (self.replaced, self.anew) = (None, None);
        if change.cause == Cause::Join {
            self.saved.forget_failures_of(change.node);
        }
        self.overtaken.insert(change.id);
        for id in std::mem::take(&mut self.overtaken) {
            self.saved.forget(id, &change.failed);
        }
        self.answer_late(fx);
    }

    /// The own join is over, by its end or because a failure replaced it.
    pub(crate) fn joined(&mut self) {
        self.joining = false;
        self.saved.purge_before(&self.app);
    }

    /// Is all stopped for our leave? Or for a failure of all others, with nothing but our leave behind it: then nobody is left
    /// to be started, and nobody to wait for us (deviation B28).
    fn leave_is_complete(&self, node: &Node) -> bool {
        let Some(change) = self.current.as_ref().filter(|change| change.phase == Phase::AllStopped) else {
            return false;
        };
        let is_dead = |member: &NodeId| *member == node.me || change.failed.contains(member);
        let only_leave = || self.queue.len() == 1 && self.queue[0].is_own(Cause::Leave, node.me);
        match change.cause {
            Cause::Join => false,
            Cause::Leave => change.node == node.me,
            Cause::Fail => only_leave() && self.app.iter().all(is_dead),
        }
    }

    fn terminate(&mut self, node: &mut Node, fx: &mut Effects) {
        self.tell(Callback::Terminate { name: self.key.name.clone() }, fx);
        fx.push(Effect::CloseCpg(self.cpg));
        node.recovery.forget(self.cpg);
    }
}
