//! The legacy service beside us. Its groups pin this daemon, and those of lower levels recover from a death before our
//! volumes do (rule G1).
//!
//! The service has a connection to corosync of its own: it and we learn of one death at different moments, and in no
//! order. So it says up to which ring it has seen everything, together with what it still recovers, and a death waits here
//! until the service has seen the ring that we are in (docs/decisions/0008).
//!
//! Groups that stand still for long are only shown and told: nothing of ours waits for them, but for what is said above.

use crate::agent::Agent;
use crate::effect::Effects;
use crate::ids::{NodeId, Tick};
use crate::notice::Notice;
use crate::wait::Wait;
use proto::control::api;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Volumes recover after the legacy groups of all levels below this one.
pub const VOLUME_LEVEL: u8 = 2;

/// Who still recovers, as the legacy service sees it. The newest word replaces the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyRecovery {
    /// It has seen every death up to this ring.
    pub ring_seq: u64,
    /// Nodes from whose death a group of a level below [`VOLUME_LEVEL`] has not recovered on this node, each with the
    /// last such group, as `LEVEL:NAME`.
    pub behind: BTreeMap<NodeId, String>,
}

/// A legacy group that has stood still for too long, in the service's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyWait {
    /// `LEVEL:NAME`; empty for the rest of many.
    #[serde(default)]
    pub group: String,
    /// Which group, and what for.
    pub text: String,
    /// Nodes that it is about.
    pub nodes: Vec<u32>,
    /// Since when, by the clock of the core.
    pub since: Tick,
    /// What a person can do.
    pub fix: String,
}

impl LegacyWait {
    /// Whether it is the same standstill, of which the others may have less to do by now.
    fn is(&self, other: &LegacyWait) -> bool {
        (&self.group, self.since) == (&other.group, other.since)
    }

    /// As `status` shows it.
    pub(crate) fn api(&self, now: Tick) -> api::Wait {
        api::Wait {
            kind: "legacy-stands".into(),
            text: self.text.clone(),
            nodes: self.nodes.clone(),
            since_ms: now.since(self.since),
            fix: self.fix.clone(),
        }
    }
}

impl Agent {
    /// These stand still now: what is new of that is told, as other waits are.
    pub(crate) fn legacy_waits(&mut self, waits: Vec<LegacyWait>, fx: &mut Effects) {
        let before = std::mem::replace(&mut self.waits.legacy, waits);
        let now = &self.waits.legacy;
        for old in before.iter().filter(|old| !now.iter().any(|wait| wait.is(old))) {
            fx.notice(Notice::WaitEnded { what: old.text.clone(), after_ms: self.now.since(old.since) });
        }
        for new in now.iter().filter(|new| !before.iter().any(|wait| wait.is(new))) {
            fx.notice(Notice::WaitStarted { what: new.text.clone(), fix: new.fix.clone() });
        }
    }

    /// Whether the volumes may recover from this death, as far as legacy groups go.
    pub(crate) fn lower_levels_recovered(&self, node: NodeId) -> Result<(), Wait> {
        let Some(heard) = self.legacy_recovery.as_ref().filter(|_| self.legacy.iter().any(|group| is_lower(group)))
        else {
            return Ok(());
        };
        match heard.behind.get(&node) {
            Some(group) => Err(Wait::LegacyGroup { node, group: group.clone() }),
            None if self.view.ring().is_some_and(|ring| heard.ring_seq < ring.seq) => Err(Wait::LegacyService { node }),
            None => Ok(()),
        }
    }
}

fn is_lower(group: &str) -> bool {
    let level = group.split_once(':').and_then(|(level, _)| level.parse::<u8>().ok());
    level.is_some_and(|level| level < VOLUME_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::effect::Effect;

    fn wait(text: &str) -> LegacyWait {
        LegacyWait { group: "1:a".into(), text: text.into(), nodes: vec![2], since: Tick(5), fix: "f".into() }
    }

    #[test]
    fn a_group_that_stands_still_is_a_wait_of_the_status_until_it_goes_on() {
        let mut agent = Agent::new();
        let mut tell = |at, waits: Vec<LegacyWait>| {
            agent.handle(Tick(at), Event::LegacyWaits(waits), &mut Effects::default());
            let legacy = agent.status().waits.into_iter().filter(|wait| wait.kind == "legacy-stands");
            legacy.map(|wait| (wait.text, wait.nodes, wait.since_ms, wait.fix)).collect::<Vec<_>>()
        };
        assert_eq!(tell(20_005, vec![wait("1:a: x")]), [("1:a: x".to_owned(), vec![2], 20_000, "f".to_owned())]);
        assert_eq!(tell(20_006, vec![]), []);
    }

    #[test]
    fn a_standstill_is_told_once_and_so_is_its_end() {
        let (mut agent, mut fx) = (Agent::new(), Effects::default());
        let mut tell = |at, waits: Vec<LegacyWait>| {
            agent.handle(Tick(at), Event::LegacyWaits(waits), &mut fx);
            let effects = fx.drain().filter_map(|effect| match effect {
                Effect::Notice(notice) => Some(notice),
                _ => None,
            });
            effects.collect::<Vec<_>>()
        };
        let started = Notice::WaitStarted { what: "of nodes 1, 2".into(), fix: "f".into() };
        assert_eq!(tell(20_000, vec![wait("of nodes 1, 2")]), [started]);
        assert_eq!(tell(20_001, vec![wait("of node 2")]), [], "node 1 has answered");
        assert_eq!(tell(30_005, vec![]), [Notice::WaitEnded { what: "of node 2".into(), after_ms: 30_000 }]);
    }

    #[test]
    fn levels_below_the_volumes() {
        for (group, lower) in [("0:default", true), ("1:clvmd", true), ("2:fs", false), ("3:x", false), ("0", false)] {
            assert_eq!(is_lower(group), lower, "{group}");
        }
    }
}
