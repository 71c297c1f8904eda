//! One group on this node: who is in it, what it is doing, what waits behind that.

use super::abreast::Abreast;
use super::change::{Change, Owed};
use super::effect::{Effect, Effects, Notice};
use super::former::{Anew, Words};
use super::node::Node;
use super::saved::{Saved, SavedStep};
use super::wait::Wait;
use crate::cpg_message::{Message, Step};
use crate::event_id::{Cause, EventId, Phase};
use crate::ids::{ClientId, CpgId, GlobalId, Member, NodeId};
use crate::names::{ClientKind, GroupKey};
use crate::records::{GroupRecord, RecordChange};
use crate::verbs::Callback;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// A group of this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    pub(crate) cpg: CpgId,
    pub(crate) keeper: Keeper,
    /// User of the client that joined.
    pub(crate) uid: u32,
    pub(crate) kind: ClientKind,
    /// Is its CPG joined, or does that wait for the first quorum?
    pub(crate) asked: bool,
    /// Members of its CPG, as far as its view changes have been seen.
    pub(crate) members: Vec<Member>,
    /// Joins of processes whose node has a member that may be a ghost, with the count of each (deviation B31).
    #[serde(default)]
    pub(crate) beside: Vec<(Member, usize)>,
    /// Members that our client has been told, or will be with the next start.
    pub(crate) app: Vec<NodeId>,
    pub(crate) abreast: Abreast,
    pub(crate) queue: VecDeque<Change>,
    pub(crate) current: Option<Change>,
    pub(crate) saved: Saved,
    /// Changes that a failure replaced, until that failure is done; what still comes for them is late (B7).
    pub(crate) overtaken: BTreeSet<EventId>,
    pub(crate) global_id: GlobalId,
    pub(crate) joining: bool,
    pub(crate) leaving: bool,
    pub(crate) id_told: bool,
    /// Our own join, if a failure replaced it before our client had answered its start.
    pub(crate) unanswered: Option<EventId>,
    /// A member has started that join behind the failure, and waits for our word (deviation B15).
    pub(crate) awaited: bool,
    /// Our own join, while a failure is current that replaced it.
    pub(crate) replaced: Option<EventId>,
    pub(crate) words: Words,
    pub(crate) anew: Option<Anew>,
    /// Who joins as soon as this group is gone here.
    pub(crate) heir: Option<Heir>,
}

/// A client that joins a group which we still leave for a dead one (deviation B19).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Heir {
    pub(crate) client: ClientId,
    pub(crate) uid: u32,
    pub(crate) kind: ClientKind,
}

/// Who answers for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Keeper {
    /// The client that joined it.
    Client(ClientId),
    /// We do, and leave as soon as we can: the client is gone and had nothing to lose.
    Ourselves,
    /// Nobody: the client is gone and might have had, or there never was one.
    Nobody,
}

impl Group {
    pub(crate) fn new(key: GroupKey, cpg: CpgId, keeper: Keeper, uid: u32, kind: ClientKind) -> Self {
        Group {
            key,
            cpg,
            keeper,
            uid,
            kind,
            asked: false,
            members: Vec::new(),
            beside: Vec::new(),
            app: Vec::new(),
            abreast: Abreast::default(),
            queue: VecDeque::new(),
            current: None,
            saved: Saved::default(),
            overtaken: BTreeSet::new(),
            global_id: GlobalId::NONE,
            joining: true,
            leaving: false,
            id_told: false,
            unanswered: None,
            awaited: false,
            replaced: None,
            words: Words::default(),
            anew: None,
            heir: None,
        }
    }

    /// Joins its CPG.
    pub(crate) fn ask(&mut self, fx: &mut Effects) {
        self.asked = true;
        fx.push(Effect::JoinCpg(self.cpg, self.key.cpg_name()));
    }

    /// A leave is refused while the own join is open, twice, and while the current change is about us.
    pub(crate) fn may_leave(&self, me: NodeId) -> bool {
        !self.joining && !self.leaving && self.current.as_ref().is_none_or(|change| change.node != me)
    }

    pub(crate) fn leave(&mut self, fx: &mut Effects) {
        self.leaving = true;
        fx.push(Effect::LeaveCpg(self.cpg));
    }

    /// The client says that it is stopped. False if it was not asked.
    pub(crate) fn stop_done(&mut self, fx: &mut Effects) -> bool {
        let Some(change) = self.current.as_mut().filter(|change| change.owes == Some(Owed::StopDone)) else {
            return false;
        };
        change.owes = None;
        let id = change.id;
        self.say(Step::Stopped, id, fx);
        true
    }

    /// The client says that it is started. False if it was not asked.
    pub(crate) fn start_done(&mut self, fx: &mut Effects) -> bool {
        let Some(change) = self.current.as_mut().filter(|change| change.owes == Some(Owed::StartDone)) else {
            return false;
        };
        change.owes = None;
        let id = change.id;
        self.say(Step::Started, id, fx);
        true
    }

    /// A step of a peer came. It is looked at when the change that it names is current. From a node whose
    /// failure is current it is of a new life, and of a change to come, even if that has an old id.
    pub(crate) fn hear(&mut self, step: SavedStep, me: NodeId, fx: &mut Effects) {
        self.words.hear(&step, me);
        if step.step == Step::Started {
            self.hear_anew(step.from, step.id);
        }
        let reborn = self.current.as_ref().is_some_and(|change| change.failed.contains(&step.from));
        if self.unanswered == Some(step.id) && step.step == Step::Started && self.is_behind(step.from) {
            self.awaited = true;
            if self.failure().is_none() {
                self.answer_late(fx);
            }
        } else if self.overtaken.contains(&step.id) && !reborn {
            fx.notice(Notice::Late { group: self.key.clone(), from: step.from });
        } else {
            self.saved.push(step);
        }
    }

