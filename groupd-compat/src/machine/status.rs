//! What the machine shows: records for queries, and snapshots for people and tools.

use super::Machine;
use super::change::Owed;
use super::effect::{Effect, Effects};
use super::group::{Group, Keeper};
use super::modes::Mode;
use super::wait::Wait;
use crate::ids::{ClientId, CpgId, EventNr, NodeId, RingId};
use crate::names::{GroupKey, Level};
use crate::records::{GroupRecord, Reply};
use crate::verbs::{Query, Request};
use serde::{Deserialize, Serialize};

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What this daemon does for its clients.
    pub mode: Mode,
    /// May groups start?
    pub quorate: bool,
    /// Nodes in the control CPG.
    pub daemons: Vec<NodeId>,
    /// Groups in the order of their creation.
    pub groups: Vec<GroupStatus>,
}

/// One group in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its level and name.
    pub key: GroupKey,
    /// As a query shows it.
    pub record: GroupRecord,
    /// Who owns it, while that client lives.
    pub owner: Option<ClientId>,
    /// Changes behind the current one.
    pub queued: usize,
    /// Why it does not go on; `None` if nothing is going on.
    pub waits: Option<Wait>,
}

/// A group that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill<'a> {
    /// Which.
    pub key: &'a GroupKey,
    /// What for.
    pub wait: Wait,
    /// The change that it is in. With the next one a wait of the same kind is another.
    pub change: Option<EventNr>,
    /// What our own client owes, if the answer of this node is among those that are missing.
    pub owed: Option<Debt>,
}

/// An answer that is missing on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Who owes it; `None` if the client of the group is gone, or there never was one.
    pub client: Option<ClientId>,
    /// `stop_done` or `start_done`.
    pub verb: &'static str,
}

impl Machine {
    /// Every group that does not go on, in the order of their creation.
    pub fn standstills(&self) -> impl Iterator<Item = Standstill<'_>> {
        self.groups.values().filter_map(|group| {
            let change = group.current.as_ref();
            Some(Standstill {
                key: &group.key,
                wait: self.wait_of(group)?,
                change: change.map(|change| change.nr),
                owed: change.and_then(|change| change.owes).map(|owed| group.debt(owed)),
            })
        })
    }

    /// In libcpg mode groups are only occupied: nothing is ever to come of them.
    fn wait_of(&self, group: &Group) -> Option<Wait> {
        match self.modes.mode {
            Mode::Libgroup => group.waits(&self.node),
            Mode::Pending => Some(Wait::Mode),
            Mode::Libcpg => None,
        }
    }

    /// What is there, and what it waits for.
    #[must_use]
    pub fn status(&self) -> Status {
        let groups = self.groups.values().map(|group| GroupStatus {
            key: group.key.clone(),
            record: group.record(self.node.me),
            owner: group.owner(),
            queued: group.queue.len(),
            waits: self.wait_of(group),
        });
        Status {
            mode: self.modes.mode,
            quorate: self.node.quorum.is_quorate(),
            daemons: self.node.control.members.clone(),
            groups: groups.collect(),
        }
    }

    /// Every group, in the order of their creation.
    pub fn keys(&self) -> impl Iterator<Item = &GroupKey> {
        self.groups.values().map(|group| &group.key)
    }

    /// Differs whenever [`Machine::keys`] does; costs nothing.
    #[must_use]
    pub fn census(&self) -> (usize, CpgId) {
        (self.groups.len(), CpgId(self.last_cpg))
    }

    /// The ring that the control CPG is in: every failure up to it is known.
    #[must_use]
    pub fn ring(&self) -> RingId {
        self.node.quorum.ring()
    }

    /// How many groups below a level have still to recover here, of each failed node. Costs little.
    pub fn unrecovered(&self, below: Level) -> impl Iterator<Item = (NodeId, usize)> {
        self.node.recovery.counts(below)
    }

    /// The last group of those, in the order of their creation: usually the last to recover.
    #[must_use]
    pub fn last_unrecovered(&self, node: NodeId, below: Level) -> Option<&GroupKey> {
        let cpg = self.node.recovery.last_below(node, below)?;
        self.groups.get(&cpg).map(|group| &group.key)
    }

    /// The answer to `get_groups`: one record at least, if there is a group (kept, K8).
    #[must_use]
    pub fn records(&self, max: i32) -> Vec<GroupRecord> {
        let max = usize::try_from(max).unwrap_or(0).max(1);
        self.groups.values().take(max).map(|group| group.record(self.node.me)).collect()
    }

    pub(crate) fn query(&self, client: ClientId, request: &Request, fx: &mut Effects) {
        let reply = match request {
            Request::GetGroups { max } => Reply::Records(self.records(*max)),
            Request::GetGroup(query) => Reply::Record(Box::new(self.record(query))),
            Request::Dump => return fx.push(Effect::Dump(client)),
            _ => Reply::Version(self.modes.mode.version()),
        };
        fx.push(Effect::Reply(client, reply));
    }

    fn record(&self, query: &Query) -> GroupRecord {
        match query {
            Query::Group(key) => {
                let group = self.index.get(key).and_then(|cpg| self.groups.get(cpg));
                group.map(|group| group.record(self.node.me)).unwrap_or_default()
            }
            Query::Control => {
                GroupRecord { level: -1, members: self.node.control.members.clone(), ..GroupRecord::default() }
            }
            Query::Nothing => GroupRecord::default(),
        }
    }
}

impl Group {
    fn owner(&self) -> Option<ClientId> {
        if let Keeper::Client(client) = self.keeper { Some(client) } else { None }
    }

    fn debt(&self, owed: Owed) -> Debt {
        Debt {
            client: self.owner(),
            verb: match owed {
                Owed::StopDone => "stop_done",
                Owed::StartDone => "start_done",
            },
        }
    }
}
