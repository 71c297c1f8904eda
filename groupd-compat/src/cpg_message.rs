//! What daemons say to each other: the 64-byte header and its two bodies.

use crate::error::DecodeError;
use crate::event_id::EventId;
use crate::ids::{GlobalId, NodeId};
use crate::names::{GroupKey, GroupName, Level, NAME_MAX};
use crate::verbs::DATA_MAX;
use serde::{Deserialize, Serialize};

/// Size of the header.
pub const HEADER_LEN: usize = 64;
/// Size of the body of a [`Message::Version`].
pub const VERSION_LEN: usize = 16;

const TYPE_AT: usize = 12;
const LEVEL_AT: usize = 14;
const GLOBAL_ID_AT: usize = 20;
const EVENT_ID_AT: usize = 24;
const NAME_AT: usize = 32;

/// Protocol version in the headers of all but application data, which carries 0.0.0.
const PROTOCOL: [u32; 3] = [1, 1, 0];

/// One message. All but [`Message::Data`] go through the control CPG, so that they are ordered against the
/// failures seen there.
///
/// Fixed header, 64 bytes, little-endian, no padding:
/// `version 3×u32 | type u16 | level u16 | length u32 | global_id u32 | event_id u64 | name 32×u8`.
/// `length` is 0 on the wire: groupd never fills it in. `name` is NUL-padded, without NUL when 32 long.
/// Receivers never check the version (kept): 1.1.0 is sent, 1.0.0 comes from cluster 2, anything is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what the variant names")]
pub enum Message {
    /// Types 1, 2, 3: one step of a group's change.
    Step { step: Step, key: GroupKey, global_id: GlobalId, id: EventId },
    /// Type 4: application data. `key` is `None` as groupd sends it, on the group's own CPG; with a key, on
    /// the control CPG, it is handed to that group's client too (recorded; kept).
    Data { key: Option<GroupKey>, global_id: GlobalId, data: Vec<u8> },
    /// Type 5: the highest global id of groups that the joining node made in an earlier life.
    GlobalId(GlobalId),
    /// Type 6: who can do what; decides the mode while it is pending.
    Version(Version),
}

/// What a [`Message::Step`] says about its sender and the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// 1: my client is stopped.
    Stopped,
    /// 2: my client is started.
    Started,
    /// 3: this failure overtook what the group was doing. Only a node that waits to join looks at it.
    Recover,
}

/// Body of a version message, 16 bytes, little-endian:
/// `node u32 | generation u16 | mode u16 | compat u16 | groups u16 | 0 u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Whom it is about: the sender, or a silent old node that it speaks for.
    pub node: NodeId,
    /// 3; 2 when said on behalf of an old node.
    pub generation: u16,
    /// 1 pending, 2 libgroup, 3 libcpg.
    pub mode: u16,
    /// The configured value 0, 1 or 2.
    pub compat: u16,
    /// Local groups.
    pub groups: u16,
}

impl Message {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_LEN];
        let kind = match self {
            Message::Step { step: Step::Stopped, .. } => 1u16,
            Message::Step { step: Step::Started, .. } => 2,
            Message::Step { step: Step::Recover, .. } => 3,
            Message::Data { .. } => 4,
            Message::GlobalId(_) => 5,
            Message::Version(_) => 6,
        };
        put(&mut out, TYPE_AT, &kind.to_le_bytes());
        if kind != 4 {
            PROTOCOL.iter().enumerate().for_each(|(at, part)| put(&mut out, 4 * at, &part.to_le_bytes()));
        }
        match self {
            Message::Step { key, global_id, id, .. } => {
                put_key(&mut out, key);
                put(&mut out, GLOBAL_ID_AT, &global_id.0.to_le_bytes());
                put(&mut out, EVENT_ID_AT, &id.raw().to_le_bytes());
            }
            Message::Data { key, global_id, data } => {
                key.iter().for_each(|key| put_key(&mut out, key));
                put(&mut out, GLOBAL_ID_AT, &global_id.0.to_le_bytes());
                out.extend_from_slice(data);
            }
            Message::GlobalId(id) => put(&mut out, GLOBAL_ID_AT, &id.0.to_le_bytes()),
            Message::Version(version) => out.extend_from_slice(&version.encode()),
        }
        out
    }

    /// From bytes, whatever they are (deviation Q11: too short, a wrong level or an unknown type end here).
    pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
        let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else {
            return Err(DecodeError::Short { field: "header".into(), len: bytes.len(), wanted: HEADER_LEN });
        };
        let global_id = GlobalId(u32_at(header, GLOBAL_ID_AT));
        let step = match u16_at(header, TYPE_AT) {
            1 => Step::Stopped,
            2 => Step::Started,
            3 => Step::Recover,
            4 => return decode_data(header, body, global_id),
            5 => return Ok(Message::GlobalId(global_id)),
            6 => return Version::decode(body).map(Message::Version),
            other => return Err(DecodeError::Value { field: "message type".into(), value: other.into() }),
        };
        let raw = u64::from(u32_at(header, EVENT_ID_AT)) | u64::from(u32_at(header, EVENT_ID_AT + 4)) << 32;
        let id = EventId::from_raw(raw).ok_or(DecodeError::Value { field: "event id".into(), value: raw })?;
        Ok(Message::Step { step, key: key_of(header)?, global_id, id })
    }
}

