//! The names corosync gives to things: nodes, members, rings, groups, and our own connections.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// corosync's number of a node. Any `u32` but 0; not the o2cb node number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process in a CPG group.
///
/// `pid` is the number in the process's own pid namespace and is reused by the kernel: two members with the same
/// numbers may be two incarnations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The node it runs on.
    pub nodeid: NodeId,
    /// Its process id on that node.
    pub pid: u32,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.nodeid, self.pid)
    }
}

/// Identity of a totem ring: its representative and a sequence number that grows with each formation.
///
/// Both sides of a partition can carry the same `seq`; only the pair tells rings apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RingId {
    /// The lowest nodeid in the ring.
    pub nodeid: NodeId,
    /// Grows by at least 4 with each formation; survives restarts.
    pub seq: u64,
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.nodeid, self.seq)
    }
}

/// Why a member came or went (`cpg_reason_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// It called `cpg_join`.
    Join,
    /// It called `cpg_leave`.
    Leave,
    /// Its node left the ring without a word.
    NodeDown,
    /// Its node came into our ring, or we into its.
    NodeUp,
    /// It ended, or its corosync was stopped in good order. Says nothing about the node's kernel.
    ProcDown,
    /// A number that corosync 3.1 does not define.
    Unknown(u32),
}

impl From<u32> for Reason {
    fn from(raw: u32) -> Self {
        match raw {
            1 => Self::Join,
            2 => Self::Leave,
            3 => Self::NodeDown,
            4 => Self::NodeUp,
            5 => Self::ProcDown,
            other => Self::Unknown(other),
        }
    }
}

/// Which life of the link to corosync something belongs to: 1 for the first, one more after each loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Connection(pub u64);

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest name we give to a group. CPG takes 128 bytes, but corosync writes one past a 128-byte name.
pub const GROUP_NAME_LEN_MAX: usize = 126;

/// The name of a group to join: 1 to 126 bytes. Cheap to clone.
///
/// No NUL in it but at the end of a [`foreign`](GroupName::foreign) one, because corosync keys its tables by the C
/// string and then tells only one of the groups that share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawName", into = "RawName")]
pub struct GroupName(Arc<[u8]>);

/// Bytes that cannot name a group to join; shown with C escapes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("group name \"{0}\" is not 1 to {GROUP_NAME_LEN_MAX} bytes of what such a name may hold")]
pub struct InvalidGroupName(pub String);

impl GroupName {
    /// Takes a name that both corosync and every C program will spell the same way.
    pub fn new(name: &str) -> Result<Self, InvalidGroupName> {
        Self::of(name.as_bytes(), |byte| byte.is_ascii_graphic() || byte == b' ')
    }

    /// Takes a name that other programs have chosen: any bytes, and perhaps one NUL, at the end, that counts. Two
    /// groups that differ in that NUL alone are mixed by corosync; what is of the other one is told as
    /// [`Oddity::OtherGroup`](crate::Oddity::OtherGroup).
    pub fn foreign(name: &[u8]) -> Result<Self, InvalidGroupName> {
        let text = name.strip_suffix(b"\0").unwrap_or(name);
        Self::of(text, |byte| byte != 0).and_then(|_| Self::of(name, |_| true))
    }

    fn of(name: &[u8], allowed: impl Fn(u8) -> bool) -> Result<Self, InvalidGroupName> {
        if (1..=GROUP_NAME_LEN_MAX).contains(&name.len()) && name.iter().copied().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidGroupName(name.escape_ascii().to_string()))
        }
    }

    /// The name as libcpg has it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<RawName> for GroupName {
    type Error = InvalidGroupName;
    fn try_from(RawName(name): RawName) -> Result<Self, Self::Error> {
        Self::foreign(&name)
    }
}

impl From<GroupName> for RawName {
    fn from(name: GroupName) -> Self {
        Self(name.0.to_vec())
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The name of anybody's group, as corosync holds it: up to 128 bytes, NUL and all.
///
/// `"x"` and `"x\0"` are two groups. Shown with C escapes, so that the difference can be seen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawName(pub Vec<u8>);

impl fmt::Display for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for RawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_name_is_short_printable_ascii() {
        assert_eq!(GroupName::new("ocfs2:A1").unwrap().as_bytes(), b"ocfs2:A1");
        assert!(GroupName::new(&"n".repeat(126)).is_ok());
        for bad in ["", "x\0", "gr\u{fc}n", "line\n", &"n".repeat(127)] {
            assert_eq!(GroupName::new(bad), Err(InvalidGroupName(bad.as_bytes().escape_ascii().to_string())));
        }
    }

    #[test]
    fn a_foreign_name_may_hold_any_byte_and_end_in_one_nul() {
        assert_eq!(GroupName::foreign(b"1_\xe9\0").unwrap().as_bytes(), b"1_\xe9\0");
        assert_ne!(GroupName::foreign(b"groupd\0").unwrap(), GroupName::new("groupd").unwrap());
        for bad in [&b""[..], b"\0", b"a\0b", b"a\0\0", &[b'n'; 127]] {
            assert!(GroupName::foreign(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_raw_name_shows_its_nul() {
        assert_eq!(RawName(b"groupd\0".to_vec()).to_string(), "groupd\\x00");
    }

    #[test]
    fn every_reason_of_corosync_has_a_name_and_the_rest_keep_their_number() {
        let known = [Reason::Join, Reason::Leave, Reason::NodeDown, Reason::NodeUp, Reason::ProcDown];
        assert_eq!((1..=5).map(Reason::from).collect::<Vec<_>>(), known);
        assert_eq!(Reason::from(0), Reason::Unknown(0));
        assert_eq!(Reason::from(6), Reason::Unknown(6));
    }
}
