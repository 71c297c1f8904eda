//! The agreed node table: add and remove as transactions of all members (rules T1 to T3). Pure: no effects here.
//!
//! Everything in [`Agreed`] is computed from the Hellos of one view and from the answers that came after them in agreed
//! order. So every member of the view holds the same value, and [`Agreed::next`] picks the same step everywhere; nobody
//! has to be asked which step is on.
//!
//! ```text
//! add J        Install{J}  every member writes J's entry      all done → the table has J
//!                                                             one refused → Undo on the others, J waits
//!              Admit{J}    J writes the whole table, its own entry last, `local` at the very end; the others answer
//!                          when they have buried what J was before
//! remove X     Vote{X}     every member: done = free to go, held = needed because of these pins; X itself, if it
//!                          is here to come back with another entry, has taken the old one out of its kernel
//!              Erase{X}    every member removes it            all done → the table lacks X
//!                                                             one refused → Restore on the others, X is held
//! align        Install{}   a member lacks entries the others have (it was away, or its kernel refused)
//! ```
//!
//! A step ends when every participant has answered. A view change ends it too: the next view begins with new Hellos,
//! which say what each kernel holds, and `next` continues from there. An addition that was half done is rolled forward,
//! because a node whose entry was once installed everywhere may have gone local in another partition; only an agreed
//! Vote takes entries out.

use crate::event::KernelRefusal;
use crate::ids::{Member, NodeId, RingId, Tick};
use crate::merge::taken;
use crate::refusal::Refusal;
use crate::step::{Step, StepKind, names};
use proto::handshake::Blocks;
use proto::peer::{Entry, Hello, Identity, Live, Outcome, ProposalReason, Table, Version};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What all members of a view hold in common once all have said Hello.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreed {
    /// What each member said first.
    #[serde(with = "crate::pairs")]
    pub hellos: BTreeMap<Member, Hello>,
    /// What each member may do.
    #[serde(with = "crate::pairs")]
    pub standing: BTreeMap<Member, Standing>,
    /// Refusals that stand against members who are in all the same.
    pub troubles: Vec<(Member, Refusal)>,
    /// The table.
    pub table: Table,
    /// What the kernel of each established member holds of ours.
    #[serde(with = "crate::pairs")]
    pub held: BTreeMap<Member, BTreeMap<u8, Entry>>,
    /// Additions that a kernel refused, by number: not tried again in this exchange.
    pub refused: BTreeMap<u8, (Entry, Member, KernelRefusal)>,
    /// Members whose kernel does not take what the others have.
    #[serde(with = "crate::pairs")]
    pub misaligned: BTreeMap<Member, KernelRefusal>,
    /// Removals that somebody holds up, by number.
    pub kept: BTreeMap<u8, (Member, Vec<String>)>,
    /// Removals asked for.
    pub proposals: BTreeMap<u8, ProposalReason>,
    /// Nodes in the ring whose agent is gone.
    pub absent: BTreeMap<NodeId, Live>,
    /// The step in progress.
    pub step: Option<Step>,
    /// Whether every member had quorum when it said Hello.
    pub quorate: bool,
}

/// What a member may do in this view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    /// Its kernel is local and takes part in every change.
    Established,
    /// To be added or admitted.
    Joining,
    /// Not let in.
    Refused(Refusal),
}

/// What the end of a step changed, for people and for the owner of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Nothing but what is in `Agreed` now.
    Quiet,
    /// A new version of the table.
    TableChanged(String),
    /// A removal that was asked for is off: the node is in.
    Stays(String),
    /// This member is established from here on.
    Admitted(Member),
}

impl Agreed {
    /// The step that comes next, the same on all members; `None` when nothing is to be done or may be done.
    #[must_use]
    pub fn next(&self) -> Option<StepKind> {
        if !self.quorate {
            return None;
        }
        self.align().or_else(|| self.joiner()).or_else(|| self.vacation()).or_else(|| self.removal())
    }

