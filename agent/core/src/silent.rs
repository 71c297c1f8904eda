//! Kernels that may have to hear of our last death, and whose agent was not asked when we were let in (docs/decisions/0009).
//!
//! Where nobody is who was here before (a cluster is founded, or all agents were away), nobody has seen the agent of a node go
//! that is in the ring without one: its kernel may have volumes mounted that we used before we were off. So on a user stack
//! that leaves recovery to us, mounts wait for such a *silent* node; not for longer than an agent has to come back, as it may
//! be one that never runs o2cpgd. Whoever comes later is told of it as of one whose agent is missed.
//!
//! When one speaks that uses volumes and was not among those who let us in, silent before or cut off, and we use none, we
//! come as a joiner once more: we are in again when it has buried what we were.

use crate::agent::Agent;
use crate::effect::Effects;
use crate::ids::{Member, NodeId};
use crate::table::{Agreed, Standing};
use crate::timers::Timer;
use crate::volumes::Phase;
use proto::peer::{Hello, Live};
use std::collections::BTreeMap;

/// How long mounts wait where an agent may be away for ever, in ms.
pub const SILENT_MS: u64 = 30_000;

impl Agent {
    /// At the beginning of an agreement, when it is known who has been heard and whom the others miss.
    /// Also where no stack is known yet: at a boot its module may come with the first mount, long after the cluster was founded.
    pub(crate) fn note_unknown(&mut self, agreed: &Agreed) {
        let needs_control = self.kernel.stack.needs_control();
        let has_spoken = |node: &NodeId| agreed.of_node(*node).is_some();
        let quiet: Vec<NodeId> = self.view.ring_nodes().iter().copied().filter(|node| !has_spoken(node)).collect();
        if needs_control && self.has_to_come_again(agreed) {
            (self.admitted, self.exchange.owed) = (false, true);
        }
        self.silent.retain(|node, _| !has_spoken(node));
        self.let_in_by.iter_mut().for_each(|by| by.extend(agreed.without_volumes()));
        for node in quiet {
            let is_missed = agreed.begins_anew() || self.absent.contains_key(&node);
            if is_missed && !self.is_accounted_for(node) {
                self.silent.entry(node).or_insert(self.now);
            }
            if needs_control && self.waits_for_silent(node).is_some() {
                self.absent.entry(node).or_default();
            }
        }
    }

    /// Its agent has ended before it told us anything: perhaps nobody who is here knows what its kernel uses.
    pub(crate) fn ended_unheard(&mut self, node: NodeId) {
        if !self.is_accounted_for(node) {
            self.silent.entry(node).or_insert(self.now);
        }
    }

    /// We have heard it since we are here, or seen its agent leave.
    fn is_accounted_for(&self, node: NodeId) -> bool {
        self.left.contains(&node) || self.uses.contains_key(&node) && !self.unheard.contains_key(&node)
    }

    /// One uses volumes that was not asked when we were let in, and may have to bury what we were.
    fn has_to_come_again(&self, agreed: &Agreed) -> bool {
        let uses_nothing = self.volumes_in_kernel().is_empty() && !self.kernel.live().is_live();
        let is_in = self.member().and_then(|me| agreed.standing.get(&me)) == Some(&Standing::Established);
        let was_asked = |node: NodeId| match &self.let_in_by {
            Some(by) => by.contains(&node) || self.own_node == Some(node),
            None => !self.silent.contains_key(&node),
        };
        uses_nothing && is_in && agreed.with_volumes().any(|node| !was_asked(node))
    }

    pub(crate) fn note_who_let_us_in(&mut self) {
        let here = self.agreed.iter().flat_map(Agreed::each_established);
        self.let_in_by = Some(here.map(|member| NodeId(member.nodeid)).collect());
    }

    /// How much longer mounts wait for it, in ms.
    fn waits_for_silent(&self, node: NodeId) -> Option<u64> {
        let grace = Some(self.policy.restart_grace_ms).filter(|grace| *grace > 0).unwrap_or(SILENT_MS);
        let since = self.silent.get(&node)?;
        grace.checked_sub(self.now.since(*since)).filter(|left| *left > 0)
    }

    /// The first that mounts wait for, and how much longer.
    fn silent_wait(&self) -> Option<(NodeId, u64)> {
        let agreed = self.agreed.as_ref().filter(|_| self.kernel.stack.needs_control())?;
        let is_quiet = |node: &NodeId| self.view.in_ring(*node) && agreed.of_node(*node).is_none();
        let mut quiet = self.silent.keys().copied().filter(is_quiet);
        quiet.find_map(|node| Some((node, self.waits_for_silent(node)?)))
    }

    pub(crate) fn silent_node(&self) -> Option<NodeId> {
        self.silent_wait().map(|(node, _)| node)
    }

    pub(crate) fn wake_for_the_silent(&mut self, fx: &mut Effects) {
        let is_asked = self.volumes.attempts.values().any(|attempt| attempt.phase == Phase::Joining);
        if let Some((_, left)) = self.silent_wait().filter(|_| is_asked) {
            self.timers.set_unless_running(Timer::Silence, left, fx);
        }
    }

    /// Those whose agent is missed: not who has left, or whom we have waited for; also who used volumes before we were away.
    pub(crate) fn told_absent(&self) -> BTreeMap<NodeId, Live> {
        let needs_control = self.kernel.stack.needs_control();
        let was_waited_for = |node: &NodeId| self.silent.contains_key(node) && self.waits_for_silent(*node).is_none();
        let is_over = |node: &NodeId| self.left.contains(node) || needs_control && was_waited_for(node);
        let used = |node: &NodeId| self.uses.get(node).is_some_and(|volumes| !volumes.is_empty());
        let unheard = self.unheard.keys().filter(|node| used(node) && self.view.in_ring(**node));
        let unheard = unheard.filter(|_| needs_control).map(|node| (*node, Live::default()));
        let known = self.absent.iter().map(|(node, live)| (*node, *live));
        unheard.chain(known).filter(|(node, live)| live.is_live() || !is_over(node)).collect()
    }
}

impl Agreed {
    /// Nobody who is here has been in a quorate view before.
    fn begins_anew(&self) -> bool {
        let was_here = |hello: &Hello| hello.previous.is_some_and(|previous| previous.quorate);
        self.quorate && !self.hellos.values().any(was_here)
    }

    /// Those who use nothing.
    fn without_volumes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let uses_nothing = |hello: &Hello| !hello.live.is_live() && !hello.incomplete;
        let idle = self.hellos.iter().filter(move |(member, hello)| uses_nothing(hello) && !self.is_second(member));
        idle.map(|(member, _)| NodeId(member.nodeid))
    }

    /// Those who use volumes, and are in or about to be.
    fn with_volumes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let is_refused = |member: &Member| matches!(self.standing.get(member), Some(Standing::Refused(_)));
        let users = self.hellos.iter().filter(|(_, hello)| hello.live.is_live());
        users.filter(move |(member, _)| !is_refused(member)).map(|(member, _)| NodeId(member.nodeid))
    }
}