    /// Has this member done with the failure that replaced our join? What it says of the join then is no echo of what
    /// was before: it recovered first, and takes us in after that.
    fn is_behind(&self, member: NodeId) -> bool {
        self.failure().is_none_or(|failure| failure.started.contains(&member))
    }

    fn failure(&self) -> Option<&Change> {
        self.current.as_ref().filter(|change| change.cause == Cause::Fail)
    }

    /// Says that our client has started, as it has since, to those who take us in late (deviation B15).
    pub(crate) fn answer_late(&mut self, fx: &mut Effects) {
        if std::mem::take(&mut self.awaited)
            && let Some(id) = self.unanswered.take()
        {
            self.say(Step::Started, id, fx);
        }
    }

    pub(crate) fn say(&self, step: Step, id: EventId, fx: &mut Effects) {
        let message = Message::Step { step, key: self.key.clone(), global_id: self.global_id, id };
        fx.push(Effect::Multicast(CpgId::CONTROL, message));
    }

    pub(crate) fn tell(&self, callback: Callback, fx: &mut Effects) {
        if let Keeper::Client(client) = self.keeper {
            fx.push(Effect::Tell(client, callback));
        }
    }

    /// Is another process of this one's node a member?
    pub(crate) fn has_beside(&self, other: Member) -> bool {
        self.members.iter().any(|member| member.node == other.node && *member != other)
    }

    /// This daemon is gone. If its node was a member, that failure is queued, merged with one that is, or ends its
    /// leave. A join of the node's next daemon stays: its CPG may have shown that before (deviation B20).
    pub(crate) fn node_down(&mut self, gone: Member, node: &mut Node) {
        let dead = gone.node;
        self.members.retain(|&member| member != gone);
        self.queue.retain(|change| !change.ends_with(gone));
        if !self.app.contains(&dead) || self.has_beside(gone) {
            return; // the group never knew it, or has another process of its node
        }
        match &mut self.current {
            Some(change) if change.is_own(Cause::Leave, dead) => {
                change.leaver_failed |= change.stopped.insert(dead);
            }
            Some(change) if change.failed.contains(&dead) => {}
            _ => self.queue_failure(dead, node),
        }
    }

    pub(crate) fn queue_failure(&mut self, dead: NodeId, node: &mut Node) {
        let count = self.members.iter().filter(|member| member.node != dead).count();
        match self.queue.iter_mut().find(|change| change.cause == Cause::Fail) {
            Some(failure) if failure.failed.contains(&dead) => {}
            Some(failure) => failure.extend(dead, count),
            None => self.queue.push_back(Change::new(Cause::Fail, dead, count, node.next_nr())),
        }
    }

    /// What this group waits for.
    pub(crate) fn waits(&self, node: &Node) -> Option<Wait> {
        let Some(change) = &self.current else {
            return match self.queue.front() {
                Some(head) => Some(Wait::Control { node: head.node }),
                None if !self.asked && !node.quorum.was_ever() => Some(Wait::FirstQuorum),
                None if !self.asked => Some(node.control.wait_to_be_known()),
                None if self.abreast.len() > 0 => Some(Wait::ControlCpg),
                None if self.leaving => Some(Wait::OwnLeave),
                None => self.members.is_empty().then_some(Wait::OwnJoin),
            };
        };
        match change.phase {
            Phase::Begin | Phase::AllStarted => None,
            Phase::StopWait => match self.queue.iter().find(|queued| queued.cause == Cause::Fail) {
                Some(failure) if change.unsure && !change.start_anyway => Some(Wait::Survivors { node: failure.node }),
                _ => Some(Wait::Stopped { by: self.missing(&change.stopped) }),
            },
            Phase::AllStopped => self.may_start(change, node).err(),
            Phase::StartWait => Some(Wait::Started { by: self.missing(&change.started) }),
        }
    }

    /// Does it wait for more than the answers of its members?
    pub(crate) fn is_gated(&self) -> bool {
        match &self.current {
            Some(change) => change.phase == Phase::AllStopped,
            None => !self.queue.is_empty(),
        }
    }

    /// App members that are not in `done`.
    pub(crate) fn missing(&self, done: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        self.app.iter().copied().filter(|node| !done.contains(node)).collect()
    }

    /// As `get_group` shows it.
    pub(crate) fn record(&self, me: NodeId) -> GroupRecord {
        let own_join = self.current.as_ref().is_some_and(|change| change.is_own(Cause::Join, me));
        GroupRecord {
            kind: self.kind.clone(),
            name: self.key.name.as_bytes().to_vec(),
            level: i32::from(self.key.level.wire()),
            global_id: self.global_id,
            member: self.app.contains(&me) && !own_join,
            members: self.app.clone(),
            change: self.current.as_ref().map(|change| RecordChange {
                cause: change.cause,
                phase: change.phase,
                node: change.node,
                local: self.local_status(change, me),
                id: change.id,
            }),
        }
    }

    fn local_status(&self, change: &Change, me: NodeId) -> i32 {
        match change.phase {
            _ if !self.app.contains(&me) => -2,
            Phase::StopWait => change.stopped.contains(&me).into(),
            Phase::StartWait => change.started.contains(&me).into(),
            Phase::Begin | Phase::AllStopped | Phase::AllStarted => -1,
        }
    }
}
