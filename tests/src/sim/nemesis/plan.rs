//! What happens to the cluster, and when: deeds, and the plan that a seed names.

use super::DEAD_THRESHOLD;
use super::foundation::{FOUNDATIONS, FOUNDED_BY};
use super::strange::Strange;
use crate::sim::agenda::{MS, Micros, SECOND};
use crate::sim::rng::Rng;
use agent_core::policy::{Fence, Forget, Policy};
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
    /// A person powers off whose death is waited for, and says so.
    AckDead(u32),
    Strange(u32, Strange),
}

/// A seed, spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: u32,
    /// The founding of a cluster that stands, in which it begins; without, no node is powered on.
    pub begins: Option<u64>,
    /// Policy of all nodes.
    pub forget: Forget,
    /// Whether recovery is left to the daemon, on a user stack; `None`: the disk heartbeat does it.
    pub user_stack: Option<bool>,
    /// Policy of all nodes.
    pub fence: Fence,
    /// Policy of all nodes.
    pub restart_grace_ms: u64,
    /// Until quorum speaks of a new ring.
    pub quorum_lag: Micros,
    /// What happens when.
    pub deeds: Vec<(Micros, Deed)>,
    /// Of a brief life: what more happens at its end, one after the other, while it has fewer than [`EVENTS_MIN`] events.
    pub encores: Vec<Deed>,
    /// Faults among the deeds, as drawn.
    pub faults: u64,
    /// Most faults that last at one time, as drawn.
    pub overlap: usize,
}

/// Fewest faults of a plan.
pub const FAULTS_MIN: u64 = 20;
/// Fewest events of a brief life.
pub const EVENTS_MIN: u64 = 200;
/// What more can happen in one that is over too soon.
const ENCORES: usize = 4;
/// Kinds of faults; each seed leaves out half of them.
const KINDS: u64 = 25;
/// And those of a user stack.
const KINDS_OF_USER_STACK: u64 = 3;
/// And what people and other programs do, in some plans.
const STRANGE_KINDS: u64 = 8;
/// Of a hundred plans, how many have a user stack.
const USER_STACK_PERCENT: u64 = 30;
/// And how many have strange faults as well.
const STRANGE_PERCENT: u64 = 30;
/// All nodes are powered on within this time.
const POWER_ON_WITHIN: Micros = 1500 * MS;
/// The first fault comes no sooner.
const FIRST_AFTER: Micros = SECOND;
/// Of a hundred faults, how many come together with the one before.
const TOGETHER_PERCENT: u64 = 50;

/// How much happens, and how close to each other.
#[derive(Clone, Copy, Debug)]
struct Tempo {
    /// Of the faults above [`FAULTS_MIN`], fewer than this.
    faults_more: u64,
    /// Changes of the configuration, of all nodes: each takes as long to settle as four other faults.
    moves_max: u32,
    /// Of 256 losses of power of one of two kinds, how many hit all nodes at once: then the cluster is founded anew.
    blackouts: u8,
    /// After how many of a hundred faults somebody mounts, unmounts or asks.
    use_percent: u64,
    /// The first fault comes within this: while the cluster is founded, or soon after.
    first_within: Micros,
    /// Most time between two faults is twice one of these.
    gaps: [Micros; 4],
    /// A fault lasts at most one of these.
    longest: [Micros; 4],
    /// Of a hundred faults, how many hit when the one before has just been noticed, or its ring is being synchronised.
    in_recovery_percent: u64,
    /// Who mounts for a while unmounts within this.
    mounted_within: Micros,
}

/// Views come and go between the faults.
const LONG: Tempo = Tempo {
    faults_more: 7,
    moves_max: 2,
    blackouts: 64,
    use_percent: 60,
    first_within: 4 * SECOND,
    gaps: [10 * MS, 40 * MS, 150 * MS, 600 * MS],
    longest: [50 * MS, SECOND, 4 * SECOND, 16 * SECOND],
    in_recovery_percent: 6,
    mounted_within: 10 * SECOND,
};

