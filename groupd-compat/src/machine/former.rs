//! Words about a former life of ours, and how they are told from those about this one (deviation B16).
//!
//! A node that dies in its join and joins again may do so under the same id, and what members said of the first join then
//! counts for the second: nothing on the wire tells them apart. So it starts early, and if another node dies then, it
//! waits for a recovery that the members had before they took it in, perhaps under another name. What tells the two
//! apart is the order of what one member says: it stops once for each join, and speaks of our failure in between.

use super::change::Change;
use super::group::Group;
use super::node::Node;
use super::saved::SavedStep;
use crate::cpg_message::Step;
use crate::event_id::{Cause, EventId, Phase};
use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What members said of our own join; of each node the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Words(BTreeMap<NodeId, Word>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Word {
    /// The join; `None` if the node spoke of our failure since.
    join: Option<EventId>,
    /// It has spoken of a life of ours before that.
    again: bool,
    started: bool,
}

/// Our own join, which a failure replaced although the members had that behind them when they took us in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Anew {
    join: EventId,
    /// Those whose failure is not ours to recover from.
    settled: Vec<NodeId>,
}

impl Words {
    pub(crate) fn hear(&mut self, step: &SavedStep, me: NodeId) {
        match (step.step, step.id.cause()) {
            _ if step.id.node() != me || step.from == me => {}
            (_, Cause::Fail) => _ = self.0.insert(step.from, Word::default()),
            (Step::Stopped, Cause::Join) => {
                let join = Some(step.id);
                let again = self.0.get(&step.from).is_some_and(|word| word.join.is_none() || word.join == join);
                self.0.insert(step.from, Word { join, again, started: false });
            }
            (Step::Started, Cause::Join) => {
                if let Some(word) = self.0.get_mut(&step.from).filter(|word| word.join == Some(step.id)) {
                    word.started = true;
                }
            }
            (Step::Stopped | Step::Started | Step::Recover, Cause::Join | Cause::Leave) => {}
        }
    }

    /// Has this member, which had spoken of a former life of ours, started this join of ours?
    fn takes_in_anew(&self, member: NodeId, join: EventId) -> bool {
        self.0.get(&member).is_some_and(|word| word.join == Some(join) && word.again && word.started)
    }

    /// Has it ever stopped for a join of ours? If not, no join that others start had it as a member.
    fn may_have_stopped(&self, member: NodeId) -> bool {
        self.0.get(&member).is_some_and(|word| word.join.is_some() || word.again)
    }

    fn started(&self, join: EventId) -> BTreeSet<NodeId> {
        let started = |word: &Word| word.started && word.join == Some(join);
        self.0.iter().filter(|(_, word)| started(word)).map(|(&node, _)| node).collect()
    }
}

impl Group {
    /// A member started a join of ours while a failure is current that replaced it. If it speaks of this life, and none of
    /// those who failed was a member then, all members were stopped for us, and that failure is not ours.
    pub(crate) fn hear_anew(&mut self, from: NodeId, join: EventId) {
        let Some(failure) = self.current.as_ref().filter(|change| change.cause == Cause::Fail) else { return };
        let void = self.replaced == Some(join)
            && failure.phase == Phase::StopWait
            && self.words.takes_in_anew(from, join)
            && !failure.failed.iter().any(|&node| self.words.may_have_stopped(node));
        if void && self.anew.is_none() {
            self.anew = Some(Anew { join, settled: failure.failed.clone() });
        }
    }

    /// Goes back to our own join, once our client is stopped. Who failed since then failed in that join.
    pub(crate) fn join_anew(&mut self, node: &mut Node) -> bool {
        let me = node.me;
        let ready = |change: &Change| change.phase == Phase::StopWait && change.stopped.contains(&me);
        if self.anew.is_none() || !self.current.as_ref().is_some_and(ready) {
            return false;
        }
        let (Some(Anew { join, settled }), Some(failure)) = (self.anew.take(), self.current.take()) else {
            return false;
        };
        self.app.retain(|member| !settled.contains(member));
        node.recovery.drop_from(self.cpg, &settled);
        self.overtaken.remove(&join);
        (self.replaced, self.unanswered, self.awaited) = (None, None, false);
        let mut change = Change::new(Cause::Join, me, usize::from(join.count()), node.next_nr());
        change.phase = Phase::StopWait;
        change.stopped = self.app.iter().copied().collect();
        change.started = self.words.started(join);
        self.current = Some(change);
        for dead in failure.failed.into_iter().filter(|dead| !settled.contains(dead)) {
            self.queue_failure(dead, node);
        }
        true
    }
}
