//! The order of a death (rule D1): fence gate → lower levels → drop what points to the dead → go on. And what becomes of
//! a node whose agent is gone while its kernel may go on.
//!
//! A node that dies while it uses volumes is a [`Death`] until it is buried. With the o2cb stack the kernel's disk heartbeat
//! fences and recovers by itself, and only the gate is ours; with a user stack that leaves recovery to a daemon, each
//! survivor writes DOWN for each volume that both used, and then lets the DLM go on (`words`). The gate is opened once for all, in
//! agreed order.

use crate::agent::Agent;
use crate::control::Duty;
use crate::effect::{Effect, Effects};
use crate::event::ControlOp;
use crate::ids::{Member, NodeId, Tick};
use crate::notice::Notice;
use crate::policy::Fence;
use crate::saved::SavedDeath;
use crate::timers::{HEARTBEAT_MS, Timer};
use crate::wait::Wait;
use crate::words::Words;
use proto::peer::limits::VOLUMES_MAX;
use proto::peer::{Body, Fenced, Live, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A fence program that failed is run again after this.
pub const FENCE_AGAIN_MS: u64 = 10_000;
/// dlm_controld has noticed the loss of corosync by then; it needs some milliseconds.
pub const DESERTED_AFTER_MS: u64 = 1_000;

/// Why a death waits whose node has mounted since.
pub const USED_AGAIN: &str = "it uses volumes again: unmount them there";

/// A node that died while it used volumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// Since when.
    pub since: Tick,
    /// What it used.
    pub volumes: BTreeSet<VolumeId>,
    /// We were not there when it died, and do not know what it used: it may be any volume.
    #[serde(default)]
    pub learned: bool,
    /// The boot that died.
    #[serde(default)]
    pub boot: Option<[u8; 16]>,
    /// Who opened the gate.
    pub fenced_by: Option<String>,
    /// Who has said so on this node: told again in each view until all know.
    pub confirmed: Option<String>,
    /// It was told in this view.
    pub told: bool,
    /// It may run again from here on.
    pub fence_from: Tick,
    /// Why the gate is still closed.
    pub why: String,
    /// DOWN was written for these.
    #[serde(default)]
    pub down: BTreeSet<VolumeId>,
}

impl Death {
    /// Whether it may have used this volume.
    #[must_use]
    pub fn concerns(&self, volume: VolumeId) -> bool {
        self.learned || self.volumes.contains(&volume)
    }

    pub(crate) fn saved(&self) -> SavedDeath {
        let (volumes, fenced_by) = (self.volumes.clone(), self.fenced_by.clone());
        SavedDeath { volumes, learned: self.learned, boot: self.boot, fenced_by }
    }
}

impl Agent {
    /// A node went down. For one that used nothing there is nothing to do, nor where the kernels do all of it. Of one that we
    /// have not heard since we are here we do not know what it used.
    pub(crate) fn node_died(&mut self, node: NodeId) {
        let volumes = self.uses.remove(&node).unwrap_or_default();
        let is_unheard = self.unheard.remove(&node).is_some();
        if self.buries() && (is_unheard || !volumes.is_empty()) {
            let boot = self.boots.get(&node).copied();
            let death = Death { since: self.now, why: self.gate_word(), ..Death::default() };
            let death = self.deaths.entry(node).or_insert(death); // or what others have told of it before
            death.volumes.extend(volumes);
            death.learned |= is_unheard;
            death.down.clear();
            self.control.words.remove(&node);
            if death.boot.zip(boot).is_some_and(|(before, now)| before != now) {
                (death.fenced_by, death.confirmed) = (None, None); // that was of another boot
            }
            death.boot = boot.or(death.boot);
        } else if self.kernel.stack.needs_control() {
            self.control.words.insert(node, Words::default());
        }
    }

    /// The kernels learn of a death by the disk: our volumes stand still until its heartbeat has run out.
    pub(crate) fn heartbeat_ends(&mut self, node: NodeId, fx: &mut Effects) {
        let beats = u64::from(self.policy.attributes.dead_threshold.saturating_sub(1));
        self.dying.insert(node, Tick(self.now.0 + beats * HEARTBEAT_MS));
        self.wake_for_the_dead(fx);
    }

