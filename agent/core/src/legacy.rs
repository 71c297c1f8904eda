//! The legacy service beside us. Its groups pin this daemon, and those of lower levels recover from a death before our
//! volumes do (DESIGN §9).
//!
//! The service has a connection to corosync of its own: it and we learn of one death at different moments, and in no
//! order. So it says up to which ring it has seen everything, together with what it still recovers, and a death waits here
//! until the service has seen the ring that we are in (docs/decisions/0008).

use crate::agent::Agent;
use crate::ids::NodeId;
use crate::wait::Wait;
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

impl Agent {
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

    #[test]
    fn levels_below_the_volumes() {
        for (group, lower) in [("0:default", true), ("1:clvmd", true), ("2:fs", false), ("3:x", false), ("0", false)] {
            assert_eq!(is_lower(group), lower, "{group}");
        }
    }
}
