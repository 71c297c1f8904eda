//! The last words about a node that is gone: dlm_controld has them for each lockspace that waits for them, and takes them only
//! at the right time. So it is asked how a lockspace stands, and told what follows from that (decision 11).
//!
//! | the lockspace | then |
//! |---|---|
//! | is not there, or waits for no word about this node | nothing is to be said |
//! | has not seen the node fail, or has not completed its first change | it is looked at again |
//! | waits, and has completed a change | it is told |
//! | was told, and still waits for us after [`TAKEN_MS`] | it takes no word of this failure: unregistered |
//! | waits, and has completed no change: a word would end dlm_controld | unregistered |
//!
//! A volume whose lockspace is unregistered goes on, and from then on *unguarded*: nothing waits for us when the next node fails,
//! until it is out of use here and mounted anew. To register it before that would make it wait for good, for the same word.

use crate::agent::Agent;
use crate::control::Duty;
use crate::effect::{Effect, Effects};
use crate::event::{ControlOp, KernelRefusal, Lockspace};
use crate::ids::{NodeId, OpId, Tick};
use crate::notice::Notice;
use crate::timers::Timer;
use crate::wait::Wait;
use proto::peer::VolumeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The second look comes so long after the first, and each further one after twice the time.
pub const LOOK_AGAIN_MS: u64 = 20;
/// See [`LOOK_AGAIN_MS`].
pub const LOOK_AGAIN_MAX_MS: u64 = 5_000;
/// dlm_controld hears of a failure when we do. After so many looks (1.3 s) one that it does not know of, of a node that is back, was
/// none: the node was in no lockspace of ours then.
pub const LOOKS_FOR_THE_BACK: u32 = 6;
/// A lockspace has taken a word by then, if it takes it.
pub const TAKEN_MS: u64 = 200;

/// What it said of one lockspace.
type Seen = (VolumeId, Result<Option<Lockspace>, KernelRefusal>);

/// How far dlm_controld has gone by the words about one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// Looks in a row.
    looks: u32,
    /// The next one is not before.
    from: Tick,
    /// Lockspaces that were told, and when.
    told: BTreeMap<VolumeId, Tick>,
    /// Lockspaces that wait for no word any more.
    done: BTreeSet<VolumeId>,
    /// Why there is another look.
    why: String,
    /// We know of no end of this node, but may have been away when it came and died: it is only asked about.
    is_asked_only: bool,
}

/// What follows from how a lockspace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It waits for no word.
    Done,
    /// Not yet, and why.
    Look(&'static str),
    /// It takes the word now.
    Tell,
    /// It waits for a word that it must not have, or does not take.
    Unregister,
}

impl Agent {
    /// Whether no lockspace waits for word about this node any more. Until that is so they are looked at and told.
    pub(crate) fn dlm_goes_on(&mut self, node: NodeId, fx: &mut Effects) -> bool {
        let open = self.lockspaces_to_look_at(node);
        if open.is_empty() {
            self.control.words.remove(&node);
            return true;
        }
        let from = self.control.words.entry(node).or_default().from;
        if from <= self.now && !self.control_is_busy() {
            let op = self.new_op();
            self.control.under_way = Some((op, Duty::Look(node)));
            fx.push(Effect::LookAtLockspaces(op, node, open));
        }
        false
    }

    /// All lockspaces of this kernel: an agent before us may have registered those that we have not (story 131). What one that is
    /// unregistered says of failures is stale: nobody is asked about because of it.
    fn lockspaces_to_look_at(&self, node: NodeId) -> BTreeSet<VolumeId> {
        if !self.kernel.stack.needs_control() {
            return BTreeSet::new();
        }
        let mut open = self.volumes_in_kernel();
        if let Some(words) = self.control.words.get(&node) {
            let is_stale = |volume: &VolumeId| words.is_asked_only && self.control.unguarded.contains(volume);
            open.retain(|volume| !words.done.contains(volume) && !is_stale(volume));
        }
        open
    }

    /// Nodes that went without anything of ours: nothing is to be done before the DLM goes on.
    pub(crate) fn let_the_dlm_go_on(&mut self, fx: &mut Effects) {
        if std::mem::take(&mut self.control.unasked) && self.kernel.stack.needs_control() {
            self.ask_about_those_before_us();
        }
        let gone: Vec<NodeId> =
            self.control.words.keys().filter(|node| !self.deaths.contains_key(node)).copied().collect();
        for node in gone {
            self.dlm_goes_on(node, fx);
        }
    }

    /// Who is not there may have come, used our volumes and died while no agent was here (story 117).
    fn ask_about_those_before_us(&mut self) {
        let configured = self.config.iter().flat_map(|config| config.nodes.keys());
        for node in configured.filter(|node| !self.view.in_ring(**node) && !self.deaths.contains_key(node)) {
            self.control.words.entry(*node).or_insert(Words { is_asked_only: true, ..Words::default() });
        }
    }

