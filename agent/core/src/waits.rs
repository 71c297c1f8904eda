//! What this agent waits for, computed from its state by one function, and when people are told.

use crate::agent::Agent;
use crate::effect::Effects;
use crate::ids::{NodeId, Tick};
use crate::leave::Leaving;
use crate::legacy::LegacyWait;
use crate::notice::Notice;
use crate::pins::Pin;
use crate::table::Agreed;
use crate::timers::{REMINDER_FIRST_MS, REMINDER_MS, Timer};
use crate::wait::Wait;
use proto::peer::{Entry, VolumeId};
use serde::{Deserialize, Serialize};

/// A wait shorter than this is shown by `status`, but not told.
pub const TOLD_AFTER_MS: u64 = 1_000;

/// The waits in force, and since when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    standing: Vec<Standing>,
    next_reminder: Option<Tick>,
    /// Legacy groups that have stood still for too long: shown here, told by their service.
    #[serde(default)]
    pub(crate) legacy: Vec<LegacyWait>,
}

/// One wait in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What for.
    pub wait: Wait,
    /// Since when; it does not start again when only the list of nodes gets shorter.
    pub since: Tick,
    told: u32,
}

impl Standing {
    /// When it is to be told next: after a second, a minute, an hour, two hours …
    fn due(&self) -> Tick {
        let after = match self.told {
            0 => TOLD_AFTER_MS,
            1 => REMINDER_FIRST_MS,
            more => REMINDER_MS * u64::from(more - 1),
        };
        Tick(self.since.0 + after)
    }
}

impl Agent {
    /// The waits in force, oldest knowledge first.
    #[must_use]
    pub fn waits(&self) -> &[Standing] {
        &self.waits.standing
    }

    pub(crate) fn note_waits(&mut self, fx: &mut Effects) {
        let before = std::mem::take(&mut self.waits.standing);
        let found = self.with_unfinished(self.find_waits(), &before);
        for old in before.iter().filter(|old| old.told > 0 && !found.iter().any(|wait| same_cause(wait, &old.wait))) {
            fx.notice(Notice::WaitEnded { what: old.wait.to_string(), after_ms: self.now.since(old.since) });
        }
        let standing = found.into_iter().map(|wait| {
            let known = before.iter().find(|old| same_cause(&wait, &old.wait));
            Standing { since: known.map_or(self.now, |old| old.since), told: known.map_or(0, |old| old.told), wait }
        });
        self.waits.standing = standing.collect();
        self.wake_for_waits(fx);
    }

    /// What a kernel refused is still waited for while it is being tried again.
    fn with_unfinished(&self, mut found: Vec<Wait>, before: &[Standing]) -> Vec<Wait> {
        let trying = self.link.up.is_some() && self.agreed.as_ref().is_none_or(|agreed| agreed.step.is_some());
        for old in before.iter().map(|standing| &standing.wait).filter(|old| trying && is_retried(old)) {
            if !found.iter().any(|wait| same_cause(wait, old)) {
                found.push(old.clone());
            }
        }
        found
    }

    fn wake_for_waits(&mut self, fx: &mut Effects) {
        let due = self.waits.standing.iter().map(Standing::due).min();
        match due {
            Some(due) if self.waits.next_reminder.is_none_or(|next| due < next) => {
                self.waits.next_reminder = Some(due);
                self.timers.set(Timer::Reminder, due.since(self.now).max(1), fx);
            }
            Some(_) => {}
            None => {
                self.waits.next_reminder = None;
                self.timers.cancel(Timer::Reminder);
            }
        }
    }

    pub(crate) fn remind(&mut self, fx: &mut Effects) {
        self.waits.next_reminder = None;
        let mut lacks_hellos = false;
        for standing in self.waits.standing.iter_mut().filter(|standing| standing.due() <= self.now) {
            let what = standing.wait.to_string();
            fx.notice(match standing.told {
                0 => Notice::WaitStarted { what, fix: standing.wait.fix() },
                _ => Notice::WaitStill { what, for_s: self.now.since(standing.since) / 1000 },
            });
            standing.told += 1;
            lacks_hellos |= matches!(standing.wait, Wait::Hello { .. });
        }
        if lacks_hellos {
            self.ask_for_hellos_again();
        }
    }

