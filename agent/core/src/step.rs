//! One step of a change: what is asked of whom, and what they said. The order of steps is in [`crate::table`].

use crate::event::KernelRefusal;
use crate::ids::{Member, Tick};
use proto::peer::{Entry, Outcome, ProposalReason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Counted from 1 in each view, so that an answer to another step can be told.
    pub round: u32,
    /// What it asks of the participants.
    pub kind: StepKind,
    /// Who must answer, and what they said.
    #[serde(with = "crate::pairs")]
    pub answers: BTreeMap<Member, Option<Outcome>>,
    /// When it began on this node; only for people.
    pub since: Tick,
}

/// What a step asks of its participants.
#[allow(missing_docs, reason = "the fields say what the variant names")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepKind {
    /// Hold the table and these.
    Install { add: Vec<Entry> },
    /// Take these out again: `by` could not take them.
    Undo { entries: Vec<Entry>, by: Member, refusal: KernelRefusal },
    /// The joiner writes everything and becomes local.
    Admit { member: Member },
    /// May this entry go?
    Vote { entry: Entry, reason: ProposalReason },
    /// Take it out.
    Erase { entry: Entry },
    /// Put it back: `by` could not take it out.
    Restore { entry: Entry, by: Member, refusal: KernelRefusal },
}

impl StepKind {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            StepKind::Install { add } if add.is_empty() => "align".into(),
            StepKind::Install { add } => format!("add {}", names(add)),
            StepKind::Undo { entries, .. } => format!("undo {}", names(entries)),
            StepKind::Admit { member } => format!("admit node {}", member.nodeid),
            StepKind::Vote { entry, .. } => format!("may {} go", entry.name),
            StepKind::Erase { entry } => format!("remove {}", entry.name),
            StepKind::Restore { entry, .. } => format!("restore {}", entry.name),
        }
    }
}

/// For people.
pub(crate) fn names(entries: &[Entry]) -> String {
    entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
}
