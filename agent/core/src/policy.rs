//! What the operator decided. Read and validated once by the daemon's `settings.rs`.

use crate::ids::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use proto::handshake::Forget;

/// Settings the core needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// TCP port of o2net, the same on all nodes unless a node says otherwise in its own settings.
    pub port: u16,
    /// Cluster attributes every node must have equal.
    pub attributes: configfs::Attributes,
    /// When an entry is taken out again.
    pub forget: Forget,
    /// What has to be true of a dead node before anything is done about it.
    pub fence: Fence,
    /// How long a node with volumes in use may be without its agent before it is ended through corosync, in ms; 0: for ever.
    pub restart_grace_ms: u64,
    /// Show each volume as a CPG group `ocfs2:UUID`.
    pub publish: bool,
    /// nodeid → o2cb number, where the nodeid itself will not do.
    pub numbers: BTreeMap<NodeId, u8>,
    /// Why it is not known what all others go by: such a node is not let in.
    #[serde(default)]
    pub mistake: Option<String>,
}

/// The fence gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fence {
    /// Open: with the o2cb stack the kernel's disk heartbeat fences by itself.
    #[default]
    None,
    /// Opened by a program that ends with status 0.
    Command,
    /// Opened by a person: `o2cpg ack-dead`.
    Manual,
}

impl Fence {
    /// For the handshake: gates have to be equal. Empty for "none", which an agent without gates has as well.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Fence::None => "",
            Fence::Command => "command",
            Fence::Manual => "manual",
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            port: 7777,
            attributes: configfs::Attributes::default(),
            forget: Forget::Unconfigured,
            fence: Fence::None,
            restart_grace_ms: 30_000,
            publish: true,
            numbers: BTreeMap::new(),
            mistake: None,
        }
    }
}
