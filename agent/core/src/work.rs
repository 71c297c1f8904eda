//! Our part of a step: what this node's kernel must be made to hold, and the answer.
//!
//! One batch of operations is in the kernel at a time. A batch that outlives its view only updates what we
//! know of the kernel; the next Hello waits for it and says what is there.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::event::{KernelOutcome, KernelRefusal};
use crate::identity;
use crate::ids::{Member, NodeId, OpId, Tick};
use crate::pins::Pin;
use crate::step::StepKind;
use crate::tree::Wish;
use crate::wait::Wait;
use configfs::{Attributes, Op};
use proto::peer::{Answer, Body, Entry, Hello, Outcome, ProposalReason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What this node is doing for a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The step's number, to answer to.
    pub(crate) round: u32,
    /// The step.
    pub(crate) kind: StepKind,
    /// The batch in the kernel.
    pub(crate) op: OpId,
    /// Set while the leftovers of a refused batch are taken out: the answer to give then.
    pub(crate) refused: Option<KernelRefusal>,
    /// When the batch was handed over.
    pub(crate) since: Tick,
}

impl Work {
    /// Whether the kernel has a batch of ours.
    #[must_use]
    pub(crate) fn in_kernel(&self) -> bool {
        self.op.0 > 0
    }
}

impl Agent {
    /// Whether anything may be decided or done now.
    pub(crate) fn may_act(&self) -> Result<(), Wait> {
        if self.link.probe.is_some() {
            return Err(Wait::Probe);
        }
        if !self.view.is_settled() {
            return Err(Wait::QuorumRing);
        }
        if self.exchange.outstanding > 0 || self.exchange.owed {
            return Err(Wait::Hello { from: self.member().into_iter().collect() });
        }
        Ok(())
    }

    /// Does our part of the step in progress, once.
    pub(crate) fn work_if_due(&mut self, fx: &mut Effects) {
        if self.work.is_some() || self.may_act().is_err() {
            return;
        }
        let Some(agreed) = self.agreed.as_ref().filter(|agreed| agreed.quorate) else { return };
        let Some(step) = agreed.step.as_ref() else { return self.tidy_up(fx) };
        let asked = self.member().is_some_and(|me| step.answers.contains_key(&me));
        if !asked || self.exchange.answered >= step.round {
            return;
        }
        let (round, kind) = (step.round, step.kind.clone());
        if self.probe_if_in_doubt(fx) {
            return;
        }
        if let StepKind::Admit { member } = kind
            && self.member() != Some(member)
        {
            // Not before we have buried what the joiner was. What our own kernel lacks is no fault of the joiner's.
            if !self.deaths.contains_key(&NodeId(member.nodeid)) {
                self.answer(round, &kind, Outcome::Done, fx);
            }
            return;
        }
        match self.plan(&kind) {
            Ok(_) if planted!(NothingIsDone) => self.answer(round, &kind, Outcome::Done, fx),
            Ok(ops) if ops.is_empty() => match self.verify(&kind) {
                Ok(()) => self.answer(round, &kind, Outcome::Done, fx),
                Err(KernelRefusal { errno, path, what }) => {
                    self.answer(round, &kind, Outcome::Failed { errno, path, what }, fx);
                }
            },
            Ok(ops) => self.start_batch(round, kind, ops, fx),
            Err(no) => self.answer(round, &kind, no, fx),
        }
    }

    /// What a crash or a change of view left half made goes when nothing else is to be done. It has no number, so it is
    /// in nobody's table.
    fn tidy_up(&mut self, fx: &mut Effects) {
        let half_made = self.kernel.remove_unfinished();
        if !self.exchange.tidied && !half_made.is_empty() {
            self.exchange.tidied = true;
            self.start_batch(0, StepKind::Install { add: vec![] }, half_made, fx);
        }
    }

