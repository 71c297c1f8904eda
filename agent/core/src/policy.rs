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
    /// nodeid → o2cb number, where the nodeid itself will not do.
    pub numbers: BTreeMap<NodeId, u8>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            port: 7777,
            attributes: configfs::Attributes::default(),
            forget: Forget::Unconfigured,
            numbers: BTreeMap::new(),
        }
    }
}