    pub(crate) fn wake_for_the_dead(&mut self, fx: &mut Effects) {
        let now = self.now;
        self.dying.retain(|_, until| *until > now || planted!(DeadForEver));
        if let Some(first) = self.dying.values().min() {
            self.timers.set(Timer::HeartbeatEnds, first.since(now), fx);
        }
    }

    /// Whether something of ours is to be done about a death.
    pub(crate) fn buries(&self) -> bool {
        self.policy.fence != Fence::None || self.kernel.stack.needs_control()
    }

    pub(crate) fn gate_word(&self) -> String {
        match self.policy.fence {
            Fence::None => String::new(),
            Fence::Command => "the fence program has not confirmed it".into(),
            Fence::Manual => "nobody has confirmed it".into(),
        }
    }

    pub(crate) fn is_gate_open(&self, death: &Death) -> bool {
        self.policy.fence == Fence::None || death.fenced_by.is_some() || planted!(GateStandsOpen)
    }

    /// Carries each death as far as it goes. Without quorum nobody is buried.
    pub(crate) fn bury(&mut self, fx: &mut Effects) {
        if !self.agreed.as_ref().is_some_and(|agreed| agreed.quorate) || self.kernel.stack_is_unknown {
            return; // or it is not known what is to be done
        }
        let leads = self.agreed.as_ref().and_then(crate::table::Agreed::leader) == self.member();
        for node in self.deaths.keys().copied().collect::<Vec<_>>() {
            let name = self.name_of(node);
            let Some(death) = self.deaths.get(&node) else { continue };
            if !self.is_gate_open(death) {
                if let Some(by) = death.confirmed.clone() {
                    self.tell_fenced(node, by, fx);
                } else if self.policy.fence == Fence::Command
                    && leads
                    && !self.fencing.contains_key(&node)
                    && self.now >= death.fence_from
                {
                    self.fencing.insert(node, (death.since, death.boot));
                    fx.push(Effect::Fence(node, name));
                }
                continue;
            }
            if self.lower_levels_recovered(node).is_err() {
                continue;
            }
            let open = self.without_down(death);
            if self.is_used_again(node, &open) {
                continue; // DOWN would cut it off from what it uses now
            }
            if planted!(DownIsForgotten) {
                self.is_buried(node, fx);
            } else if (open.is_empty() || planted!(TheDlmGoesFirst)) && !self.dlm_goes_on(node, fx) {
                continue; // it has still to be told
            } else if open.is_empty() {
                self.is_buried(node, fx);
            } else {
                self.write_down(node, open, fx);
            }
        }
        self.let_the_dlm_go_on(fx);
    }

    /// For each of these volumes, once the DLM waits for us with all of them.
    fn write_down(&mut self, node: NodeId, volumes: BTreeSet<VolumeId>, fx: &mut Effects) {
        if volumes.iter().all(|volume| self.dlm_has_answered(*volume)) && !self.control_is_busy() {
            let ops = volumes.iter().map(|volume| ControlOp::Down { volume: *volume, node: node.0 }).collect();
            self.control_op(Duty::Bury(node, volumes), ops, fx);
        }
    }

    fn tell_fenced(&mut self, node: NodeId, by: String, fx: &mut Effects) {
        if self.exchange.outstanding > 0 || self.deaths.get(&node).is_none_or(|death| death.told) {
            return;
        }
        self.deaths.entry(node).and_modify(|death| death.told = true);
        self.say(Body::Fenced(Fenced { nodeid: node.0, by }), fx);
    }

    /// Only who is let in may have mounted, and its agent may be gone since; a joiner's tools wait until we have done this.
    fn is_used_again(&self, node: NodeId, volumes: &BTreeSet<VolumeId>) -> bool {
        let was_let_in = self.is_ready(node) || self.absent.get(&node).is_some_and(|live| live.is_live());
        was_let_in && self.uses.get(&node).is_some_and(|again| !again.is_disjoint(volumes))
    }

    /// Where DOWN has to be written: nowhere, if the kernels recover by themselves. For a volume that this kernel has not
    /// mounted, or the dead did not use, it is without effect.
    fn shared_with(&self, death: &Death) -> BTreeSet<VolumeId> {
        let concerned = |volume: &VolumeId| self.kernel.stack.needs_control() && death.concerns(*volume);
        self.volumes_in_kernel().into_iter().filter(concerned).collect()
    }

