//! What the command asks the daemon over its control socket, and how both cut the stream into messages.
//!
//! A frame is `length u32` (little endian, of what follows) and then one `Request` or `Response` of `control.proto`.
//! Requests are validated here, [`Ask`] is what the daemon acts on. Answers are used as they were generated, in
//! [`api`]: the daemon builds them and the command prints them.
//!
//! # JSON
//!
//! `-o json` prints the structures of [`api`]. The schema is stable within a contract version: every field is there
//! under the name it has in `control.proto`, an empty text as `""`, an empty list as `[]`, a missing structure or
//! `optional` number as `null`. Enum values are lower-case words with underscores (`not_permitted`), `unspecified`
//! where none was set, and `unknown` for one that a newer daemon sent. Bytes are text; `\` is `\\`, and what is not
//! printable is `\x1f`. Reading takes missing fields as empty and passes over unknown ones.

mod stream;
mod validate;

use serde::{Deserialize, Serialize};

pub use self::stream::{encode_answer, take_answer};
pub use crate::generated::control as api;
use crate::version::{CONTROL_CURRENT, CONTROL_MIN};

/// Longest request in bytes, without its length.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;
/// Longest answer in bytes, without its length. A dump comes in parts, so only a huge status needs much.
pub const RESPONSE_LEN_MAX: usize = 16 * 1024 * 1024;
/// Bytes of the length in front of each frame.
pub const LENGTH_LEN: usize = 4;
/// Longest deadline of a request: a day. Nobody waits longer without asking again.
pub const DEADLINE_MAX_MS: u32 = 24 * 60 * 60 * 1000;
/// Bytes of the text of an operator's pin; as many as the other members are shown of it.
pub const PIN_LEN_MAX: usize = crate::peer::limits::PIN_LEN_MAX;
/// Bytes of a node name or nodeid.
pub const NODE_LEN_MAX: usize = crate::peer::limits::NAME_LEN_MAX;
/// Bytes of log directives.
pub const DIRECTIVES_LEN_MAX: usize = 1024;

/// One request, validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Version of the contract that it takes to understand it.
    pub version: u32,
    /// The daemon answers "timed out" rather than later; 1 to [`DEADLINE_MAX_MS`]. A stream that follows has no end,
    /// so there it is the deadline of the first answer.
    pub deadline_ms: u32,
    /// What is asked.
    pub ask: Ask,
}

impl Request {
    /// A request in the oldest version that has this ask, so that an older daemon answers too.
    pub fn new(deadline_ms: u32, ask: Ask) -> Request {
        Request { version: CONTROL_MIN, deadline_ms, ask }
    }
}

/// Everything that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Everything there is to know: [`api::Status`].
    Status,
    /// Wanted against kernel: [`api::Plan`].
    Plan,
    /// Answered when the condition holds: [`api::Done`].
    Wait(Condition),
    /// May the daemon stop: [`api::CanStop`].
    CanStop,
    /// Sets an operator's pin: [`api::Done`].
    Pin {
        /// Why.
        text: String,
        /// Name or nodeid; `None` pins the daemon itself.
        node: Option<String>,
    },
    /// Takes an operator's pin away: [`api::Done`].
    Unpin {
        /// The text it was set with.
        text: String,
        /// The node it was set on.
        node: Option<String>,
    },
    /// Events: a stream of [`api::EventList`].
    Events {
        /// Id of the last event already seen; 0: from now on.
        since: u64,
        /// Everything still held first.
        all: bool,
        /// Go on with new ones.
        follow: bool,
    },
    /// Shows the log level, or changes it first: [`api::Log`].
    Log(Option<LogChange>),
    /// Every setting with its origin: [`api::Config`].
    Config,
    /// What the flight recorder holds: [`api::DumpPart`], several.
    Dump,
    /// Every closed process group of corosync: [`api::CpgList`].
    CpgList,
    /// Groups the daemon works for: [`api::Groups`].
    Groups,
    /// Removes the entry of a node that is gone: [`api::Done`].
    Forget {
        /// Name or nodeid.
        node: String,
    },
    /// A person says that a node is dead and writes no more: opens its fence gate. [`api::Done`].
    AckDead {
        /// Name or nodeid.
        node: String,
        /// The user who says so.
        by: String,
    },
}

/// What [`Ask::Wait`] waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// This node has quorum.
    Quorate,
    /// This node is local and every member has its entry.
    Ready,
    /// No wait and no change in progress.
    Settled,
    /// The named node is gone.
    NodeGone(String),
    /// The named node is ready.
    NodeReady(String),
}

/// A change of the log level while the daemon runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChange {
    /// For example `cpg_glue=trace`.
    pub directives: String,
    /// Back to the configured level after so many seconds; `None`: until changed again.
    pub for_s: Option<u32>,
}

/// Why bytes on the control socket are no request, or no answer. The asker's fault or the daemon's; never ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ControlError {
    /// The announced length is over the limit. Nothing was allocated for it, and the stream cannot be read on.
    #[error("frame of {len} bytes, at most {len_max}")]
    TooLong {
        /// Announced, or about to be sent.
        len: usize,
        /// The limit of this direction.
        len_max: usize,
    },
    /// The bytes of a frame do not have the form of a message.
    #[error("malformed frame: {what}")]
    Malformed {
        /// What does not fit.
        what: String,
    },
    /// A version of the contract that is not spoken here.
    #[error("contract version {theirs}, spoken are {CONTROL_MIN} to {CONTROL_CURRENT}")]
    Version {
        /// The version of the request.
        theirs: u32,
    },
    /// The message says nothing that this version knows.
    #[error("asks or answers nothing that contract version {CONTROL_CURRENT} knows")]
    Unknown,
    /// The form is right, a value is not.
    #[error("{field} is {held}, must be {rule}")]
    Invalid {
        /// Name of the field.
        field: String,
        /// What it held, cut to a bounded length.
        held: String,
        /// What it should have been.
        rule: String,
    },
}

#[cfg(test)]
mod tests;