    /// Members whose kernel takes part in every change.
    #[must_use]
    pub fn established(&self) -> BTreeSet<Member> {
        self.each_established().collect()
    }

    /// The same one by one, in order.
    pub fn each_established(&self) -> impl Iterator<Item = Member> + '_ {
        let is_in = |(_, standing): &(&Member, &Standing)| **standing == Standing::Established;
        self.standing.iter().filter(is_in).map(|(member, _)| *member)
    }

    /// Who asks for removals: the first member that was not cut off from the others.
    #[must_use]
    pub fn proposer(&self) -> Option<Member> {
        let was_cut_off = |member: &Member| {
            let of_member = |(other, refusal): &(Member, Refusal)| {
                other == member && matches!(refusal, Refusal::LiveWithoutQuorum { .. })
            };
            self.troubles.iter().any(of_member)
        };
        self.each_established().find(|member| !was_cut_off(member))
    }

    /// Who has a program run or a node ended, for all: also where everybody was cut off from the others at some time.
    pub(crate) fn leader(&self) -> Option<Member> {
        self.proposer().or_else(|| self.each_established().next())
    }

    /// Who must answer a step.
    #[must_use]
    pub fn participants(&self, kind: &StepKind) -> BTreeSet<Member> {
        match kind {
            // The others say by it that they have buried what this node was before.
            StepKind::Admit { member } => self.established().into_iter().chain([*member]).collect(),
            StepKind::Vote { entry, .. } => self.established().into_iter().chain(self.owner(entry)).collect(),
            StepKind::Install { .. } | StepKind::Undo { .. } | StepKind::Erase { .. } | StepKind::Restore { .. } => {
                self.established()
            }
        }
    }

    /// Whose entry it is, if that node is here and not in.
    fn owner(&self, entry: &Entry) -> Option<Member> {
        let owner = self.hellos.keys().find(|member| member.nodeid == entry.nodeid)?;
        let is_in = self.each_established().any(|member| member.nodeid == entry.nodeid);
        (!is_in && !planted!(OwnerIsNotAsked)).then_some(*owner)
    }

    /// Nodes that must answer a change of the table, but whose agent is gone while they have volumes mounted.
    pub fn blocking_absent(&self) -> impl Iterator<Item = (NodeId, Live)> + '_ {
        self.absent
            .iter()
            .filter(|(_, live)| live.is_live() && !planted!(AbsentBlocksNothing))
            .map(|(node, live)| (*node, *live))
    }

    /// Entries that some member's kernel holds and the table lacks: an addition that a view change cut off. Of two
    /// that cannot stand side by side, the one a node holds of itself counts: that is what it is.
    fn leftovers(&self) -> Vec<Entry> {
        let held = || self.held.iter().flat_map(|(member, held)| held.values().map(move |entry| (member, entry)));
        if planted!(LeftoversAreForgotten) || held().all(|(_, entry)| self.clashes(entry)) {
            return Vec::new();
        }
        let own = held().filter(|(member, entry)| entry.nodeid == member.nodeid);
        let others = held().filter(|(member, entry)| entry.nodeid != member.nodeid);
        let mut found: BTreeMap<u8, Entry> = BTreeMap::new();
        for (_, entry) in own.chain(others) {
            let refused = self.refused.contains_key(&entry.number);
            if !refused && !self.clashes(entry) && !found.values().any(|other| clash(other, entry)) {
                found.insert(entry.number, entry.clone());
            }
        }
        found.into_values().collect()
    }

    /// Whether the table has this entry already, or one that cannot stand beside it.
    fn clashes(&self, entry: &Entry) -> bool {
        let same_number = self.table.entries.contains_key(&entry.number);
        same_number || self.table.entries.values().any(|other| clash(other, entry))
    }

    fn align(&self) -> Option<StepKind> {
        let is_heard = |member| self.held.contains_key(&member);
        if self.held.values().all(|held| *held == self.table.entries) && self.each_established().all(is_heard) {
            return None; // as most of the time
        }
        let add = self.leftovers();
        let lacks = |member: &Member| {
            let held = self.held.get(member);
            !planted!(NobodyIsAligned)
                && !self.misaligned.contains_key(member)
                && self.table.entries.values().any(|entry| held.and_then(|h| h.get(&entry.number)) != Some(entry))
        };
        let needed = !add.is_empty() || self.each_established().any(|member| lacks(&member));
        needed.then_some(StepKind::Install { add })
    }

    fn joiner(&self) -> Option<StepKind> {
        let mut joiners: Vec<(&Entry, Member)> = Vec::new();
        for (member, standing) in &self.standing {
            if let (Standing::Joining, Identity::Entry(entry)) = (standing, &self.hellos[member].identity) {
                joiners.push((entry, *member));
            }
        }
        joiners.sort();
        joiners.into_iter().find_map(|(entry, member)| self.step_towards(entry, member))
    }

    fn step_towards(&self, entry: &Entry, member: Member) -> Option<StepKind> {
        let of_same_node = self.table.entries.values().find(|old| old.nodeid == entry.nodeid);
        match of_same_node {
            Some(old) if old == entry && (!self.is_everywhere(entry) || self.may_be_unburied(member)) => None,
            Some(old) if old == entry => Some(StepKind::Admit { member }),
            Some(old) if self.kept.contains_key(&old.number) => None,
            Some(old) => Some(StepKind::Vote { entry: old.clone(), reason: ProposalReason::Unconfigured }),
            None if self.refused.contains_key(&entry.number) => None,
            None if planted!(JoinerNeedsNobody) => Some(StepKind::Admit { member }),
            None if self.blocking_absent().next().is_some() => None,
            None => Some(StepKind::Install { add: vec![entry.clone()] }),
        }
    }

    /// Where agents tell of deaths, a kernel whose agent is gone may have to hear of the joiner's last one first.
    fn may_be_unburied(&self, joiner: Member) -> bool {
        let tells = |hello: &Hello| Blocks::parse(&hello.handshake).is_ok_and(|blocks| blocks.locking().is_some());
        self.blocking_absent().next().is_some() && self.hellos.values().any(tells) || self.waits_for_outsiders(joiner)
    }

    /// Of the entries of an addition that was refused, those that this member takes out again. What it held before
    /// for a node that is in stays: that node's kernel may be using it.
    #[must_use]
    pub fn to_undo(&self, member: Member, entries: &[Entry]) -> Vec<Entry> {
        let established = self.established();
        let keeps = |entry: &&Entry| {
            let held = self.held.get(&member).and_then(|held| held.get(&entry.number)) == Some(entry);
            held && !planted!(UndoTakesTheLiving) && established.iter().any(|member| member.nodeid == entry.nodeid)
        };
        entries.iter().filter(|entry| !keeps(entry)).cloned().collect()
    }

    /// Whether every member's kernel has this entry; a member that does not take it is named as misaligned.
    fn is_everywhere(&self, entry: &Entry) -> bool {
        self.held.values().all(|held| held.get(&entry.number) == Some(entry))
    }

    /// Starts a step. It may be over at once, where nobody has to answer.
    pub fn begin(&mut self, round: u32, kind: StepKind, now: Tick) {
        let answers = self.participants(&kind).into_iter().map(|member| (member, None)).collect();
        self.step = Some(Step { round, kind, answers, since: now });
    }

    /// Takes an answer. `false` if it is to another step, from nobody who was asked, or a second one.
    pub fn answer(&mut self, from: Member, round: u32, outcome: Outcome) -> bool {
        match self.step.as_mut().filter(|step| step.round == round).and_then(|step| step.answers.get_mut(&from)) {
            Some(slot @ None) => {
                *slot = Some(outcome);
                true
            }
            Some(Some(_)) | None => false,
        }
    }

    /// Ends the step if every participant has answered: what it changed, and the step that follows by force.
    pub fn end(&mut self, ring: RingId) -> Option<(Ended, Option<StepKind>)> {
        let step = self
            .step
            .take_if(|step| step.answers.values().all(|answer| answer.is_some() || planted!(AnswersAreNotAwaited)))?;
        let first_no = step.answers.iter().find_map(|(member, outcome)| match outcome {
            Some(Outcome::Failed { .. }) if planted!(FailedIsDone) => None,
            Some(Outcome::Held(_)) if planted!(HeldIsDone) => None,
            Some(Outcome::Failed { errno, path, what }) => {
                Some((*member, No::Refused(KernelRefusal { errno: *errno, path: path.clone(), what: what.clone() })))
            }
            Some(Outcome::Held(pins)) => Some((*member, No::Held(pins.clone()))),
            Some(Outcome::Done) | None => None,
        });
        Some(match first_no {
            None => self.all_done(step.kind, ring),
            Some((by, no)) => self.stopped(step, by, no),
        })
    }

    fn all_done(&mut self, kind: StepKind, ring: RingId) -> (Ended, Option<StepKind>) {
        match kind {
            StepKind::Install { add } => {
                let text = format!("added {}", names(&add));
                let changed = !add.is_empty();
                self.table.entries.extend(add.into_iter().map(|entry| (entry.number, entry)));
                for member in self.established() {
                    self.held.insert(member, self.table.entries.clone());
                }
                self.reconsider();
                (if changed { self.new_version(ring, text) } else { Ended::Quiet }, None)
            }
            StepKind::Undo { entries, by, refusal } => {
                self.established().into_iter().for_each(|member| self.undone(member, &entries));
                for entry in entries {
                    self.refused.insert(entry.number, (entry, by, refusal.clone()));
                }
                (Ended::Quiet, None)
            }
            StepKind::Admit { member } => {
                self.standing.insert(member, Standing::Established);
                self.held.insert(member, self.table.entries.clone());
                (Ended::Admitted(member), None)
            }
            StepKind::Vote { entry, .. } => (Ended::Quiet, Some(StepKind::Erase { entry })),
            StepKind::Erase { entry } => {
                self.forget_held(std::slice::from_ref(&entry));
                self.proposals.remove(&entry.number);
                self.table.entries.remove(&entry.number);
                self.reconsider();
                (self.new_version(ring, format!("removed {}", entry.name)), None)
            }
            StepKind::Restore { entry, by, refusal } => {
                self.kept.insert(entry.number, (by, vec![refusal.to_string()]));
                (Ended::Quiet, None)
            }
        }
    }

    fn stopped(&mut self, step: Step, by: Member, no: No) -> (Ended, Option<StepKind>) {
        let refusal = no.refusal();
        let next = match step.kind {
            StepKind::Install { add } if add.is_empty() => {
                self.align_held(&step.answers);
                None
            }
            StepKind::Install { .. } if planted!(NothingIsUndone) => None,
            StepKind::Install { add } => Some(StepKind::Undo { entries: add, by, refusal }),
            StepKind::Undo { entries, .. } => {
                self.misalign(&step.answers);
                done(&step.answers).into_iter().for_each(|member| self.undone(member, &entries));
                for entry in entries {
                    self.refused.insert(entry.number, (entry, by, refusal.clone()));
                }
                None
            }
            StepKind::Admit { member } => {
                self.standing.insert(member, Standing::Refused(Refusal::Kernel(refusal)));
                None
            }
            StepKind::Vote { entry, .. } if self.goes_by(&entry) => {
                self.proposals.remove(&entry.number); // whoever wished it may not have seen the node come in
                return (Ended::Stays(format!("{} stays: {}", entry.name, no.pins().join(", "))), None);
            }
            StepKind::Vote { entry, .. } => {
                self.kept.insert(entry.number, (by, no.pins()));
                None
            }
            StepKind::Erase { .. } if planted!(NothingIsRestored) => None,
            StepKind::Erase { entry } => Some(StepKind::Restore { entry, by, refusal }),
            StepKind::Restore { entry, .. } => {
                self.align_held(&step.answers);
                self.kept.insert(entry.number, (by, vec![refusal.to_string()]));
                None
            }
        };
        (Ended::Quiet, next)
    }

    /// After an attempt to make all kernels hold the table: whose does, and whose does not.
    fn align_held(&mut self, answers: &BTreeMap<Member, Option<Outcome>>) {
        self.misalign(answers);
        for member in done(answers) {
            self.held.insert(member, self.table.entries.clone());
        }
        self.reconsider();
    }

    /// Remembers whose kernel is not as the others'.
    fn misalign(&mut self, answers: &BTreeMap<Member, Option<Outcome>>) {
        for (member, outcome) in answers {
            if let Some(Outcome::Failed { errno, path, what }) = outcome {
                let refusal = KernelRefusal { errno: *errno, path: path.clone(), what: what.clone() };
                self.misaligned.insert(*member, refusal);
            }
        }
    }

    /// The member has taken out again what it was to.
    fn undone(&mut self, member: Member, entries: &[Entry]) {
        let gone = self.to_undo(member, entries);
        self.held.entry(member).or_default().retain(|_, entry| !gone.contains(entry));
    }

    /// Whoever was refused only because of an entry that is gone may be let in now.
    fn reconsider(&mut self) {
        let held = self.held.values().flat_map(BTreeMap::values);
        let mut accepted: Vec<Entry> = self.table.entries.values().chain(held).cloned().collect();
        // Whoever is joining already comes before those that were refused.
        let joining = self.standing.iter().filter(|(_, standing)| **standing == Standing::Joining);
        accepted.extend(joining.filter_map(|(member, _)| match &self.hellos[member].identity {
            Identity::Entry(entry) => Some(entry.clone()),
            Identity::Unfit(_) => None,
        }));
        for (member, standing) in &mut self.standing {
            let Identity::Entry(entry) = &self.hellos[member].identity else { continue };
            let taken = taken(entry, accepted.iter());
            if taken.is_none() {
                self.troubles.retain(|(of, refusal)| of != member || !matches!(refusal, Refusal::Taken { .. }));
            }
            if matches!(standing, Standing::Refused(Refusal::Taken { .. })) {
                *standing = taken.map_or(Standing::Joining, Standing::Refused);
            }
            if *standing == Standing::Joining {
                accepted.push(entry.clone());
            }
        }
    }

    fn forget_held(&mut self, entries: &[Entry]) {
        for held in self.held.values_mut() {
            held.retain(|_, entry| !entries.contains(entry));
        }
    }

    fn new_version(&mut self, ring: RingId, text: String) -> Ended {
        self.table.version = Version { step: self.table.version.step + u64::from(!planted!(VersionsStandStill)), ring };
        Ended::TableChanged(text)
    }
}

/// Who has done what was asked.
fn done(answers: &BTreeMap<Member, Option<Outcome>>) -> Vec<Member> {
    let done = answers.iter().filter(|(_, outcome)| **outcome == Some(Outcome::Done));
    done.map(|(member, _)| *member).collect()
}

/// Why a step did not go through.
enum No {
    Refused(KernelRefusal),
    Held(Vec<String>),
}

impl No {
    fn refusal(&self) -> KernelRefusal {
        match self {
            No::Refused(refusal) => refusal.clone(),
            No::Held(pins) => KernelRefusal { errno: 16, path: String::new(), what: pins.join(", ") },
        }
    }

    fn pins(&self) -> Vec<String> {
        match self {
            No::Refused(refusal) => vec![refusal.to_string()],
            No::Held(pins) => pins.clone(),
        }
    }
}

/// Whether two entries cannot stand side by side in one table.
#[must_use]
pub fn clash(one: &Entry, other: &Entry) -> bool {
    one.number == other.number || one.nodeid == other.nodeid || one.name == other.name || one.address == other.address
}