    /// The program may have done its work before the node came back and died again: then that death has a program of its
    /// own to wait for.
    pub(crate) fn fence_ended(&mut self, node: NodeId, result: Result<(), String>, fx: &mut Effects) {
        let now = self.now;
        let meant = self.fencing.remove(&node);
        let is_meant = |death: &&mut Death| meant == Some((death.since, death.boot));
        let Some(death) = self.deaths.get_mut(&node).filter(is_meant) else { return };
        match result {
            Ok(()) => death.confirmed = Some("the fence program".into()),
            Err(why) => {
                fx.notice(Notice::FenceFailed { node, why: why.clone() });
                death.why = format!("the fence program failed: {why}");
                death.fence_from = Tick(now.0 + FENCE_AGAIN_MS);
            }
        }
        self.wake_for_fences(fx);
    }

    /// The next moment at which a program may run again.
    pub(crate) fn wake_for_fences(&mut self, fx: &mut Effects) {
        let now = self.now;
        let later = self.deaths.values().map(|death| death.fence_from).filter(|from| *from > now);
        if let Some(first) = later.min() {
            self.timers.set(Timer::FenceAgain, first.since(now), fx);
        }
    }

    /// A new view: what was told in the one before may have reached nobody.
    pub(crate) fn tell_fenced_again(&mut self) {
        self.deaths.values_mut().for_each(|death| death.told = false);
    }

    /// A person says so.
    pub(crate) fn confirm_dead(&mut self, node: NodeId, by: String) {
        self.deaths.entry(node).and_modify(|death| death.confirmed = Some(by));
    }

    /// Somebody made sure that a dead node writes no more: known to all at the same point.
    pub(crate) fn heard_fenced(&mut self, from: Member, fenced: Fenced, fx: &mut Effects) {
        let node = NodeId(fenced.nodeid);
        if let Some(death) = self.deaths.get_mut(&node).filter(|death| death.fenced_by.is_none()) {
            let by = format!("{} on node {}", fenced.by, from.nodeid);
            fx.notice(Notice::FenceOpened { node, by: by.clone() });
            death.fenced_by = Some(by);
            self.keep_uses(fx);
        }
    }

    /// Where DOWN is still to be written.
    fn without_down(&self, death: &Death) -> BTreeSet<VolumeId> {
        self.shared_with(death).difference(&death.down).copied().collect()
    }

    /// Without quorum nothing is done, and that is a wait of its own.
    pub(crate) fn death_waits(&self) -> Vec<Wait> {
        if !self.agreed.as_ref().is_some_and(|agreed| agreed.quorate) {
            return Vec::new();
        }
        let wait = |(node, death): (&NodeId, &Death)| match self.is_gate_open(death) {
            false => Wait::Fence { node: *node, why: death.why.clone() },
            true => match self.lower_levels_recovered(*node) {
                Err(wait) => wait,
                Ok(()) if self.is_used_again(*node, &self.without_down(death)) => {
                    Wait::Buries { node: *node, why: USED_AGAIN.into() }
                }
                Ok(()) => {
                    let told = self.word_wait(*node).filter(|_| self.without_down(death).is_empty());
                    told.unwrap_or_else(|| Wait::Buries { node: *node, why: self.control.why.clone() })
                }
            },
        };
        self.deaths.iter().map(wait).chain(self.word_waits()).collect()
    }

    /// dlm_controld ends with corosync, and it takes its volumes with it.
    pub(crate) fn deserted_wait(&self) -> Option<Wait> {
        let stack = &self.kernel.stack;
        stack.deserted.then(|| Wait::Deserted { volumes: stack.lockspaces.clone() })
    }

    /// Nothing tells of the end of dlm_controld; a loss of corosync is a reason to look for it.
    pub(crate) fn look_for_deserted(&mut self, fx: &mut Effects) {
        if !self.kernel.stack.lockspaces.is_empty() {
            self.timers.set(Timer::LookAgain, DESERTED_AFTER_MS, fx);
        }
    }

    /// What may be live on a node whose agent is gone: a tool that had its word mounts without it.
    pub(crate) fn live_at_most(&self, node: NodeId, live: Live) -> Live {
        let used = self.uses.get(&node).map_or(0, |volumes| volumes.len().min(VOLUMES_MAX) as u32);
        Live { mounts: live.mounts.max(used.saturating_sub(live.regions)), ..live }
    }

