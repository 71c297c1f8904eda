//! What happens to the cluster, and when: deeds, and the plan that a seed names.

use crate::sim::agenda::{MS, Micros, SECOND};
use crate::sim::rng::Rng;
use agent_core::policy::{Fence, Forget};
use std::fmt;

/// What happens to the cluster from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the deed of the cluster of that name, on one node")]
pub enum Deed {
    PowerOff(u32),
    PowerOn(u32),
    /// All nodes at once.
    Blackout,
    CrashDaemon(u32),
    CrashDaemonAfter(u32, u32),
    StartDaemon(u32),
    StopDaemon(u32),
    AskShutdown(u32),
    CrashCorosync(u32),
    StopCorosync(u32),
    StartCorosync(u32),
    Pause(u32),
    PauseDaemon(u32),
    Resume(u32),
    PauseCorosync(u32),
    ResumeCorosync(u32),
    /// Milliseconds.
    JumpClock(u32, u64),
    /// Bit n of the mask: node n is on the other side.
    Partition(u32),
    /// The link between two.
    Cut(u32, u32),
    Heal,
    /// Milliseconds.
    Stall(u32, u64),
    /// Milliseconds.
    Busy(u32, u64),
    /// Whom the next broken synchronisation loses comes back as a ghost.
    Ghost,
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
    /// Of some, the client does not wait for the answer.
    Ask(u32, u8),
    Intrude(u32, u8),
    IntrudersEnd,
    /// On a user stack: the tool of a mount, whatever it does.
    ToolDies(u32),
    /// The control device refuses.
    RefuseControl(u32),
    AllowControl(u32),
    /// A person powers the second off and tells the first.
    AckDead(u32, u32),
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
    /// Whether recovery is left to the daemon, on a user stack; `None`: the disk heartbeat does it.
    pub user_stack: Option<bool>,
    /// Policy of all nodes.
    pub fence: Fence,
    /// Until quorum speaks of a new ring.
    pub quorum_lag: Micros,
    /// What happens when.
    pub deeds: Vec<(Micros, Deed)>,
    /// Faults among the deeds, as drawn.
    pub faults: u64,
    /// Most faults that last at one time, as drawn.
    pub overlap: usize,
}

/// Fewest faults of a plan.
pub const FAULTS_MIN: u64 = 20;
/// Of the others, how many at most.
const FAULTS_MORE: u64 = 11;
/// Kinds of faults; each seed leaves out half of them.
const KINDS: u64 = 24;
/// And so many more on a user stack.
const KINDS_OF_USER_STACK: u64 = 3;
/// Of a hundred plans, how many have a user stack.
const USER_STACK_PERCENT: u64 = 30;
/// Of a hundred faults, how many come together with the one before.
const TOGETHER_PERCENT: u64 = 40;
/// And how many hit when the one before has just been noticed, or its ring is being synchronised.
const IN_RECOVERY_PERCENT: u64 = 6;
/// After how many of a hundred faults somebody mounts, unmounts or asks.
const USE_PERCENT: u64 = 60;

impl Plan {
    /// The plan of a seed, for three to five nodes.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let nodes = 3 + Rng::new(seed).below(3) as u32;
        Plan::of_size(seed, nodes)
    }

    /// The plan of a seed for so many nodes.
    #[must_use]
    pub fn of_size(seed: u64, nodes: u32) -> Self {
        let (user_stack, fence) = stack_and_fence(seed);
        let mut draw = Draw { rng: Rng::new(seed).split(), nodes, deeds: Vec::new(), spans: Vec::new() };
        let all_kinds = KINDS + if user_stack.is_some() { KINDS_OF_USER_STACK } else { 0 };
        let rng = &mut draw.rng;
        let forget = if rng.chance(70) { Forget::Unconfigured } else { Forget::Gone };
        let quorum_lag = if rng.chance(20) { 500 * MS } else { 2 * MS };
        let kinds = rng.bits() | 1;
        let gap = [20 * MS, 100 * MS, 400 * MS, 2 * SECOND][rng.below(4) as usize];
        let faults = FAULTS_MIN + rng.below(FAULTS_MORE);
        let detection = crate::sim::corosync::Timing::of(nodes as usize).detection();
        draw.deeds = (1..=nodes).map(|node| (draw.rng.below(3 * SECOND), Deed::PowerOn(node))).collect();
        let mut at = 2 * SECOND + draw.rng.below(6 * SECOND);
        while (draw.spans.len() as u64) < faults {
            let kind = draw.rng.below(all_kinds);
            if kinds & (1 << kind) == 0 {
                continue;
            }
            draw.fault(kind, at);
            if draw.rng.chance(USE_PERCENT) {
                draw.usage(at + draw.rng.clone().below(gap));
            }
            at += match draw.rng.below(100) {
                dice if dice < TOGETHER_PERCENT => draw.rng.below(20 * MS),
                dice if dice < TOGETHER_PERCENT + IN_RECOVERY_PERCENT => detection - MS + draw.rng.below(8 * MS),
                _ => draw.rng.below(2 * gap),
            };
        }
        let Draw { mut deeds, spans, .. } = draw;
        deeds.sort_by_key(|(at, _)| *at);
        Plan { seed, nodes, forget, user_stack, fence, quorum_lag, deeds, faults, overlap: overlap(&spans) }
    }
}

