//! What people, failures and the network do to the cluster.

use super::daemon::RECONNECT_AFTER;
use super::{Cluster, Due, GROUP};
use crate::sim::agenda::{MS, Micros, SECOND};
use crate::sim::corosync::{Chance, Handle, Seen};
use crate::sim::dlm::{Dlm, Phase};
use crate::sim::host::{Host, Job};
use crate::sim::intruder::{Intruder, Manner};
use crate::sim::kernel::Kernel;
use agent_core::Event;
use agent_core::event::ClusterConfig;
use agent_core::ids::{ClientId, NodeId};
use agent_core::legacy::LegacyRecovery;
use agent_core::mount_client::MountAsk;
use agent_core::policy::Policy;
use configfs::NodeNum;
use proto::control::Ask;
use std::collections::{BTreeMap, BTreeSet};

/// How mount.ocfs2 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountOutcome {
    /// Mounted.
    Mounted,
    /// The machine is off or stands still, or it is mounted already.
    Impossible,
    /// There is no local entry: the tool gives up before it asks the kernel.
    NotLocal,
    /// This node's table and that member's differ: EINVAL.
    TablesDiffer {
        /// The member.
        with: u32,
    },
}

/// From power on to the start of the daemon.
const BOOT_TIME: Micros = 50 * MS;
/// An intruder's process ids lie above all others.
const INTRUDER_PID: u32 = 900_000;
/// The kernel sleeps so long between two heartbeats, in seconds.
const HEARTBEAT_S: u64 = 2;

impl Cluster {
    /// Power on: a new boot, an empty kernel, corosync, the daemon.
    pub fn power_on(&mut self, node: u32) {
        let Some(host) = self.hosts.get_mut(&node).filter(|host| !host.powered) else { return };
        host.powered = true;
        host.boots += 1;
        host.kernel = Kernel::default();
        host.kernel.stack = host.stack.clone();
        (host.tool, host.needs_down, host.downs) = (None, BTreeSet::new(), BTreeSet::new());
        host.dlm = Dlm::default();
        host.saved = None;
        (host.is_state_cut, host.is_meddled, host.needs_restart) = (false, false, false);
        host.deserted_at = None;
        let boots = host.boots;
        self.corosync.start(node);
        self.agenda.plan(self.now + BOOT_TIME, Due::StartDaemon { node, boots });
    }