/// Faults come before the one before has been noticed; each life draws how long they last, and what follows below.
const BRIEF: Tempo = Tempo {
    faults_more: 2,
    moves_max: 1,
    blackouts: 8,
    use_percent: 40,
    first_within: 200 * MS,
    gaps: [2 * MS, 5 * MS, 10 * MS, 20 * MS],
    longest: [50 * MS, 100 * MS, 300 * MS, 4 * SECOND],
    in_recovery_percent: 0,
    mounted_within: SECOND,
};
/// A brief life has few events to spare for what takes many: half of them change the configuration only once,
const BRIEF_MOVES: [u32; 2] = [1, 2];
/// and in one of eight rings have the time to form between two faults.
const BRIEF_IN_RECOVERY: [u64; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

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
        Plan::drawn(seed, nodes, LONG, None)
    }

    /// A brief one for so many nodes: as many faults within a second, in a cluster that stands.
    #[must_use]
    pub fn brief(seed: u64, nodes: u32) -> Self {
        let mut rng = Rng::new(!seed);
        let longest = rng.pick(&BRIEF.longest).unwrap_or(SECOND);
        let begins = rng.below(FOUNDATIONS);
        let moves_max = rng.pick(&BRIEF_MOVES).unwrap_or(0);
        let in_recovery_percent = rng.pick(&BRIEF_IN_RECOVERY).unwrap_or(0);
        let encores = (0..ENCORES).map(|_| encore(nodes, &mut rng)).collect();
        let tempo = Tempo { longest: [longest; 4], moves_max, in_recovery_percent, ..BRIEF };
        Plan { encores, ..Plan::drawn(seed, nodes, tempo, Some(begins)) }
    }

    fn drawn(seed: u64, nodes: u32, tempo: Tempo, begins: Option<u64>) -> Self {
        let Policies { user_stack, fence, restart_grace_ms } = policies(begins.unwrap_or(seed));
        let mut draw =
            Draw { rng: Rng::new(seed).split(), nodes, tempo, deeds: Vec::new(), spans: Vec::new(), moves: 0 };
        let rng = &mut draw.rng;
        let (forget, quorum_lag) = match begins {
            Some(number) => habits(&mut Rng::new(number).split()),
            None => habits(rng),
        };
        let kinds = kinds(rng, user_stack.is_some());
        let gap = rng.pick(&tempo.gaps).unwrap_or(SECOND);
        let faults = FAULTS_MIN + rng.below(tempo.faults_more);
        let detection = crate::sim::corosync::Timing::of(nodes as usize).detection();
        if begins.is_none() {
            draw.deeds = power_on(nodes, &mut draw.rng);
        }
        let mut at = begins.map_or(FIRST_AFTER, |_| FOUNDED_BY) + draw.rng.below(tempo.first_within);
        while (draw.spans.len() as u64) < faults {
            let kind = draw.rng.pick(&kinds).unwrap_or(0);
            draw.fault(kind, at);
            if draw.rng.chance(tempo.use_percent) {
                draw.usage(at + draw.rng.clone().below(gap));
            }
            at += match draw.rng.below(100) {
                dice if dice < TOGETHER_PERCENT => draw.rng.below(20 * MS),
                dice if dice < TOGETHER_PERCENT + tempo.in_recovery_percent => detection - MS + draw.rng.below(8 * MS),
                _ => draw.rng.below(2 * gap),
            };
        }
        let Draw { mut deeds, spans, .. } = draw;
        deeds.sort_by_key(|(at, _)| *at);
        let overlap = overlap(&spans);
        let encores = Vec::new();
        Plan {
            seed,
            nodes,
            begins,
            forget,
            user_stack,
            fence,
            restart_grace_ms,
            quorum_lag,
            deeds,
            encores,
            faults,
            overlap,
        }
    }

    /// o2cpg.toml of every node.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let Plan { forget, fence, restart_grace_ms, .. } = *self;
        let mut policy = Policy { forget, fence, restart_grace_ms, ..Policy::default() };
        policy.attributes.dead_threshold = DEAD_THRESHOLD;
        policy
    }
}

