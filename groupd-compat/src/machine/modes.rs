//! Which mode the cluster's daemons run in: decided at start, or by what all of them say.
//!
//! A pending daemon (compat 2) takes over the mode of the first node, in the order they were seen, that has
//! one. If all are pending for long enough, each proposes libcpg. For a node that stays silent somebody says
//! that it is an old daemon, and all take libgroup.

use super::abreast::Shown;
use super::effect::{Effect, Effects, Notice};
use super::event::{Reason, ViewChange};
use super::node::Node;
use super::{Machine, Settings};
use crate::cpg_message::{Message, Version};
use crate::ids::{CpgId, NodeId, Tick};
use serde::{Deserialize, Serialize};

/// The generation of the original's daemon and ours.
const GENERATION: u16 = 3;
/// The generation of daemons that know no versions.
const OLD_GENERATION: u16 = 2;

/// Groups that a daemon in libcpg mode occupies, so that an old daemon cannot complete a join of them (K14).
pub(crate) const PLACEHOLDERS: [(i64, &[u8]); 3] = [(0, b"default"), (1, b"clvmd"), (1, b"rgmanager")];

/// View changes and rings of groups kept while pending. A client that floods joins then loses the rest, as all
/// are lost in the original.
const EARLY_MAX: usize = 4096;

/// What this daemon does for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Not decided: joins are carried out in corosync, no client hears of anything.
    Pending,
    /// The full service.
    Libgroup,
    /// Never any callback: clients are expected to use libcpg themselves.
    Libcpg,
}

/// The configured value of groupd_compat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compat {
    /// 0: libcpg from the start.
    Libcpg,
    /// 1: libgroup from the start.
    Libgroup,
    /// 2: decided at run time.
    Detect,
}

impl Mode {
    /// As in a version message.
    #[must_use]
    pub fn wire(self) -> u16 {
        match self {
            Mode::Pending => 1,
            Mode::Libgroup => 2,
            Mode::Libcpg => 3,
        }
    }

    fn from_wire(mode: u16) -> Option<Self> {
        [Mode::Pending, Mode::Libgroup, Mode::Libcpg].into_iter().find(|known| known.wire() == mode)
    }

    /// The answer to `get_version`: -11 (EAGAIN) while undecided.
    #[must_use]
    pub fn version(self) -> i32 {
        match self {
            Mode::Pending => -11,
            Mode::Libgroup | Mode::Libcpg => self.wire().into(),
        }
    }
}

impl Compat {
    /// As in a version message.
    #[must_use]
    pub fn wire(self) -> u16 {
        match self {
            Compat::Libcpg => 0,
            Compat::Libgroup => 1,
            Compat::Detect => 2,
        }
    }

    fn mode(self) -> Mode {
        match self {
            Compat::Libcpg => Mode::Libcpg,
            Compat::Libgroup => Mode::Libgroup,
            Compat::Detect => Mode::Pending,
        }
    }
}

/// What decides the mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Modes {
    pub(crate) mode: Mode,
    first_view: Option<Tick>,
    /// In the order the nodes were seen.
    peers: Vec<Peer>,
    /// What happened in groups that clients joined before the mode was known.
    early: Vec<(CpgId, Shown)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Peer {
    node: NodeId,
    since: Tick,
    mode: Option<Mode>,
    spoken_for: bool,
}

impl Modes {
    pub(crate) fn new(settings: &Settings) -> Self {
        Modes { mode: settings.compat.mode(), first_view: None, peers: Vec::new(), early: Vec::new() }
    }

    /// The control CPG changed.
    pub(crate) fn view_changed(&mut self, change: &ViewChange, now: Tick) {
        let first = self.first_view.is_none();
        self.first_view.get_or_insert(now);
        let came: Vec<NodeId> = if first {
            change.members.iter().map(|member| member.node).collect()
        } else {
            change.joined.iter().map(|(member, _)| member.node).collect()
        };
        self.peers.retain(|peer| !change.left.iter().any(|(member, _)| member.node == peer.node));
        for node in came {
            if !self.peers.iter().any(|peer| peer.node == node) {
                self.peers.push(Peer { node, since: now, mode: None, spoken_for: false });
            }
        }
    }

    /// Keeps what a group's CPG shows until the mode is known (deviation M1: the original drops it, and the
    /// group's peers then wait for us for ever).
    pub(crate) fn keep(&mut self, cpg: CpgId, shown: Shown) {
        if self.early.len() < EARLY_MAX {
            self.early.push((cpg, shown));
        }
    }

