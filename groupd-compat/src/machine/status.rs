//! What the machine shows: records for queries, and snapshots for people and tools.

use super::Machine;
use super::effect::{Effect, Effects};
use super::group::Keeper;
use super::modes::Mode;
use super::wait::Wait;
use crate::ids::{ClientId, CpgId, NodeId, RingId};
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

impl Machine {
    /// What is there, and what it waits for.
    #[must_use]
    pub fn status(&self) -> Status {
        let groups = self.groups.values().map(|group| GroupStatus {
            key: group.key.clone(),
            record: group.record(self.node.me),
            owner: if let Keeper::Client(client) = group.keeper { Some(client) } else { None },
            queued: group.queue.len(),
            waits: group.waits(&self.node),
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
