//! Every reason for "not yet", as a value: why a group does not start, and what the original would hang on.

use crate::ids::NodeId;
use crate::names::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a group waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what the variant names")]
pub enum Wait {
    /// The mode is pending: the daemons have not agreed whether clients are served at all.
    Mode,
    /// Its CPG is not joined before this node has seen quorum once.
    FirstQuorum,
    /// We have begun anew in this process, and these daemons have not shown that they know (deviation B32).
    ToBeKnown { by: BTreeSet<NodeId> },
    /// The own join has not come back.
    OwnJoin,
    /// The own leave has not come back.
    OwnLeave,
    /// Not quorate, or the quorum of the present ring is not known.
    Quorum,
    /// Quorum has not yet noticed that these are gone: what it says may be old.
    QuorumReport { gone: BTreeSet<NodeId> },
    /// These members are not stopped.
    Stopped { by: BTreeSet<NodeId> },
    /// These members are not started.
    Started { by: BTreeSet<NodeId> },
    /// A group of a lower level has not recovered from this node's failure.
    LowerLevel { level: Level, node: NodeId },
    /// A group that this node was in is not stopped.
    StopOfAll { node: NodeId },
    /// The group's CPG has shown a failure, a return or a ring that the control CPG is still to show.
    ControlCpg,
    /// A joiner has not been seen in the control CPG.
    Control { node: NodeId },
    /// A joiner with a past of its own is being killed.
    Condemned { node: NodeId },
    /// We join, a member died: its survivors have not said whether they take us before or after.
    Survivors { node: NodeId },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Mode => write!(f, "the mode"),
            Wait::FirstQuorum => write!(f, "first quorum"),
            Wait::ToBeKnown { by } => write!(f, "word from {}", Nodes(by)),
            Wait::OwnJoin => write!(f, "own join"),
            Wait::OwnLeave => write!(f, "own leave"),
            Wait::Quorum => write!(f, "quorum"),
            Wait::QuorumReport { gone } => write!(f, "quorum report about {}", Nodes(gone)),
            Wait::Stopped { by } => write!(f, "stopped from {}", Nodes(by)),
            Wait::Started { by } => write!(f, "started from {}", Nodes(by)),
            Wait::LowerLevel { level, node } => write!(f, "level {level} to recover from {node}"),
            Wait::StopOfAll { node } => write!(f, "all groups of {node} to stop"),
            Wait::ControlCpg => write!(f, "the control CPG"),
            Wait::Control { node } => write!(f, "{node} in the control CPG"),
            Wait::Condemned { node } => write!(f, "{node} to be killed"),
            Wait::Survivors { node } => write!(f, "the survivors of {node}"),
        }
    }
}

struct Nodes<'a>(&'a BTreeSet<NodeId>);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{{{}}}", list.join(","))
    }
}