    /// The operations our part needs; `Err` is an answer that needs none.
    fn plan(&mut self, kind: &StepKind) -> Result<Vec<Op>, Outcome> {
        match kind {
            StepKind::Install { add } => self.plan_install(add, self.wish(self.attributes_in_force(), false)?),
            StepKind::Restore { .. } => self.plan_install(&[], self.wish(self.attributes_in_force(), false)?),
            StepKind::Undo { entries, .. } => self.erase(&self.to_undo(entries)),
            StepKind::Erase { entry } => self.erase(std::slice::from_ref(entry)),
            StepKind::Admit { .. } => self.plan_admit(),
            StepKind::Vote { entry, reason } => self.plan_vote(entry, *reason),
        }
    }

    /// Whose entry it is takes it out of its own kernel at once: from there on nothing can be mounted with it.
    fn plan_vote(&self, entry: &Entry, reason: ProposalReason) -> Result<Vec<Op>, Outcome> {
        let own = self.member().is_some_and(|me| me.nodeid == entry.nodeid);
        let mut pins: BTreeSet<Pin> = self.pins_of(entry, reason).into_iter().collect();
        if own && self.live().is_live() {
            pins.extend(self.pins());
        }
        match pins.is_empty() {
            true if own => self.erase_own(entry),
            true => Ok(vec![]),
            false => Err(Outcome::Held(pins.iter().map(Pin::to_string).collect())),
        }
    }

    fn erase(&self, entries: &[Entry]) -> Result<Vec<Op>, Outcome> {
        self.readable()?;
        Ok(self.kernel.remove(entries))
    }

    /// What this kernel holds and we do not know as ours is not taken out; with it the node could mount, and all others would have
    /// forgotten it.
    fn erase_own(&self, entry: &Entry) -> Result<Vec<Op>, Outcome> {
        let ops = self.erase(std::slice::from_ref(entry))?;
        if ops.is_empty() && self.kernel.holds(entry) {
            let what =
                format!("removing {}: its own kernel holds it, and o2cpgd does not know it as its own", entry.name);
            return Err(Outcome::Failed { errno: 17, path: format!("node/{}", entry.name), what });
        }
        Ok(ops)
    }

    /// In a tree that cannot be read nothing is found, which does not mean that nothing is there: neither to remove nor
    /// in the way.
    fn readable(&self) -> Result<(), Outcome> {
        match self.kernel.unreadable().cloned() {
            None => Ok(()),
            Some(KernelRefusal { errno, path, what }) => Err(Outcome::Failed { errno, path, what }),
        }
    }

    /// A member that is in keeps the attributes its kernel has: they are compared, not changed under mounts.
    pub(crate) fn attributes_in_force(&self) -> Attributes {
        self.kernel.tree().map_or(self.policy.attributes, |tree| tree.attributes)
    }

    fn plan_install(&mut self, add: &[Entry], wish: Wish) -> Result<Vec<Op>, Outcome> {
        self.readable()?;
        let Some(agreed) = self.agreed.as_ref() else { return Ok(vec![]) };
        let table = agreed.table.clone();
        if let Some((entry, name, found)) = self.kernel.blocker(table.entries.values().chain(add)) {
            let what = format!("adding {}: the kernel holds {found}, made by another program", entry.name);
            return Err(Outcome::Failed { errno: 17, path: format!("node/{name}"), what });
        }
        let ops = self.kernel.install(&wish, &table, add).map_err(|invalid| failed("", &invalid.to_string()))?;
        self.kernel.claim(table.entries.values().chain(add));
        Ok(ops)
    }

    /// A joiner does not write beside entries that the agreed table does not have: the kernels would differ.
    fn plan_admit(&mut self) -> Result<Vec<Op>, Outcome> {
        let Some(agreed) = self.agreed.as_ref() else { return Ok(vec![]) };
        let strangers: Vec<String> = self
            .kernel
            .foreign()
            .iter()
            .filter(|node| {
                !agreed.table.entries.values().any(|entry| crate::tree::node(entry, node.local).as_ref() == Ok(node))
            })
            .map(ToString::to_string)
            .collect();
        if !strangers.is_empty() {
            let what = format!("configfs holds entries that o2cpgd did not make ({})", strangers.join(", "));
            return Err(Outcome::Failed { errno: 17, path: "node".into(), what });
        }
        self.plan_install(&[], self.wish(self.policy.attributes, true)?)
    }