    /// dlm_controld knows of a death that we have not heard of: it goes the way of every death, and all have to know.
    fn missed_by_dlm(&mut self, node: NodeId, volumes: BTreeSet<VolumeId>, fx: &mut Effects) {
        self.control.words.remove(&node);
        self.learned(node).volumes.extend(volumes);
        self.exchange.owed = true;
        self.keep_uses(fx);
    }

    pub(crate) fn lockspaces_seen(&mut self, op: OpId, seen: Vec<Seen>, fx: &mut Effects) {
        let Some((_, Duty::Look(node))) = self.control.under_way.take_if(|(expected, _)| *expected == op) else {
            return;
        };
        let (now, is_back) = (self.now, self.view.in_ring(node));
        let Some(words) = self.control.words.get_mut(&node) else { return };
        let missed: BTreeSet<VolumeId> = missed_in(&seen).filter(|_| words.is_asked_only).collect();
        if !missed.is_empty() {
            return self.missed_by_dlm(node, missed, fx);
        }
        let (mut notified, mut given_up) = (BTreeSet::new(), BTreeSet::new());
        for (volume, lockspace) in seen {
            match lockspace.map(|found| found.map_or(Next::Done, |it| words.next(volume, it, is_back, now))) {
                Ok(Next::Done) => _ = words.done.insert(volume),
                Ok(Next::Look(why)) => words.why = why.into(),
                Ok(Next::Tell) => _ = notified.insert(volume),
                Ok(Next::Unregister) => _ = given_up.insert(volume),
                Err(refusal) => words.why = refusal.to_string(),
            }
        }
        words.looks_again(now);
        self.tell_lockspaces(node, notified, &given_up, fx);
        self.wake_for_words(fx);
    }

    fn tell_lockspaces(
        &mut self,
        node: NodeId,
        notified: BTreeSet<VolumeId>,
        given_up: &BTreeSet<VolumeId>,
        fx: &mut Effects,
    ) {
        if !given_up.is_empty() {
            self.control.registered.retain(|volume| !given_up.contains(volume));
            self.control.unguarded.extend(given_up);
            self.save(fx); // an agent after us must not register them
            let volumes = given_up.iter().map(ToString::to_string).collect();
            fx.notice(Notice::Unguarded { node, volumes });
        }
        let words = notified.iter().map(|volume| ControlOp::Notified { volume: *volume, node: node.0 });
        let ends = given_up.iter().map(|volume| ControlOp::Unregister { volume: *volume });
        let ops: Vec<ControlOp> = words.chain(ends).collect();
        if !ops.is_empty() {
            self.control_op(Duty::Tell(node, notified), ops, fx);
        }
    }

    pub(crate) fn lockspaces_told(&mut self, node: NodeId, volumes: &BTreeSet<VolumeId>, fx: &mut Effects) {
        let now = self.now;
        if let Some(words) = self.control.words.get_mut(&node) {
            volumes.iter().for_each(|volume| _ = words.told.entry(*volume).or_insert(now));
            words.done.extend(&self.control.unguarded);
            words.looks = 0;
            words.looks_again(now);
        }
        self.wake_for_words(fx);
    }

    /// The next moment at which dlm_controld is to be looked at.
    pub(crate) fn wake_for_words(&mut self, fx: &mut Effects) {
        let now = self.now;
        let later = self.control.words.values().map(|words| words.from).filter(|from| *from > now);
        if let Some(first) = later.min() {
            self.timers.set(Timer::WordAgain, first.since(now), fx);
        }
    }

    /// The kernel's side has changed: a mount has ended, perhaps.
    pub(crate) fn look_at_lockspaces_now(&mut self) {
        let now = self.now;
        self.control.words.values_mut().for_each(|words| words.from = words.from.min(now));
    }

    /// Words that dlm_controld is to have now. Nobody waits for what it is only asked about.
    pub(crate) fn word_wait(&self, node: NodeId) -> Option<Wait> {
        let words = self.control.words.get(&node).filter(|words| !words.is_asked_only)?;
        Some(Wait::DlmWord { node, why: words.why.clone() })
    }

    /// Those about nodes that used nothing.
    pub(crate) fn word_waits(&self) -> impl Iterator<Item = Wait> + '_ {
        let gone = self.control.words.keys().filter(|node| !self.deaths.contains_key(node));
        gone.filter_map(|node| self.word_wait(*node))
    }
}

/// Lockspaces in which the node failed, and that go on only with a word.
fn missed_in(seen: &[Seen]) -> impl Iterator<Item = VolumeId> + '_ {
    let is_missed = |found: &Option<Lockspace>| found.is_some_and(|lockspace| lockspace.is_missed);
    seen.iter().filter(move |(_, found)| found.as_ref().is_ok_and(is_missed)).map(|(volume, _)| *volume)
}

impl Words {
    /// The dlm_controld that had them is gone; the next one would be taken for one that takes no word.
    pub(crate) fn begin_anew(&mut self) {
        *self = Words { is_asked_only: self.is_asked_only, ..Words::default() };
    }

