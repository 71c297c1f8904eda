//! Every reason for "no", as a value that a person can act on: what, why likely, and what to do next.

#![allow(missing_docs, reason = "the fields say what the variant names")]

use crate::event::{KernelRefusal, errno_text};
use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// Why a node is not let in, or is in but not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// corosync's nodelist does not have it.
    NotInNodelist { nodeid: NodeId },
    /// Its nodeid cannot be an o2cb number, and no map says otherwise.
    NumberTooLarge { nodeid: NodeId },
    /// o2net speaks IPv4 only.
    NoIpv4 { nodeid: NodeId, found: String },
    /// The nodelist gives two nodes one address.
    SameAddress { address: Ipv4Addr, other: NodeId },
    /// The explicit map gives two nodes one number.
    SameNumber { number: u8, other: NodeId },
    /// The kernel would not take the node's name.
    NodeName { name: String, rule: String },
    /// The kernel or ocfs2-tools would not take the cluster's name.
    ClusterName { name: String, rule: String },
    /// corosync counts no votes.
    NoQuorumProvider,
    /// A peer says of itself that it cannot have an entry.
    SaysUnfit(String),
    /// A value that must be equal on all nodes is not.
    Mismatch { block: String, ours: String, theirs: String },
    /// Its handshake could not be read.
    Handshake(String),
    /// The configuration gives the node another entry than the kernels hold.
    IdentityChanged { held: String, wanted: String },
    /// Another node has the name, number or address.
    Taken { field: String, value: String, by: NodeId },
    /// Two agents on one node.
    SecondAgent { pid: u32, first: u32 },
    /// The kernel did not take the node's own entry or the table.
    Kernel(KernelRefusal),
    /// configfs has a cluster of another name, and the kernel allows one.
    OtherCluster { found: String, wanted: String },
    /// configfs holds entries that this daemon did not make and the agreed table does not have.
    Foreign { entries: Vec<String> },
    /// A cluster attribute in the kernel is not what was configured, and cannot be changed now.
    Attribute { name: String, kernel: String, wanted: String },
    /// The start of this heartbeat region was broken off, and the kernel cannot get rid of it.
    RegionBroken { region: String },
    /// dlm_controld waits for us no longer when a node fails with these volumes.
    Unguarded { volumes: Vec<String> },
    /// It was cut off without quorum while it had volumes mounted, and the others went on.
    LiveWithoutQuorum { mounts: u32 },
    /// The state file or the kernel tree could not be read at start.
    Unreadable(String),
    /// configfs cannot be read at the moment.
    TreeUnreadable(KernelRefusal),
    /// A value that should be equal on all nodes is not. Nobody is kept out for it.
    Differs { block: String, ours: String, theirs: String },
    /// What all nodes go by is not known here: corosync's configuration, or our section of it.
    SettingsUnknown(String),
    /// What corosync is configured to be by now is not known; what was read before holds.
    ConfigUnreadable { why: String },
    /// corosync lists a process of this node that is gone. Nobody of ours waits for it.
    Ghost { pid: u32 },
}

