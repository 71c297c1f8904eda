//! The words of the client socket: text ↔ [`Request`] and [`Callback`].
//!
//! A daemon decodes requests and encodes callbacks, a client the other way round; both are here, so that a
//! test client or a debugging tool speaks from the same table. There is no answer and no error for any
//! command (kept, K1): what cannot be decoded is a [`DecodeError`] for our own log and silence for the client.

use crate::error::{DecodeError, FrameOverflow};
use crate::frame::{FRAME_LEN, Frame};
use crate::ids::{EventNr, GlobalId, NodeId};
use crate::names::{ClientKind, GroupKey, GroupName, Level};
use serde::{Deserialize, Serialize};

/// Most application data of one `send`: what libgroup allows and every receiver can hand on (deviation Q9).
pub const DATA_MAX: usize = 2048;
/// Longest text of `log` that is kept.
pub const LOG_MAX: usize = 254;
/// Longest command word; more is cut off before it is compared.
const WORD_MAX: usize = 16;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what the variant names")]
pub enum Request {
    /// Name and level of this connection from here on.
    Setup { kind: ClientKind, level: Level },
    /// Be in this group.
    Join { name: GroupName },
    /// Be out of it.
    Leave { name: GroupName },
    /// The answer to `stop`.
    StopDone { name: GroupName },
    /// The answer to `start`.
    StartDone { name: GroupName, nr: EventNr },
    /// Multicast data to the group.
    Send { name: GroupName, data: Vec<u8> },
    /// Up to `max` records, then an all-zero one. `max` ≤ 0 asks for one (kept, K8).
    GetGroups { max: i32 },
    /// One record.
    GetGroup(Query),
    /// Which mode the daemon is in.
    GetVersion,
    /// The daemon's recent log, then end of file.
    Dump,
    /// A line for the daemon's log, at most [`LOG_MAX`] bytes.
    Log { text: Vec<u8> },
}

/// Which record `get_group` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Of this group.
    Group(GroupKey),
    /// Of the control CPG: level -1 and a name that begins with `groupd` (kept, K9).
    Control,
    /// Of nothing that can exist; the answer is an all-zero record.
    Nothing,
}

impl Request {
    /// Reads the command of a frame.
    ///
    /// The word is the longest run of printable ASCII at the start, at most 16 bytes, and case matters.
    /// Arguments are separated by *single* spaces; what follows the last wanted one is ignored. Numbers are
    /// read as `atoi` reads them. `send`'s data begins after the one byte, NUL or space, that ends its length.
    pub fn decode(frame: &Frame) -> Result<Request, DecodeError> {
        let text = frame.text();
        let word = text.iter().take(WORD_MAX).take_while(|b| b.is_ascii_graphic()).count();
        let args = Args { word: &text[..word], text };
        match args.word {
            b"setup" => {
                let kind = ClientKind::new(args.at(1, "type")?);
                Ok(Request::Setup { kind, level: Level::try_from(i64::from(atoi(args.at(2, "level")?)))? })
            }
            b"join" => Ok(Request::Join { name: args.name()? }),
            b"leave" => Ok(Request::Leave { name: args.name()? }),
            b"stop_done" => Ok(Request::StopDone { name: args.name()? }),
            b"start_done" => {
                let nr = event_nr(args.at(2, "event_nr")?);
                Ok(Request::StartDone { name: args.name()?, nr })
            }
            b"send" => decode_send(frame, &args),
            b"get_groups" => Ok(Request::GetGroups { max: atoi(args.at(1, "max")?) }),
            b"get_group" => Ok(Request::GetGroup(decode_query(&args)?)),
            b"get_version" => Ok(Request::GetVersion),
            b"dump" => Ok(Request::Dump),
            b"log" => Ok(Request::Log { text: text.iter().copied().skip(4).take(LOG_MAX).collect() }),
            other => Err(DecodeError::UnknownCommand { word: String::from_utf8_lossy(other).into_owned() }),
        }
    }