fn habits(rng: &mut Rng) -> (Forget, Micros) {
    let forget = if rng.chance(70) { Forget::Unconfigured } else { Forget::Gone };
    (forget, if rng.chance(20) { 500 * MS } else { 2 * MS })
}

/// Each at its own moment.
pub(super) fn power_on(nodes: u32, rng: &mut Rng) -> Vec<(Micros, Deed)> {
    (1..=nodes).map(|node| (rng.below(POWER_ON_WITHIN), Deed::PowerOn(node))).collect()
}

/// A fault that is over at once: what was lost is back before anybody could miss it.
fn encore(nodes: u32, rng: &mut Rng) -> Deed {
    let node = 1 + rng.below(u64::from(nodes)) as u32;
    let kinds = [Deed::Stall(node, 10), Deed::CrashDaemon(node), Deed::CrashCorosync(node)];
    rng.pick(&kinds).unwrap_or(Deed::Stall(node, 10))
}

/// Half of the kinds of faults, of those that there can be.
fn kinds(rng: &mut Rng, user_stack: bool) -> Vec<u64> {
    let (chosen, strange) = (rng.bits() | 1, rng.chance(STRANGE_PERCENT));
    let user_stacks = KINDS..KINDS + KINDS_OF_USER_STACK;
    let all = 0..user_stacks.end + if strange { STRANGE_KINDS } else { 0 };
    all.filter(|kind| chosen & (1 << kind) != 0 && (user_stack || !user_stacks.contains(kind))).collect()
}

struct Policies {
    user_stack: Option<bool>,
    fence: Fence,
    restart_grace_ms: u64,
}

/// Drawn apart, so that the rest of a plan does not depend on it.
fn policies(seed: u64) -> Policies {
    let mut rng = Rng::new(seed ^ 0x5742_6b03_91c2_e4d7);
    let user_stack = rng.chance(USER_STACK_PERCENT).then(|| rng.chance(20));
    let gate = rng.below(100);
    let fence = match (user_stack, gate) {
        (None, 0..80) | (Some(_), 0..20) => Fence::None,
        (_, 0..90) => Fence::Command,
        _ => Fence::Manual,
    };
    let restart_grace_ms = rng.pick(&[30_000, 30_000, 3_000, 500]).unwrap_or(0);
    Policies { user_stack, fence, restart_grace_ms }
}

/// A plan in the making.
struct Draw {
    rng: Rng,
    nodes: u32,
    tempo: Tempo,
    deeds: Vec<(Micros, Deed)>,
    /// From when to when each fault lasts.
    spans: Vec<(Micros, Micros)>,
    /// Changes of the configuration so far.
    moves: u32,
}

impl Draw {
    fn node(&mut self) -> u32 {
        1 + self.rng.below(u64::from(self.nodes)) as u32
    }