    /// A node says, or has said for it, what it is. Returns the mode to take over.
    pub(crate) fn heard(&mut self, version: &Version) -> Option<Mode> {
        let mode = Mode::from_wire(version.mode)?;
        let peer = self.peers.iter_mut().find(|peer| peer.node == version.node)?;
        if self.mode != Mode::Pending || peer.mode == Some(mode) {
            return None;
        }
        peer.mode = Some(mode);
        self.peers.iter().filter_map(|peer| peer.mode).find(|&mode| mode != Mode::Pending)
    }

    /// Nodes that have been silent for `wait_ms` and that nobody has been told about by us.
    fn silent(&mut self, now: Tick, wait_ms: u64) -> Vec<NodeId> {
        let overdue = |peer: &&mut Peer| peer.mode.is_none() && !peer.spoken_for && now.since(peer.since) >= wait_ms;
        let speak_for = |peer: &mut Peer| {
            peer.spoken_for = true;
            peer.node
        };
        self.peers.iter_mut().filter(overdue).map(speak_for).collect()
    }

    fn all_pending_for(&self, now: Tick, delay_ms: u64) -> bool {
        self.first_view.is_some_and(|first| now.since(first) >= delay_ms)
            && self.peers.iter().all(|peer| peer.mode == Some(Mode::Pending))
    }

    /// Milliseconds until something is due; a proposal that is not heard is made again after the delay.
    fn next_due(&self, now: Tick, wait_ms: u64, delay_ms: u64) -> u64 {
        let silent = self.peers.iter().filter(|peer| peer.mode.is_none() && !peer.spoken_for);
        let silent = silent.map(|peer| wait_ms.saturating_sub(now.since(peer.since)));
        let pending = self.first_view.map(|first| delay_ms.saturating_sub(now.since(first))).filter(|&ms| ms > 0);
        silent.chain(pending).min().unwrap_or(delay_ms).max(1)
    }
}

impl Machine {
    /// Every member says its version whenever somebody joins, in every mode (kept, K13).
    pub(crate) fn say_version(&self, change: &ViewChange, fx: &mut Effects) {
        if change.joined.iter().any(|&(_, reason)| matches!(reason, Reason::Join | Reason::NodeUp)) {
            multicast(self.version(self.modes.mode), fx);
        }
    }

    /// Milliseconds until something is due for the mode.
    pub(crate) fn mode_due(&self) -> Option<u64> {
        let due = || self.modes.next_due(self.now, self.settings.wait_ms, self.settings.delay_ms);
        (self.modes.mode == Mode::Pending).then(due)
    }

    /// Speaks for the silent, and proposes libcpg when all are pending.
    pub(crate) fn mode_timer_fired(&mut self, fx: &mut Effects) {
        if self.modes.mode != Mode::Pending {
            return;
        }
        for node in self.modes.silent(self.now, self.settings.wait_ms) {
            let (mode, compat) = (Mode::Libgroup.wire(), Compat::Libgroup.wire());
            multicast(Version { node, generation: OLD_GENERATION, mode, compat, groups: 0 }, fx);
        }
        if self.modes.all_pending_for(self.now, self.settings.delay_ms) {
            multicast(self.version(Mode::Libcpg), fx);
        }
    }

    pub(crate) fn version_heard(&mut self, version: &Version, fx: &mut Effects) {
        let Some(mode) = self.modes.heard(version) else { return };
        self.modes.mode = mode;
        fx.notice(Notice::ModeChosen { mode: mode.wire() });
        let early = std::mem::take(&mut self.modes.early);
        self.join_what_waits(fx);
        match mode {
            Mode::Libcpg => self.join_placeholders(fx),
            Mode::Libgroup => early.into_iter().for_each(|(cpg, shown)| self.shown(cpg, shown, fx)),
            Mode::Pending => {}
        }
    }

    fn version(&self, mode: Mode) -> Version {
        Version {
            node: self.node.me,
            generation: GENERATION,
            mode: mode.wire(),
            compat: self.settings.compat.wire(),
            groups: u16::try_from(self.groups.len()).unwrap_or(u16::MAX),
        }
    }
}

impl Node {
    /// For each joiner that created a group of ours in an earlier life: the highest id of those.
    pub(crate) fn say_global_ids(
        joined: &[NodeId],
        ids: impl Iterator<Item = crate::ids::GlobalId> + Clone,
        fx: &mut Effects,
    ) {
        for &node in joined {
            if let Some(id) = ids.clone().filter(|id| id.is_known() && id.made_by(node)).max() {
                fx.push(Effect::Multicast(CpgId::CONTROL, Message::GlobalId(id)));
            }
        }
    }
}

fn multicast(version: Version, fx: &mut Effects) {
    fx.push(Effect::Multicast(CpgId::CONTROL, Message::Version(version)));
}