/// Drawn apart, so that the rest of a plan does not depend on it.
fn stack_and_fence(seed: u64) -> (Option<bool>, Fence) {
    let mut rng = Rng::new(seed ^ 0x5742_6b03_91c2_e4d7);
    let user_stack = rng.chance(USER_STACK_PERCENT).then(|| rng.chance(20));
    let gate = rng.below(100);
    let fence = match (user_stack, gate) {
        (None, 0..80) | (Some(_), 0..20) => Fence::None,
        (_, 0..90) => Fence::Command,
        _ => Fence::Manual,
    };
    (user_stack, fence)
}

/// A plan in the making.
struct Draw {
    rng: Rng,
    nodes: u32,
    deeds: Vec<(Micros, Deed)>,
    /// From when to when each fault lasts.
    spans: Vec<(Micros, Micros)>,
}

impl Draw {
    fn node(&mut self) -> u32 {
        1 + self.rng.below(u64::from(self.nodes)) as u32
    }

    /// A fault, and often what takes it back later.
    fn fault(&mut self, kind: u64, at: Micros) {
        let longest = [100 * MS, 3 * SECOND, 15 * SECOND][self.rng.below(3) as usize];
        let lasts = 10 * MS + self.rng.below(longest);
        let (node, byte) = (self.node(), self.rng.below(256) as u8);
        let (now, then) = match kind {
            0 => (Deed::PowerOff(node), Some(Deed::PowerOn(node))),
            1 => (Deed::CrashDaemon(node), Some(Deed::StartDaemon(node))),
            2 => (Deed::CrashDaemonAfter(node, u32::from(byte % 12)), Some(Deed::StartDaemon(node))),
            3 => (Deed::StopDaemon(node), Some(Deed::StartDaemon(node))),
            4 => (Deed::CrashCorosync(node), Some(Deed::StartCorosync(node))),
            5 => (Deed::StopCorosync(node), Some(Deed::StartCorosync(node))),
            6 => (Deed::Pause(node), Some(Deed::Resume(node))),
            7 => (Deed::PauseCorosync(node), Some(Deed::ResumeCorosync(node))),
            8 => (Deed::PauseDaemon(node), Some(Deed::Resume(node))),
            9 => (Deed::Partition((self.rng.below(1 << self.nodes) << 1) as u32), Some(Deed::Heal)),
            10 => (Deed::Cut(node, self.node()), Some(Deed::Heal)),
            11 => (Deed::Stall(node, lasts / MS), None),
            12 => (Deed::Busy(node, lasts / MS), None),
            13 => (Deed::JumpClock(node, lasts / MS), None),
            14 => (Deed::SlowKernel(node, self.rng.below(8_000)), Some(Deed::SlowKernel(node, 0))),
            15 => (Deed::RefuseOnce(node, byte), None),
            16 => (Deed::Refuse(node, byte), Some(Deed::Allow(node))),
            17 => (Deed::RemoveFromNodelist(node), Some(Deed::AddToNodelist(node))),
            18 => (Deed::ChangeAddress(node), self.rng.chance(50).then_some(Deed::ChangeAddress(node))),
            19 => (Deed::ChangeThreshold(node), Some(Deed::ChangeThreshold(node))),
            20 => (Deed::Intrude(node, byte), Some(Deed::IntrudersEnd)),
            21 => (Deed::AskShutdown(node), Some(Deed::StartCorosync(node))),
            22 => (Deed::Ghost, None),
            24 => (Deed::ToolDies(node), None),
            25 => (Deed::RefuseControl(node), Some(Deed::AllowControl(node))),
            26 => (Deed::AckDead(node, self.node()), None),
            _ if byte < 64 => return self.blackout(at, lasts),
            _ => (Deed::PowerOff(node), Some(Deed::PowerOn(node))),
        };
        self.spans.push((at, at + if then.is_some() || matches!(kind, 11 | 12) { lasts } else { 0 }));
        self.deeds.extend([(at, now)].into_iter().chain(then.map(|deed| (at + lasts, deed))));
    }

    fn blackout(&mut self, at: Micros, lasts: Micros) {
        self.spans.push((at, at + lasts));
        self.deeds.push((at, Deed::Blackout));
        for node in 1..=self.nodes {
            self.deeds.push((at + lasts + self.rng.below(SECOND), Deed::PowerOn(node)));
        }
    }

    fn usage(&mut self, at: Micros) {
        let node = self.node();
        let deed = match self.rng.below(4) {
            0 => Deed::Mount(node),
            1 => Deed::Umount(node),
            2 => return self.mount_for_a_while(node, at),
            _ => Deed::Ask(node, self.rng.below(256) as u8),
        };
        self.deeds.push((at, deed));
    }

    fn mount_for_a_while(&mut self, node: u32, at: Micros) {
        let until = at + self.rng.below(10 * SECOND);
        self.deeds.extend([(at, Deed::Mount(node)), (until, Deed::Umount(node))]);
    }
}

/// Most of these that last at one time.
fn overlap(spans: &[(Micros, Micros)]) -> usize {
    let lasting = |at: Micros| spans.iter().filter(|(from, until)| *from <= at && at < *until).count();
    spans.iter().map(|(from, _)| lasting(*from)).max().unwrap_or(0)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, nodes, forget, user_stack, fence, quorum_lag, .. } = self;
        let stack = match user_stack {
            None => "o2cb",
            Some(true) => "a user stack that recovers by itself",
            Some(false) => "a user stack",
        };
        let lag = quorum_lag / MS;
        writeln!(f, "seed {seed}: {nodes} nodes, {stack}, forget {forget:?}, fence {fence:?}, quorum after {lag} ms")?;
        self.deeds.iter().try_for_each(|(at, deed)| writeln!(f, "{:>8} ms  {deed:?}", at / MS))
    }
}