fn decode_data(header: &[u8], body: &[u8], global_id: GlobalId) -> Result<Message, DecodeError> {
    if body.len() > DATA_MAX {
        return Err(DecodeError::DataLength { len: body.len() as i64, max: DATA_MAX });
    }
    Ok(Message::Data { key: key_of(header).ok(), global_id, data: body.to_vec() })
}

fn key_of(header: &[u8]) -> Result<GroupKey, DecodeError> {
    let level = Level::try_from(i64::from(u16_at(header, LEVEL_AT)))?;
    let name = &header[NAME_AT..NAME_AT + NAME_MAX];
    let len = name.iter().position(|&b| b == 0).unwrap_or(NAME_MAX);
    Ok(GroupKey { level, name: GroupName::new(&name[..len])? })
}

fn put_key(out: &mut [u8], key: &GroupKey) {
    put(out, LEVEL_AT, &key.level.wire().to_le_bytes());
    put(out, NAME_AT, key.name.as_bytes());
}

impl Version {
    fn encode(self) -> [u8; VERSION_LEN] {
        let mut out = [0; VERSION_LEN];
        put(&mut out, 0, &self.node.0.to_le_bytes());
        for (at, part) in [self.generation, self.mode, self.compat, self.groups].into_iter().enumerate() {
            put(&mut out, 4 + 2 * at, &part.to_le_bytes());
        }
        out
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        if body.len() < VERSION_LEN {
            return Err(DecodeError::Short { field: "version".into(), len: body.len(), wanted: VERSION_LEN });
        }
        Ok(Version {
            node: NodeId(u32_at(body, 0)),
            generation: u16_at(body, 4),
            mode: u16_at(body, 6),
            compat: u16_at(body, 8),
            groups: u16_at(body, 10),
        })
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::Cause;

    fn alpha() -> GroupKey {
        GroupKey { level: Level::try_from(1).unwrap(), name: GroupName::new(b"alpha").unwrap() }
    }

    #[test]
    fn stopped_as_recorded() {
        let id = EventId::new(NodeId(3), 3, Cause::Join);
        let message = Message::Step { step: Step::Stopped, key: alpha(), global_id: GlobalId(0x10001), id };
        let mut wire = vec![0; HEADER_LEN];
        wire[..32].copy_from_slice(&[
            1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 3, 0, 3, 0, 0, 0,
        ]);
        wire[32..37].copy_from_slice(b"alpha");
        assert_eq!(message.encode(), wire);
        assert_eq!(Message::decode(&wire), Ok(message));
    }

    #[test]
    fn data_carries_no_version_and_no_name() {
        let message = Message::Data { key: None, global_id: GlobalId(0x10001), data: b"abcd".to_vec() };
        let wire = message.encode();
        assert_eq!(wire.len(), 68);
        assert_eq!(wire[..12], [0; 12]);
        assert_eq!(Message::decode(&wire), Ok(message));
    }

    #[test]
    fn version_as_recorded() {
        let version = Version { node: NodeId(3), generation: 3, mode: 2, compat: 1, groups: 3 };
        let wire = Message::Version(version).encode();
        assert_eq!(wire[64..], [3, 0, 0, 0, 3, 0, 2, 0, 1, 0, 3, 0, 0, 0, 0, 0]);
        assert_eq!(Message::decode(&wire), Ok(Message::Version(version)));
        assert!(matches!(Message::decode(&wire[..79]), Err(DecodeError::Short { .. })));
    }

    #[test]
    fn any_header_version_is_taken() {
        let id = EventId::new(NodeId(1), 1, Cause::Join);
        let message = Message::Step { step: Step::Started, key: alpha(), global_id: GlobalId::NONE, id };
        let mut wire = message.encode();
        wire[..12].copy_from_slice(&[9, 9, 9, 9, 0, 0, 0, 0, 7, 7, 7, 7]);
        assert_eq!(Message::decode(&wire), Ok(message));
    }

    #[test]
    fn what_crashed_every_daemon_is_refused() {
        let id = EventId::new(NodeId(1), 1, Cause::Join);
        let good = Message::Step { step: Step::Started, key: alpha(), global_id: GlobalId::NONE, id }.encode();
        assert!(matches!(Message::decode(&good[..3]), Err(DecodeError::Short { .. })));
        let mut wrong_level = good.clone();
        wrong_level[LEVEL_AT..LEVEL_AT + 2].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(Message::decode(&wrong_level), Err(DecodeError::Level { level: 65535 }));
        let mut wrong_type = good.clone();
        wrong_type[TYPE_AT] = 77;
        assert!(matches!(Message::decode(&wrong_type), Err(DecodeError::Value { .. })));
        let oversize = Message::Data { key: None, global_id: GlobalId::NONE, data: vec![1; 2049] }.encode();
        assert!(matches!(Message::decode(&oversize), Err(DecodeError::DataLength { .. })));
    }

    #[test]
    fn a_name_of_32_bytes_has_no_nul() {
        let key = GroupKey { name: GroupName::new(&[b'n'; 32]).unwrap(), ..alpha() };
        let id = EventId::new(NodeId(1), 1, Cause::Join);
        let message = Message::Step { step: Step::Stopped, key, global_id: GlobalId::NONE, id };
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}
