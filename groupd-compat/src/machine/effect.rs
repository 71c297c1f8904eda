//! Everything the machine can ask for. The caller performs these in the order given.

use super::event::Access;
use crate::cpg_message::Message;
use crate::error::DecodeError;
use crate::ids::{ClientId, CpgId, Member, NodeId};
use crate::names::{CpgName, GroupKey};
use crate::records::Reply;
use crate::verbs::Callback;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Open a handle and join; on failure say [`super::Event::JoinFailed`].
    JoinCpg(CpgId, CpgName),
    /// Leave; the handle stays open, its last view change is still wanted.
    LeaveCpg(CpgId),
    /// Close the handle; nothing of it is wanted any more.
    CloseCpg(CpgId),
    /// Send in agreed order. Messages of one CPG must not overtake each other.
    Multicast(CpgId, Message),
    /// A callback frame for a client.
    Tell(ClientId, Callback),
    /// A raw answer to a client's query.
    Reply(ClientId, Reply),
    /// The recent log to this client, then close its connection.
    Dump(ClientId),
    /// Have corosync on that node killed (corosync_cfg_kill_node).
    Kill(NodeId, KillReason),
    /// Ring once after so many milliseconds; replaces an earlier setting.
    SetTimer(u64),
    /// corosync's question is answered: may it shut down?
    AnswerShutdown(bool),
    /// Something a person may want to know.
    Notice(Notice),
    /// End the daemon; no effect follows.
    Exit(Exit),
}

/// Why a node is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillReason {
    /// Its groupd ended while it shared groups with us.
    DaemonGone,
    /// It failed, and a later ring still names it: asked in each such ring, until it is seen to go (deviation B27).
    StillNamed,
    /// It comes out of a partition with groups of its own (deviation B4).
    Merged,
    /// It is ourselves: a client died that had something to lose (deviation Q1).
    ClientGone,
}

/// Why the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It was asked to, and no group was in the way.
    Asked,
    /// corosync is gone.
    CorosyncLost,
    /// We had groups, no quorum, and met nodes that went on without us (deviation B4).
    MergedWithoutQuorum,
    /// More changes of one group than can be kept: better a clean death than a wrong start.
    Overwhelmed,
}

/// Something a person may want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what the variant names")]
pub enum Notice {
    /// A frame that says nothing we know, or nothing we allow.
    BadRequest { client: ClientId, error: DecodeError },
    /// A command of a client that may not give it.
    NotAllowed { client: ClientId, access: Access },
    /// A command that does not fit what its group is doing, or whose group is not there; silence for the client.
    Ignored { client: ClientId, why: Ignored },
    /// The client's own words.
    ClientLog { client: ClientId, text: Vec<u8> },
    /// A client that owned groups is gone; what becomes of each.
    Orphaned { group: GroupKey, client: ClientId },
    /// A message that is not acted on.
    BadMessage { from: Member, error: DecodeError },
    /// A control message of a process that is not that node's daemon.
    Forged { from: Member },
    /// corosync lists a daemon that has ended: another one of its node speaks, or its node is not in the ring (deviation B31).
    Ghost { ghost: Member },
    /// A message for a change that it cannot belong to any more.
    Late { group: GroupKey, from: NodeId },
    /// The group's CPG cannot be joined; the group is forgotten.
    JoinFailed { group: GroupKey },
    /// More than 65535 node ids: global ids may repeat (deviation B6).
    WideNodeId { node: NodeId },
    /// The mode is decided: 2 libgroup, 3 libcpg.
    ModeChosen { mode: u16 },
    /// SIGTERM or corosync's shutdown must wait for these groups.
    StillJoined { groups: usize },
}

/// Why a command is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ignored {
    /// No `setup` came before it.
    NoLevel,
    /// No such group here.
    NoGroup,
    /// The group is here already (kept, K11).
    Exists,
    /// Not this client's group (K10).
    NotOwner,
    /// Not asked for: no such start or stop is open (kept, K2; deviation Q5).
    NotAsked,
    /// The group is joining, leaving, or changing because of us.
    NotNow,
    /// Too many groups.
    Full,
}

/// Effects in the order they must happen.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Appends one.
    pub fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Tells people.
    pub fn notice(&mut self, notice: Notice) {
        self.push(Effect::Notice(notice));
    }

    /// Hands all over, leaving none.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// What waits to be handed over.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.0
    }
}
