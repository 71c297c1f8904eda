//! The kernel side of /sys/kernel/config/cluster.
//!
//! ```text
//! cluster/NAME/                     one cluster at most (ENOSPC)
//!     idle_timeout_ms  keepalive_delay_ms  reconnect_delay_ms  fence_method
//!     heartbeat/
//!         dead_threshold  mode      module-wide: they outlive the cluster
//!         REGION/                   a volume's heartbeat; made by mount.ocfs2, never by us
//!             block_bytes  blocks  start_block  dev  pid
//!     node/
//!         NODE/
//!             ipv4_port  ipv4_address  num  local      stored in this order, each once
//! ```
//!
//! Read the tree ([`read_tree`]), say what you want ([`Cluster`]), get the shortest safe list of changes ([`diff()`],
//! or only [`additions`]), and do it ([`apply`]). A [`Backend`] is the kernel's tree ([`Kernel`]) or one in memory
//! ([`Model`]) that refuses what the kernel refuses: both answer the recorded scripts of `tests/kernel/` alike.
//!
//! No clock, no threads; only [`Kernel`] and the prober in [`transcript`] make system calls.

mod attributes;
pub mod backend;
pub mod calls;
pub mod diff;
pub mod drift;
pub mod error;
mod invalid;
pub mod kernel;
pub mod model;
mod name;
mod node;
pub mod op;
#[cfg(test)]
mod sample;
pub mod state;
pub mod transcript;

pub use attributes::{Attribute, Attributes, DEAD_THRESHOLD_MAX, DEAD_THRESHOLD_MIN, FenceMethod, HeartbeatMode};
pub use backend::{Backend, Failed, apply, perform, read_tree};
pub use diff::{additions, diff, removal};
pub use drift::{Differs, Drift, drift};
pub use error::{Errno, Error};
pub use invalid::Invalid;
pub use kernel::Kernel;
pub use model::Model;
pub use name::{CLUSTER_NAME_LEN_MAX, ClusterName, NODE_NAME_LEN_MAX, NodeName, REGION_NAME_LEN_MAX, RegionName};
pub use node::{Address, NODE_NUM_MAX, Node, NodeNum, PORT_MAX, Port};
pub use op::{Change, Entry, Field, Op, undo};
pub use state::{Cluster, Incomplete, Region, Tree};
