//! Clusters that stand: to found one of five nodes takes 245 events, and without faults it goes much the same way each
//! time. Brief lives begin where one of a few foundings has ended, so that all of their events are those of faults.

use super::outcome::Failure;
use super::plan::{Plan, power_on};
use super::{Ledger, Run};
use crate::sim::agenda::{Micros, SECOND};
use crate::sim::cluster::Cluster;
use crate::sim::recording::Memory;
use crate::sim::rng::Rng;
use std::collections::BTreeMap;

/// So many are founded, each with its own policies and at its own pace.
pub(super) const FOUNDATIONS: u64 = 32;
/// By this time each of them stands.
pub(super) const FOUNDED_BY: Micros = 40 * SECOND;

/// Those that were founded already, by number and nodes.
#[derive(Debug, Default)]
pub struct Foundations(BTreeMap<(u64, u32), Founded>);

/// A cluster that stands, and what the checkers know of it.
#[derive(Clone, Debug)]
pub(super) struct Founded {
    pub(super) cluster: Cluster,
    pub(super) ledger: Ledger,
}

impl Foundations {
    /// The cluster in which a plan begins. Only what came last is kept of these; a run that keeps all is founded anew.
    pub(super) fn of(&mut self, plan: &Plan, number: u64, memory: Memory) -> Result<Founded, Failure> {
        let key = (number, plan.nodes);
        if let (Memory::Last, Some(known)) = (memory, self.0.get(&key)) {
            return Ok(known.clone());
        }
        let founded = found(&plan.founding(number), memory)?;
        if memory == Memory::Last {
            self.0.insert(key, founded.clone());
        }
        Ok(founded)
    }
}

/// All nodes are powered on, and nothing is done to them.
fn found(plan: &Plan, memory: Memory) -> Result<Founded, Failure> {
    let mut run = Run::fresh(plan, memory);
    run.unrest()?;
    run.rest()?;
    while run.cluster.next_at().is_some_and(|at| at <= FOUNDED_BY) {
        run.step()?;
    }
    run.cluster.pass(FOUNDED_BY);
    Ok(Founded { cluster: run.cluster, ledger: run.ledger })
}

impl Plan {
    /// The same cluster without faults.
    fn founding(&self, number: u64) -> Plan {
        let mut rng = Rng::new(number);
        let mut deeds = power_on(self.nodes, &mut rng);
        deeds.sort_by_key(|(at, _)| *at);
        Plan { seed: number, begins: None, deeds, encores: Vec::new(), faults: 0, overlap: 0, ..self.clone() }
    }
}
