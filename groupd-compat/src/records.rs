//! Raw answers to queries: `group_data` records and the version number. They come without a frame, on the
//! same connection as the callbacks; clients therefore ask on a second one.

use crate::error::DecodeError;
use crate::event_id::{Cause, EventId, Phase};
use crate::ids::{GlobalId, NodeId};
use crate::names::{ClientKind, KIND_MAX, NAME_MAX};
use serde::{Deserialize, Serialize};

/// Size of one record.
pub const RECORD_LEN: usize = 1128;
/// Members one record can hold; more are cut off.
pub const RECORD_MEMBERS_MAX: usize = 256;

const NAME_AT: usize = 33;
const LEVEL_AT: usize = 68;
const GLOBAL_ID_AT: usize = 72;
const MEMBER_AT: usize = 76;
const COUNT_AT: usize = 80;
const MEMBERS_AT: usize = 84;
const STATE_AT: usize = 1108;
const NODE_AT: usize = 1112;
const LOCAL_AT: usize = 1116;
const EVENT_ID_AT: usize = 1120;

/// One group as `get_groups` and `get_group` show it.
///
/// 1128 bytes, little-endian, natural alignment, the same on i386:
/// `type 33×u8 | name 33×u8 | 2 zero bytes | level i32 | global_id u32 | member i32 | member_count i32 |
/// members 256×i32 | state i32 | event node i32 | local status i32 | event id u64`.
/// Texts are NUL-padded, unused members are 0. All zero is "no such group" and the end of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// What the owner calls itself.
    pub kind: ClientKind,
    /// Name of the group, empty for the control CPG.
    pub name: Vec<u8>,
    /// Level; -1 for the control CPG.
    pub level: i32,
    /// Global id, 0 while unknown.
    pub global_id: GlobalId,
    /// Are we in it? Not yet during the own join, still during the own leave.
    pub member: bool,
    /// Members as told to the client.
    pub members: Vec<NodeId>,
    /// The change that is current.
    pub change: Option<RecordChange>,
}

/// The current change of a group, in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// What changes.
    pub cause: Cause,
    /// How far we are.
    pub phase: Phase,
    /// Whom it is about.
    pub node: NodeId,
    /// In a stopping or starting phase: have we answered? -1 in other phases, -2 if we are not a member.
    pub local: i32,
    /// Its id.
    pub id: EventId,
}

impl GroupRecord {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        put(&mut out, 0, self.kind.as_bytes(), KIND_MAX);
        put(&mut out, NAME_AT, &self.name, NAME_MAX);
        put(&mut out, LEVEL_AT, &self.level.to_le_bytes(), 4);
        put(&mut out, GLOBAL_ID_AT, &self.global_id.0.to_le_bytes(), 4);
        put(&mut out, MEMBER_AT, &i32::from(self.member).to_le_bytes(), 4);
        let members = &self.members[..self.members.len().min(RECORD_MEMBERS_MAX)];
        put(&mut out, COUNT_AT, &(members.len() as u32).to_le_bytes(), 4);
        for (at, node) in members.iter().enumerate() {
            put(&mut out, MEMBERS_AT + 4 * at, &node.0.to_le_bytes(), 4);
        }
        if let Some(change) = &self.change {
            put(&mut out, STATE_AT, &state_number(change.cause, change.phase).to_le_bytes(), 4);
            put(&mut out, NODE_AT, &change.node.0.to_le_bytes(), 4);
            put(&mut out, LOCAL_AT, &change.local.to_le_bytes(), 4);
            put(&mut out, EVENT_ID_AT, &change.id.raw().to_le_bytes(), 8);
        }
        out
    }

    /// From bytes, as a client reads them. A state without a change of that kind in its event id is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let len = bytes.len();
        let bytes: &[u8; RECORD_LEN] = bytes
            .get(..RECORD_LEN)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(DecodeError::Short { field: "group record".into(), len, wanted: RECORD_LEN })?;
        let count = word(bytes, COUNT_AT);
        if count as usize > RECORD_MEMBERS_MAX {
            return Err(DecodeError::Value { field: "member_count".into(), value: count.into() });
        }
        Ok(GroupRecord {
            kind: ClientKind::new(&bytes[..NAME_AT]),
            name: bytes[NAME_AT..NAME_AT + NAME_MAX].iter().copied().take_while(|&b| b != 0).collect(),
            level: word(bytes, LEVEL_AT) as i32,
            global_id: GlobalId(word(bytes, GLOBAL_ID_AT)),
            member: word(bytes, MEMBER_AT) != 0,
            members: (0..count as usize).map(|at| NodeId(word(bytes, MEMBERS_AT + 4 * at))).collect(),
            change: decode_change(bytes)?,
        })
    }
}

