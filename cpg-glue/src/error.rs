//! What went wrong with corosync: which call, for which group, which `cs_error_t`, and what to do about it.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::ids::{GroupName, NodeId};

/// A call into one of corosync's libraries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // each name is the C function it stands for
pub enum Call {
    CpgInitialize,
    CpgJoin,
    CpgLeave,
    CpgMcast,
    CpgDispatch,
    CpgIterate,
    CpgFinalize,
    QuorumInitialize,
    QuorumTrackstart,
    QuorumDispatch,
    CfgInitialize,
    CfgTrackstart,
    CfgLocalGet,
    CfgReplyToShutdown,
    CfgKillNode,
    CfgDispatch,
    CmapInitialize,
    CmapTrackAdd,
    CmapIterate,
    CmapGet,
    CmapDispatch,
}

impl Call {
    /// The C function, or the family of them that one call of ours goes through.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpgInitialize => "cpg_model_initialize",
            Self::CpgJoin => "cpg_join",
            Self::CpgLeave => "cpg_leave",
            Self::CpgMcast => "cpg_mcast_joined",
            Self::CpgDispatch => "cpg_dispatch",
            Self::CpgIterate => "cpg_iteration_next",
            Self::CpgFinalize => "cpg_finalize",
            Self::QuorumInitialize => "quorum_model_initialize",
            Self::QuorumTrackstart => "quorum_trackstart",
            Self::QuorumDispatch => "quorum_dispatch",
            Self::CfgInitialize => "corosync_cfg_initialize",
            Self::CfgTrackstart => "corosync_cfg_trackstart",
            Self::CfgLocalGet => "corosync_cfg_local_get",
            Self::CfgReplyToShutdown => "corosync_cfg_replyto_shutdown",
            Self::CfgKillNode => "corosync_cfg_kill_node",
            Self::CfgDispatch => "corosync_cfg_dispatch",
            Self::CmapInitialize => "cmap_initialize_map",
            Self::CmapTrackAdd => "cmap_track_add",
            Self::CmapIterate => "cmap_iter_next",
            Self::CmapGet => "cmap_get",
            Self::CmapDispatch => "cmap_dispatch",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A `cs_error_t`, or one of ours: [`Code::NO_DESCRIPTORS`], [`Code::NO_THREAD`], [`Code::PANIC`]. Source: corosync/corotypes.h.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// Done.
    pub const OK: Self = Self(1);
    /// The connection to corosync is not there, or no longer.
    pub const LIBRARY: Self = Self(2);
    /// Not now: a queue is full, or the ring is being formed.
    pub const TRY_AGAIN: Self = Self(6);
    /// Not corosync's: its libraries call this LIBRARY. `EMFILE`, above all numbers that corosync may come to use.
    pub const NO_DESCRIPTORS: Self = Self(1 << 30 | libc::EMFILE as u32);
    /// Not corosync's: the call was not made, since there is no thread to make it on. `EAGAIN`, above all of corosync's.
    pub const NO_THREAD: Self = Self(1 << 30 | libc::EAGAIN as u32);
    /// Not corosync's: code of ours or of a library panicked in the call.
    pub const PANIC: Self = Self(1 << 30);
    /// The end of an iteration, not an error.
    pub const NO_SECTIONS: Self = Self(27);

    /// `Ok` for `CS_OK`.
    pub fn ok(self) -> Result<(), Self> {
        if self == Self::OK { Ok(()) } else { Err(self) }
    }

    /// The constant's name, without `CS_ERR_`.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 31] = [
            "0",
            "OK",
            "LIBRARY",
            "VERSION",
            "INIT",
            "TIMEOUT",
            "TRY_AGAIN",
            "INVALID_PARAM",
            "NO_MEMORY",
            "BAD_HANDLE",
            "BUSY",
            "ACCESS",
            "NOT_EXIST",
            "NAME_TOO_LONG",
            "EXIST",
            "NO_SPACE",
            "INTERRUPT",
            "NAME_NOT_FOUND",
            "NO_RESOURCES",
            "NOT_SUPPORTED",
            "BAD_OPERATION",
            "FAILED_OPERATION",
            "MESSAGE_ERROR",
            "QUEUE_FULL",
            "QUEUE_NOT_AVAILABLE",
            "BAD_FLAGS",
            "TOO_BIG",
            "NO_SECTIONS",
            "CONTEXT_NOT_FOUND",
            "29",
            "TOO_MANY_GROUPS",
        ];
        match self.0 {
            100 => "SECURITY",
            _ if self == Self::NO_DESCRIPTORS => "EMFILE",
            _ if self == Self::NO_THREAD => "EAGAIN",
            _ if self == Self::PANIC => "panic",
            n => NAMES.get(n as usize).copied().unwrap_or("unknown"),
        }
    }

    /// What a person can do about it.
    pub fn advice(self) -> &'static str {
        match self.name() {
            "LIBRARY" => "corosync does not run, has just ended, or takes no more connections: its status, and its log",
            "TRY_AGAIN" | "QUEUE_FULL" => "corosync is busy or the ring is being formed: corosync-quorumtool",
            "EMFILE" => "this process has no file descriptor left, each group takes one: raise its LimitNOFILE",
            "EAGAIN" => "no thread to call it on: earlier calls still wait for a stopped corosync, or raise TasksMax",
            "panic" => "a fault of this program: report it, with what its log says just before; it goes on",
            "ACCESS" | "SECURITY" => "run as root, or allow this user in corosync's uidgid section",
            "EXIST" => "this process is in the group already through another handle",
            "NOT_EXIST" => "corosync does not know this node or group: check the nodelist",
            "NO_MEMORY" | "NO_SPACE" | "NO_RESOURCES" => "free memory, file descriptors or space in /dev/shm",
            "VERSION" | "INIT" | "NOT_SUPPORTED" => "corosync and its libraries differ in version, or a service is off",
            _ => "see corosync's log",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NO_DESCRIPTORS => write!(f, "{} ({})", self.name(), libc::EMFILE),
            Self::NO_THREAD => write!(f, "{} ({})", self.name(), libc::EAGAIN),
            Self::PANIC => f.write_str(self.name()),
            _ => write!(f, "CS_ERR_{} ({})", self.name(), self.0),
        }
    }
}

