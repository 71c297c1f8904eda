//! One group's next step: stop, all stopped, start, all started; and a failure that waits behind a change.

use super::Original;
use super::clients::say;
use super::group::{App, Change};
use groupd_compat::cpg_message::Step;
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::ids::{CpgId, NodeId};
use groupd_compat::machine::{Effect, Effects};
use groupd_compat::verbs::{Callback, StartKind};

impl Original {
    /// Did anything change?
    pub(super) fn work(&mut self, cpg: CpgId, fx: &mut Effects) -> bool {
        let me = self.me;
        let group = self.group_mut(cpg);
        if group.current.is_none() {
            let next = group.take_next();
            return next && self.act(cpg, fx);
        }
        let heard = group.evaluate(me);
        let acted = self.act(cpg, fx);
        if !self.groups.iter().any(|group| group.cpg == cpg) {
            return true; // it has ended
        }
        let overtaken = self.overtake(cpg, fx);
        if overtaken {
            self.act(cpg, fx);
        }
        heard || acted || overtaken
    }

    /// What the present state asks for.
    fn act(&mut self, cpg: CpgId, fx: &mut Effects) -> bool {
        let me = self.me;
        let Some(change) = &mut self.group_mut(cpg).current else { return false };
        match (change.cause, change.phase) {
            (_, Phase::Begin) => self.begin(cpg, fx),
            (_, Phase::StopWait | Phase::StartWait) => return false,
            (Cause::Leave, Phase::AllStopped) if change.node == me => self.terminate(cpg, fx),
            (Cause::Leave, Phase::AllStopped) => self.start(cpg, StartKind::Left, fx),
            (Cause::Join, Phase::AllStopped) => {
                if self.join_waits(cpg).is_some() {
                    return false;
                }
                self.start(cpg, StartKind::Joined, fx);
            }
            (Cause::Fail, Phase::AllStopped) => {
                let news = !std::mem::replace(&mut change.fail_all_stopped, true);
                if self.failure_waits(cpg).is_some() {
                    return news;
                }
                self.start(cpg, StartKind::Failed, fx);
            }
            (_, Phase::AllStarted) => self.finish(cpg, fx),
        }
        true
    }

    fn begin(&mut self, cpg: CpgId, fx: &mut Effects) {
        let me = self.me;
        let group = self.group_mut(cpg);
        let Some(change) = &mut group.current else { return };
        change.phase = Phase::StopWait;
        if change.is_own(Cause::Join, me) {
            let found = change.found.iter().map(|&node| App { node, stopped: node == me, started: false });
            group.app = found.collect();
            if group.app.len() == 1 {
                change.phase = Phase::AllStopped;
            }
            return;
        }
        match change.cause {
            Cause::Join => group.app.insert(0, App { node: change.node, stopped: true, started: false }),
            Cause::Leave => {}
            Cause::Fail => {
                for node in change.failed.clone() {
                    group.mark_stopped(node);
                }
            }
        }
        let group = self.group(cpg);
        self.tell(group, Callback::Stop { name: group.key.name.clone() }, fx);
    }

    fn start(&mut self, cpg: CpgId, kind: StartKind, fx: &mut Effects) {
        let group = self.group_mut(cpg);
        let Some(change) = &mut group.current else { return };
        change.phase = Phase::StartWait;
        change.start_before_recovery = false;
        let nr = change.nr;
        match change.cause {
            Cause::Join => {}
            Cause::Leave => group.app.retain(|app| app.node != change.node),
            Cause::Fail => group.app.retain(|app| !change.failed.contains(&app.node)),
        }
        let new = !std::mem::replace(&mut group.id_sent, true);
        let group = self.group(cpg);
        let name = &group.key.name;
        if new {
            self.tell(group, Callback::SetId { name: name.clone(), id: group.global_id }, fx);
        }
        let members = group.app.iter().map(|app| app.node).collect();
        self.tell(group, Callback::Start { name: name.clone(), nr, kind, members }, fx);
    }

    fn finish(&mut self, cpg: CpgId, fx: &mut Effects) {
        let me = self.me;
        let Some(change) = self.group_mut(cpg).current.take() else { return };
        let group = self.group(cpg);
        self.tell(group, Callback::Finish { name: group.key.name.clone(), nr: change.nr }, fx);
        if change.is_own(Cause::Join, me) {
            self.end_own_join(cpg);
        }
        if change.cause == Cause::Fail {
            self.recovery.recovered(cpg, &change.failed);
        }
    }

