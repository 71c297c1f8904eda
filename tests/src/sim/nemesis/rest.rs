//! After the last deed all faults end, and all must come to rest; then every node must be able to mount.

use super::outcome::Failure;
use super::perform::MOVED_BY;
use super::questions::PIN;
use super::{REST_MAX, Run};
use crate::sim::agenda::{Micros, SECOND};
use crate::sim::cluster::{MountOutcome, Tool, address};
use crate::sim::host::Host;
use agent_core::Agent;
use agent_core::deaths::USED_AGAIN;
use agent_core::ids::Member;
use agent_core::policy::Fence;
use agent_core::refusal::Refusal;
use agent_core::table::{Agreed, Standing};
use agent_core::wait::Wait;
use configfs::{Errno, Tree};
use proto::control::Ask;

/// At rest a tool has its word after this, and after the longest time in which corosync may still be busy.
const WORD_MAX: Micros = 30 * SECOND;
/// init looks for daemons that have ended so often.
const RESTART_EVERY: Micros = 2 * SECOND;
/// Most steps of a run: a cluster that turns in circles is restless too.
const STEPS_MAX: u64 = 400_000;

impl Run<'_> {
    /// All faults end, and everything is on.
    pub(super) fn calm_down(&mut self) {
        for node in 1..=self.plan.nodes {
            self.cluster.resume(node);
            self.cluster.resume_corosync(node);
            self.restart_if_deserted(node);
            self.cluster.power_on(node);
            self.cluster.start_corosync(node);
            self.allow(node);
            self.control_answers(node, None);
            self.stop_meddling(node);
            self.reconfigure(node);
            // In a brief life nobody is told that what never was is over.
            let all = self.plan.begins.is_none();
            if all || self.stuck.remove(&node) {
                self.cluster.unstick(node);
            }
            if all || self.legacy.remove(&node) {
                self.cluster.legacy_groups(node, vec![]);
            }
            self.cluster.stray_tool_goes(node);
            self.unmount_if_drifted(node);
            self.cluster.hosts.entry(node).and_modify(|host| {
                host.kernel_delay = 0;
                host.effects_left = None;
            });
        }
        for (node, other) in std::mem::take(&mut self.pinned) {
            self.cluster.ask(node, Ask::Unpin { text: PIN.into(), node: other });
        }
        for (node, client) in std::mem::take(&mut self.patient) {
            self.cluster.hang_up(node, client);
        }
        self.cluster.intruders_end();
        self.cluster.heal();
        self.lines.iter_mut().for_each(|lines| lines.add(self.cluster.now(), "-- all faults end".into()));
    }

    /// What the status of such a node asks for: without dlm_controld its volumes stand still for ever, and what a daemon
    /// without its state file finds is not its own.
    fn restart_if_deserted(&mut self, node: u32) {
        let is_lost = |host: &Host| {
            let other_cluster = host.kernel.tree().ok().flatten().is_some_and(|tree| tree.name != "lab");
            host.kernel.stack.deserted || host.needs_restart || other_cluster
        };
        if self.cluster.hosts.get(&node).is_some_and(is_lost) {
            self.cluster.power_off(node);
        }
    }

    /// What the status of such a node asks for: attributes cannot change under a mount.
    fn unmount_if_drifted(&mut self, node: u32) {
        let wanted = self.plan.policy().attributes;
        let tree = self.cluster.hosts.get(&node).and_then(|host| host.kernel.tree().ok().flatten());
        // On a user stack a mount goes on without an entry, and the node is not let in with another one before it ends.
        let own = [address(node), address(node + MOVED_BY)];
        let is_own = |tree: &Tree| tree.local().is_some_and(|local| own.contains(&local.address.as_ipv4()));
        let has_drifted = |tree: &Tree| tree.attributes != wanted || !is_own(tree);
        if tree.is_some_and(has_drifted) {
            self.cluster.umount(node);
            self.cluster.tool_umounts(node);
        }
    }

    /// What the status of such a node asks for. Without a fence gate nobody ends a node that is out of the ring; when it is
    /// back, one that it has still to write DOWN for may have been let in by the others, and have mounted.
    fn unmount_if_used_again(&mut self, node: u32) {
        let host = self.cluster.hosts.get(&node).filter(|host| host.policy.fence == Fence::None);
        let waits = host.and_then(Host::agent).into_iter().flat_map(Agent::waits);
        let used_again = waits.filter_map(|standing| match &standing.wait {
            Wait::Buries { node: dead, why } if why.starts_with(USED_AGAIN) => Some(dead.0),
            _ => None,
        });
        used_again.collect::<Vec<_>>().into_iter().for_each(|dead| self.cluster.tool_umounts(dead));
    }

    /// What the status of such a node asks for: its entry is not what it is configured with, or it was cut off, and another
    /// kernel does not take that entry as long as it uses the one before, or another node wants what it has; or its own kernel
    /// does not let go of an entry.
    fn unmount_if_in_the_way(&mut self, node: u32) {
        let agreed = self.cluster.agent(node).and_then(Agent::agreed);
        let is_taken =
            |standing: &Standing| matches!(standing, Standing::Refused(Refusal::Taken { by, .. }) if by.0 == node);
        let is_in_the_way = |agreed: &Agreed| {
            let asked = |(member, refusal): &(Member, Refusal)| member.nodeid == node && may_stand(refusal);
            let is_not_taken = || agreed.refused.values().any(|(entry, ..)| entry.nodeid == node);
            let keeps_out = || agreed.standing.values().any(is_taken);
            agreed.troubles.iter().any(asked) && (is_not_taken() || keeps_out() || !agreed.misaligned.is_empty())
        };
        let is_busy = |agreed: &Agreed| {
            agreed.misaligned.iter().any(|(member, refusal)| member.nodeid == node && refusal.errno == Errno::EBUSY.0)
        };
        if agreed.is_some_and(|agreed| is_in_the_way(agreed) || is_busy(agreed)) {
            self.cluster.umount(node);
        }
    }

    /// init restarts what has ended; a daemon that was asked to end may do so.
    fn restart(&mut self) {
        if self.cluster.now() < self.next_look {
            return;
        }
        self.next_look = self.cluster.now() + RESTART_EVERY;
        for node in 1..=self.plan.nodes {
            // A fence device may have turned it off at last, and corosync may have ended under its volumes.
            self.restart_if_deserted(node);
            self.unmount_if_drifted(node); // of what was in mount(2) when all faults ended
            self.unmount_if_used_again(node);
            self.unmount_if_in_the_way(node);
            self.cluster.power_on(node);
            match self.cluster.agent(node) {
                Some(agent) if says_unfit(agent) => self.cluster.look(node), // what was refused once may be read now
                Some(_) => {}
                None => self.cluster.start_daemon(node),
            }
            if !self.cluster.corosync.is_up(node) {
                self.cluster.start_corosync(node);
            }
        }
    }

    pub(super) fn rest(&mut self) -> Result<(), Failure> {
        let until = self.cluster.now() + REST_MAX;
        loop {
            self.restart();
            let wrong = if self.cluster.is_active() { Some("still active".to_owned()) } else { self.wrong() };
            let Some(what) = wrong else { return Ok(()) };
            if self.cluster.now() > until || self.tally.steps > STEPS_MAX {
                return Err(Failure::Restless { what: self.wrong().unwrap_or(what) });
            }
            let chunk = self.cluster.now() + RESTART_EVERY;
            while self.cluster.next_at().is_some_and(|at| at <= chunk) && self.tally.steps <= STEPS_MAX {
                self.step()?;
            }
            self.cluster.pass(chunk);
        }
    }

    /// What is not as it should be at the end.
    fn wrong(&self) -> Option<String> {
        (1..=self.plan.nodes).find_map(|node| self.wrong_with(node))
    }

    fn wrong_with(&self, node: u32) -> Option<String> {
        let host = self.cluster.hosts.get(&node)?;
        let Some(agent) = host.agent() else { return Some(format!("n{node} has no daemon")) };
        let said = |what: String| Some(format!("n{node} {what}"));
        if agent.view().live().len() != self.plan.nodes as usize {
            return said(format!("sees {:?}", agent.view().live()));
        }
        let allowed = |wait: &Wait| matches!(wait, Wait::Pinned { .. });
        if let Some(standing) = agent.waits().iter().find(|standing| !allowed(&standing.wait)) {
            return said(format!("waits: {}", standing.wait));
        }
        let Some(agreed) = agent.agreed() else { return said("has agreed on nothing".into()) };
        if let Some((member, refusal)) = agreed.troubles.iter().find(|(_, refusal)| !may_stand(refusal)) {
            return said(format!("has a trouble with {member}: {refusal}"));
        }
        let in_ = agreed.established();
        if in_.len() != self.plan.nodes as usize {
            return said(format!("has not let all in: {:?}", agreed.standing));
        }
        // Who waits for "settled" waits for the end of the pins, too.
        let open =
            if agent.is_quiet() { host.daemon.iter().flat_map(|daemon| &daemon.open_requests).count() } else { 0 };
        let wanted: Vec<u8> = agreed.table.entries.keys().copied().collect();
        let found: Vec<u8> = host.kernel.table().keys().map(|number| number.as_u8()).collect();
        let all: Vec<u8> = (1..=self.plan.nodes as u8).collect();
        let half_made = host.kernel.half_made();
        if !host.needs_down.is_empty() {
            return said(format!("has the volume mounted, and DOWN was not written for {:?}", host.needs_down));
        }
        let needs_word = host.dlm.needs_word();
        if !needs_word.is_empty() {
            return said(format!("has the volume mounted, and the DLM waits for word about {needs_word:?}"));
        }
        if wanted != all || found != all || open > 0 || !half_made.is_empty() {
            return said(format!("has table {wanted:?}, kernel {found:?} and {half_made:?}, {open} open requests"));
        }
        None
    }

    /// After all the faults each node can mount, whoever has the volume mounted already.
    pub(super) fn mount_everywhere(&mut self) -> Result<(), Failure> {
        if self.plan.user_stack.is_some() {
            return self.ask_everywhere();
        }
        for node in 1..=self.plan.nodes {
            let outcome = self.cluster.mount(node);
            let mounted = self.cluster.hosts.get(&node).is_some_and(|host| host.kernel.is_mounted());
            if !mounted {
                return Err(Failure::Restless { what: format!("n{node} cannot mount: {outcome:?}") });
            }
            debug_assert!(matches!(outcome, MountOutcome::Mounted | MountOutcome::Impossible));
        }
        Ok(())
    }

    fn still_asks(&self) -> Option<&Host> {
        self.cluster.hosts.values().find(|host| host.tool == Some(Tool::Asks))
    }

    /// Every tool that asks has its word soon. A brief life ends with the last of these.
    fn ask_everywhere(&mut self) -> Result<(), Failure> {
        (1..=self.plan.nodes).for_each(|node| self.cluster.tool_mounts(node));
        let until = self.cluster.now() + WORD_MAX;
        let goes_on = |run: &Self| run.plan.begins.is_none() || run.still_asks().is_some();
        while goes_on(self) && self.cluster.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        match self.still_asks() {
            Some(host) => Err(Failure::Restless { what: format!("n{}: the tool has no word", host.node) }),
            None => Ok(()),
        }
    }
}

/// Troubles that end with the mounts of their node.
fn may_stand(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::LiveWithoutQuorum { .. } | Refusal::IdentityChanged { .. })
}

fn says_unfit(agent: &Agent) -> bool {
    let own = agent.member().and_then(|me| agent.agreed()?.standing.get(&me));
    matches!(own, Some(Standing::Refused(Refusal::SaysUnfit(_))))
}