impl Refusal {
    /// A stable word for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::NotInNodelist { .. } => "not-in-nodelist",
            Refusal::NumberTooLarge { .. } => "number-too-large",
            Refusal::NoIpv4 { .. } => "no-ipv4",
            Refusal::SameAddress { .. } => "same-address",
            Refusal::SameNumber { .. } => "same-number",
            Refusal::NodeName { .. } => "node-name",
            Refusal::ClusterName { .. } => "cluster-name",
            Refusal::NoQuorumProvider => "no-quorum-provider",
            Refusal::SaysUnfit(_) => "unfit",
            Refusal::Mismatch { .. } => "mismatch",
            Refusal::Handshake(_) => "handshake",
            Refusal::IdentityChanged { .. } => "identity-changed",
            Refusal::Taken { .. } => "taken",
            Refusal::SecondAgent { .. } => "second-agent",
            Refusal::Kernel(_) => "kernel",
            Refusal::OtherCluster { .. } => "other-cluster",
            Refusal::Foreign { .. } => "foreign-entries",
            Refusal::Attribute { .. } => "attribute",
            Refusal::RegionBroken { .. } => "region-broken",
            Refusal::Unguarded { .. } => "unguarded",
            Refusal::LiveWithoutQuorum { .. } => "live-without-quorum",
            Refusal::Unreadable(_) => "unreadable",
            Refusal::TreeUnreadable(_) => "tree-unreadable",
            Refusal::Differs { .. } => "differs",
            Refusal::Ghost { .. } => "ghost",
            Refusal::SettingsUnknown(_) => "settings-unknown",
            Refusal::ConfigUnreadable { .. } => "config-unreadable",
        }
    }

    /// The likely cause, where `what` alone does not say it.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Refusal::NumberTooLarge { .. } => {
                "o2cb numbers are 0 to 254; without nodeid in the nodelist corosync makes one from the address".into()
            }
            Refusal::NoIpv4 { .. } => "the kernel's o2net connects over IPv4 only".into(),
            Refusal::NoQuorumProvider => {
                "without one it says of each part of a split that it is quorate: both would go on, and forget the other".into()
            }
            Refusal::Mismatch { .. } => {
                "peers compare these values when they connect; with a difference every mount hangs for 60 s and fails"
                    .into()
            }
            Refusal::IdentityChanged { .. } => {
                "name, number, address and port of an entry can be stored once; it has to be removed everywhere first"
                    .into()
            }
            Refusal::Taken { .. } => "the kernel finds a peer by number and address; both must be unique".into(),
            Refusal::Kernel(refusal) if refusal.errno == 99 => {
                "the address in corosync's nodelist is not configured on this host".into()
            }
            Refusal::Foreign { .. } => {
                "another program writes there too (o2cb.service with /etc/ocfs2/cluster.conf, o2cb_ctl, a person); while such an entry has a number, the kernels' tables differ and o2dlm refuses every new mount"
                    .into()
            }
            Refusal::Attribute { .. } => {
                "the kernel ignores or refuses a change while a region exists or a peer is connected".into()
            }
            Refusal::RegionBroken { .. } => {
                "mount.ocfs2 was killed meanwhile; the kernel goes on naming a thread that has ended, and crashes when somebody uses or removes the region"
                    .into()
            }
            Refusal::Unguarded { .. } => {
                "a node failed in the middle of a mount, of which dlm_controld cannot be told; to let the volume go on it had to be told to wait for o2cpgd no longer. If another node dies now, what is written in the second after it may be lost"
                    .into()
            }
            Refusal::LiveWithoutQuorum { .. } => {
                "the node was in the minority of a partition; the others may have recovered its journals".into()
            }
            Refusal::OtherCluster { .. } => "the kernel holds one cluster at a time".into(),
            Refusal::Differs { .. } => {
                "corosync.conf or o2cpg.toml is not the same on both nodes, or one has not read it since it was changed; host names in it may resolve to other addresses there"
                    .into()
            }
            Refusal::Ghost { .. } => {
                "corosync (met in 3.1.7) may go on listing a process that has ended, if its node was lost and back while rings merged"
                    .into()
            }
            _ => String::new(),
        }
    }

    /// The next thing to do.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Refusal::NotInNodelist { nodeid } => {
                format!(
                    "add node {nodeid} to the nodelist in /etc/corosync/corosync.conf on all nodes, then corosync-cfgtool -R"
                )
            }
            Refusal::NumberTooLarge { nodeid } => format!(
                "give the node a nodeid from 1 to 254 in corosync.conf, or map it in o2cpg.toml on all nodes: [numbers] {nodeid} = 7"
            ),
            Refusal::NoIpv4 { found, .. } if found.starts_with("host name") => {
                "see to it that the name resolves to an IPv4 address on all nodes (/etc/hosts, DNS); it is looked up again by itself".into()
            }
            Refusal::NoIpv4 { nodeid, .. } => {
                format!(
                    "give node {nodeid} an IPv4 ring address, or choose a link that has one: link = 1 in o2cpg.toml"
                )
            }
            Refusal::SameAddress { .. } | Refusal::SameNumber { .. } => {
                "correct the nodelist (or the map) on all nodes, then corosync-cfgtool -R".into()
            }
            Refusal::NodeName { .. } | Refusal::ClusterName { .. } => {
                "choose another name in corosync.conf on all nodes".into()
            }
            Refusal::NoQuorumProvider => {
                "in the section quorum of /etc/corosync/corosync.conf on all nodes: provider: corosync_votequorum; unmount ocfs2, then restart corosync on all of them".into()
            }
            Refusal::SaysUnfit(_) => "see o2cpg status on that node".into(),
            Refusal::Mismatch { block, .. } => equal(block),
            Refusal::Handshake(_) => "install the same release of o2cpgd on all nodes".into(),
            Refusal::IdentityChanged { .. } => {
                "unmount its ocfs2 volumes: it then gets the new entry by itself; or take the change back".into()
            }
            Refusal::Taken { by, .. } => {
                format!("give this node its own in corosync.conf; if node {by} is gone for good: o2cpg forget {by}")
            }
            Refusal::SecondAgent { first, .. } => format!("stop one of them; pid {first} was first"),
            Refusal::Kernel(_) => "see dmesg; the join is tried again by itself".into(),
            Refusal::OtherCluster { found, .. } => {
                format!(
                    "unmount what is mounted, stop what made it (systemctl disable --now o2cb), then rmdir the cluster {found} in configfs"
                )
            }
            Refusal::Foreign { .. } => {
                "stop that program and rmdir the entries it made (o2cpg plan lists them); nothing was touched".into()
            }
            Refusal::Attribute { .. } => {
                "unmount all ocfs2 volumes on this node, then restart o2cpgd; nothing was touched".into()
            }
            Refusal::RegionBroken { region } => format!(
                "on this node neither mount {region} nor run ocfs2_hb_ctl -K for it; other volumes go on; restart the node when it can be spared"
            ),
            Refusal::Unguarded { .. } => "unmount and mount them on this node when they can be spared".into(),
            Refusal::LiveWithoutQuorum { .. } => "unmount its ocfs2 volumes, or restart the node".into(),
            Refusal::Unreadable(_) => {
                "put it right, or start the newer release again if the text names one; then restart o2cpgd; nothing was touched".into()
            }
            Refusal::TreeUnreadable(_) => "see dmesg; it is looked at again by itself, and nothing is touched before".into(),
            Refusal::Differs { .. } => {
                "compare /etc/corosync/corosync.conf and o2cpg.toml of both nodes, make them equal, then corosync-cfgtool -R".into()
            }
            Refusal::SettingsUnknown(_) | Refusal::ConfigUnreadable { .. } => crate::wait::CONFIG_FIX.into(),
            Refusal::Ghost { .. } => {
                "nothing here waits for it; a program that does goes on with the next ring: restart corosync on one node when it can be spared"
                    .into()
            }
        }
    }
}