    fn find_waits(&self) -> Vec<Wait> {
        let mut waits = Vec::new();
        if let Leaving::Asked { .. } = self.leaving {
            let pins: Vec<String> = self.pins().iter().map(Pin::to_string).collect();
            if !pins.is_empty() {
                waits.push(Wait::Pinned { pins });
            }
        }
        waits.extend(self.link.stuck.clone().map(|call| Wait::CorosyncStuck { call }));
        if let Some(work) = &self.work {
            waits.push(Wait::Kernel { what: work.kind.text() });
        }
        let ring_wait = self.ring_wait();
        // The Hellos that are missing are not all: with them there would be no quorum either.
        if matches!(ring_wait, Some(Wait::Hello { .. })) && self.view.lacks_quorum() {
            waits.push(self.quorum_wait());
        }
        waits.extend(ring_wait);
        waits.extend(self.deserted_wait());
        waits.extend(self.mount_waits());
        waits.extend(self.death_waits());
        waits.extend(self.dying.iter().map(|(node, by)| Wait::HeartbeatEnds { node: *node, by: *by }));
        if self.link.deaf {
            waits.push(Wait::Deaf);
        }
        if self.link.probe.is_some() {
            waits.push(Wait::Probe);
        }
        if let Some(agreed) = &self.agreed {
            note_change_waits(agreed, &mut waits);
            if let Some((step, missing)) = self.missing_answers() {
                waits.push(Wait::Answers { step, from: missing.into_iter().collect() });
            }
        }
        waits
    }

    /// The first thing missing on the way to an agreed view.
    fn ring_wait(&self) -> Option<Wait> {
        if self.link.up.is_none() {
            return Some(Wait::Corosync { why: self.link.why.clone() });
        }
        if self.config.is_none() {
            return Some(Wait::Config { why: self.config_why.clone() });
        }
        if !self.view.is_open() {
            return Some(Wait::Join { why: self.link.join_why.clone() });
        }
        if !self.view.is_settled() {
            return Some(Wait::QuorumRing);
        }
        let Some(agreed) = &self.agreed else {
            if let Some(member) = self.view.unlisted().first() {
                return Some(Wait::Unlisted { member: *member });
            }
            let silent = |member: &_| !self.exchange.hellos.contains_key(member);
            return Some(Wait::Hello { from: self.view.each_live().filter(silent).collect() });
        };
        (!agreed.quorate).then(|| self.quorum_wait())
    }

    pub(crate) fn quorum_wait(&self) -> Wait {
        let configured = self.config.as_ref().map_or(0, |config| config.nodes.len());
        Wait::Quorum { here: self.view.ring_nodes().len(), configured }
    }
}

fn is_retried(wait: &Wait) -> bool {
    matches!(wait, Wait::AddRefused { .. } | Wait::Held { .. } | Wait::Misaligned { .. })
}

fn note_change_waits(agreed: &Agreed, waits: &mut Vec<Wait>) {
    let name = |number: &u8| agreed.table.entries.get(number).map_or_else(|| number.to_string(), |e| e.name.clone());
    // Of a node that is not here nobody lacks it, unless one of the kernels still has what it was before.
    let is_held = |entry: &Entry| agreed.held.values().any(|held| held.contains_key(&entry.number));
    let is_here = |entry: &Entry| agreed.of_node(NodeId(entry.nodeid)).is_some();
    let refused = agreed.refused.values().filter(|(entry, _, _)| is_here(entry) || is_held(entry));
    waits.extend(refused.map(|(entry, by, refusal)| Wait::AddRefused {
        entry: entry.name.clone(),
        by: NodeId(by.nodeid),
        refusal: refusal.clone(),
    }));
    let misaligned = agreed.misaligned.iter();
    waits.extend(
        misaligned.map(|(member, refusal)| Wait::Misaligned { node: NodeId(member.nodeid), refusal: refusal.clone() }),
    );
    waits.extend(agreed.kept.iter().map(|(number, (by, pins))| Wait::Held {
        entry: name(number),
        by: NodeId(by.nodeid),
        pins: pins.clone(),
    }));
    waits.extend(agreed.blocking_absent().map(|(node, live)| Wait::Absent { node, mounts: live.mounts }));
    waits.extend(agreed.outsider_waits());
}

/// Whether these are one wait whose details have changed.
fn same_cause(one: &Wait, other: &Wait) -> bool {
    cause(one) == cause(other)
}

