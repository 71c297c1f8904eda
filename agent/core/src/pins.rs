//! Who forbids the removal of what, and why (rule P1).

use crate::ids::NodeId;
use crate::tree::Kernel;
use proto::control::api;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Tokens a person may set; more are refused.
pub const TOKENS_MAX: usize = 64;
/// Bytes of a token.
pub const TOKEN_LEN_MAX: usize = 200;

/// A named reason why something must stay.
#[allow(missing_docs, reason = "the fields say what the variant names")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pin {
    /// A volume is mounted here.
    Mounted { uuid: Option<String>, path: String },
    /// A heartbeat region is active here.
    RegionActive { uuid: String },
    /// A heartbeat region whose start was broken off.
    RegionBroken { uuid: String },
    /// The node is a member of the ring.
    Alive,
    /// corosync's nodelist on this node still has it.
    Configured,
    /// A tool is mounting it.
    MountInFlight { uuid: String, device: String, service: String },
    /// The DLM has a lockspace for a volume that is not mounted, and no tool has told us of it.
    Lockspace { uuid: String },
    /// A tool said that it uses the volume.
    Service { uuid: String, service: String },
    /// Its death is not handled yet.
    NotBuried,
    /// Its kernel is at work, and nobody can look at it meanwhile: something may have been mounted since.
    KernelBusy { work: String },
    /// A client of the legacy service has this group, `LEVEL:NAME`.
    LegacyGroup(String),
    /// A person set it.
    OperatorToken(String),
}

impl Pin {
    /// A stable word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Pin::Mounted { .. } => "mounted",
            Pin::RegionActive { .. } => "region",
            Pin::RegionBroken { .. } => "region-broken",
            Pin::Alive => "alive",
            Pin::Configured => "configured",
            Pin::MountInFlight { .. } => "mounting",
            Pin::Lockspace { .. } => "lockspace",
            Pin::Service { .. } => "service",
            Pin::NotBuried => "death",
            Pin::KernelBusy { .. } => "kernel",
            Pin::LegacyGroup(_) => "legacy-group",
            Pin::OperatorToken(_) => "token",
        }
    }

    /// How to get rid of it.
    #[must_use]
    pub fn way_out(&self) -> &'static str {
        match self {
            Pin::Mounted { .. } => "umount the volumes",
            Pin::RegionActive { .. } => "stop the regions: ocfs2_hb_ctl -K",
            Pin::RegionBroken { .. } => "restart this node; never ocfs2_hb_ctl -K: it crashes this kernel",
            Pin::MountInFlight { .. } => "let the mounts under way end",
            Pin::Lockspace { .. } => {
                "let mount or umount end; if neither is there, restart this node: its kernel has kept the lockspace"
            }
            Pin::Service { .. } => "let the tools that use volumes end",
            Pin::KernelBusy { .. } => "ask again when the kernel has answered",
            Pin::LegacyGroup(_) => "let the programs that speak libgroup leave their groups",
            Pin::OperatorToken(_) => "remove the pins by hand: o2cpg unpin, or end the program that holds on",
            Pin::Alive | Pin::Configured | Pin::NotBuried => "see o2cpg status",
        }
    }

    /// For status; `node` is empty for a pin of the daemon.
    #[must_use]
    pub fn api(&self, node: &str) -> api::Pin {
        api::Pin { kind: self.kind().into(), text: self.to_string(), node: node.into() }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pin::Mounted { path, .. } => write!(f, "ocfs2 volume mounted on {path}"),
            Pin::RegionActive { uuid } => write!(f, "heartbeat region {uuid} is active"),
            Pin::RegionBroken { uuid } => write!(f, "heartbeat region {uuid} was broken off while it started"),
            Pin::Alive => f.write_str("it is a member of the ring"),
            Pin::Configured => f.write_str("it is in corosync's nodelist"),
            Pin::MountInFlight { uuid, device, service } => write!(f, "{service} is mounting {device} ({uuid})"),
            Pin::Lockspace { uuid } => write!(f, "the DLM has a lockspace for volume {uuid}, which is not mounted"),
            Pin::Service { uuid, service } => write!(f, "{service} uses volume {uuid}"),
            Pin::NotBuried => f.write_str("its death is not handled yet"),
            Pin::KernelBusy { work } => write!(f, "this node's kernel is busy: {work}"),
            Pin::LegacyGroup(name) => write!(f, "a client has legacy group {name}"),
            Pin::OperatorToken(text) => write!(f, "pinned by hand: {text}"),
        }
    }
}

/// Tokens set by people: of the daemon, and of nodes' entries. A node is kept by its id: the nodelist may call it
/// otherwise than its entry, and may change its mind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    daemon: BTreeSet<String>,
    nodes: BTreeMap<NodeId, BTreeSet<String>>,
}

impl Tokens {
    /// Sets one. `Err` says which bound it would break.
    pub fn set(&mut self, text: &str, node: Option<NodeId>) -> Result<(), String> {
        if text.is_empty() || text.len() > TOKEN_LEN_MAX {
            return Err(format!("a pin's text has 1 to {TOKEN_LEN_MAX} bytes, this one {}", text.len()));
        }
        if self.len() >= TOKENS_MAX {
            return Err(format!("{TOKENS_MAX} pins are set already"));
        }
        match node {
            Some(node) => self.nodes.entry(node).or_default().insert(text.to_owned()),
            None => self.daemon.insert(text.to_owned()),
        };
        Ok(())
    }

    /// Removes one. `false` if it was not set.
    pub fn clear(&mut self, text: &str, node: Option<NodeId>) -> bool {
        let Some(node) = node else { return self.daemon.remove(text) };
        let cleared = self.nodes.get_mut(&node).is_some_and(|set| set.remove(text));
        self.nodes.retain(|_, set| !set.is_empty());
        cleared
    }

    fn len(&self) -> usize {
        self.daemon.len() + self.nodes.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Pins of one node's entry.
    pub fn of_node(&self, node: NodeId) -> impl Iterator<Item = Pin> + '_ {
        self.nodes.get(&node).into_iter().flatten().cloned().map(Pin::OperatorToken)
    }

    /// Nodes whose entry is pinned, with each text.
    pub fn of_nodes(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.nodes.iter().flat_map(|(node, set)| set.iter().map(|text| (*node, text.as_str())))
    }
}

/// What keeps this daemon, the cluster directory and our own entry in place.
#[must_use]
pub fn of_daemon(kernel: &Kernel, tokens: &Tokens) -> BTreeSet<Pin> {
    let mounts = kernel.mounts.iter().map(|mount| Pin::Mounted { uuid: mount.uuid.clone(), path: mount.path.clone() });
    let regions = kernel.regions().filter(|(_, region)| region.heartbeats());
    let regions = regions.map(|(name, region)| match region.is_broken_off() {
        true => Pin::RegionBroken { uuid: name.to_string() },
        false => Pin::RegionActive { uuid: name.to_string() },
    });
    mounts.chain(regions).chain(tokens.daemon.iter().cloned().map(Pin::OperatorToken)).collect()
}
