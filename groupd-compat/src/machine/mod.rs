//! groupd's whole per-node machine: events in, effects out.
//!
//! [`Machine::handle`] takes one [`Event`] and appends to an ordered list what must happen ([`Effect`]). No
//! I/O, no clock, no thread, no unordered map: the same events give the same effects.
//!
//! What the caller must do: hand in events one at a time, each handle's in its order; hand in one of the control CPG only when all
//! that corosync had written on the other handles by then is handed in; hand in a CPG's totem callback after the view changes of
//! its ring, and that of the ring in which we joined a group before that join; perform the effects in the order given; never use a
//! [`ClientId`] or [`CpgId`] twice; give ticks that never go back.
//!
//! | file | what it knows |
//! |---|---|
//! | `event`, `effect`, `wait` | everything that can happen, be asked for, and be waited for |
//! | `clients` | commands, ownership, clients that die |
//! | `views`, `abreast` | view changes of the control CPG and of the groups' CPGs, put in order; merges of partitions |
//! | `group`, `change` | a group, and one membership change of it |
//! | `steps`, `overtake`, `saved` | stop → all stopped → start → all started; failures in between; early steps |
//! | `former`, `again` | words about a former life of this node; a machine that begins anew in the process of another |
//! | `ghosts` | processes that corosync lists although they have ended |
//! | `recovery`, `quorum` | who may start after a failure |
//! | `modes` | pending, libgroup, libcpg |
//! | `node` | what all groups share |
//! | `status` | records for queries, and read-only snapshots |

mod abreast;
mod again;
mod change;
mod clients;
mod effect;
mod event;
mod former;
mod ghosts;
mod group;
mod modes;
mod node;
mod overtake;
mod quorum;
mod recovery;
mod saved;
mod status;
mod steps;
mod views;
mod wait;

pub use effect::{Effect, Effects, Exit, Ignored, KillReason, Notice};
pub use event::{Access, Caller, Event, QuorumReport, Reason, ViewChange};
pub use modes::{Compat, Mode};
pub use status::{Debt, GroupStatus, Standstill, Status};
pub use wait::Wait;

use crate::cpg_message::Message;
use crate::ids::{ClientId, CpgId, Member, NodeId, Tick};
use crate::names::{CpgName, GroupKey};
use crate::verbs::Callback;
use clients::Client;
use group::Group;
use modes::Modes;
use node::Node;
use saved::SavedStep;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use steps::After;

/// Groups at most. Each is a libcpg connection of 3 MB of shared memory; that limit comes first.
pub const GROUPS_MAX: usize = 4096;
/// Clients at most that the machine knows; the server's own limit is to be lower.
pub const CLIENTS_MAX: usize = 4096;
/// Changes that may wait behind the current one of a group. Nodes that come and go for as long as a client
/// does not answer would fill memory otherwise.
pub const QUEUE_MAX: usize = 4096;

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Our own node id.
    pub me: NodeId,
    /// groupd_compat (`-g`).
    pub compat: Compat,
    /// How long a node may be silent before it counts as an old daemon (`-w`, 5 s).
    pub wait_ms: u64,
    /// How long all must be pending before libcpg is proposed (`-d`, 2 s).
    pub delay_ms: u64,
    /// What becomes of a dead client's groups.
    pub on_client_death: OnClientDeath,
    /// Another machine of this very process was in the control CPG before us (deviation B32).
    #[serde(default)]
    pub again: bool,
}

impl Settings {
    /// The original's defaults in libgroup mode.
    #[must_use]
    pub fn libgroup(me: NodeId) -> Self {
        Settings {
            me,
            compat: Compat::Libgroup,
            wait_ms: 5000,
            delay_ms: 2000,
            on_client_death: OnClientDeath::KillNode,
            again: false,
        }
    }
}

