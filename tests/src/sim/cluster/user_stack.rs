//! The user stack: stock tools that ask before they mount, the DLM's share, and fence devices.
//!
//! A volume that was mounted on a node when it died stands still on every other node that has it mounted, until DOWN is
//! written there, and the DLM, if it was asked to wait, has had the word. A tool's mount(2) ends well, fails, or the tool dies
//! before it; MRESULT and UNMOUNT are left out as often as not, as today's tools do. dlm_controld ends with corosync and takes its volumes with it.

use super::{Cluster, Due};
use crate::sim::agenda::{MS, Micros};
use crate::sim::corosync::Chance;
use crate::sim::kernel::{DEVICE, VOLUME};
use agent_core::Event;
use agent_core::event::{ControlOp, Stack};
use agent_core::ids::{ClientId, NodeId};
use agent_core::mount_client::{MountAnswer, MountAsk};
use std::collections::BTreeSet;

/// A fence device takes its time.
const FENCE_TIME: Micros = 1000 * MS;
/// Of a hundred tries of a fence device, how many fail.
const FENCE_FAILS_PERCENT: u64 = 25;
/// mount(2) takes at most this.
const MOUNT_TIME: Micros = 50 * MS;

/// What a node's one tool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// It has asked, and waits for the word.
    Asks,
    /// It has the word, and calls mount(2).
    Mounts,
    /// The same, and the daemon it has asked is gone.
    MountsAlone,
}

