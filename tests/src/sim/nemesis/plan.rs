//! What happens to the cluster, and when: deeds, and the plan that a seed names.

use crate::sim::agenda::{MS, Micros, SECOND};
use crate::sim::rng::Rng;
use agent_core::policy::Forget;
use std::fmt;

/// What happens to the cluster from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the deed of the cluster of that name, on one node")]
pub enum Deed {
    PowerOff(u32),
    PowerOn(u32),
    CrashDaemon(u32),
    CrashDaemonAfter(u32, u32),
    StartDaemon(u32),
    StopDaemon(u32),
    AskShutdown(u32),
    CrashCorosync(u32),
    StopCorosync(u32),
    StartCorosync(u32),
    Pause(u32),
    Resume(u32),
    PauseCorosync(u32),
    ResumeCorosync(u32),
    /// Bit n of the mask: node n is on the other side.
    Partition(u32),
    Heal,
    Mount(u32),
    Umount(u32),
    /// Milliseconds for each batch.
    SlowKernel(u32, u64),
    /// One call of this kind fails.
    RefuseOnce(u32, u8),
    /// All calls of this kind fail.
    Refuse(u32, u8),
    Allow(u32),
    RemoveFromNodelist(u32),
    AddToNodelist(u32),
    /// The node gets its other address, or the first one back.
    ChangeAddress(u32),
    ChangeThreshold(u32),
    Ask(u32, u8),
    Intrude(u32, u8),
    IntrudersEnd,
}

/// A seed, spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: u32,
    /// Policy of all nodes.
    pub forget: Forget,
    /// Until quorum speaks of a new ring.
    pub quorum_lag: Micros,
    /// What happens when.
    pub deeds: Vec<(Micros, Deed)>,
}

/// Faults last this long.
const UNREST: Micros = 60 * SECOND;
/// Kinds of deeds; each seed leaves out half of them.
const KINDS: u64 = 17;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = 3 + rng.below(3) as u32;
        let forget = if rng.chance(70) { Forget::Unconfigured } else { Forget::Gone };
        let quorum_lag = if rng.chance(20) { 500 * MS } else { 2 * MS };
        let kinds = rng.bits();
        let gap = [200 * MS, SECOND, 4 * SECOND][rng.below(3) as usize];
        let mut deeds: Vec<(Micros, Deed)> =
            (1..=nodes).map(|node| (rng.below(3 * SECOND), Deed::PowerOn(node))).collect();
        let mut at = 2 * SECOND + rng.below(6 * SECOND);
        while at < UNREST {
            let kind = rng.below(KINDS);
            let node = 1 + rng.below(u64::from(nodes)) as u32;
            if kinds & (1 << kind) != 0 {
                deeds.extend(some_deeds(kind, node, nodes, at, &mut rng));
            }
            at += if rng.chance(40) { rng.below(20 * MS) } else { rng.below(2 * gap) };
        }
        deeds.sort_by_key(|(at, _)| *at);
        Plan { seed, nodes, forget, quorum_lag, deeds }
    }
}

/// A deed, and often what takes it back later.
fn some_deeds(kind: u64, node: u32, nodes: u32, at: Micros, rng: &mut Rng) -> Vec<(Micros, Deed)> {
    let longest = [100 * MS, 3 * SECOND, 15 * SECOND][rng.below(3) as usize];
    let later = at + 10 * MS + rng.below(longest);
    let byte = rng.below(256) as u8;
    let (now, then) = match kind {
        0 => (Deed::PowerOff(node), Some(Deed::PowerOn(node))),
        1 => (Deed::CrashDaemon(node), Some(Deed::StartDaemon(node))),
        2 => (Deed::CrashDaemonAfter(node, u32::from(byte % 12)), Some(Deed::StartDaemon(node))),
        3 => (Deed::StopDaemon(node), Some(Deed::StartDaemon(node))),
        4 => (Deed::CrashCorosync(node), Some(Deed::StartCorosync(node))),
        5 => (Deed::StopCorosync(node), Some(Deed::StartCorosync(node))),
        6 => (Deed::Pause(node), Some(Deed::Resume(node))),
        7 => (Deed::PauseCorosync(node), Some(Deed::ResumeCorosync(node))),
        8 => (Deed::Partition((rng.below(1 << nodes) << 1) as u32), Some(Deed::Heal)),
        9 => (Deed::Mount(node), rng.chance(60).then_some(Deed::Umount(node))),
        10 => (Deed::SlowKernel(node, rng.below(8_000)), Some(Deed::SlowKernel(node, 0))),
        11 => (Deed::RefuseOnce(node, byte), None),
        12 => (Deed::Refuse(node, byte), Some(Deed::Allow(node))),
        13 => (Deed::RemoveFromNodelist(node), Some(Deed::AddToNodelist(node))),
        14 => (Deed::ChangeAddress(node), rng.chance(50).then_some(Deed::ChangeAddress(node))),
        15 if rng.chance(50) => (Deed::Intrude(node, byte), Some(Deed::IntrudersEnd)),
        15 => (Deed::ChangeThreshold(node), Some(Deed::ChangeThreshold(node))),
        16 if rng.chance(10) => (Deed::AskShutdown(node), Some(Deed::StartCorosync(node))),
        _ => (Deed::Ask(node, byte), None),
    };
    [(at, now)].into_iter().chain(then.map(|deed| (later, deed))).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, nodes, forget, quorum_lag, .. } = self;
        writeln!(f, "seed {seed}: {nodes} nodes, forget {forget:?}, quorum after {} ms", quorum_lag / MS)?;
        self.deeds.iter().try_for_each(|(at, deed)| writeln!(f, "{:>8} ms  {deed:?}", at / MS))
    }
}