    /// As libgroup writes it.
    pub fn encode(&self) -> Result<Frame, FrameOverflow> {
        let text = match self {
            Request::Setup { kind, level } => words(b"setup", kind.as_bytes(), &[i64::from(*level)]),
            Request::Join { name } => words(b"join", name.as_bytes(), &[]),
            Request::Leave { name } => words(b"leave", name.as_bytes(), &[]),
            Request::StopDone { name } => words(b"stop_done", name.as_bytes(), &[]),
            Request::StartDone { name, nr } => words(b"start_done", name.as_bytes(), &[i64::from(nr.0)]),
            Request::Send { name, data } => words(b"send", name.as_bytes(), &[data.len() as i64]),
            Request::GetGroups { max } => words(b"get_groups", max.to_string().as_bytes(), &[]),
            Request::GetGroup(Query::Group(GroupKey { level, name })) => {
                [format!("get_group {level} ").as_bytes(), name.as_bytes()].concat()
            }
            Request::GetGroup(Query::Control) => b"get_group -1 groupd".to_vec(),
            Request::GetGroup(Query::Nothing) => b"get_group -1 -".to_vec(),
            Request::GetVersion => b"get_version".to_vec(),
            Request::Dump => b"dump".to_vec(),
            Request::Log { text } => words(b"log", text, &[]),
        };
        match self {
            Request::Send { data, .. } => Frame::new(&text, data),
            _ => Frame::new(&text, b""),
        }
    }
}

fn decode_send(frame: &Frame, args: &Args<'_>) -> Result<Request, DecodeError> {
    let name = args.name()?;
    let field = args.at(2, "length")?;
    let len = i64::from(atoi(field));
    let begin = (args.offset_of(field) + field.len() + 1).min(FRAME_LEN);
    let rest = &frame.as_bytes()[begin..];
    let max = rest.len().min(DATA_MAX);
    let wanted = usize::try_from(len).ok().filter(|&n| n <= max).ok_or(DecodeError::DataLength { len, max })?;
    Ok(Request::Send { name, data: rest[..wanted].to_vec() })
}

fn decode_query(args: &Args<'_>) -> Result<Query, DecodeError> {
    let level = atoi(args.at(1, "level")?);
    let name = args.at(2, "name")?;
    if level == -1 && name.starts_with(b"groupd") {
        return Ok(Query::Control);
    }
    Ok(match (Level::try_from(i64::from(level)), GroupName::new(name)) {
        (Ok(level), Ok(name)) => Query::Group(GroupKey { level, name }),
        _ => Query::Nothing,
    })
}

/// The words of a command.
struct Args<'a> {
    word: &'a [u8],
    text: &'a [u8],
}

impl<'a> Args<'a> {
    fn at(&self, index: usize, field: &str) -> Result<&'a [u8], DecodeError> {
        self.text.split(|&b| b == b' ').nth(index).ok_or_else(|| DecodeError::Missing {
            command: String::from_utf8_lossy(self.word).into_owned(),
            field: field.to_owned(),
        })
    }

    fn name(&self) -> Result<GroupName, DecodeError> {
        GroupName::new(self.at(1, "name")?)
    }

    fn offset_of(&self, field: &[u8]) -> usize {
        field.as_ptr().addr() - self.text.as_ptr().addr()
    }
}

/// As C's `atoi`, but what does not fit is the nearest that does: no long number is taken for a small one.
fn atoi(bytes: &[u8]) -> i32 {
    let value = decimal(bytes);
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// Clients keep it in an `int` and write it with its sign; [`Request::encode`] writes it without one.
fn event_nr(bytes: &[u8]) -> EventNr {
    EventNr(decimal(bytes) as u32)
}

/// Leading blanks, a sign, digits; anything else ends it and garbage is 0.
fn decimal(bytes: &[u8]) -> i64 {
    let bytes = bytes.trim_ascii_start();
    let (sign, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, bytes),
    };
    let digits = digits.iter().take_while(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'));
    digits.fold(0, |sum: i64, digit| sum.saturating_mul(10).saturating_add(sign * digit))
}

/// `word argument number number…`
fn words(word: &[u8], argument: &[u8], numbers: &[i64]) -> Vec<u8> {
    let mut text = [word, b" ", argument].concat();
    for number in numbers {
        text.extend_from_slice(format!(" {number}").as_bytes());
    }
    text
}

/// Why a group starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartKind {
    /// 1: a node failed.
    Failed,
    /// 2: a node joined.
    Joined,
    /// 3: a node left.
    Left,
}

/// What a client is told. Frames are written and read in this form only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what the variant names")]
pub enum Callback {
    /// Stop using what the group protects, then `stop_done`.
    Stop { name: GroupName },
    /// Once per membership, before the first start.
    SetId { name: GroupName, id: GlobalId },
    /// Go on with these members, then `start_done` with this number.
    Start { name: GroupName, nr: EventNr, kind: StartKind, members: Vec<NodeId> },
    /// All members have answered that start.
    Finish { name: GroupName, nr: EventNr },
    /// The own leave is complete.
    Terminate { name: GroupName },
    /// Application data of a member, ourselves included.
    Deliver { name: GroupName, from: NodeId, data: Vec<u8> },
}