impl Cluster {
    /// mount.ocfs2 begins, unless the volume is mounted or another tool is at work.
    pub fn tool_mounts(&mut self, node: u32) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let free = host.daemon.is_some() && host.tool.is_none() && host.paused_since.is_none();
        if free && !host.kernel.is_user_mounted {
            host.tool = Some(Tool::Asks);
            self.tool_asks(node, asks());
        }
    }

    /// umount, which tells nobody as often as not.
    pub fn tool_umounts(&mut self, node: u32) {
        let says_so = self.rng.chance(50);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.paused_since.is_some() || !host.kernel.is_user_mounted || host.kernel.stack.deserted {
            return;
        }
        host.needs_down.clear();
        host.needs_word.clear();
        self.user_mount(node, false);
        if says_so {
            let (fstype, uuid, service) = ("ocfs2".into(), VOLUME.into(), "ocfs2".into());
            self.tool_asks(node, MountAsk::Unmount { fstype, uuid, service });
            self.tool_goes(node);
        }
    }

    /// The tool is killed, whatever it does.
    pub fn tool_dies(&mut self, node: u32) {
        if self.hosts.get_mut(&node).and_then(|host| host.tool.take()).is_some() {
            self.tool_goes(node);
        }
    }

    /// The daemon is gone, and with it the connection.
    pub(super) fn tool_loses_daemon(&mut self, node: u32) {
        self.hosts.entry(node).and_modify(|host| {
            host.tool = host.tool.filter(|tool| *tool != Tool::Asks).map(|_| Tool::MountsAlone);
        });
    }

    /// The daemon has answered the tool.
    pub(super) fn tool_hears(&mut self, node: u32, client: ClientId, answer: &MountAnswer) {
        if self.chance == Chance::Off || client != super::deeds::tool_of(node) {
            return;
        }
        let takes = self.rng.below(MOUNT_TIME);
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.tool == Some(Tool::Asks)) else { return };
        if matches!(answer, MountAnswer::Status { errno: 0, .. }) {
            host.tool = Some(Tool::Mounts);
            let boots = host.boots;
            self.agenda.plan(self.now + takes, Due::Mount { node, boots });
        } else {
            self.tool_dies(node);
        }
    }

    /// mount(2) has ended.
    pub(super) fn mount_ends(&mut self, node: u32, boots: u32) {
        let (fails, says_so) = (self.rng.chance(15), self.rng.chance(50));
        let up = self.corosync.is_up(node);
        let at_it = |tool: Option<Tool>| matches!(tool, Some(Tool::Mounts | Tool::MountsAlone));
        let host = self.hosts.get_mut(&node).filter(|host| host.boots == boots && at_it(host.tool));
        let Some(host) = host else { return };
        let says_so = says_so && host.tool == Some(Tool::Mounts);
        let works = !fails && up && (host.kernel.stack.control || !host.kernel.stack.needs_control());
        if works {
            self.user_mount(node, true);
        }
        if says_so {
            let (fstype, uuid, service) = ("ocfs2".into(), VOLUME.into(), "ocfs2".into());
            let errno = if works { "0" } else { "5" }.to_owned();
            self.tool_asks(node, MountAsk::Result { fstype, uuid, errno, service });
        }
        self.tool_dies(node);
    }

    /// The control device is used: what it says of the dead is known to this kernel from now on.
    pub(super) fn control(&mut self, node: u32, ops: &[ControlOp]) -> Result<(), agent_core::event::KernelRefusal> {
        let boots: Vec<(u32, u32)> = self.hosts.values().map(|host| (host.node, host.boots)).collect();
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        host.kernel.control()?;
        for op in ops {
            match op {
                ControlOp::Handshake { .. } => {}
                ControlOp::Register { .. } => host.is_registered = true,
                ControlOp::Down { node: dead, .. } => {
                    host.needs_down.remove(dead);
                    host.downs.extend(boots.iter().filter(|(node, _)| node == dead));
                }
                ControlOp::Notified { node: dead, .. } => {
                    host.needs_word.remove(dead);
                    host.unguarded = host.unguarded.or(host.needs_down.get(dead).copied());
                }
            }
        }
        Ok(())
    }

    /// A machine is gone that had the volume mounted.
    pub(super) fn volumes_stand_still(&mut self, dead: u32, boots: u32) {
        let deserted_at = self.hosts.get(&dead).and_then(|host| host.deserted_at);
        for host in self.hosts.values_mut().filter(|host| host.kernel.is_user_mounted && !host.kernel.stack.deserted) {
            let had_locks = deserted_at.is_none_or(|at| host.mounted_since < at);
            if had_locks && host.kernel.stack.needs_control() && !host.downs.contains(&(dead, boots)) {
                host.needs_down.insert(dead);
                if host.is_registered {
                    host.needs_word.insert(dead);
                } else {
                    host.unguarded.get_or_insert(dead);
                }
            }
        }
    }

    /// Machines that the DLM of this node cannot see: what is mounted here now never shares a lock with what they are.
    /// dlm_controld lets nobody back in who was out of sight with a lockspace.
    pub(super) fn out_of_ring(&self, node: u32) -> Vec<(u32, u32)> {
        let Some((_, ring)) = self.corosync.ring_of(node) else { return vec![] };
        let unseen = self.hosts.values().filter(|host| !ring.contains(&host.node));
        unseen.map(|host| (host.node, host.boots)).collect()
    }

    /// A fence device: either the machine is off when it has ended, or it says that it could not.
    pub(super) fn fence(&mut self, node: u32, life: u64, dead: NodeId) {
        let fails = self.chance == Chance::On && self.rng.chance(FENCE_FAILS_PERCENT);
        if self.chance == Chance::On && !fails {
            self.power_off(dead.0);
        }
        let result = if fails { Err("the device does not answer".to_owned()) } else { Ok(()) };
        self.plan_event(node, life, Event::FenceEnded(dead, result), FENCE_TIME);
    }

    /// corosync of this node is gone, and dlm_controld with it.
    pub(super) fn dlm_controld_ends(&mut self, node: u32) {
        let now = self.now;
        if let (Chance::On, Some(host)) = (self.chance, self.hosts.get_mut(&node)) {
            if host.kernel.is_user_mounted {
                host.deserted_at.get_or_insert(now);
            }
            host.kernel.stack.deserted |= host.kernel.is_user_mounted;
            (host.is_registered, host.needs_word) = (false, BTreeSet::new());
            host.needs_down.clear(); // nothing but a restart helps any more
        }
    }
}

/// A DLM that leaves recovery to a daemon, or one that does it.
#[must_use]
pub fn user_stack(recovers_by_itself: bool) -> Stack {
    Stack {
        label: "cman".into(),
        recovers_by_itself: Some(recovers_by_itself),
        locking: Some((1, 0)),
        ..Stack::default()
    }
}

fn asks() -> MountAsk {
    MountAsk::Mount {
        fstype: "ocfs2".into(),
        uuid: VOLUME.into(),
        cluster: "lab".into(),
        device: DEVICE.into(),
        number: Ok((98, 0)),
        service: "ocfs2".into(),
    }
}
