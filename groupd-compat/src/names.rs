//! Levels and names: only what the original could hold without damage.

use crate::error::DecodeError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest group name, bytes. The header field has exactly this size and then no NUL.
pub const NAME_MAX: usize = 32;
/// Longest client type kept, bytes.
pub const KIND_MAX: usize = 31;

/// Recovery order: 0 fencing, 1 lock manager, 2 file systems, 3 free. Low starts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Level(u8);

impl Level {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// As an index below [`Level::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// As on the wire.
    #[must_use]
    pub fn wire(self) -> u16 {
        u16::from(self.0)
    }
}

impl TryFrom<i64> for Level {
    type Error = DecodeError;

    fn try_from(level: i64) -> Result<Self, DecodeError> {
        match u8::try_from(level) {
            Ok(value @ 0..=3) => Ok(Level(value)),
            _ => Err(DecodeError::Level { level }),
        }
    }
}

impl From<Level> for i64 {
    fn from(level: Level) -> i64 {
        i64::from(level.0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a group: 1..=32 bytes of anything but NUL. Bytes, not text: clients may use any encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct GroupName(Vec<u8>);

impl GroupName {
    /// Checks the length and that there is no NUL.
    pub fn new(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() || bytes.len() > NAME_MAX || bytes.contains(&0) {
            return Err(DecodeError::Name { len: bytes.len() });
        }
        Ok(GroupName(bytes.to_vec()))
    }

    /// As the client wrote it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for GroupName {
    type Error = DecodeError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        GroupName::new(&bytes)
    }
}

impl From<GroupName> for Vec<u8> {
    fn from(name: GroupName) -> Vec<u8> {
        name.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What identifies a group: the same name on two levels is two groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupKey {
    /// Level of the connection that joined.
    pub level: Level,
    /// Its name.
    pub name: GroupName,
}

impl GroupKey {
    /// The name of its CPG: `<level>_<name>` and a NUL that counts, so a 32-byte name makes 35 bytes.
    #[must_use]
    pub fn cpg_name(&self) -> CpgName {
        let mut bytes = self.level.to_string().into_bytes();
        bytes.push(b'_');
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.push(0);
        CpgName(bytes)
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.name)
    }
}

/// Name of a CPG as libcpg takes it; its length field counts the NUL at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CpgName(Vec<u8>);

impl CpgName {
    /// `groupd` and its NUL: 7 bytes. Every daemon is in it.
    #[must_use]
    pub fn control() -> Self {
        CpgName(b"groupd\0".to_vec())
    }

    /// All bytes, NUL included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CpgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..self.0.len().saturating_sub(1)].escape_ascii().fmt(f)
    }
}

impl fmt::Debug for CpgName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a client calls itself in `setup`; only shown in queries. Cut at 31 bytes (deviation Q8).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKind(Vec<u8>);

impl ClientKind {
    /// The first 31 bytes before any NUL.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        ClientKind(bytes.iter().copied().take_while(|&b| b != 0).take(KIND_MAX).collect())
    }

    /// As shown.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpg_name_counts_its_nul() {
        let key = GroupKey { level: Level(1), name: GroupName::new(b"alpha").unwrap() };
        assert_eq!(key.cpg_name().as_bytes(), b"1_alpha\0");
        assert_eq!(CpgName::control().as_bytes().len(), 7);
        let longest = GroupKey { level: Level(3), name: GroupName::new(&[b'n'; 32]).unwrap() };
        assert_eq!(longest.cpg_name().as_bytes().len(), 35);
    }

    #[test]
    fn names_are_1_to_32_bytes_without_nul() {
        assert!(GroupName::new(b"").is_err());
        assert!(GroupName::new(&[b'n'; 33]).is_err());
        assert!(GroupName::new(b"a\0b").is_err());
        assert!(GroupName::new(b"a/b:c%d\xe9").is_ok());
    }

    #[test]
    fn levels_are_0_to_3() {
        for bad in [-1, 4, 1_000_000, i64::MIN] {
            assert_eq!(Level::try_from(bad), Err(DecodeError::Level { level: bad }));
        }
        assert_eq!(Level::try_from(3), Ok(Level(3)));
    }
}