    fn end_own_join(&mut self, cpg: CpgId) {
        let group = self.group_mut(cpg);
        group.joining = false;
        group.purge();
    }

    fn terminate(&mut self, cpg: CpgId, fx: &mut Effects) {
        let group = self.group(cpg);
        self.tell(group, Callback::Terminate { name: group.key.name.clone() }, fx);
        fx.push(Effect::CloseCpg(cpg));
        self.groups.retain(|group| group.cpg != cpg);
        self.recovery.forget(cpg, |_| true);
    }

    /// A failure is queued behind the current change. Did that change anything?
    fn overtake(&mut self, cpg: CpgId, fx: &mut Effects) -> bool {
        let me = self.me;
        let group = self.group(cpg);
        let Some(change) = &group.current else { return false };
        if !group.queue.iter().any(|queued| queued.cause == Cause::Fail) {
            return false;
        }
        if change.cause == Cause::Fail {
            self.merge(cpg, fx);
            return true;
        }
        if change.is_own(Cause::Join, me) && change.phase == Phase::StopWait {
            return self.overtake_own_join(cpg, fx);
        }
        self.overtake_other(cpg, fx)
    }

    fn take_failure(&mut self, cpg: CpgId) -> Change {
        let group = self.group_mut(cpg);
        let at = group.queue.iter().position(|queued| queued.cause == Cause::Fail).expect("a failure is queued");
        group.queue.remove(at).expect("it was there")
    }

    /// Both failures end together, under the id of the first. Who has started stops again; who waits does not (B8).
    fn merge(&mut self, cpg: CpgId, fx: &mut Effects) {
        let queued = self.take_failure(cpg);
        let group = self.group_mut(cpg);
        let Some(change) = &mut group.current else { return };
        change.failed.extend(&queued.failed);
        match change.phase {
            Phase::StartWait | Phase::AllStarted => {
                (change.phase, change.fail_all_stopped) = (Phase::Begin, false);
                group.clear_stopped();
            }
            Phase::StopWait => queued.failed.iter().for_each(|&node| _ = group.mark_stopped(node)),
            Phase::Begin | Phase::AllStopped => {}
        }
        say(self.group(cpg), Step::Recover, queued.id, fx);
    }

    /// Those who take us in recover from it first, or with us, or there is nobody left.
    fn overtake_own_join(&mut self, cpg: CpgId, fx: &mut Effects) -> bool {
        let me = self.me;
        let group = self.group(cpg);
        let failure = group.queue.iter().find(|queued| queued.cause == Cause::Fail).expect("a failure is queued");
        let (failed, id) = (failure.failed.clone(), failure.id);
        let alone = group.app.len() == 2 && group.app.iter().all(|app| app.node == me || failed.contains(&app.node));
        if alone {
            say(group, Step::Recover, id, fx);
            self.drop_failure(cpg, &failed);
            return true;
        }
        if group.app.iter().any(|app| app.node != me && app.stopped) {
            return self.overtake_other(cpg, fx);
        }
        let evident = group.saved.iter().any(|step| step.id == id);
        if evident {
            self.drop_failure(cpg, &failed);
        }
        evident
    }

    fn drop_failure(&mut self, cpg: CpgId, failed: &[NodeId]) {
        self.take_failure(cpg);
        self.group_mut(cpg).app.retain(|app| !failed.contains(&app.node));
        self.recovery.forget(cpg, |node| failed.contains(&node));
    }

    /// A join or leave runs on to its start, and is then replaced.
    fn overtake_other(&mut self, cpg: CpgId, fx: &mut Effects) -> bool {
        let me = self.me;
        let group = self.group_mut(cpg);
        let Some(change) = &mut group.current else { return false };
        match change.phase {
            Phase::Begin | Phase::AllStopped => false,
            Phase::StopWait => {
                let news = !std::mem::replace(&mut change.start_before_recovery, true);
                let failed: Vec<NodeId> = group.queue.iter().flat_map(|queued| queued.failed.clone()).collect();
                failed.into_iter().fold(news, |changed, node| group.mark_stopped(node) || changed)
            }
            Phase::StartWait | Phase::AllStarted => {
                let own = change.is_own(Cause::Join, me);
                group.clear_stopped();
                if own {
                    self.end_own_join(cpg);
                }
                let mut failure = self.take_failure(cpg);
                failure.ends_own_join = own;
                say(self.group(cpg), Step::Recover, failure.id, fx);
                self.group_mut(cpg).current = Some(failure);
                true
            }
        }
    }
}
