//! The deeds of a plan, done to the cluster.

use super::Run;
use super::plan::Deed;
use super::questions;
use crate::sim::agenda::MS;
use crate::sim::cluster::{address, configured, name};
use crate::sim::intruder::Manner;
use agent_core::Agent;
use agent_core::ids::NodeId;
use agent_core::wait::Wait;
use configfs::Errno;
use configfs::model::Call;
use proto::control::{Ask, Condition};

/// From a node's first address to its other one.
pub(super) const MOVED_BY: u32 = 100;

impl Run<'_> {
    pub(super) fn perform(&mut self, deed: Deed) {
        let cluster = &mut self.cluster;
        match deed {
            Deed::PowerOff(node) => cluster.power_off(node),
            Deed::PowerOn(node) => cluster.power_on(node),
            Deed::Blackout => (1..=self.plan.nodes).for_each(|node| cluster.power_off(node)),
            Deed::CrashDaemon(node) => cluster.crash_daemon(node),
            Deed::CrashDaemonAfter(node, effects) => cluster.crash_daemon_after(node, effects),
            Deed::StartDaemon(node) => cluster.start_daemon(node),
            Deed::StopDaemon(node) => cluster.stop_daemon(node),
            Deed::AskShutdown(node) => cluster.ask_shutdown(node),
            Deed::CrashCorosync(node) => cluster.crash_corosync(node),
            Deed::StopCorosync(node) => cluster.stop_corosync(node),
            Deed::StartCorosync(node) => cluster.start_corosync(node),
            Deed::Pause(node) => cluster.pause(node),
            Deed::PauseDaemon(node) => cluster.pause_daemon(node),
            Deed::JumpClock(node, ms) => cluster.jump_clock(node, ms * MS),
            Deed::Cut(one, other) => cluster.corosync.cut(one, other),
            Deed::Stall(node, ms) => cluster.corosync.stall(node, ms * MS),
            Deed::Busy(node, ms) => cluster.corosync.busy(node, ms * MS),
            Deed::Ghost => cluster.corosync.want_ghost(),
            Deed::Resume(node) => cluster.resume(node),
            Deed::PauseCorosync(node) => cluster.pause_corosync(node),
            Deed::ResumeCorosync(node) => cluster.resume_corosync(node),
            Deed::Partition(mask) => {
                let (there, here) = (1..=self.plan.nodes).partition(|node| mask & (1 << node) != 0);
                cluster.corosync.partition(&[here, there]);
            }
            Deed::Heal => cluster.heal(),
            Deed::Mount(node) if self.plan.user_stack.is_some() => cluster.tool_mounts(node),
            Deed::Mount(node) => _ = cluster.mount(node),
            Deed::Umount(node) if self.plan.user_stack.is_some() => cluster.tool_umounts(node),
            Deed::Umount(node) => cluster.umount(node),
            Deed::ToolDies(node) => cluster.tool_dies(node),
            Deed::RefuseControl(node) => self.control_answers(node, Some(Errno::EIO.0)),
            Deed::AllowControl(node) => self.control_answers(node, None),
            Deed::AckDead(node) => self.ack_dead(node),
            Deed::SlowKernel(node, ms) => {
                cluster.hosts.entry(node).and_modify(|host| host.kernel_delay = ms * MS);
            }
            Deed::RefuseOnce(node, byte) => self.refuse(node, byte, true),
            Deed::Refuse(node, byte) => self.refuse(node, byte, false),
            Deed::Allow(node) => self.allow(node),
            Deed::RemoveFromNodelist(node) => cluster.configure(|config| _ = config.nodes.remove(&NodeId(node))),
            Deed::AddToNodelist(node) => self.configure(node),
            Deed::ChangeAddress(node) => {
                *self.moved.entry(node).or_default() ^= true;
                self.configure(node);
            }
            Deed::ChangeThreshold(node) => {
                cluster.set_policy(node, |policy| policy.attributes.dead_threshold ^= 8);
            }
            Deed::Ask(node, byte) => self.ask(node, byte),
            Deed::Intrude(node, byte) => {
                let manners = [Manner::Silent, Manner::Garbage, Manner::Bent, Manner::SecondAgent];
                let manner = manners[usize::from(byte) % manners.len()];
                let is_model = manner == Manner::SecondAgent && byte & 64 != 0;
                cluster.intrude(node, if is_model { Manner::Model } else { manner });
            }
            Deed::IntrudersEnd => cluster.intruders_end(),
            Deed::Strange(node, strange) => self.be_strange(node, strange),
        }
    }

    pub(super) fn control_answers(&mut self, node: u32, errno: Option<i32>) {
        self.cluster.hosts.entry(node).and_modify(|host| host.kernel.control_errno = errno);
    }

    /// Whoever says that a node is dead has made sure: of the one that is waited for.
    fn ack_dead(&mut self, node: u32) {
        let waits = self.cluster.agent(node).map_or(&[][..], Agent::waits);
        let gates = waits.iter().find_map(|standing| match &standing.wait {
            Wait::Fence { node, .. } => Some(node.0),
            _ => None,
        });
        if let Some(dead) = gates {
            self.cluster.power_off(dead);
            self.cluster.ask(node, Ask::AckDead { node: dead.to_string(), by: "a person".into() });
        }
    }

    fn refuse(&mut self, node: u32, byte: u8, once: bool) {
        let Some(host) = self.cluster.hosts.get_mut(&node) else { return };
        let errno = [Errno::EBUSY, Errno::EACCES, Errno::EIO][usize::from(byte) % 3];
        let (call, pattern) = [
            (Call::Mkdir, "*/node/*"),
            (Call::Rmdir, "*/node/*"),
            (Call::Store, "*/num"),
            (Call::Store, "*/local"),
            (Call::Mkdir, "lab"),
        ][usize::from(byte / 3) % 5];
        let model = host.kernel.model();
        if once { model.refuse_once(call, pattern, errno) } else { model.refuse(call, pattern, errno) }
    }

    pub(super) fn allow(&mut self, node: u32) {
        let tampered = self.cluster.hosts.get_mut(&node).filter(|host| host.kernel.is_tampered());
        let Some(host) = tampered else { return };
        let model = host.kernel.model();
        let patterns: Vec<String> = model.faults().iter().map(|fault| fault.pattern.clone()).collect();
        patterns.iter().for_each(|pattern| model.allow(pattern));
        self.cluster.look(node);
    }

    pub(super) fn configure(&mut self, node: u32) {
        let mut configured = configured(node);
        if self.moved.get(&node) == Some(&true) {
            configured.address = Ok(address(node + MOVED_BY));
        }
        self.cluster.configure(|config| _ = config.nodes.insert(NodeId(node), configured));
    }

    fn ask(&mut self, node: u32, byte: u8) {
        let other = 1 + u32::from(byte / 24) % self.plan.nodes;
        let ask = questions::of_command(byte, name(other));
        match &ask {
            Ask::Pin { node: pinned, .. } => _ = self.pinned.insert((node, pinned.clone())),
            // Whoever says that a node is dead has made sure, unless corosync shows that it is not.
            Ask::AckDead { .. } if !self.sees(node, other) => self.cluster.power_off(other),
            _ => {}
        }
        let is_patient = matches!(ask, Ask::Wait(Condition::NodeGone(_)));
        let client = self.cluster.ask(node, ask);
        if byte > 200 {
            self.cluster.hang_up(node, client);
        } else if is_patient {
            self.patient.push((node, client));
        }
    }

    fn sees(&self, node: u32, other: u32) -> bool {
        self.cluster.agent(node).is_none_or(|agent| agent.view().in_ring(NodeId(other)))
    }
}