    /// Power off, without a word.
    pub fn power_off(&mut self, node: u32) {
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.powered) else { return };
        host.powered = false;
        host.paused_since = None;
        host.effects_left = None;
        host.kernel_delay = 0;
        host.daemon = None;
        let mounted = host.kernel.umount();
        self.lockspaces_lose(node);
        self.corosync.crash(node);
        self.intruders.retain(|handle, _| handle.node != node);
        mounted.into_iter().for_each(|number| self.heartbeat_stops(number));
    }

    /// The daemon is killed before it performs the effect after so many.
    pub fn crash_daemon_after(&mut self, node: u32, effects: u32) {
        if let Some(host) = self.hosts.get_mut(&node).filter(|host| host.daemon.is_some()) {
            host.effects_left = Some(effects);
        }
    }

    /// SIGTERM to the daemon.
    pub fn stop_daemon(&mut self, node: u32) {
        self.tell(node, Event::StopAsked { by: "SIGTERM".into() });
    }

    /// corosync asks its trackers whether it may shut down.
    pub fn ask_shutdown(&mut self, node: u32) {
        self.tell(node, Event::ShutdownAsked);
    }

    /// kill -9 of corosync; the machine goes on.
    pub fn crash_corosync(&mut self, node: u32) {
        self.dlm_controld_ends(node);
        self.corosync.crash(node);
    }

    /// SIGTERM to corosync.
    pub fn stop_corosync(&mut self, node: u32) {
        self.dlm_controld_ends(node);
        self.corosync.terminate(node);
    }

    /// corosync starts again on a running machine.
    pub fn start_corosync(&mut self, node: u32) {
        let Some(host) = self.hosts.get(&node).filter(|host| host.powered) else { return };
        self.corosync.start(node);
        if let Some(life) = host.daemon.as_ref().map(|daemon| daemon.life) {
            self.agenda.plan(self.now + RECONNECT_AFTER, Due::Connect { node, life });
        }
    }

    /// The whole machine stands still.
    pub fn pause(&mut self, node: u32) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(&node).filter(|host| host.powered && host.paused_since.is_none()) {
            host.paused_since = Some(now);
            self.corosync.pause(node);
        }
    }

    /// SIGSTOP of the daemon alone: corosync and its queue for the daemon go on.
    pub fn pause_daemon(&mut self, node: u32) {
        let now = self.now;
        let host = self.hosts.get_mut(&node).filter(|host| host.powered && host.paused_since.is_none());
        host.into_iter().for_each(|host| host.paused_since = Some(now));
    }

    /// The clock that the daemon reads is ahead all at once.
    pub fn jump_clock(&mut self, node: u32, by: Micros) {
        self.hosts.entry(node).and_modify(|host| host.clock_ahead += by);
    }

    /// And goes on. The daemon notices if that was longer than the token time.
    pub fn resume(&mut self, node: u32) {
        let (now, token) = (self.now, self.corosync.timing().token);
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let Some(since) = host.paused_since.take() else { return };
        host.resumed_at = now;
        self.corosync.resume(node);
        let Some(daemon) = host.daemon.as_mut() else { return };
        let (life, parked) = (daemon.life, std::mem::take(&mut daemon.parked));
        if now - since > token {
            self.plan_event(node, life, Event::Slept { ms: (now - since) / MS }, 0);
        }
        for (event, order) in parked {
            self.agenda.plan(now, Due::Event { node, life, event: Box::new(event), order });
        }
    }

    /// SIGSTOP of corosync alone.
    pub fn pause_corosync(&mut self, node: u32) {
        self.corosync.pause(node);
    }

    /// SIGCONT of corosync alone.
    pub fn resume_corosync(&mut self, node: u32) {
        self.corosync.resume(node);
    }

    /// All links work again; mounted kernels find each other.
    pub fn heal(&mut self) {
        self.corosync.heal();
        self.connect_kernels();
    }

    /// Another corosync.conf on all nodes, and corosync-cfgtool -R.
    pub fn configure(&mut self, change: impl FnOnce(&mut ClusterConfig)) {
        change(&mut self.config);
        let nodes: BTreeSet<u32> = self.config.nodes.keys().map(|node| node.0).collect();
        for node in &nodes {
            self.hosts.entry(*node).or_insert_with(|| Host::new(*node));
        }
        self.corosync.configure(nodes);
        let running: Vec<u32> = self.hosts.keys().copied().filter(|node| self.corosync.is_up(*node)).collect();
        running.into_iter().for_each(|node| self.tell_config(node));
    }

    /// Only what is new is told.
    pub(super) fn tell_config(&mut self, node: u32) {
        let config = self.config_of(node);
        let Some(daemon) = self.hosts.get_mut(&node).and_then(|host| host.daemon.as_mut()) else { return };
        if daemon.config.as_ref() != Some(&config) {
            daemon.config = Some(config.clone());
            self.tell(node, Event::ConfigChanged(config));
        }
    }

    /// corosync.conf on this node only.
    pub fn configure_one(&mut self, node: u32, change: impl FnOnce(&mut ClusterConfig)) {
        let mut config = self.config_of(node);
        change(&mut config);
        if let Some(host) = self.hosts.get_mut(&node) {
            host.own_config = Some(config);
            self.tell_config(node);
        }
    }

    /// What all nodes are configured with.
    #[must_use]
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// o2cpg.toml of a node; a running daemon is told of a change (SIGHUP).
    pub fn set_policy(&mut self, node: u32, change: impl FnOnce(&mut Policy)) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let before = host.policy.clone();
        change(&mut host.policy);
        if host.policy != before {
            let policy = Box::new(host.policy.clone());
            self.tell(node, Event::PolicyChanged(policy));
        }
    }

    /// A client asks. Returns its id; 0 if nobody listens.
    pub fn ask(&mut self, node: u32, ask: Ask) -> u64 {
        let Some(daemon) = self.hosts.get_mut(&node).and_then(|host| host.daemon.as_mut()) else { return 0 };
        self.requests += 1;
        daemon.open_requests.push(self.requests);
        let client = ClientId(self.requests);
        self.tell(node, Event::Asked(client, ask));
        client.0
    }

    /// A client goes without waiting for its answer.
    pub fn hang_up(&mut self, node: u32, client: u64) {
        let Some(daemon) = self.hosts.get_mut(&node).and_then(|host| host.daemon.as_mut()) else { return };
        daemon.open_requests.retain(|open| *open != client);
        self.tell(node, Event::ClientGone(ClientId(client)));
    }

    /// A tool of a mount says something, over the ocfs2_controld socket.
    pub fn tool_asks(&mut self, node: u32, ask: MountAsk) {
        self.tell(node, Event::MountAsked(tool_of(node), ask));
    }

    /// It closes its connection.
    pub fn tool_goes(&mut self, node: u32) {
        self.tell(node, Event::ClientGone(tool_of(node)));
    }

    /// Any other tool says something there.
    pub fn stray_tool_asks(&mut self, node: u32, ask: MountAsk) {
        self.tell(node, Event::MountAsked(stray_tool_of(node), ask));
    }

    /// It closes its connection.
    pub fn stray_tool_goes(&mut self, node: u32) {
        self.tell(node, Event::ClientGone(stray_tool_of(node)));
    }

    /// A call into corosync does not return.
    pub fn stick(&mut self, node: u32) {
        self.tell(node, Event::CorosyncStuck { call: "cpg_mcast_joined".into() });
    }

    /// It has returned.
    pub fn unstick(&mut self, node: u32) {
        self.tell(node, Event::CorosyncUnstuck);
    }

    /// Programs that speak libgroup have these groups on the node.
    pub fn legacy_groups(&mut self, node: u32, groups: Vec<String>) {
        self.tell(node, Event::LegacyGroups(groups));
    }

    /// The legacy service has seen the ring that the agent is in, and says what recovers.
    pub fn legacy_says(&mut self, node: u32, behind: BTreeMap<NodeId, String>) {
        let ring = self.hosts.get(&node).and_then(|host| host.agent()?.view().ring());
        let ring_seq = ring.map_or(0, |ring| ring.seq);
        self.tell(node, Event::LegacyRecovery(LegacyRecovery { ring_seq, behind }));
    }

    /// On a user stack, which needs no node tree: the kernel has mounted the volume, or it is gone again.
    pub fn user_mount(&mut self, node: u32, on: bool) {
        let now = self.now;
        let never_shared = if on { self.out_of_ring(node) } else { vec![] };
        self.hosts.entry(node).and_modify(|host| {
            host.mounted_since = now;
            host.kernel.user_mount(on);
            host.dlm.enters(on.then_some(Phase::Started));
            host.downs.extend(never_shared);
        });
        self.look(node);
    }

    /// mount.ocfs2 of the volume.
    pub fn mount(&mut self, node: u32) -> MountOutcome {
        let Some(host) = self.hosts.get(&node) else { return MountOutcome::Impossible };
        if !host.powered || host.paused_since.is_some() || host.kernel.is_mounted() {
            return MountOutcome::Impossible;
        }
        if host.kernel.local().is_none() {
            return MountOutcome::NotLocal;
        }
        let table = host.kernel.table();
        let members = self.hosts.values().filter(|other| other.kernel.is_mounted());
        if let Some(with) = members.filter(|other| other.kernel.table() != table).map(|other| other.node).next() {
            return MountOutcome::TablesDiffer { with };
        }
        let now = self.now;
        let mounted = self.hosts.get_mut(&node).is_some_and(|host| {
            host.mounted_since = now;
            host.kernel.mount()
        });
        self.connect_kernels();
        self.look(node);
        if mounted { MountOutcome::Mounted } else { MountOutcome::Impossible }
    }

    /// umount. The others see its last heartbeat say goodbye.
    pub fn umount(&mut self, node: u32) {
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.paused_since.is_none()) else { return };
        let Some(number) = host.kernel.umount() else { return };
        for host in self.hosts.values_mut() {
            host.kernel.disconnect(number);
        }
        self.look(node);
    }

    /// inotify and mountinfo: the daemon looks at its kernel.
    pub fn look(&mut self, node: u32) {
        if let Some(life) = self.hosts.get(&node).and_then(|host| host.daemon.as_ref()).map(|daemon| daemon.life) {
            self.queue_job(node, life, Job::Look);
        }
    }

    /// Kernels that have the volume mounted connect to each other where the network lets them.
    fn connect_kernels(&mut self) {
        let mounted: Vec<(u32, NodeNum)> =
            self.hosts.values().filter_map(|host| Some((host.node, host.kernel.mounted_as()?))).collect();
        for (node, _) in &mounted {
            let peers = mounted.iter().filter(|(peer, _)| peer != node);
            let reached = peers.filter(|(peer, _)| self.corosync.reach_each_other(*node, *peer));
            let numbers: Vec<NodeNum> = reached.map(|(_, number)| *number).collect();
            let Some(host) = self.hosts.get_mut(node) else { continue };
            numbers.into_iter().for_each(|number| host.kernel.connect(number));
        }
    }

    /// A mounted machine is gone: the others notice by the disk, each after its own dead time.
    fn heartbeat_stops(&mut self, peer: NodeNum) {
        for host in self.hosts.values().filter(|host| host.kernel.is_mounted()) {
            let silent_s = u64::from(host.policy.attributes.dead_threshold.saturating_sub(1)) * HEARTBEAT_S;
            let due = Due::HeartbeatDead { node: host.node, boots: host.boots, peer };
            self.agenda.plan(self.now + silent_s * SECOND, due);
        }
    }

    pub(super) fn heartbeat_dead(&mut self, node: u32, boots: u32, peer: NodeNum) {
        let beats_again = self.hosts.values().any(|host| host.kernel.mounted_as() == Some(peer));
        let host = self.hosts.get_mut(&node).filter(|host| host.boots == boots && !beats_again);
        host.into_iter().for_each(|host| host.kernel.disconnect(peer));
    }

    /// Another process joins our group on this node.
    pub fn intrude(&mut self, node: u32, manner: Manner) {
        self.lives += 1;
        // Pids begin anew at some time: who came later may be the lower one.
        let first = if manner == Manner::Model { 1 } else { INTRUDER_PID };
        let pid = first + u32::try_from(self.lives).unwrap_or_default();
        let handle = Handle { node, pid, number: 0 };
        let joined = self.corosync.connect(handle).and_then(|()| self.corosync.join(handle, GROUP));
        if joined.is_ok() {
            self.intruders.insert(handle, Intruder::new(handle.member(), manner));
        } else {
            self.corosync.finalize(handle);
        }
    }

    /// All intruders end.
    pub fn intruders_end(&mut self) {
        for (handle, _) in std::mem::take(&mut self.intruders) {
            self.corosync.exit(handle.node, handle.pid);
        }
    }

    pub(super) fn intruder_sees(&mut self, handle: Handle, seen: &Seen) {
        if *seen == Seen::Lost {
            self.intruders.remove(&handle);
            return;
        }
        let Some(intruder) = self.intruders.get_mut(&handle) else { return };
        for bytes in intruder.sees(seen, &mut self.rng) {
            // What corosync does not take now is lost: an intruder has no right to be heard.
            let _lost = self.corosync.multicast(handle, &bytes);
        }
    }

    /// Whether chance has a say in this run.
    #[must_use]
    pub fn chance(&self) -> Chance {
        self.chance
    }
}

/// The connection of a node's one mount tool; requests of the control socket count from 1.
pub(super) fn tool_of(node: u32) -> ClientId {
    ClientId(1_000_000 + u64::from(node))
}

/// The connection of another tool of the node.
fn stray_tool_of(node: u32) -> ClientId {
    ClientId(2_000_000 + u64::from(node))
}
