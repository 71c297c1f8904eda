//! Everything the glue can report. Values only: they can be cloned, compared, recorded and replayed.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Call, Failure};
use crate::ids::{Connection, GroupName, Member, NodeId, RawName, Reason, RingId};

/// One report. Order is the order in which it happened here; between `Up` and `Lost` of a connection everything
/// belongs to that connection. Across libraries (CPG against quorum) corosync itself promises no order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// corosync cannot be reached. Once per outage; the glue goes on trying.
    Down {
        /// The first call that failed.
        why: Failure,
    },
    /// A connection stands. Groups asked for are joined again from here on: a new incarnation.
    Up {
        /// Its number.
        connection: Connection,
        /// Who we are.
        nodeid: NodeId,
        /// Our pid, as members see it.
        pid: u32,
        /// How many times it was tried; 1 if it worked at once.
        attempt: u32,
    },
    /// The connection is gone and everything that hung on it: memberships, queues, questions.
    Lost {
        /// Which one.
        connection: Connection,
        /// How it showed.
        why: Loss,
        /// Messages that were taken by `multicast` but never given to corosync. They are dropped.
        unsent: usize,
    },
    /// corosync has not answered a call for longer than [`STUCK_AFTER`](crate::STUCK_AFTER). Only that call waits.
    Stuck {
        /// Which call.
        call: Call,
        /// For which group.
        group: Option<GroupName>,
        /// How long it has lasted, in milliseconds.
        since_ms: u64,
    },
    /// A call that was reported as stuck came back.
    Unstuck {
        /// Which call.
        call: Call,
        /// For which group.
        group: Option<GroupName>,
        /// How long it took, in milliseconds.
        after_ms: u64,
    },
    /// A confchg: who is in the group now, and who came or went. Never both in one.
    View {
        /// On which connection.
        connection: Connection,
        /// Which group.
        group: GroupName,
        /// After the change, sorted, each once. A ghost is possible: compare with the ring.
        members: Vec<Member>,
        /// Who went, and how, in corosync's order.
        left: Vec<(Member, Reason)>,
        /// Who came, and how, in corosync's order.
        joined: Vec<(Member, Reason)>,
    },
    /// A totem callback on the group's handle: after all views of a ring change, or once for a fresh handle,
    /// perhaps before its own join.
    Ring {
        /// On which connection.
        connection: Connection,
        /// On whose handle.
        group: GroupName,
        /// The ring in force.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
    },
    /// A message in agreed order; our own come back too.
    Message {
        /// On which connection.
        connection: Connection,
        /// Which group.
        group: GroupName,
        /// Who sent it.
        from: Member,
        /// What was sent.
        bytes: Vec<u8>,
    },
    /// The quorum service's word: for which ring, and whether it may act.
    Quorum {
        /// On which connection.
        connection: Connection,
        /// Whether this partition has quorum.
        quorate: bool,
        /// For this ring. Act only when it is the CPG ring too.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
    },
    /// The quorum service's node changes. A node can be in `joined` and `left` at once: a quick restart.
    Nodelist {
        /// On which connection.
        connection: Connection,
        /// The ring.
        ring: RingId,
        /// The nodes in it.
        members: Vec<NodeId>,
        /// Who came.
        joined: Vec<NodeId>,
        /// Who went.
        left: Vec<NodeId>,
    },
    /// corosync's configuration: after each `Up`, and whenever it differs from the last one told.
    Config {
        /// On which connection.
        connection: Connection,
        /// The whole of it.
        config: Box<Config>,
    },
    /// The configuration could not be read whole; the last one told stays in force.
    ConfigUnreadable {
        /// On which connection.
        connection: Connection,
        /// What is missing or malformed.
        why: String,
    },
    /// `corosync-cfgtool -H` asks whether corosync may stop. Answer with
    /// [`Glue::answer_shutdown`](crate::Glue::answer_shutdown) within [`ANSWER_WITHIN`](crate::ANSWER_WITHIN).
    ShutdownAsked {
        /// On which connection.
        connection: Connection,
        /// corosync's flags: 0 request, 1 regardless of the answers, 2 immediate.
        flags: u32,
    },
    /// The question is closed.
    ShutdownAnswered {
        /// On which connection.
        connection: Connection,
        /// What corosync was told.
        verdict: Verdict,
        /// Whether the glue said No because nobody answered in time.
        by_deadline: bool,
        /// Whether corosync took it.
        result: Result<(), Failure>,
    },
    /// The end of [`Glue::kill_node`](crate::Glue::kill_node): corosync took the order, or not. That the node is gone
    /// is told by a view.
    KillOrdered {
        /// Which node.
        nodeid: NodeId,
        /// corosync's word.
        result: Result<(), Failure>,
    },
    /// A join or leave that corosync refused. A join is tried again while it is wanted.
    GroupRefused {
        /// On which connection.
        connection: Connection,
        /// What failed.
        why: Failure,
    },
    /// The end of every leave: nothing of the group is held any more. The own LEAVE view came before, unless the
    /// connection was lost or there was nothing to leave yet.
    Left {
        /// On which connection, or after which.
        connection: Connection,
        /// Which group.
        group: GroupName,
    },
    /// Something corosync should not do. It was made harmless; it is told so that it can be counted.
    Odd {
        /// On which connection.
        connection: Connection,
        /// On whose handle.
        group: GroupName,
        /// What was odd.
        oddity: Oddity,
    },
    /// The end: everything was left and released, or the deadline passed. No event follows.
    Closed {
        /// Whether every group saw its own LEAVE and every handle was released.
        clean: bool,
    },
}

/// How the loss of a connection showed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Loss {
    /// corosync ended or closed the socket: a call failed, or panicked.
    Corosync(Failure),
    /// Code of ours panicked inside a callback. It was caught; the connection is made anew, because what the
    /// callback carried is lost.
    CallbackPanicked(Call),
    /// Watching the descriptor failed, with this message of the system.
    Watch(String),
}

/// The answer to corosync's shutdown question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// corosync may stop.
    Yes,
    /// Veto.
    No,
}

/// Something that must not happen, and how it was made harmless.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Oddity {
    /// A member list named members twice (names with a common C-string prefix do that); told once.
    DuplicateMembers(usize),
    /// A list claimed more than [`MEMBERS_MAX`](crate::MEMBERS_MAX) entries, of which only so many exist; cut.
    ListTooLong(usize),
    /// The handle reported a group that it did not join; dropped.
    OtherGroup(RawName),
}
