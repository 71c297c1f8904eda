//! What people and other programs do to a node: settings that cannot be, entries of somebody else, a state file that is
//! lost, tools and legacy programs that say what they like.

use super::Run;
use super::questions;
use crate::sim::cluster::{address, configured, name};
use crate::sim::host::Host;
use agent_core::ids::NodeId;
use configfs::Errno;
use configfs::model::Call;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// See the module; a number says which of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    /// The nodelist, or this node's idea of it, makes no sense.
    Misconfigured(u8),
    /// And does again.
    Reconfigured,
    /// Other time-outs or policies than the others have.
    OtherSettings(u8),
    /// Another program makes an entry, whole or half, or takes one of ours out.
    Meddles(u8),
    /// It takes its own out again.
    StopsMeddling,
    /// The daemon is killed, and its state file lost, cut off, or not of this boot or release.
    LosesState(u8),
    /// configfs cannot be read.
    HidesTree(u8),
    /// Programs that speak libgroup have groups, and recover from deaths.
    Legacy(u8),
    /// They have left.
    LegacyEnds,
    /// A call into corosync does not return.
    Sticks,
    /// It has returned.
    Unsticks,
    /// mount.ocfs2 is killed while it starts the heartbeat.
    BreaksOff,
    /// A tool asks something over the old socket.
    Tool(u8),
}

/// The program that meddles makes this entry.
const STRANGER: &str = "stranger";
const STRANGER_AT: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
const STRANGER_NUMBER: u32 = 99;
/// The directory of all clusters here.
const CLUSTER: &str = "lab";

impl Run<'_> {
    pub(super) fn be_strange(&mut self, node: u32, strange: Strange) {
        match strange {
            Strange::Misconfigured(byte) => self.misconfigure(node, byte),
            Strange::Reconfigured => self.reconfigure(node),
            Strange::OtherSettings(byte) => self.cluster.set_policy(node, |policy| match byte % 3 {
                0 => policy.attributes.idle_timeout_ms += 1_000,
                1 => policy.attributes.keepalive_delay_ms += 100,
                _ => policy.port ^= 1,
            }),
            Strange::Meddles(byte) => self.meddle(node, byte),
            Strange::StopsMeddling => self.stop_meddling(node),
            Strange::LosesState(byte) => self.lose_state(node, byte),
            Strange::HidesTree(byte) => self.hide_tree(node, byte),
            Strange::Legacy(byte) => self.legacy(node, byte),
            Strange::LegacyEnds => self.cluster.legacy_groups(node, vec![]),
            Strange::Sticks => {
                self.stuck.insert(node);
                self.cluster.stick(node);
            }
            Strange::Unsticks => self.cluster.unstick(node),
            Strange::BreaksOff => self.break_off(node),
            Strange::Tool(byte) => {
                let ask = questions::of_tool(byte);
                self.cluster.stray_tool_asks(node, ask);
                if byte % 2 == 0 {
                    self.cluster.stray_tool_goes(node);
                }
            }
        }
    }

    fn other(&self, node: u32, byte: u8) -> u32 {
        1 + (node + u32::from(byte)) % self.plan.nodes
    }

    fn misconfigure(&mut self, node: u32, byte: u8) {
        let other = self.other(node, byte / 8);
        let (me, mut entry) = (NodeId(node), configured(node));
        let is_hidden = self.cluster.hosts.get(&node).is_some_and(|host| host.kernel.tree().is_err());
        match byte % 8 {
            5 | 6 if is_hidden => return, // it could not tell by which name it has written
            0 => entry.address = Err("fd00::1".into()),
            1 => entry.address = Ok(address(other)),
            2 => entry.name = Some("a node".into()),
            3 => entry.name = None,
            4 => {
                return self.cluster.configure_one(node, |config| {
                    config.nodes.remove(&NodeId(other));
                    entry.address = Ok(address(other));
                    config.nodes.insert(me, entry);
                });
            }
            5 => return self.cluster.configure_one(node, |config| config.cluster_name = "other".into()),
            6 => return self.cluster.configure_one(node, |config| config.cluster_name = "no name".into()),
            _ => {
                return self.cluster.set_policy(node, |policy| {
                    policy.numbers = BTreeMap::from([(me, other as u8)]);
                });
            }
        }
        self.cluster.configure(|config| _ = config.nodes.insert(me, entry));
    }

    pub(super) fn reconfigure(&mut self, node: u32) {
        if let Some(host) = self.cluster.hosts.get_mut(&node) {
            host.own_config = None;
        }
        let plan = self.plan;
        self.cluster.set_policy(node, |policy| *policy = plan.policy());
        self.configure(node);
    }

    fn meddle(&mut self, node: u32, byte: u8) {
        let other = self.other(node, byte / 4);
        let Some(host) = self.cluster.hosts.get_mut(&node).filter(|host| host.powered) else { return };
        host.is_meddled = true;
        match byte % 4 {
            0 => host.kernel.make_foreign(CLUSTER, STRANGER, STRANGER_NUMBER, STRANGER_AT),
            1 => host.kernel.make_foreign(CLUSTER, STRANGER, other, STRANGER_AT),
            2 => host.kernel.make_half(CLUSTER, &name(other), None),
            _ => host.kernel.unmake(CLUSTER, &name(other)),
        }
        self.cluster.look(node);
    }

    pub(super) fn stop_meddling(&mut self, node: u32) {
        let Some(host) = self.cluster.hosts.get_mut(&node).filter(|host| host.is_meddled) else { return };
        host.kernel.unmake(CLUSTER, STRANGER);
        for half in host.kernel.half_made() {
            host.kernel.unmake(CLUSTER, half.as_str());
        }
        self.cluster.look(node);
    }

    fn lose_state(&mut self, node: u32, byte: u8) {
        self.cluster.crash_daemon(node);
        let Some(host) = self.cluster.hosts.get_mut(&node) else { return };
        host.needs_restart = true;
        match byte % 4 {
            0 => host.saved = None,
            1 => host.is_state_cut = true,
            2 => host.saved.iter_mut().for_each(|saved| saved.boot_id = [0xff; 16]),
            _ => host.saved.iter_mut().for_each(|saved| saved.schema = u32::MAX),
        }
    }

    fn hide_tree(&mut self, node: u32, byte: u8) {
        // With a volume mounted it would be missed as a member that counts; with another cluster name, see above.
        let can_be = |host: &&mut Host| !host.kernel.is_mounted() && host.own_config.is_none();
        let Some(host) = self.cluster.hosts.get_mut(&node).filter(can_be) else { return };
        let (call, pattern) = if byte % 2 == 0 { (Call::List, "*/node") } else { (Call::Show, "*/num") };
        host.kernel.model().refuse(call, pattern, Errno::EIO);
        self.cluster.look(node);
    }

    fn legacy(&mut self, node: u32, byte: u8) {
        self.legacy.insert(node);
        let groups = [["0:default", "1:clvmd"], ["1:clvmd", "2:fs"], ["2:fs", "3:app"]][usize::from(byte) % 3];
        self.cluster.legacy_groups(node, groups.map(str::to_owned).into());
        let behind = (byte > 127).then(|| (NodeId(self.other(node, byte)), "1:clvmd".to_owned()));
        self.cluster.legacy_says(node, behind.into_iter().collect());
    }

    fn break_off(&mut self, node: u32) {
        let Some(host) = self.cluster.hosts.get_mut(&node) else { return };
        if self.plan.user_stack.is_none() && host.kernel.local().is_some() && !host.kernel.is_mounted() {
            host.kernel.break_off();
            host.needs_restart = true;
            self.cluster.look(node);
        }
    }
}
