//! Which entry of the agreed table is to go next, if any: one that somebody asked for, or one that keeps another node out.

use crate::ids::Member;
use crate::refusal::Refusal;
use crate::step::StepKind;
use crate::table::{Agreed, Standing, clash};
use proto::peer::{Entry, Hello, Identity, Proposal, ProposalReason};

impl Agreed {
    /// Takes a proposal; a removal that was held up may be tried again.
    pub fn propose(&mut self, proposal: Proposal) {
        self.kept.remove(&proposal.number);
        self.proposals.insert(proposal.number, proposal.reason);
    }

    /// Two nodes that have changed addresses are in each other's way: of those that are refused, the first gives up the
    /// old entry that keeps another out. Whoever wants what nobody gives up keeps its own.
    pub(crate) fn vacation(&self) -> Option<StepKind> {
        if self.blocking_absent().next().is_some() {
            return None;
        }
        let refused = || {
            self.standing.iter().filter(|(_, standing)| matches!(standing, Standing::Refused(Refusal::Taken { .. })))
        };
        let wanted = |member: &Member| match &self.hellos[member].identity {
            Identity::Entry(entry) => Some(entry),
            Identity::Unfit(_) => None,
        };
        let keeps_out = |old: &Entry| {
            refused()
                .filter_map(|(member, _)| wanted(member))
                .any(|entry| entry.nodeid != old.nodeid && clash(entry, old))
        };
        let old = |member: &Member| {
            let mut entries = self.table.entries.values().filter(|old| old.nodeid == member.nodeid);
            entries.find(|old| wanted(member) != Some(*old) && !self.kept.contains_key(&old.number) && keeps_out(old))
        };
        let entry = refused().find_map(|(member, _)| old(member))?.clone();
        Some(StepKind::Vote { entry, reason: ProposalReason::Unconfigured })
    }

    pub(crate) fn removal(&self) -> Option<StepKind> {
        if self.blocking_absent().next().is_some() {
            return None;
        }
        let wanted = |(number, reason): (&u8, &ProposalReason)| {
            let entry = self.table.entries.get(number).filter(|_| !self.kept.contains_key(number))?;
            if planted!(NobodyVotes) {
                return Some(StepKind::Erase { entry: entry.clone() });
            }
            Some(StepKind::Vote { entry: entry.clone(), reason: *reason })
        };
        self.proposals.iter().find_map(wanted)
    }

    /// Whether this is the entry that a node which is in asks for.
    pub(crate) fn goes_by(&self, entry: &Entry) -> bool {
        let asks = |hello: &Hello| matches!(&hello.identity, Identity::Entry(own) if own == entry);
        self.each_established().any(|member| self.hellos.get(&member).is_some_and(asks))
    }
}
