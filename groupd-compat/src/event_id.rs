//! Cause, phase and id of a membership change; groupd calls such a change an event.

use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// A node joins.
    Join,
    /// A node leaves.
    Leave,
    /// Nodes failed.
    Fail,
}

impl Cause {
    /// 1, 2, 3.
    #[must_use]
    pub fn wire(self) -> u16 {
        match self {
            Cause::Join => 1,
            Cause::Leave => 2,
            Cause::Fail => 3,
        }
    }

    /// The inverse of [`Cause::wire`].
    #[must_use]
    pub fn from_wire(kind: u16) -> Option<Self> {
        match kind {
            1 => Some(Cause::Join),
            2 => Some(Cause::Leave),
            3 => Some(Cause::Fail),
            _ => None,
        }
    }
}

/// How far a change has come on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing has been said yet.
    Begin,
    /// The client was told to stop; not all members are stopped.
    StopWait,
    /// All are stopped; something forbids the start.
    AllStopped,
    /// The client was told to start; not all members have answered.
    StartWait,
    /// All have.
    AllStarted,
}

/// Identity of a change, computed alike on all members: `node << 32 | (count & 0xffff) << 16 | cause`.
///
/// `count` is the number of CPG members *after* the change; of a join or a leave as the group's own view change
/// says it, whatever the control CPG has shown of failures by then (deviation B18). Ids repeat: a node that joins twice with the
/// same count gives the same id (B7 is what follows from that).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct EventId(u64);

impl EventId {
    /// Of the change `cause` of `node` that leaves `count` CPG members.
    #[must_use]
    pub fn new(node: NodeId, count: usize, cause: Cause) -> Self {
        EventId(u64::from(node.0) << 32 | (count as u64 & 0xffff) << 16 | u64::from(cause.wire()))
    }

    /// As on the wire.
    #[must_use]
    pub fn raw(self) -> u64 {
        self.0
    }

    /// `None` if the low 16 bits name no cause.
    #[must_use]
    pub fn from_raw(raw: u64) -> Option<Self> {
        Cause::from_wire(raw as u16).map(|_| EventId(raw))
    }

    /// Whom it is about.
    #[must_use]
    pub fn node(self) -> NodeId {
        NodeId((self.0 >> 32) as u32)
    }

    /// Do both name the same change? Of a failure the count is not compared: a member that has left the CPG,
    /// but whose leave is still queued, does not see who joins after it and counts fewer (deviation B14).
    #[must_use]
    pub fn is_same(self, other: EventId) -> bool {
        self == other || (self.node() == other.node() && self.cause() == Cause::Fail && other.cause() == Cause::Fail)
    }

    /// CPG members after the change, low 16 bits.
    #[must_use]
    pub fn count(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// What changes.
    #[must_use]
    pub fn cause(self) -> Cause {
        Cause::from_wire(self.0 as u16).unwrap_or(Cause::Fail)
    }
}

impl TryFrom<u64> for EventId {
    type Error = String;

    fn try_from(raw: u64) -> Result<Self, String> {
        EventId::from_raw(raw).ok_or_else(|| format!("{raw:#x} is no event id"))
    }
}

impl From<EventId> for u64 {
    fn from(id: EventId) -> u64 {
        id.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}/{})", self.cause(), self.node(), self.count())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_recorded() {
        assert_eq!(EventId::new(NodeId(3), 3, Cause::Join).raw(), 0x0000_0003_0003_0001);
        assert_eq!(EventId::new(NodeId(1), 0, Cause::Leave).raw(), 0x0000_0001_0000_0002);
        assert_eq!(EventId::new(NodeId(2), 2, Cause::Fail).raw(), 0x0000_0002_0002_0003);
        assert_eq!(EventId::from_raw(0x2_0002_0004), None);
    }

    #[test]
    fn counts_of_failures_are_not_compared() {
        let id = |node, count, cause| EventId::new(NodeId(node), count, cause);
        assert!(id(3, 1, Cause::Fail).is_same(id(3, 2, Cause::Fail)));
        assert!(!id(3, 1, Cause::Fail).is_same(id(2, 1, Cause::Fail)));
        assert!(!id(3, 1, Cause::Join).is_same(id(3, 2, Cause::Join)));
    }
}