/// How what must be the same on all nodes is made so.
fn equal(block: &str) -> String {
    match block {
        "stack" => "choose one cluster stack on all nodes: o2cpg stack set, after unmounting what is mounted".into(),
        "cluster name" => {
            "make totem.cluster_name equal in /etc/corosync/corosync.conf on all nodes, then restart corosync there"
                .into()
        }
        "protocol version" => "install the same release of o2cpg on all nodes".into(),
        block => format!(
            "make {} equal in o2cpg.toml on all nodes (or set it once in corosync.conf, section o2cpg), unmount what is mounted on this one, then restart its o2cpgd",
            setting(block)
        ),
    }
}

/// The setting behind a handshake block, as o2cpg.toml and `o2cpg config show` name it.
fn setting(block: &str) -> &str {
    match block {
        "heartbeat mode" => "o2cb.heartbeat_mode",
        "dead threshold" => "o2cb.dead_threshold",
        "idle time-out" => "o2cb.idle_timeout_ms",
        "keepalive delay" => "o2cb.keepalive_delay_ms",
        "forget policy" => "forget",
        "fence gate" => "fence",
        other => other,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotInNodelist { nodeid } => write!(f, "node {nodeid} is not in corosync's nodelist"),
            Refusal::NumberTooLarge { nodeid } => write!(f, "nodeid {nodeid} does not fit an o2cb number (0 to 254)"),
            Refusal::NoIpv4 { nodeid, found } => {
                write!(f, "node {nodeid} has no IPv4 address on the chosen link ({found})")
            }
            Refusal::SameAddress { address, other } => write!(f, "the nodelist gives {address} to node {other} too"),
            Refusal::SameNumber { number, other } => write!(f, "node {other} has o2cb number {number} too"),
            Refusal::NodeName { rule, .. } | Refusal::ClusterName { rule, .. } => f.write_str(rule),
            Refusal::NoQuorumProvider => f.write_str("corosync has no quorum provider"),
            Refusal::SaysUnfit(text) => f.write_str(text),
            Refusal::Mismatch { block, ours, theirs } => {
                write!(f, "{block} differs: the cluster has {ours}, this node {theirs}")
            }
            Refusal::Handshake(text) => write!(f, "its handshake cannot be read: {text}"),
            Refusal::IdentityChanged { held, wanted } => {
                write!(f, "its entry is {held} in the kernels, but configured as {wanted}")
            }
            Refusal::Taken { field, value, by } => write!(f, "{field} {value} belongs to node {by}"),
            Refusal::SecondAgent { pid, first } => {
                write!(f, "two agents on one node (pid {pid}, and {first} before it)")
            }
            Refusal::Kernel(refusal) => {
                write!(f, "the kernel refused: {} {}: {}", refusal.what, refusal.path, errno_text(refusal.errno))
            }
            Refusal::OtherCluster { found, wanted } => {
                write!(f, "configfs has cluster {found:?}, corosync's is {wanted:?}")
            }
            Refusal::Foreign { entries } => {
                write!(f, "configfs holds entries that o2cpgd did not make: {}", entries.join(", "))
            }
            Refusal::Attribute { name, kernel, wanted } => {
                write!(f, "{name} is {kernel} in the kernel, {wanted} was configured")
            }
            Refusal::RegionBroken { region } => {
                write!(f, "heartbeat region {region} was broken off while it started")
            }
            Refusal::Unguarded { volumes } => {
                write!(f, "dlm_controld no longer waits for this node when another fails with {}", volumes.join(", "))
            }
            Refusal::LiveWithoutQuorum { mounts: 0 } => f.write_str(
                "it was cut off without quorum in the middle of a mount or unmount, while others with mounts went on",
            ),
            Refusal::LiveWithoutQuorum { mounts } => {
                write!(f, "it was cut off without quorum with {mounts} mounts, while others with mounts went on")
            }
            Refusal::Unreadable(text) => write!(f, "the state found at start cannot be read: {text}"),
            Refusal::TreeUnreadable(refusal) => write!(f, "what configfs holds cannot be read: {refusal}"),
            Refusal::Differs { block, ours, theirs } => write!(f, "{block} differs: {ours} here, {theirs} there"),
            Refusal::SettingsUnknown(why) => write!(f, "it does not know what all nodes go by: {why}"),
            Refusal::ConfigUnreadable { why } => {
                write!(f, "the configuration cannot be used, what was read before holds: {why}")
            }
            Refusal::Ghost { pid } => write!(f, "corosync lists its pid {pid}, which is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_setting_is_not_called_one() {
        for (block, word) in
            [("stack", "o2cpg stack set"), ("cluster name", "totem.cluster_name"), ("protocol version", "release")]
        {
            let fix = equal(block);
            assert!(fix.contains(word) && !fix.contains("o2cpg.toml"), "{fix}");
        }
        assert!(equal("dead threshold").starts_with("make o2cb.dead_threshold equal in o2cpg.toml"));
    }
}
