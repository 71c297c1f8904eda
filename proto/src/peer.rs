//! What one agent says to the others, validated: the `Option`s and wide integers of the wire end here.
//!
//! Values carry only ordered collections, so two members that decode the same bytes also iterate alike.
//! What a message means is not here; it is decided in `agent-core`.

mod decode;
mod encode;
mod fields;
pub mod limits;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

pub use crate::error::DecodeError;

/// A totem ring: who represents it, and its sequence number, which grows with every new ring.
///
/// Ordered by sequence first. Shown as `1.3f2`: representative decimal, sequence hexadecimal, as corosync logs it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RingId {
    /// Representative: the lowest nodeid of the ring.
    pub nodeid: u32,
    /// Sequence number.
    pub seq: u64,
}

impl Ord for RingId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seq, self.nodeid).cmp(&(other.seq, other.nodeid))
    }
}

impl PartialOrd for RingId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.nodeid, self.seq)
    }
}

/// One member of a CPG group. Shown as `nodeid:pid`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// corosync's node id.
    pub nodeid: u32,
    /// Process id on that node.
    pub pid: u32,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.nodeid, self.pid)
    }
}

/// Names the view a message was sent in. A receiver that is in another view drops the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewTag {
    /// The ring of the view.
    pub ring: RingId,
    /// Each member with the nonce of its incarnation, sorted by member, none twice. The nonces are 0 in a
    /// Hello, which is what makes them known.
    pub members: Vec<(Member, u64)>,
}

/// One message of the control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The view it was sent in.
    pub view: ViewTag,
    /// What it says.
    pub body: Body,
}

/// Everything one agent can say to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// First message of every member in every view.
    Hello(Box<Hello>),
    /// The sender's answer to the step in progress.
    Answer(Answer),
    /// Asks for the removal of an entry.
    Proposal(Proposal),
    /// What must not be disturbed on the sender's node has changed.
    Live(Live),
    /// Comes back to its sender: proof that the ring still delivers.
    Probe(u64),
    /// Last message of an agent that leaves on purpose, with the reason.
    Goodbye(String),
    /// The volumes in use on the sender's node have changed.
    Volumes(BTreeSet<VolumeId>),
    /// The fence gate of a dead node is open.
    Fenced(Fenced),
}

/// One run of an agent. A known node with a new incarnation is a leave and a join.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// The kernel's random boot id.
    #[serde(with = "crate::json::hex")]
    pub boot_id: [u8; 16],
    /// CLOCK_BOOTTIME in milliseconds when the daemon started.
    pub started_ms: u64,
}

/// What a node asks to be in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// The entry it asks for.
    Entry(Entry),
    /// Why it cannot have one, for people.
    Unfit(String),
}

/// What a member knows when a view begins. When those of all members are in, all know the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which run of the agent speaks.
    pub incarnation: Incarnation,
    /// Random number that this member goes by in the tags of later messages.
    pub nonce: u64,
    /// Handshake blocks as they came; [`crate::handshake`] parses and compares them.
    #[serde(with = "crate::json::hex")]
    pub handshake: Vec<u8>,
    /// The table entry this node asks for.
    pub identity: Identity,
    /// The table as this agent last agreed on it; `None` before the first.
    pub table: Option<Table>,
    /// What its kernel holds.
    pub held: Vec<Entry>,
    /// Its kernel has its own entry marked local.
    pub local: bool,
    /// It has quorum in this view's ring.
    pub quorate: bool,
    /// What it was in before this view.
    pub previous: Option<Previous>,
    /// What must not be disturbed on its node.
    pub live: Live,
    /// What it knows about nodes whose agent is gone while the node is still in the ring. Its own node as well, if its kernel
    /// hears of deaths from this agent alone; that counts while it is not let in.
    pub absent: Vec<Absent>,
    /// Release of the daemon, for people.
    pub release: String,
    /// Its kernel or its saved state could not be read; it answers nothing yet.
    pub incomplete: bool,
    /// It was live without quorum while others went on, and is still live.
    pub cut_off: bool,
    /// In use on its node, or about to be.
    pub volumes: BTreeSet<VolumeId>,
    /// Nodes that died with volumes in use, whose fence gate is still closed.
    #[serde(default)]
    pub unfenced: Vec<u32>,
    /// Nodes that died with volumes in use and write no more: for those whose agent was away then.
    #[serde(default)]
    pub died: Vec<Died>,
    /// It begins the exchange: all forget what was said in this view before it, and say Hello.
    #[serde(default)]
    pub begins: bool,
}