    fn looks_again(&mut self, now: Tick) {
        let after = LOOK_AGAIN_MS.saturating_mul(1 << self.looks.min(10)).min(LOOK_AGAIN_MAX_MS);
        (self.looks, self.from) = (self.looks.saturating_add(1), Tick(now.0 + after));
    }

    /// Of a node that is back it need not have seen a failure.
    fn next(&self, volume: VolumeId, lockspace: Lockspace, is_back: bool, now: Tick) -> Next {
        let Lockspace { is_started, waits_for_us, is_member, is_missed } = lockspace;
        if !is_missed {
            return match is_member {
                _ if !is_started => Next::Look("it has not completed its first change"), // of which it may not have heard yet
                true if !is_back || self.looks < LOOKS_FOR_THE_BACK => Next::Look("it has not seen the node fail"),
                true | false => Next::Done,
            };
        }
        match self.told.get(&volume) {
            None if is_started || planted!(ToldBeforeItStarted) => Next::Tell,
            None if !waits_for_us => Next::Look("its first change waits for something else"),
            Some(told) if now.since(*told) < TAKEN_MS => Next::Look("it has been told"),
            Some(_) if !waits_for_us => Next::Done, // it has the word, and waits for something else
            None | Some(_) if planted!(WaitsInVain) => Next::Look("it takes no word"),
            None | Some(_) => Next::Unregister,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: VolumeId = VolumeId([0xa0; 16]);
    const SEEN: Lockspace = Lockspace { is_started: true, waits_for_us: true, is_member: false, is_missed: true };
    const UNSEEN: Lockspace = Lockspace { is_started: true, waits_for_us: false, is_member: true, is_missed: false };

    fn told(at: u64) -> Words {
        Words { told: BTreeMap::from([(VOLUME, Tick(at))]), ..Words::default() }
    }

    fn next(words: &Words, lockspace: Lockspace, now: u64) -> Next {
        words.next(VOLUME, lockspace, false, Tick(now))
    }

    #[test]
    fn a_failure_is_told_once_it_is_seen() {
        let first = Words::default();
        assert_eq!(next(&first, UNSEEN, 0), Next::Look("it has not seen the node fail"));
        assert_eq!(next(&first, SEEN, 0), Next::Tell);
        assert_eq!(next(&first, Lockspace { is_member: false, ..UNSEEN }, 0), Next::Done, "it never failed here");
        assert_eq!(next(&told(0), Lockspace { is_member: false, ..UNSEEN }, 1), Next::Done);
    }

    #[test]
    fn one_that_is_back_may_have_been_in_no_lockspace() {
        let (back, tired) = (Words::default(), Words { looks: LOOKS_FOR_THE_BACK, ..Words::default() });
        assert!(matches!(back.next(VOLUME, UNSEEN, true, Tick(0)), Next::Look(_)), "dlm_controld may be late");
        assert_eq!(tired.next(VOLUME, UNSEEN, true, Tick(0)), Next::Done);
        assert!(matches!(tired.next(VOLUME, UNSEEN, false, Tick(0)), Next::Look(_)), "gone for good: it must see that");
    }

    #[test]
    fn a_lockspace_in_its_first_change_is_never_told() {
        let joins = Lockspace { is_started: false, ..SEEN };
        assert_eq!(next(&Words::default(), joins, 0), Next::Unregister);
        let early = Lockspace { is_missed: false, ..joins };
        assert_eq!(next(&Words::default(), early, 0), Next::Look("it has not completed its first change"));
        let other = Lockspace { waits_for_us: false, ..joins };
        assert_eq!(next(&Words::default(), other, 0), Next::Look("its first change waits for something else"));
    }

    #[test]
    fn a_word_that_is_not_taken_ends_in_unregistering_and_one_that_is_does_not() {
        assert_eq!(next(&told(0), SEEN, TAKEN_MS - 1), Next::Look("it has been told"));
        assert_eq!(next(&told(0), SEEN, TAKEN_MS), Next::Unregister, "it failed in its own join");
        let fences = Lockspace { waits_for_us: false, ..SEEN };
        assert_eq!(next(&told(0), fences, TAKEN_MS), Next::Done, "it has the word, and waits for a fence");
    }

    #[test]
    fn the_next_dlm_controld_is_told_and_not_given_up() {
        let mut words = told(0);
        assert_eq!(next(&words, SEEN, TAKEN_MS), Next::Unregister);
        words.begin_anew();
        assert_eq!(next(&words, SEEN, TAKEN_MS), Next::Tell);
    }

    #[test]
    fn looks_become_rare_and_never_end() {
        let (mut words, mut after) = (Words::default(), vec![]);
        for _ in 0..12 {
            words.looks_again(Tick(0));
            after.push(words.from.0);
        }
        assert_eq!(after[..5], [20, 40, 80, 160, 320]);
        assert_eq!(after[8..], [LOOK_AGAIN_MAX_MS; 4]);
    }
}
