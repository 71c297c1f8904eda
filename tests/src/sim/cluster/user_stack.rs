//! The user stack: stock tools that ask before they mount, the DLM's share, and fence devices.
//!
//! A volume that was mounted on a node when it died stands still on every other node that has it mounted, until DOWN is
//! written there, and the DLM, if it was asked to wait, has had the word. A tool's mount(2) ends well, fails, or the tool dies
//! before it; MRESULT and UNMOUNT are left out as often as not, as today's tools do. dlm_controld ends with corosync and takes its volumes with it.

use super::{Cluster, Due};
use crate::sim::agenda::{MS, Micros};
use crate::sim::corosync::Chance;
use crate::sim::dlm::Phase;
use crate::sim::host::Host;
use crate::sim::kernel::{DEVICE, VOLUME};
use agent_core::Event;
use agent_core::event::{ControlOp, KernelRefusal, Lockspace, Stack};
use agent_core::ids::{ClientId, NodeId};
use agent_core::mount_client::{MountAnswer, MountAsk};
use configfs::Errno;
use proto::peer::VolumeId;
use std::collections::BTreeSet;

/// A fence device takes its time.
const FENCE_TIME: Micros = 1000 * MS;
/// Of a hundred tries of a fence device, how many fail.
const FENCE_FAILS_PERCENT: u64 = 25;
/// mount(2) takes at most this.
const MOUNT_TIME: Micros = 1000 * MS;

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

    /// A tool says this, and a story what becomes of it.
    pub fn tool_says(&mut self, node: u32, ask: MountAsk) {
        let begins = matches!(ask, MountAsk::Mount { .. });
        let host = self.hosts.get_mut(&node).filter(|host| begins && host.dlm.phase().is_none());
        host.into_iter().for_each(|host| host.tool = Some(Tool::Asks));
        self.tool_asks(node, ask);
    }

    /// umount, which tells nobody as often as not.
    pub fn tool_umounts(&mut self, node: u32) {
        let says_so = self.rng.chance(50);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if host.paused_since.is_some() || !host.kernel.is_user_mounted || host.kernel.stack.deserted {
            return;
        }
        host.needs_down.clear();
        self.user_mount(node, false);
        if says_so {
            let (fstype, uuid, service) = ("ocfs2".into(), VOLUME.into(), "ocfs2".into());
            self.tool_asks(node, MountAsk::Unmount { fstype, uuid, service });
            self.tool_goes(node);
        }
    }

    /// The tool is killed, whatever it does.
    pub fn tool_dies(&mut self, node: u32) {
        if self.hosts.get(&node).is_some_and(|host| host.tool.is_some()) {
            self.tool_ends(node);
        }
    }

    /// Its connection is closed; a mount(2) that has not ended is broken off, and its lockspace released.
    pub fn tool_ends(&mut self, node: u32) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        host.tool = None;
        if !host.kernel.is_user_mounted {
            host.kernel.lockspace(false);
            host.dlm.enters(None);
        }
        self.tool_goes(node);
    }

    /// The daemon is gone, and with it the connection.
    pub(super) fn tool_loses_daemon(&mut self, node: u32) {
        self.hosts.entry(node).and_modify(|host| {
            host.tool = host.tool.filter(|tool| *tool != Tool::Asks).map(|_| Tool::MountsAlone);
        });
    }

    /// The daemon has answered the tool.
    pub(super) fn tool_hears(&mut self, node: u32, client: ClientId, answer: &MountAnswer) {
        let is_its = client == super::deeds::tool_of(node);
        let asks = |host: &&mut Host| is_its && host.tool == Some(Tool::Asks);
        let Some(host) = self.hosts.get_mut(&node).filter(asks) else { return };
        let may_mount = matches!(answer, MountAnswer::Status { errno: 0 | 114, .. });
        if may_mount {
            host.tool = Some(Tool::Mounts);
            host.kernel.lockspace(true);
            host.dlm.enters(Some(Phase::Joins));
        }
        match (self.chance, may_mount) {
            (Chance::Off, _) => {} // the story says what becomes of it
            (Chance::On, false) => self.tool_dies(node),
            (Chance::On, true) => {
                let (boots, takes) = (host.boots, self.rng.below(MOUNT_TIME));
                self.agenda.plan(self.now + takes, Due::Mount { node, boots });
            }
        }
    }

    /// mount(2) has ended, unless dlm_controld lets it wait.
    pub(super) fn mount_ends(&mut self, node: u32, boots: u32) {
        let is_held = |host: &Host| host.boots == boots && host.tool.is_some() && !host.dlm.needs_word().is_empty();
        if self.hosts.get(&node).is_some_and(is_held) {
            return self.agenda.plan(self.now + MOUNT_TIME, Due::Mount { node, boots });
        }
        let (fails, says_so) = (self.rng.chance(15), self.rng.chance(50));
        let up = self.corosync.is_up(node);
        let at_it = |tool: Option<Tool>| matches!(tool, Some(Tool::Mounts | Tool::MountsAlone));
        let host = self.hosts.get_mut(&node).filter(|host| host.boots == boots && at_it(host.tool));
        let Some(host) = host else { return };
        let says_so = says_so && host.tool == Some(Tool::Mounts);
        let (joins, stack) = (host.dlm.phase() == Some(Phase::Joins), &host.kernel.stack);
        let works = !fails && up && joins && (stack.control || !stack.needs_control());
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
    pub(super) fn control(&mut self, node: u32, ops: &[ControlOp]) -> Result<(), KernelRefusal> {
        let boots: Vec<(u32, u32)> = self.hosts.values().map(|host| (host.node, host.boots)).collect();
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        host.kernel.control()?;
        for op in ops {
            match op {
                ControlOp::Handshake { .. } => {}
                ControlOp::Register { .. } => host.dlm.register(),
                ControlOp::Unregister { .. } => host.dlm.unregister(),
                ControlOp::Down { node: dead, .. } => {
                    host.needs_down.remove(dead);
                    host.downs.extend(boots.iter().filter(|(node, _)| node == dead));
                }
                ControlOp::Notified { node: dead, .. } => {
                    let goes_on = host.dlm.notified(*dead).map_err(not_now)?;
                    let untold = host.needs_down.get(dead).copied().filter(|_| goes_on);
                    host.dlm.unguarded = host.dlm.unguarded.or(untold);
                }
            }
        }
        Ok(())
    }

    /// dlm_controld is asked how its lockspace stands to a node.
    pub(super) fn look_at_lockspaces(
        &mut self,
        node: u32,
        dead: u32,
        volumes: &BTreeSet<VolumeId>,
    ) -> Vec<(VolumeId, Result<Option<Lockspace>, KernelRefusal>)> {
        let Some(host) = self.hosts.get_mut(&node) else { return vec![] };
        let found = host.dlm.look(dead);
        volumes.iter().map(|volume| (*volume, Ok(found))).collect()
    }

    /// The power of a machine is cut that may have had the volume mounted, or was about to.
    pub(super) fn lockspaces_lose(&mut self, dead: u32) {
        let Some(host) = self.hosts.get_mut(&dead) else { return };
        let (was_mounted, was_in, boots) = (host.kernel.is_user_mounted, host.dlm.phase().is_some(), host.boots);
        let deserted_at = host.deserted_at;
        host.kernel.user_mount(false);
        host.dlm.enters(None);
        let mut rng = (self.chance == Chance::On).then_some(&mut self.rng);
        for (node, host) in self.hosts.iter_mut().filter(|(_, host)| !host.kernel.stack.deserted) {
            let is_user = host.kernel.is_user_mounted && host.kernel.stack.needs_control();
            let had_locks = was_mounted && deserted_at.is_none_or(|at| host.mounted_since < at);
            if is_user && had_locks && !host.downs.contains(&(dead, boots)) {
                host.needs_down.insert(dead);
                host.dlm.fails(dead, true, rng.as_deref_mut());
            } else if was_in
                && (!was_mounted || host.dlm.phase() == Some(Phase::Joins))
                && self.corosync.ring_of(*node).is_some_and(|(_, ring)| ring.contains(&dead))
            {
                host.dlm.fails(dead, false, rng.as_deref_mut());
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
            host.dlm.ends();
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

fn not_now(errno: Errno) -> KernelRefusal {
    KernelRefusal { errno: errno.0, path: "@dlmc_sock".into(), what: "tell dlm_controld".into() }
}