/// What a wait is about: its kind, and which node, volume, entry or step. Another one of these is another wait, which
/// begins by itself and is told by itself.
fn cause(wait: &Wait) -> (&'static str, Option<NodeId>, Option<VolumeId>, &str) {
    let (node, volume, name) = match wait {
        Wait::AddRefused { entry, .. } | Wait::Held { entry, .. } => (None, None, entry.as_str()),
        Wait::Answers { step, .. } => (None, None, step.as_str()),
        Wait::Misaligned { node, .. }
        | Wait::HeartbeatEnds { node, .. }
        | Wait::Outsider { node, .. }
        | Wait::DlmWord { node, .. }
        | Wait::Absent { node, .. }
        | Wait::Fence { node, .. }
        | Wait::LegacyGroup { node, .. }
        | Wait::LegacyService { node }
        | Wait::Buries { node, .. } => (Some(*node), None, ""),
        Wait::MountAfterHello { volume, node } | Wait::MountAfterDeath { volume, node } => {
            (Some(*node), Some(*volume), "")
        }
        Wait::MountJoins { volume } | Wait::MountDecides { volume } | Wait::Dlm { volume, .. } => {
            (None, Some(*volume), "")
        }
        Wait::Corosync { .. }
        | Wait::CorosyncStuck { .. }
        | Wait::Config { .. }
        | Wait::Join { .. }
        | Wait::QuorumRing
        | Wait::Quorum { .. }
        | Wait::Hello { .. }
        | Wait::Unlisted { .. }
        | Wait::Kernel { .. }
        | Wait::Control { .. }
        | Wait::Deserted { .. }
        | Wait::Deaf
        | Wait::Probe
        | Wait::Pinned { .. } => (None, None, ""),
    };
    (wait.kind(), node, volume, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ClusterConfig, Connected, Reason, ViewChange};
    use crate::ids::Member;
    use crate::ids::RingId;
    use proto::peer::ViewTag;

    const RING: RingId = RingId { nodeid: 1, seq: 8 };

    fn member(nodeid: u32) -> Member {
        Member { nodeid, pid: 100 + nodeid }
    }

    /// Node 1 in a ring of three, where corosync lists nodes 1 and 2.
    fn without_3() -> Agent {
        let mut agent = Agent::new();
        agent.link.up = Some(Connected { member: member(1), nonce: 7 });
        agent.config = Some(ClusterConfig {
            cluster_name: "lab".into(),
            nodes: [].into(),
            token_ms: 1000,
            consensus_ms: 1200,
            ..ClusterConfig::default()
        });
        agent.view = crate::view::View::of(member(1));
        let joined = [1, 2].map(|node| (member(node), Reason::NodeUp));
        agent.view.change(&ViewChange {
            members: joined.iter().map(|(member, _)| *member).collect(),
            left: vec![],
            joined: joined.into(),
        });
        agent.view.ring_changed(RING, [1, 2, 3].map(NodeId).into());
        agent.view.quorum_changed(RING, true);
        agent
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_waited_for_with_its_reason_or_stands_as_it_was() {
        let mut agent = without_3();
        let why = "nodelist.node.1.nodeid is missing".to_owned();
        let config = agent.config.take().unwrap();
        agent.config_why.clone_from(&why);
        assert_eq!(agent.find_waits(), [Wait::Config { why }]);
        agent.config = Some(config);
        let kinds: Vec<String> = agent.status().troubles.into_iter().map(|trouble| trouble.kind).collect();
        assert!(kinds.contains(&"config-unreadable".to_owned()), "{kinds:?}");
        assert!(!agent.find_waits().iter().any(|wait| wait.kind() == "config"));
    }

    #[test]
    fn the_same_wait_for_another_node_is_another_wait() {
        let fence = |node| Wait::Fence { node: NodeId(node), why: String::new() };
        assert!(same_cause(&fence(3), &Wait::Fence { node: NodeId(3), why: "the program failed".into() }));
        assert!(!same_cause(&fence(3), &fence(4)));
        let mount = |volume| Wait::MountJoins { volume: VolumeId([volume; 16]) };
        assert!(same_cause(&mount(1), &mount(1)) && !same_cause(&mount(1), &mount(2)));
    }

    #[test]
    fn who_speaks_unlisted_is_waited_for_before_those_who_are_silent() {
        let mut agent = without_3();
        let silent = Wait::Hello { from: [1, 2].map(member).into() };
        assert_eq!(agent.ring_wait(), Some(silent));
        let tag = ViewTag { ring: RING, members: [1, 2, 3].map(|node| (member(node), 0)).into() };
        agent.view.hear(member(3), &tag);
        assert_eq!(agent.ring_wait(), Some(Wait::Unlisted { member: member(3) }));
    }

    #[test]
    fn the_addition_of_a_node_that_is_gone_is_not_waited_for() {
        let refusal = crate::event::KernelRefusal { errno: 17, path: "node/n3".into(), what: "mkdir".into() };
        let (address, port) = ([10, 0, 0, 3].into(), 7777);
        let entry = proto::peer::Entry { nodeid: 3, number: 3, name: "n3".into(), address, port };
        let mut agreed = crate::merge::merge(Default::default(), &Default::default());
        agreed.refused.insert(3, (entry, Member { nodeid: 2, pid: 1 }, refusal));
        let mut waits = Vec::new();
        note_change_waits(&agreed, &mut waits);
        assert_eq!(waits, []);
    }
}