    /// A fault, and often what takes it back later.
    fn fault(&mut self, kind: u64, at: Micros) {
        let longest = self.rng.pick(&self.tempo.longest).unwrap_or(SECOND);
        let lasts = 10 * MS + self.rng.below(longest);
        let (node, byte) = (self.node(), self.rng.below(256) as u8);
        self.moves += u32::from(matches!(kind, 17..=19 | 23));
        let kind = if self.moves > self.tempo.moves_max && matches!(kind, 17..=19 | 23) { kind % 16 } else { kind };
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
            23 => return self.mount_while_it_moves(node, at),
            25 => (Deed::ToolDies(node), None),
            26 => (Deed::RefuseControl(node), Some(Deed::AllowControl(node))),
            27 => (Deed::AckDead(node), None),
            28.. => return self.strange(kind - KINDS - KINDS_OF_USER_STACK, node, byte, at, lasts),
            _ if byte < self.tempo.blackouts => return self.blackout(at, lasts),
            _ => (Deed::PowerOff(node), Some(Deed::PowerOn(node))),
        };
        let holds_on = matches!(now, Deed::Stall(..) | Deed::Busy(..));
        self.add(at, if then.is_some() || holds_on { lasts } else { 0 }, now, then);
    }

    fn add(&mut self, at: Micros, lasts: Micros, now: Deed, then: Option<Deed>) {
        self.spans.push((at, at + lasts));
        self.deeds.extend([(at, now)].into_iter().chain(then.map(|deed| (at + lasts, deed))));
    }

    /// What people and other programs do.
    fn strange(&mut self, kind: u64, node: u32, byte: u8, at: Micros, lasts: Micros) {
        let (now, then) = match kind {
            0 => (Strange::Misconfigured(byte), Strange::Reconfigured),
            1 => (Strange::OtherSettings(byte), Strange::Reconfigured),
            2 => (Strange::Meddles(byte), Strange::StopsMeddling),
            3 => (Strange::Legacy(byte), Strange::LegacyEnds),
            4 => (Strange::Sticks, Strange::Unsticks),
            5 => return self.add(at, lasts, Deed::Strange(node, Strange::HidesTree(byte)), Some(Deed::Allow(node))),
            6 => return self.add(at, 0, Deed::Strange(node, Strange::BreaksOff), None),
            _ => {
                let now = Deed::Strange(node, Strange::LosesState(byte));
                return self.add(at, lasts, now, Some(Deed::StartDaemon(node)));
            }
        };
        self.add(at, lasts, Deed::Strange(node, now), Some(Deed::Strange(node, then)));
    }

    /// A node gets its other address, and mounts by the old one while somebody holds the exchange up.
    fn mount_while_it_moves(&mut self, node: u32, at: Micros) {
        let (holds_up, lasts) = (self.node(), 1500 * MS + self.rng.below(SECOND));
        self.add(at, lasts, Deed::Busy(holds_up, lasts / MS), None);
        self.deeds.extend([(at, Deed::ChangeAddress(node)), (at + self.rng.below(100 * MS), Deed::Mount(node))]);
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
        let deed = match self.rng.below(10) {
            0 | 1 => Deed::Mount(node),
            2 | 3 => Deed::Umount(node),
            4 | 5 => return self.mount_for_a_while(node, at),
            6 => Deed::Strange(node, Strange::Tool(self.rng.below(256) as u8)),
            _ => Deed::Ask(node, self.rng.below(256) as u8),
        };
        self.deeds.push((at, deed));
    }

    fn mount_for_a_while(&mut self, node: u32, at: Micros) {
        let until = at + self.rng.below(self.tempo.mounted_within);
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
        let Plan { seed, nodes, begins, forget, user_stack, fence, quorum_lag, restart_grace_ms, .. } = self;
        let stack = match user_stack {
            None => "o2cb",
            Some(true) => "a user stack that recovers by itself",
            Some(false) => "a user stack",
        };
        let lag = quorum_lag / MS;
        write!(f, "seed {seed}: {nodes} nodes, {stack}, forget {forget:?}, fence {fence:?}, ")?;
        begins.iter().try_for_each(|number| write!(f, "founded as {number}, "))?;
        writeln!(f, "restart grace {restart_grace_ms} ms, quorum after {lag} ms")?;
        self.deeds.iter().try_for_each(|(at, deed)| writeln!(f, "{:>8} ms  {deed:?}", at / MS))?;
        match self.encores.as_slice() {
            [] => Ok(()),
            encores => writeln!(f, "while it has fewer than {EVENTS_MIN} events, at its end: {encores:?}"),
        }
    }
}
