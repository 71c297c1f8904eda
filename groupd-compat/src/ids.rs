//! Numbers that name things.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A node as corosync numbers it.
///
/// groupd keeps only the low 16 bits of it in a [`GlobalId`]; ids above 65535 work but may share global ids
/// (deviation B6, a [`crate::machine::Notice`] says so at start).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

/// One process in a CPG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Its node.
    pub node: NodeId,
    /// Its process id there.
    pub pid: u32,
}

/// A connection of the client socket. Never used again while the daemon runs (deviation Q2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// One membership of ours in one CPG: a libcpg handle. Never used again, so that a callback of a handle that
/// is already closed finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpgId(pub u64);

impl CpgId {
    /// The control CPG, joined for the life of the daemon.
    pub const CONTROL: CpgId = CpgId(0);
}

/// Identity of a totem ring. The sequence alone is not enough: both sides of a partition can have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RingId {
    /// Lowest node id in it.
    pub representative: u32,
    /// Grows with each ring.
    pub seq: u64,
}

/// Milliseconds of a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(pub u64);

impl Tick {
    /// Milliseconds from `earlier` until now; 0 if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Identity of a group's life, made by its creator: `counter << 16 | low 16 bits of the creator's node id`.
/// 0 is "not known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GlobalId(pub u32);

impl GlobalId {
    /// Not known.
    pub const NONE: GlobalId = GlobalId(0);

    /// The `counter`th group created by `node`.
    #[must_use]
    pub fn new(counter: u16, node: NodeId) -> Self {
        GlobalId(u32::from(counter) << 16 | (node.0 & 0xffff))
    }

    /// How many groups the creator had made by then.
    #[must_use]
    pub fn counter(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Was it made by `node`, as far as 16 bits tell?
    #[must_use]
    pub fn made_by(self, node: NodeId) -> bool {
        self.0 & 0xffff == node.0 & 0xffff
    }

    /// Is it known?
    #[must_use]
    pub fn is_known(self) -> bool {
        self != GlobalId::NONE
    }
}

/// Local number of a change, told to the client with its start; 1, 2, 3… over all groups of a daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventNr(pub u32);

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(NodeId, ClientId, CpgId, GlobalId, EventNr);