fn decode_change(bytes: &[u8; RECORD_LEN]) -> Result<Option<RecordChange>, DecodeError> {
    let state = word(bytes, STATE_AT);
    if state == 0 {
        return Ok(None);
    }
    let (cause, phase) =
        state_of_number(state).ok_or(DecodeError::Value { field: "state".into(), value: state.into() })?;
    let id = u64::from(word(bytes, EVENT_ID_AT)) | u64::from(word(bytes, EVENT_ID_AT + 4)) << 32;
    let id = EventId::from_raw(id).ok_or(DecodeError::Value { field: "event id".into(), value: id })?;
    let node = NodeId(word(bytes, NODE_AT));
    Ok(Some(RecordChange { cause, phase, node, local: word(bytes, LOCAL_AT) as i32, id }))
}

/// groupd's fifteen states, three causes times five phases, exist in these two functions only.
#[must_use]
pub fn state_number(cause: Cause, phase: Phase) -> i32 {
    let phase = PHASES.iter().position(|&p| p == phase).unwrap_or(0) as i32;
    (i32::from(cause.wire()) - 1) * 5 + phase + 1
}

/// The inverse of [`state_number`].
#[must_use]
pub fn state_of_number(state: u32) -> Option<(Cause, Phase)> {
    let index = state.checked_sub(1)?;
    let cause = Cause::from_wire(u16::try_from(index / 5 + 1).ok()?)?;
    Some((cause, PHASES[index as usize % 5]))
}

const PHASES: [Phase; 5] = [Phase::Begin, Phase::StopWait, Phase::AllStopped, Phase::StartWait, Phase::AllStarted];

fn put(out: &mut [u8; RECORD_LEN], at: usize, bytes: &[u8], max: usize) {
    let len = bytes.len().min(max);
    out[at..at + len].copy_from_slice(&bytes[..len]);
}

fn word(bytes: &[u8; RECORD_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A raw answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To `get_group`: one record, all zero if there is none.
    Record(Box<GroupRecord>),
    /// To `get_groups`: these, and an all-zero one behind them.
    Records(Vec<GroupRecord>),
    /// To `get_version`: 2 libgroup, 3 libcpg, -11 undecided.
    Version(i32),
}

impl Reply {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Record(record) => record.encode().to_vec(),
            Reply::Records(records) => {
                let mut out = Vec::with_capacity((records.len() + 1) * RECORD_LEN);
                records.iter().for_each(|record| out.extend_from_slice(&record.encode()));
                out.extend_from_slice(&GroupRecord::default().encode());
                out
            }
            Reply::Version(version) => version.to_le_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_zero_is_no_group() {
        assert_eq!(GroupRecord::default().encode(), [0; RECORD_LEN]);
        assert_eq!(GroupRecord::decode(&[0; RECORD_LEN]), Ok(GroupRecord::default()));
        assert_eq!(Reply::Records(vec![]).encode().len(), RECORD_LEN);
    }

    #[test]
    fn fifteen_states() {
        assert_eq!(state_number(Cause::Join, Phase::Begin), 1);
        assert_eq!(state_number(Cause::Leave, Phase::StopWait), 7);
        assert_eq!(state_number(Cause::Fail, Phase::AllStopped), 13);
        for state in 1..=15 {
            let (cause, phase) = state_of_number(state).unwrap();
            assert_eq!(state_number(cause, phase), state as i32);
        }
        assert_eq!(state_of_number(0), None);
        assert_eq!(state_of_number(16), None);
    }

    #[test]
    fn a_record_that_is_cut_or_lies_is_refused() {
        assert!(matches!(GroupRecord::decode(&[0; 1127]), Err(DecodeError::Short { .. })));
        let mut bytes = [0; RECORD_LEN];
        bytes[COUNT_AT + 1] = 2;
        assert!(matches!(GroupRecord::decode(&bytes), Err(DecodeError::Value { .. })));
    }
}