/// One boot of a node that ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Died {
    /// Which node.
    pub nodeid: u32,
    /// The boot that is over: the node may be back with another.
    #[serde(with = "crate::json::hex")]
    pub boot_id: [u8; 16],
}

/// An OCFS2 volume: the 16 bytes of its superblock's uuid. Shown as 32 capital hex digits, as the tools write it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeId(#[serde(with = "crate::json::hex")] pub [u8; 16]);

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", u128::from_be_bytes(self.0))
    }
}

impl std::str::FromStr for VolumeId {
    type Err = String;

    /// 32 hex digits of either case; anything else is said back.
    fn from_str(text: &str) -> Result<VolumeId, String> {
        let digits = Some(text).filter(|text| text.len() == 32 && text.bytes().all(|it| it.is_ascii_hexdigit()));
        let half = |digits: &str| u64::from_str_radix(digits, 16).ok().map(u128::from);
        let number = digits.and_then(|digits| Some(half(&digits[..16])? << 64 | half(&digits[16..])?));
        let id = number.map(|number| VolumeId(number.to_be_bytes()));
        id.ok_or_else(|| format!("{text:?} is not a volume's uuid: 32 hex digits"))
    }
}

/// A dead node writes no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// corosync's node id.
    pub nodeid: u32,
    /// The program, or the person who said so.
    pub by: String,
}

/// One node as o2cb knows it. Only representable on the wire if the kernel would take it, see [`Entry::check`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// corosync's node id.
    pub nodeid: u32,
    /// o2cb's node number, 0 to 254.
    pub number: u8,
    /// Name of the directory below `node/`: 1 to 64 bytes, no `/`, no NUL, not `.` or `..`.
    pub name: String,
    /// Where o2net listens.
    pub address: Ipv4Addr,
    /// Port of o2net, 1 to 65534.
    pub port: u16,
}

/// Total order of tables: ring first, then step, since nodes that lost their memory count steps from the beginning, and
/// corosync's rings never go back. Shown as `step@ring`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Grows by one with every agreed change.
    pub step: u64,
    /// The ring it was agreed in.
    pub ring: RingId,
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.ring, self.step).cmp(&(other.ring, other.step))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.step, self.ring)
    }
}

/// The agreed node table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Which of all tables this is.
    pub version: Version,
    /// Entries by node number.
    pub entries: BTreeMap<u8, Entry>,
}

/// The view before this one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its ring.
    pub ring: RingId,
    /// Whether that ring had quorum.
    pub quorate: bool,
}

/// What must not be disturbed on a node.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Mounted OCFS2 volumes.
    pub mounts: u32,
    /// Active heartbeat regions.
    pub regions: u32,
}

impl Live {
    /// Is there anything that must not be disturbed?
    pub fn is_live(&self) -> bool {
        self.mounts > 0 || self.regions > 0
    }
}

/// A node whose agent is gone while the node is still in the ring: its kernel may go on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// corosync's node id.
    pub nodeid: u32,
    /// What was live on it when it was last heard.
    pub live: Live,
}

/// The answer of one member to the current step of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which step of this view, counted from 1.
    pub round: u32,
    /// How it went.
    pub outcome: Outcome,
}

/// How a step went on one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done as asked.
    Done,
    /// The kernel refused; nothing of this step is left behind.
    Failed {
        /// The kernel's errno; 0 if the failure had none.
        errno: i32,
        /// The path it was about.
        path: String,
        /// What was tried.
        what: String,
    },
    /// The sender needs the entry to stay, because of these pins.
    Held(Vec<String>),
}

/// Asks for the removal of an entry. Everybody answers before anything is done.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// o2cb's number of the entry, 0 to 254.
    pub number: u8,
    /// Why it should go.
    pub reason: ProposalReason,
}

/// Why an entry should go.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProposalReason {
    /// Gone, and no longer in corosync's nodelist.
    Unconfigured,
    /// Gone, and the policy forgets at once.
    Gone,
    /// An operator asked.
    Operator,
}

#[cfg(test)]
mod tests;