/// What becomes of the groups of a client that died without leaving (deviation Q1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnClientDeath {
    /// We answer for it and leave. Peers see a clean leave: only right if the group guards nothing that
    /// outlives the client, as a mounted file system does.
    Leave,
    /// The group stays joined and answers nothing, as in the original: its next change hangs everywhere.
    Hold,
    /// This node is killed once a group has ever started: peers see a failure and recover. Before that, or
    /// if the client had asked to leave, there is nothing to lose and we leave for it.
    #[default]
    KillNode,
}

/// Everything one groupd knows. [`Machine::handle`] is the only way to change it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    settings: Settings,
    now: Tick,
    ended: bool,
    node: Node,
    modes: Modes,
    clients: BTreeMap<ClientId, Client>,
    /// In the order of their creation; that is also the order of stops (kept).
    groups: BTreeMap<CpgId, Group>,
    index: BTreeMap<GroupKey, CpgId>,
    last_cpg: u64,
    seen_control: bool,
    /// Nodes that joined the control CPG by a merge, until the ring stands.
    merging: BTreeSet<NodeId>,
    /// Daemons whose end a group's CPG has shown, and the control CPG has not.
    #[serde(default)]
    doubted: BTreeSet<Member>,
    killed_self: bool,
    /// Groups that something happened to.
    busy: BTreeSet<CpgId>,
    /// Groups that wait for more than the answers of members.
    gated: BTreeSet<CpgId>,
}