impl From<rust_corosync::CsError> for Code {
    fn from(error: rust_corosync::CsError) -> Self {
        Self(error as u32)
    }
}

/// A call that corosync refused. A value, so that it can go into events and recordings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{call}{}: {code}; {}", group.as_ref().map(|g| format!(" for group {g}")).unwrap_or_default(), code.advice())]
pub struct Failure {
    /// What was called.
    pub call: Call,
    /// For which group, if for one.
    pub group: Option<GroupName>,
    /// What came back.
    pub code: Code,
}

impl Failure {
    /// A failed call that has no group.
    pub fn of(call: Call, code: impl Into<Code>) -> Self {
        Self { call, group: None, code: code.into() }
    }

    /// A failed call for `group`.
    pub fn in_group(call: Call, group: &GroupName, code: Code) -> Self {
        Self { call, group: Some(group.clone()), code }
    }
}

/// Why a command could not even be taken. Nothing was changed, nothing was queued.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no connection to corosync; what would be sent now would belong to a life that has not begun.
    #[error("no connection to corosync")]
    Down,
    /// The group was not asked for, or its leave is under way.
    #[error("not in group {0}")]
    NotJoined(GroupName),
    /// The outbound queue of the group is at its bound. Read events, then try again.
    #[error("queue of group {group} is full: {messages} messages, {bytes} bytes")]
    QueueFull {
        /// Whose queue.
        group: GroupName,
        /// Messages waiting.
        messages: usize,
        /// Bytes waiting.
        bytes: usize,
    },
    /// Larger than [`MESSAGE_LEN_MAX`](crate::MESSAGE_LEN_MAX).
    #[error("message of {len} bytes for group {group}: the bound is {}", crate::MESSAGE_LEN_MAX)]
    TooLarge {
        /// For which group.
        group: GroupName,
        /// How long it is.
        len: usize,
    },
    /// [`Options::groups_max`](crate::Options::groups_max) groups are joined.
    #[error("group {group} would be one more than {max}")]
    TooManyGroups {
        /// Which one.
        group: GroupName,
        /// The bound.
        max: usize,
    },
    /// No shutdown question is open: it was answered, or its deadline passed.
    #[error("no shutdown question is open")]
    NothingAsked,
    /// [`KILLS_MAX`](crate::KILLS_MAX) orders to remove nodes are under way.
    #[error("too many orders under way, node {0} not killed")]
    TooManyKills(NodeId),
    /// A reason with a NUL in it cannot be given to corosync.
    #[error("the reason for killing node {0} holds a NUL byte")]
    ReasonHoldsNul(NodeId),
    /// [`Glue::close`](crate::Glue::close) was called.
    #[error("the glue is closing")]
    Closing,
}

/// Why the glue could not start, or a query could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner thread or its runtime could not be made.
    #[error("starting thread {name}")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// corosync refused a call.
    #[error("asking corosync")]
    Corosync(#[from] Failure),
    /// corosync did not answer in time. The call is left to end on its own thread.
    #[error("no answer from corosync to {call} within {after_ms} ms: is it stopped or overloaded?")]
    Silent {
        /// The query.
        call: Call,
        /// The deadline.
        after_ms: u64,
    },
    /// corosync's configuration map lacks something that it always has, or holds something unreadable.
    #[error("reading corosync's configuration map")]
    Config(#[from] crate::config::Unreadable),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_call_group_code_and_what_to_do() {
        let group = GroupName::new("o2cpg").unwrap();
        let text = Failure::in_group(Call::CpgJoin, &group, Code(11)).to_string();
        assert!(text.starts_with("cpg_join for group o2cpg: CS_ERR_ACCESS (11); run as root"), "{text}");
        let text = Failure::of(Call::CfgLocalGet, Code::LIBRARY).to_string();
        assert!(text.starts_with("corosync_cfg_local_get: CS_ERR_LIBRARY (2); corosync does not run"), "{text}");
        let text = Failure::of(Call::CpgInitialize, Code::NO_DESCRIPTORS).to_string();
        assert!(text.starts_with("cpg_model_initialize: EMFILE (24); this process has no file descriptor"), "{text}");
        let text = Failure::of(Call::QuorumInitialize, Code::NO_THREAD).to_string();
        assert!(text.starts_with("quorum_model_initialize: EAGAIN (11); no thread to call it on"), "{text}");
        let text = Failure::of(Call::CmapIterate, Code::PANIC).to_string();
        assert!(text.starts_with("cmap_iter_next: panic; a fault of this program"), "{text}");
    }

    #[test]
    fn codes_carry_the_names_of_corotypes_h() {
        let pairs = [(1, "OK"), (6, "TRY_AGAIN"), (14, "EXIST"), (22, "MESSAGE_ERROR"), (27, "NO_SECTIONS")];
        for (code, name) in pairs.into_iter().chain([(30, "TOO_MANY_GROUPS"), (100, "SECURITY"), (77, "unknown")]) {
            assert_eq!(Code(code).name(), name);
        }
    }
}