    fn wish(&self, attributes: Attributes, exactly: bool) -> Result<Wish, Outcome> {
        let config = self.config.as_ref().ok_or_else(|| failed("", "corosync's configuration is not known"))?;
        let name = identity::cluster_name(config).map_err(|refusal| failed("", &refusal.to_string()))?;
        Ok(Wish { name, attributes, own: self.member().map(|me| me.nodeid), exactly })
    }

    fn start_batch(&mut self, round: u32, kind: StepKind, ops: Vec<Op>, fx: &mut Effects) {
        let op = self.hand_over(ops, fx);
        self.work = Some(Work { round, kind, op, refused: None, since: self.now });
    }

    /// The state file goes first: after a crash in between, what is in the kernel is known to be ours.
    fn hand_over(&mut self, ops: Vec<Op>, fx: &mut Effects) -> OpId {
        if !planted!(NotSavedBefore) {
            self.save(fx);
        }
        self.counters.kernel_ops += ops.len() as u64;
        let op = self.new_op();
        fx.push(Effect::Kernel(op, ops));
        op
    }

    pub(crate) fn kernel_done(&mut self, op: OpId, outcome: KernelOutcome, fx: &mut Effects) {
        self.kernel.read(outcome.tree);
        let Some(work) = self.work.take_if(|work| work.op == op) else { return };
        self.counters.kernel_refusals += u64::from(outcome.result.is_err());
        match (work.refused.clone(), outcome.result.and_then(|()| self.verify(&work.kind))) {
            (Some(first), _) => self.give_up(&work, first, fx),
            (None, Ok(())) => self.answer(work.round, &work.kind, Outcome::Done, fx),
            (None, Err(refusal)) => self.clean_up(work, refusal, fx),
        }
    }

    /// A store can succeed without effect; only what was read back counts.
    fn verify(&self, kind: &StepKind) -> Result<(), KernelRefusal> {
        let refused = |path: &str, what: String| Err(KernelRefusal { errno: 0, path: path.into(), what });
        let added: &[Entry] = match kind {
            StepKind::Install { add } => add,
            StepKind::Admit { .. } | StepKind::Restore { .. } => &[],
            StepKind::Undo { .. } | StepKind::Vote { .. } | StepKind::Erase { .. } => return Ok(()),
        };
        let table = self.agreed.iter().flat_map(|agreed| agreed.table.entries.values());
        if let Some(entry) = table.chain(added).find(|entry| !self.kernel.holds(entry)) {
            return refused(&format!("node/{}", entry.name), "the entry is not there after all".into());
        }
        let StepKind::Admit { member } = kind else { return Ok(()) };
        if let Some(drift) = self.kernel.attribute_drift(&self.policy.attributes) {
            return refused("cluster", drift.to_string());
        }
        if self.kernel.is_local(member.nodeid) {
            return Ok(());
        }
        refused("local", "our own entry is not local after all".into())
    }

    /// Takes out what a refused addition has left behind, then answers. If nobody waits for the answer any more, the
    /// next Hello says what is there.
    fn clean_up(&mut self, work: Work, refusal: KernelRefusal, fx: &mut Effects) {
        let leftovers = match &work.kind {
            StepKind::Install { add } if self.is_asked(work.round, &work.kind) => {
                self.kernel.remove(&self.to_undo(add))
            }
            StepKind::Install { .. }
            | StepKind::Undo { .. }
            | StepKind::Admit { .. }
            | StepKind::Vote { .. }
            | StepKind::Erase { .. }
            | StepKind::Restore { .. } => vec![],
        };
        if leftovers.is_empty() {
            return self.give_up(&work, refusal, fx);
        }
        let op = self.hand_over(leftovers, fx);
        self.work = Some(Work { op, refused: Some(refusal), ..work });
    }

