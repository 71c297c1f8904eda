//! Why a value cannot stand in the kernel's tree: the offending value and the rule it breaks.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::attributes::{DEAD_THRESHOLD_MAX, DEAD_THRESHOLD_MIN};
use crate::name::{CLUSTER_NAME_LEN_MAX, NODE_NAME_LEN_MAX, NodeName, REGION_NAME_LEN_MAX};
use crate::node::{Address, NODE_NUM_MAX, NodeNum, PORT_MAX};

/// A value that the kernel, or the stock tools, would not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Invalid {
    /// The kernel takes nearly anything here; mkfs.ocfs2 and o2cb take this.
    #[error("cluster name {0:?} is not 1 to {CLUSTER_NAME_LEN_MAX} ASCII letters and digits")]
    ClusterName(String),
    /// Longer names are ENAMETOOLONG.
    #[error("node name {0:?} is not 1 to {NODE_NAME_LEN_MAX} bytes long")]
    NodeNameLength(String),
    /// It must do as a directory name, and be printable.
    #[error("node name {0:?} has a slash or a control character, or is \".\" or \"..\"")]
    NodeNameCharacters(String),
    /// Longer names are ENAMETOOLONG.
    #[error("region name {0:?} is not 1 to {REGION_NAME_LEN_MAX} bytes long")]
    RegionNameLength(String),
    /// It must do as a directory name, and be printable.
    #[error("region name {0:?} has a slash or a control character, or is \".\" or \"..\"")]
    RegionNameCharacters(String),
    /// 255 and up are ERANGE.
    #[error("node number {0} is not 0 to {NODE_NUM_MAX}")]
    NodeNum(u32),
    /// 0 is EINVAL, 65535 and up ERANGE.
    #[error("port {0} is not 1 to {PORT_MAX}")]
    Port(u32),
    /// The address of an entry that has none reads 0.0.0.0.
    #[error("address {0} cannot be told from one that was never stored")]
    Address(Ipv4Addr),
    /// 0 is EINVAL, 4294967295 ERANGE.
    #[error("{attribute} {value} is not 1 to 4294967294")]
    Milliseconds {
        /// The attribute's name in the tree.
        attribute: String,
        /// What was asked for.
        value: u32,
    },
    /// EINVAL, whichever of the two is stored.
    #[error("keepalive_delay_ms {keepalive_delay_ms} is not below idle_timeout_ms {idle_timeout_ms}")]
    KeepaliveNotBelowIdle {
        /// Milliseconds of silence after which a keepalive is sent.
        keepalive_delay_ms: u32,
        /// Milliseconds of silence after which a connection is given up.
        idle_timeout_ms: u32,
    },
    /// The kernel would take them, and hurt itself.
    #[error(
        "dead_threshold {0} is not {DEAD_THRESHOLD_MIN} to {DEAD_THRESHOLD_MAX}: the kernel ignores 0 to 2, and 3 leaves stuck heartbeats"
    )]
    DeadThreshold(u32),
    /// The second entry's `num` would be EEXIST.
    #[error("node number {num} is given to both {first} and {second}")]
    SameNum {
        /// The number.
        num: NodeNum,
        /// Who has it.
        first: NodeName,
        /// Who wants it too.
        second: NodeName,
    },
    /// The second mkdir would be EEXIST.
    #[error("node name {name} is given to both number {first} and number {second}")]
    SameName {
        /// The name.
        name: NodeName,
        /// Who has it.
        first: NodeNum,
        /// Who wants it too.
        second: NodeNum,
    },
    /// The second entry's `ipv4_address` would be EEXIST, whatever its port.
    #[error("address {address} is given to both {first} and {second}")]
    SameAddress {
        /// The address.
        address: Address,
        /// Who has it.
        first: NodeName,
        /// Who wants it too.
        second: NodeName,
    },
    /// The second entry's `local` would be EBUSY.
    #[error("both {first} and {second} are to be the local node")]
    TwoLocal {
        /// One.
        first: NodeName,
        /// The other.
        second: NodeName,
    },
}
