//! The mode, from what all nodes say. Its clock has whole seconds (T1).

use super::Original;
use groupd_compat::cpg_message::{Message, Version};
use groupd_compat::ids::{CpgId, NodeId, Tick};
use groupd_compat::machine::{Compat, Effect, Effects, Mode, ViewChange};
use groupd_compat::names::{ClientKind, GroupKey, GroupName, Level};

const PLACEHOLDERS: [(i64, &[u8]); 3] = [(0, b"default"), (1, b"clvmd"), (1, b"rgmanager")];

pub(super) struct Versions {
    pub(super) mode: Mode,
    first_view: Option<Tick>,
    peers: Vec<Peer>,
}

struct Peer {
    node: NodeId,
    since: Tick,
    mode: Option<u16>,
    spoken_for: bool,
}

fn seconds(from: Tick, to: Tick) -> u64 {
    to.0 / 1000 - from.0 / 1000
}

impl Versions {
    pub(super) fn new(compat: Compat) -> Self {
        let mode = match compat {
            Compat::Libcpg => Mode::Libcpg,
            Compat::Libgroup => Mode::Libgroup,
            Compat::Detect => Mode::Pending,
        };
        Versions { mode, first_view: None, peers: vec![] }
    }

    pub(super) fn view_changed(&mut self, change: &ViewChange, now: Tick) {
        let joined = change.joined.iter().map(|(member, _)| member.node);
        let came: Vec<NodeId> = match self.first_view {
            None => change.members.iter().map(|member| member.node).collect(),
            Some(_) => joined.collect(),
        };
        self.first_view.get_or_insert(now);
        self.peers.retain(|peer| !change.left.iter().any(|(member, _)| member.node == peer.node));
        self.peers.extend(came.into_iter().map(|node| Peer { node, since: now, mode: None, spoken_for: false }));
    }

    /// The mode to take over.
    fn heard(&mut self, version: &Version) -> Option<Mode> {
        let peer = self.peers.iter_mut().find(|peer| peer.node == version.node)?;
        if self.mode != Mode::Pending || peer.mode == Some(version.mode) {
            return None;
        }
        peer.mode = Some(version.mode);
        let decided = [Mode::Libgroup, Mode::Libcpg];
        self.peers.iter().find_map(|peer| decided.into_iter().find(|mode| peer.mode == Some(mode.wire())))
    }
}

impl Original {
    pub(super) fn say_version(&self, mode: Mode, fx: &mut Effects) {
        let (mode, compat, groups) = (mode.wire(), self.settings.compat.wire(), self.groups.len() as u16);
        let version = Version { node: self.me, generation: 3, mode, compat, groups };
        fx.push(Effect::Multicast(CpgId::CONTROL, Message::Version(version)));
    }

    pub(super) fn version_heard(&mut self, version: &Version, fx: &mut Effects) {
        let Some(mode) = self.versions.heard(version) else { return };
        self.versions.mode = mode;
        if mode == Mode::Libcpg {
            for (level, name) in PLACEHOLDERS {
                let key = GroupKey {
                    level: Level::try_from(level).expect("a level"),
                    name: GroupName::new(name).expect("a name"),
                };
                self.create(key, None, ClientKind::default(), fx);
            }
        }
    }

    /// At each wake-up while pending, and when nothing has woken it for so long.
    pub(super) fn check_clock(&mut self, fx: &mut Effects) {
        if self.versions.mode != Mode::Pending {
            return;
        }
        let (wait, delay) = (self.settings.wait_ms / 1000, self.settings.delay_ms / 1000);
        let now = self.now;
        for peer in &mut self.versions.peers {
            if peer.mode.is_none() && !peer.spoken_for && seconds(peer.since, now) >= wait {
                peer.spoken_for = true;
                let mode = Mode::Libgroup.wire();
                let version = Version { node: peer.node, generation: 2, mode, compat: 1, groups: 0 };
                fx.push(Effect::Multicast(CpgId::CONTROL, Message::Version(version)));
            }
        }
        let all_pending = self.versions.peers.iter().all(|peer| peer.mode == Some(Mode::Pending.wire()));
        if all_pending && self.versions.first_view.is_some_and(|first| seconds(first, now) >= delay) {
            self.say_version(Mode::Libcpg, fx);
        }
        fx.push(Effect::SetTimer(1000 * wait.min(delay)));
    }
}