    fn to_undo(&self, entries: &[Entry]) -> Vec<Entry> {
        let agreed = self.agreed.as_ref().zip(self.member());
        agreed.map_or_else(Vec::new, |(agreed, me)| agreed.to_undo(me, entries))
    }

    /// Whether this is the step in progress, and our answer to it counts.
    fn is_asked(&self, round: u32, kind: &StepKind) -> bool {
        let step = self.agreed.as_ref().and_then(|agreed| agreed.step.as_ref());
        let asked = step.is_some_and(|step| step.round == round && step.kind == *kind);
        planted!(LateBatchAnswers) || asked && self.exchange.outstanding == 0 && !self.exchange.owed
    }

    fn give_up(&mut self, work: &Work, refusal: KernelRefusal, fx: &mut Effects) {
        let KernelRefusal { errno, path, what } = refusal;
        self.answer(work.round, &work.kind, Outcome::Failed { errno, path, what }, fx);
    }

    fn answer(&mut self, round: u32, kind: &StepKind, outcome: Outcome, fx: &mut Effects) {
        self.kernel.keep_account();
        if self.is_asked(round, kind) {
            self.exchange.answered = round;
            self.say(Body::Answer(Answer { round, outcome }), fx);
        }
    }

    /// Why this entry must stay, as far as this node knows.
    pub(crate) fn pins_of(&self, entry: &Entry, reason: ProposalReason) -> Vec<Pin> {
        let mut pins: Vec<Pin> = self.tokens.of_node(NodeId(entry.nodeid)).collect();
        if self.view.in_ring(NodeId(entry.nodeid)) && !self.is_joining(entry.nodeid) && !planted!(TheLivingMayGo) {
            pins.push(Pin::Alive);
        }
        if self.own_node == Some(NodeId(entry.nodeid)) {
            pins.extend(self.mounts_in_flight()); // the kernel shows nothing of them yet (brief seed 5131)
        }
        // A node that is here for another entry gives this one up, whether the nodelist tells them apart or not.
        if reason == ProposalReason::Unconfigured && self.is_configured(entry) && !self.is_joining(entry.nodeid) {
            pins.push(Pin::Configured);
        }
        if self.deaths.contains_key(&NodeId(entry.nodeid)) {
            pins.push(Pin::NotBuried);
        }
        pins
    }

    /// Whether the node has an agent that has not been let in, and says that nothing is live there.
    fn is_joining(&self, nodeid: u32) -> bool {
        let Some(agreed) = &self.agreed else { return false };
        let of_node = |member: &Member| member.nodeid == nodeid;
        let idle = |(member, hello): (&Member, &Hello)| of_node(member) && !hello.local && !hello.live.is_live();
        agreed.hellos.iter().any(idle) && !agreed.established().iter().any(of_node)
    }

    /// The member of this agent in the step, for people.
    pub(crate) fn missing_answers(&self) -> Option<(String, Vec<Member>)> {
        let step = self.agreed.as_ref()?.step.as_ref()?;
        let missing = step.answers.iter().filter(|(_, answer)| answer.is_none()).map(|(member, _)| *member);
        Some((step.kind.text(), missing.collect()))
    }
}

fn failed(path: &str, what: &str) -> Outcome {
    Outcome::Failed { errno: 0, path: path.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfs::Tree;

    #[test]
    fn an_own_entry_that_is_not_known_as_ours_does_not_go() {
        let entry = Entry { nodeid: 3, number: 3, name: "n3".into(), address: [10, 0, 0, 3].into(), port: 7777 };
        let node = crate::tree::node(&entry, true).unwrap();
        let tree = Tree {
            name: "lab".into(),
            attributes: Attributes::default(),
            nodes: [(node.num, node)].into(),
            incomplete: [].into(),
            regions: [].into(),
        };
        let mut agent = Agent::new();
        agent.kernel.read(Ok(Some(tree)));
        assert!(matches!(agent.erase_own(&entry), Err(Outcome::Failed { errno: 17, .. })));
        agent.kernel.claim([&entry]);
        assert_eq!(agent.erase_own(&entry).map(|ops| ops.len()), Ok(1));
    }
}
