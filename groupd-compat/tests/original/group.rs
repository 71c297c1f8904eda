//! A group and its changes.

use groupd_compat::cpg_message::Step;
use groupd_compat::event_id::{Cause, EventId, Phase};
use groupd_compat::ids::{CpgId, EventNr, GlobalId, NodeId};
use groupd_compat::names::{ClientKind, GroupKey};
use std::collections::VecDeque;

/// A member as the client was told, or will be. The marks last from one change to the next.
#[derive(Clone, Copy)]
pub(super) struct App {
    pub(super) node: NodeId,
    pub(super) stopped: bool,
    pub(super) started: bool,
}

/// A step that is kept until its change is current.
#[derive(Clone)]
pub(super) struct Saved {
    pub(super) from: NodeId,
    pub(super) step: Step,
    pub(super) id: EventId,
    pub(super) global_id: GlobalId,
}

/// One change.
pub(super) struct Change {
    pub(super) cause: Cause,
    pub(super) phase: Phase,
    pub(super) node: NodeId,
    /// Cause `Fail`: all of them, in the order in which they failed.
    pub(super) failed: Vec<NodeId>,
    pub(super) id: EventId,
    pub(super) nr: EventNr,
    /// A failure waits behind it: levels do not count for its start.
    pub(super) start_before_recovery: bool,
    pub(super) fail_all_stopped: bool,
    /// Own join: the members when we came.
    pub(super) found: Vec<NodeId>,
    /// For blame: a failure that replaced our own join.
    pub(super) ends_own_join: bool,
}

pub(super) struct Group {
    pub(super) key: GroupKey,
    pub(super) cpg: CpgId,
    /// Of the connection that joined; a later one may sit there (Q2).
    pub(super) slot: Option<usize>,
    pub(super) kind: ClientKind,
    pub(super) global_id: GlobalId,
    /// Of the CPG.
    pub(super) members: Vec<NodeId>,
    pub(super) app: Vec<App>,
    pub(super) queue: VecDeque<Change>,
    pub(super) current: Option<Change>,
    pub(super) saved: Vec<Saved>,
    pub(super) joining: bool,
    pub(super) leaving: bool,
    pub(super) id_sent: bool,
    /// For blame: the client that joined is gone.
    pub(super) orphaned: bool,
    /// For blame: who died when it was none of the CPG any more.
    pub(super) unheard: Vec<NodeId>,
    /// For blame: in this change a STARTED came before all were stopped.
    pub(super) early: Option<EventNr>,
}

impl Change {
    pub(super) fn new(cause: Cause, node: NodeId, count: usize, nr: EventNr) -> Self {
        Change {
            cause,
            phase: Phase::Begin,
            node,
            failed: if cause == Cause::Fail { vec![node] } else { vec![] },
            id: EventId::new(node, count, cause),
            nr,
            start_before_recovery: false,
            fail_all_stopped: false,
            found: vec![],
            ends_own_join: false,
        }
    }

    pub(super) fn is_own(&self, cause: Cause, me: NodeId) -> bool {
        self.cause == cause && self.node == me
    }

    /// The lower node names several failures (K3).
    pub(super) fn extend(&mut self, node: NodeId, count: usize) {
        self.failed.push(node);
        if node < self.node {
            self.node = node;
            self.id = EventId::new(node, count, Cause::Fail);
        }
    }
}

impl Group {
    pub(super) fn new(key: GroupKey, cpg: CpgId, slot: Option<usize>, kind: ClientKind) -> Self {
        Group {
            key,
            cpg,
            slot,
            kind,
            global_id: GlobalId::NONE,
            members: vec![],
            app: vec![],
            queue: VecDeque::new(),
            current: None,
            saved: vec![],
            joining: true,
            leaving: false,
            id_sent: false,
            orphaned: false,
            unheard: vec![],
            early: None,
        }
    }

    pub(super) fn has_app(&self, node: NodeId) -> bool {
        self.app.iter().any(|app| app.node == node)
    }

    /// Marks a member as stopped. Did that change anything?
    pub(super) fn mark_stopped(&mut self, node: NodeId) -> bool {
        let mut changed = false;
        for app in self.app.iter_mut().filter(|app| app.node == node && !app.stopped) {
            (app.stopped, app.started, changed) = (true, false, true);
        }
        changed
    }

    fn mark_started(&mut self, node: NodeId) {
        for app in self.app.iter_mut().filter(|app| app.node == node) {
            (app.stopped, app.started) = (false, true);
        }
    }

    pub(super) fn clear_stopped(&mut self) {
        self.app.iter_mut().for_each(|app| app.stopped = false);
    }

    /// The first failure of the queue, or else its head, becomes current.
    pub(super) fn take_next(&mut self) -> bool {
        let failure = self.queue.iter().position(|change| change.cause == Cause::Fail);
        self.current = self.queue.remove(failure.unwrap_or(0));
        self.current.is_some()
    }

    /// Looks at the steps that have come for the current change, in their order, and then at what is complete.
    pub(super) fn evaluate(&mut self, me: NodeId) -> bool {
        let Some(change) = &self.current else { return false };
        let (id, phase) = (change.id, change.phase);
        let joins = change.is_own(Cause::Join, me) && phase == Phase::StopWait;
        let before = self.saved.len();
        for step in std::mem::take(&mut self.saved) {
            match step.step {
                Step::Recover if joins => self.saved.push(step),
                Step::Recover => {}
                Step::Stopped | Step::Started if step.id != id => self.saved.push(step),
                Step::Stopped | Step::Started => self.accept(&step, phase),
            }
        }
        self.complete() || self.saved.len() != before
    }

    fn accept(&mut self, step: &Saved, phase: Phase) {
        match step.step {
            Step::Stopped if matches!(phase, Phase::Begin | Phase::StopWait) => _ = self.mark_stopped(step.from),
            Step::Started => {
                if matches!(phase, Phase::Begin | Phase::StopWait) {
                    self.early = self.current.as_ref().map(|change| change.nr);
                }
                self.mark_started(step.from);
            }
            _ => {}
        }
        if self.global_id == GlobalId::NONE {
            self.global_id = step.global_id;
        }
    }

    fn complete(&mut self) -> bool {
        let (all_stopped, all_started) =
            (self.app.iter().all(|app| app.stopped), self.app.iter().all(|app| app.started));
        let Some(change) = &mut self.current else { return false };
        let next = match change.phase {
            Phase::StopWait if all_stopped => Phase::AllStopped,
            Phase::StartWait if all_started => Phase::AllStarted,
            _ => return false,
        };
        change.phase = next;
        true
    }

    /// Steps of changes that were over before our own join ended.
    pub(super) fn purge(&mut self) {
        let app: Vec<NodeId> = self.app.iter().map(|app| app.node).collect();
        self.saved.retain(|step| {
            let over = match step.id.cause() {
                Cause::Join => app.contains(&step.id.node()),
                Cause::Leave | Cause::Fail => !app.contains(&step.id.node()),
            };
            step.step != Step::Recover && !over
        });
    }
}