impl Machine {
    /// A machine that knows nothing. The first event must be [`Event::Started`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Machine {
            now: Tick::default(),
            ended: false,
            node: Node::new(settings.me, settings.again),
            modes: Modes::new(&settings),
            settings,
            clients: BTreeMap::new(),
            groups: BTreeMap::new(),
            index: BTreeMap::new(),
            last_cpg: CpgId::CONTROL.0,
            seen_control: false,
            merging: BTreeSet::new(),
            doubted: BTreeSet::new(),
            killed_self: false,
            busy: BTreeSet::new(),
            gated: BTreeSet::new(),
        }
    }

    /// Takes one event, updates the state, appends to `fx` what must happen, in order. Cannot fail; after
    /// [`Effect::Exit`] it does nothing.
    pub fn handle(&mut self, now: Tick, event: Event, fx: &mut Effects) {
        if self.ended {
            return;
        }
        self.now = now;
        match event {
            Event::Started => self.started(fx),
            Event::ClientCame(client, caller) => self.client_came(client, caller),
            Event::Asked(client, Ok(request)) => self.asked(client, request, fx),
            Event::Asked(client, Err(error)) => fx.notice(Notice::BadRequest { client, error }),
            Event::ClientGone(client) => self.client_gone(client, fx),
            Event::ViewChanged(CpgId::CONTROL, change) => self.control_changed(&change, fx),
            Event::ViewChanged(cpg, change) => self.group_changed(cpg, &change, fx),
            Event::GroupRingChanged(cpg, ring) => self.group_ring_changed(cpg, ring, fx),
            Event::JoinFailed(cpg) => self.join_failed(cpg, fx),
            Event::Delivered { cpg, from, body: Ok(message) } => self.delivered(cpg, from, message, fx),
            Event::Delivered { from, body: Err(error), .. } => fx.notice(Notice::BadMessage { from, error }),
            Event::QuorumChanged(report) => self.quorum_changed(report, fx),
            Event::RingChanged { ring, nodes } => self.ring_changed(ring, &nodes, fx),
            Event::TimerFired => {
                self.stop_waiting_to_be_known(fx);
                self.mode_timer_fired(fx);
                self.set_timer(fx);
            }
            Event::StopAsked => self.stop_asked(fx),
            Event::ShutdownAsked => fx.push(Effect::AnswerShutdown(self.may_end())),
            Event::CorosyncLost => self.end(Exit::CorosyncLost, fx),
        }
        self.advance(fx);
    }

    /// Lets every group go on that something happened to, in the order of their creation.
    fn advance(&mut self, fx: &mut Effects) {
        if self.modes.mode != Mode::Libgroup || self.ended {
            self.busy.clear();
            return;
        }
        if self.node.recovery.take_news() {
            self.wake_gated();
        }
        while let Some(cpg) = self.busy.pop_first() {
            let Some(group) = self.groups.get_mut(&cpg) else { continue };
            self.gated.remove(&cpg);
            match group.work(&mut self.node, fx) {
                After::Gone => self.succeed(cpg, fx),
                After::Waits if group.queue.len() > QUEUE_MAX => return self.end(Exit::Overwhelmed, fx),
                After::Waits if group.is_gated() => _ = self.gated.insert(cpg),
                After::Waits => {}
            }
            if self.node.recovery.take_news() {
                self.wake_gated();
            }
        }
    }

    pub(crate) fn wake_gated(&mut self) {
        self.busy.extend(&self.gated);
    }

    /// There is one timer: it rings for whatever is due first.
    pub(crate) fn set_timer(&self, fx: &mut Effects) {
        if let Some(due) = self.mode_due().into_iter().chain(self.known_due()).min() {
            fx.push(Effect::SetTimer(due.max(1)));
        }
    }

    fn started(&mut self, fx: &mut Effects) {
        if self.node.me.0 > 0xffff {
            fx.notice(Notice::WideNodeId { node: self.node.me });
        }
        fx.push(Effect::JoinCpg(CpgId::CONTROL, CpgName::control()));
    }

    /// Routes a message. Application data goes by the CPG it came through; everything else is looked up by
    /// level and name, and only believed through the control CPG and from a node's daemon.
    fn delivered(&mut self, cpg: CpgId, from: Member, message: Message, fx: &mut Effects) {
        if let Message::Data { key, data, .. } = message {
            let cpg = if cpg == CpgId::CONTROL { key.and_then(|key| self.index.get(&key).copied()) } else { Some(cpg) };
            return self.deliver_data(cpg, from.node, data, fx);
        }
        if cpg != CpgId::CONTROL || !self.is_believed(from, &message, fx) {
            return fx.notice(Notice::Forged { from });
        }
        self.lives_again(from, fx);
        match message {
            Message::Step { step, key, global_id, id } => {
                let Some(&cpg) = self.index.get(&key) else { return };
                if let Some(group) = self.groups.get_mut(&cpg) {
                    group.hear(SavedStep { from: from.node, step, id, global_id }, self.node.me, fx);
                    self.busy.insert(cpg);
                }
            }
            Message::GlobalId(id) => self.node.remember_created(id),
            Message::Version(version) => {
                self.is_known_to(from, fx);
                self.version_heard(&version, fx);
            }
            Message::Data { .. } => {}
        }
    }

    /// Data is handed on at once: before the first start, and while stopped (kept, K12).
    fn deliver_data(&mut self, cpg: Option<CpgId>, from: NodeId, data: Vec<u8>, fx: &mut Effects) {
        if self.modes.mode != Mode::Libgroup {
            return;
        }
        if let Some(group) = cpg.and_then(|cpg| self.groups.get(&cpg)) {
            group.tell(Callback::Deliver { name: group.key.name.clone(), from, data }, fx);
        }
    }

    /// SIGTERM ends a daemon without groups, or one that does nothing for them; at any other time it is
    /// ignored (deviation B3: the original may end in the middle of its work).
    fn stop_asked(&mut self, fx: &mut Effects) {
        if self.may_end() {
            fx.push(Effect::LeaveCpg(CpgId::CONTROL));
            self.end(Exit::Asked, fx);
        } else {
            fx.notice(Notice::StillJoined { groups: self.groups.len() });
        }
    }

    fn may_end(&self) -> bool {
        self.groups.is_empty() || self.modes.mode == Mode::Libcpg
    }

    fn end(&mut self, exit: Exit, fx: &mut Effects) {
        self.ended = true;
        fx.push(Effect::Exit(exit));
    }

    fn forget(&mut self, cpg: CpgId) {
        if let Some(group) = self.groups.remove(&cpg) {
            self.index.remove(&group.key);
            self.gated.remove(&cpg);
            self.node.recovery.forget(cpg);
        }
    }
}