    /// A node whose agent does not come back in time, with volumes in use, holds up every change: corosync ends it, and
    /// the order of a death follows.
    pub(crate) fn end_absent(&mut self, fx: &mut Effects) {
        let absent = &self.absent;
        self.absent_since.retain(|node, _| absent.contains_key(node));
        self.overdue.retain(|node| absent.contains_key(node));
        let live: Vec<NodeId> = absent.iter().filter(|(_, live)| live.is_live()).map(|(node, _)| *node).collect();
        let grace = self.policy.restart_grace_ms;
        if live.is_empty() || grace == 0 {
            return self.timers.cancel(Timer::Grace);
        }
        let (now, leads) =
            (self.now, self.agreed.as_ref().is_some_and(|it| it.quorate && it.leader() == self.member()));
        for node in live {
            let since = *self.absent_since.entry(node).or_insert(now);
            if now.since(since) < grace || !leads {
                continue;
            }
            // Not before a message of our own has come back that is younger than this: who is missed may be back, and we
            // not have heard of it.
            self.link.doubt |= self.overdue.insert(node);
            if !self.probe_if_in_doubt(fx) {
                self.overdue.remove(&node);
                self.absent_since.insert(node, now); // once a grace time
                fx.notice(Notice::NodeEnded { node, after_ms: grace });
                fx.push(Effect::KillNode(node, format!("its o2cpgd is gone for {} s", grace / 1000)));
            }
        }
        let left = self.absent_since.values().map(|since| grace.saturating_sub(now.since(*since)));
        self.timers.set_unless_running(Timer::Grace, left.filter(|left| *left > 0).min().unwrap_or(grace), fx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: NodeId = NodeId(3);

    /// A fence program runs for the death of this boot.
    fn fencing(boot: u8) -> Agent {
        let mut agent = Agent::new();
        agent.deaths.insert(DEAD, Death { boot: Some([boot; 16]), ..Death::default() });
        agent.fencing.insert(DEAD, (Tick(0), Some([boot; 16])));
        agent
    }

    #[test]
    fn the_end_of_the_fence_program_confirms_the_death_it_was_run_for() {
        let mut agent = fencing(1);
        agent.fence_ended(DEAD, Ok(()), &mut Effects::default());
        assert!(agent.deaths[&DEAD].confirmed.is_some() && agent.fencing.is_empty());
    }

    #[test]
    fn a_second_node_that_is_missed_has_its_own_time() {
        let mut agent = Agent::new();
        agent.policy.restart_grace_ms = 30_000;
        let live = Live { mounts: 1, regions: 0 };
        agent.absent = [(NodeId(2), live), (DEAD, live)].into();
        agent.absent_since = [(NodeId(2), Tick(0)), (DEAD, Tick(6_000))].into();
        agent.now = Tick(30_000);
        let mut fx = Effects::default();
        agent.end_absent(&mut fx);
        assert!(matches!(fx.as_slice(), [Effect::SetTimer(_, 6_000)]), "{:?}", fx.as_slice());
    }

    #[test]
    fn nobody_is_buried_before_it_is_known_what_the_stack_needs() {
        let mut agent = fencing(1);
        agent.agreed = Some(crate::merge::merge(Default::default(), &Default::default()));
        agent.kernel.stack_is_unknown = true;
        agent.bury(&mut Effects::default());
        assert!(agent.deaths.contains_key(&DEAD));
        agent.kernel.stack_is_unknown = false;
        agent.bury(&mut Effects::default());
        assert!(agent.deaths.is_empty());
    }

    #[test]
    fn and_not_that_of_what_the_node_was_later() {
        let mut agent = fencing(1);
        agent.deaths.insert(DEAD, Death { boot: Some([2; 16]), ..Death::default() });
        agent.fence_ended(DEAD, Ok(()), &mut Effects::default());
        assert!(agent.deaths[&DEAD].confirmed.is_none() && agent.fencing.is_empty());
        let mut agent = fencing(1);
        agent.deaths.insert(DEAD, Death { since: Tick(9), boot: Some([1; 16]), ..Death::default() });
        agent.fence_ended(DEAD, Err("too late".into()), &mut Effects::default());
        assert!(agent.deaths[&DEAD].why.is_empty());
    }
}