impl Callback {
    /// The group it is about.
    #[must_use]
    pub fn name(&self) -> &GroupName {
        match self {
            Callback::Stop { name }
            | Callback::SetId { name, .. }
            | Callback::Start { name, .. }
            | Callback::Finish { name, .. }
            | Callback::Terminate { name }
            | Callback::Deliver { name, .. } => name,
        }
    }

    /// The frame a client reads. `Err` only for a member list that corosync cannot have (deviation Q10).
    pub fn encode(&self) -> Result<Frame, FrameOverflow> {
        let text = match self {
            Callback::Stop { name } => words(b"stop", name.as_bytes(), &[]),
            Callback::SetId { name, id } => words(b"setid", name.as_bytes(), &[i64::from(id.0)]),
            Callback::Start { name, nr, kind, members } => {
                let mut numbers = vec![i64::from(nr.0), kind.wire(), members.len() as i64];
                numbers.extend(members.iter().map(|node| i64::from(node.0)));
                words(b"start", name.as_bytes(), &numbers)
            }
            Callback::Finish { name, nr } => words(b"finish", name.as_bytes(), &[i64::from(nr.0)]),
            Callback::Terminate { name } => words(b"terminate", name.as_bytes(), &[]),
            Callback::Deliver { name, from, data } => {
                words(b"deliver", name.as_bytes(), &[i64::from(from.0), data.len() as i64])
            }
        };
        match self {
            Callback::Deliver { data, .. } => Frame::new(&text, data),
            _ => Frame::new(&text, b""),
        }
    }

    /// What a client reads in a frame.
    pub fn decode(frame: &Frame) -> Result<Callback, DecodeError> {
        let text = frame.text();
        let word = text.split(|&b| b == b' ').next().unwrap_or_default();
        let args = Args { word, text };
        let number = |index, field| args.at(index, field).map(|arg| u32::try_from(atol(arg)).unwrap_or(0));
        match word {
            b"stop" => Ok(Callback::Stop { name: args.name()? }),
            b"setid" => Ok(Callback::SetId { name: args.name()?, id: GlobalId(number(2, "id")?) }),
            b"start" => decode_start(&args),
            b"finish" => Ok(Callback::Finish { name: args.name()?, nr: EventNr(number(2, "event_nr")?) }),
            b"terminate" => Ok(Callback::Terminate { name: args.name()? }),
            b"deliver" => {
                let from = NodeId(number(2, "nodeid")?);
                let len = atol(args.at(3, "length")?);
                let rest = frame.as_bytes().get(text.len() + 1..).unwrap_or_default();
                let data = usize::try_from(len).ok().and_then(|len| rest.get(..len));
                let data = data.ok_or(DecodeError::DataLength { len, max: rest.len() })?.to_vec();
                Ok(Callback::Deliver { name: args.name()?, from, data })
            }
            other => Err(DecodeError::UnknownCommand { word: String::from_utf8_lossy(other).into_owned() }),
        }
    }
}

fn decode_start(args: &Args<'_>) -> Result<Callback, DecodeError> {
    let number = |index, field| args.at(index, field).map(|arg| u32::try_from(atol(arg)).unwrap_or(0));
    let kind = number(3, "type")?;
    let kind =
        StartKind::from_wire(kind).ok_or(DecodeError::Value { field: "start type".into(), value: kind.into() })?;
    let count = number(4, "count")?;
    let members = (0..count as usize).map(|at| number(5 + at, "member").map(NodeId)).collect::<Result<_, _>>()?;
    Ok(Callback::Start { name: args.name()?, nr: EventNr(number(2, "event_nr")?), kind, members })
}

impl StartKind {
    fn wire(self) -> i64 {
        match self {
            StartKind::Failed => 1,
            StartKind::Joined => 2,
            StartKind::Left => 3,
        }
    }

    fn from_wire(kind: u32) -> Option<Self> {
        match kind {
            1 => Some(StartKind::Failed),
            2 => Some(StartKind::Joined),
            3 => Some(StartKind::Left),
            _ => None,
        }
    }
}

/// As [`atoi`], for unsigned 32-bit values written in full.
fn atol(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "verbs_tests.rs"]
mod tests;
