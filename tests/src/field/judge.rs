//! The sentences of the simulator's checkers, over what the daemons of a real cluster have recorded.
//!
//! What needs the world as a whole (other kernels, corosync's own state) is left to the simulator. What agents of one view
//! hold in common is compared over all recordings: where the ring, the members and all messages since that view are the same.

use super::{Error, Stepped, step};
use crate::sim::agenda::MS;
use crate::sim::checkers::{Ledger, agreed_state};
use crate::sim::cluster::Cluster;
use crate::sim::corosync::Chance;
use agent_core::Event;
use agent_core::ids::{Member, RingId};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Where in the agreed order an agent is: in this view, behind these messages, by number and hash. The number alone would not
/// do: one ring can have the same members twice.
type Place = (RingId, BTreeSet<Member>, u64, u64);

/// What was judged so far.
#[derive(Debug, Default)]
pub struct Judge {
    common: BTreeMap<Place, (PathBuf, usize, u64)>,
    /// Events that were looked at.
    pub events: u64,
    /// Lives of daemons.
    pub lives: u64,
    /// Places of the agreed order at which at least two agents were compared.
    pub compared: u64,
    /// What did not hold.
    pub broken: Vec<String>,
}

/// After so many broken sentences nothing more is told.
const BROKEN_MAX: usize = 20;

impl Judge {
    /// Judges the recording of one node's daemon.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read. What does not hold is in `broken`.
    pub fn take(&mut self, node: u32, path: &Path) -> Result<(), Error> {
        let mut world = Cluster::new(1, Chance::Off, 1);
        let mut life = Life::default();
        let events = step(path, &mut |stepped| {
            if stepped.is_first || matches!(stepped.record.event, Event::Started(_)) {
                life = Life { is_whole: matches!(stepped.record.event, Event::Started(_)), ..Life::default() };
                self.lives += u64::from(life.is_whole);
            }
            world.pass(stepped.record.tick.0 * MS);
            let held = life.ledger.check_recorded(&world, node, stepped.record, stepped.agent);
            if let (true, Err(broken)) = (life.is_whole, held) {
                self.tell(path, stepped.line, &broken.to_string());
            }
            if let Some(place) = life.place(stepped) {
                self.agents_of_one_view_hold_the_same(place, path, stepped);
            }
        })?;
        self.events += events;
        Ok(())
    }

    fn agents_of_one_view_hold_the_same(&mut self, place: Place, path: &Path, stepped: &Stepped<'_>) {
        let Some(agreed) = stepped.agent.agreed().filter(|_| stepped.agent.view().is_open()) else { return };
        let held = agreed_state(agreed);
        match self.common.get(&place) {
            None => _ = self.common.insert(place, (path.to_owned(), stepped.line, held)),
            Some((_, _, same)) if *same == held => self.compared += 1,
            Some((other, line, _)) => {
                let what = format!(
                    "agents of one view hold the same: after message {} in {} not what {}:{line} held: {agreed:?}",
                    place.2,
                    place.0,
                    other.display()
                );
                self.tell(path, stepped.line, &what);
            }
        }
    }

    fn tell(&mut self, path: &Path, line: usize, what: &str) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(format!("{}:{line}: {what}", path.display()));
        }
    }
}

/// One life of a daemon, as far as it was judged.
#[derive(Debug, Default)]
struct Life {
    ledger: Ledger,
    /// Recorded from its start: what it was told before is known.
    is_whole: bool,
    listed: Option<BTreeSet<Member>>,
    messages: u64,
    /// Of all of them, in order.
    hash: u64,
}

impl Life {
    /// Where it is, if a message has just come.
    fn place(&mut self, stepped: &Stepped<'_>) -> Option<Place> {
        match &stepped.record.event {
            Event::ViewChanged(change) => {
                (self.listed, self.messages, self.hash) = (Some(change.members.clone()), 0, 0);
                None
            }
            Event::CorosyncUp(_) | Event::CorosyncLost { .. } => {
                self.listed = None;
                None
            }
            Event::Delivered { from, body } => {
                let mut hasher = DefaultHasher::new();
                (self.hash, from, format!("{body:?}")).hash(&mut hasher);
                (self.messages, self.hash) = (self.messages + 1, hasher.finish());
                Some((stepped.agent.view().ring()?, self.listed.clone()?, self.messages, self.hash))
            }
            _ => None,
        }
    }
}
