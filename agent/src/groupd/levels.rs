//! What the agent's core has to know of recovery here: volumes wait for the groups of lower levels (rule G1).

use agent_core::ids::NodeId;
use agent_core::legacy::{LegacyRecovery, VOLUME_LEVEL};
use groupd_compat::ids::NodeId as LegacyNode;
use groupd_compat::machine::Machine;
use groupd_compat::names::Level;

/// What was told last, and the counts that it was found at.
#[derive(Debug, Default)]
pub(super) struct Levels {
    told: LegacyRecovery,
    counts: Vec<(LegacyNode, usize)>,
}

impl Levels {
    /// The word to be told, if it is a new one. Asked after every event of the machine, so what nothing happened to costs
    /// nothing; and of a thousand groups that recover one after the other it says the last only.
    pub(super) fn news(&mut self, machine: &Machine) -> Option<LegacyRecovery> {
        let below = Level::try_from(i64::from(VOLUME_LEVEL)).ok()?;
        let ring_seq = machine.ring().seq;
        let counts: Vec<_> = machine.unrecovered(below).collect();
        if ring_seq == self.told.ring_seq && counts == self.counts {
            return None;
        }
        let last = |&(node, _): &(LegacyNode, usize)| {
            Some((NodeId(node.0), machine.last_unrecovered(node, below)?.to_string()))
        };
        let word = LegacyRecovery { ring_seq, behind: counts.iter().filter_map(last).collect() };
        self.counts = counts;
        (word != self.told).then(|| {
            self.told.clone_from(&word);
            word
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groupd_compat::ids::{RingId, Tick};
    use groupd_compat::machine::{Effects, Event, Settings};

    #[test]
    fn a_ring_is_told_once() {
        let mut machine = Machine::new(Settings::libgroup(LegacyNode(1)));
        let mut levels = Levels::default();
        assert_eq!(levels.news(&machine), None);
        let ring = Event::RingChanged { ring: RingId { representative: 1, seq: 8 }, nodes: vec![LegacyNode(1)] };
        machine.handle(Tick(0), ring, &mut Effects::default());
        assert_eq!(levels.news(&machine), Some(LegacyRecovery { ring_seq: 8, ..LegacyRecovery::default() }));
        assert_eq!(levels.news(&machine), None);
    }
}
