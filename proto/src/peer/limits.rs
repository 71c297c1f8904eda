//! How much one message may hold. Decoding refuses more; texts for people are cut when they are encoded, so that a
//! long one never makes a message that nobody can read.
//!
//! Together these keep the largest message below [`MESSAGE_LEN_MAX`](crate::frame::MESSAGE_LEN_MAX): a Hello with
//! two full tables. The tests below make one.

/// Members of a view. corosync's own limit for a group is 128 nodes (CPG_MEMBERS_MAX); twice that for several
/// processes on a node.
pub const MEMBERS_MAX: usize = 256;
/// Entries of a table: o2cb numbers 0 to 254.
pub const ENTRIES_MAX: usize = 255;
/// Nodes of the ring whose agent is gone: more than corosync lets into a group (128), so that none is ever left out.
pub const ABSENT_MAX: usize = 192;
/// Dead nodes whose fence gate is closed. More are left out: one is enough to hold a joiner's mounts.
pub const UNFENCED_MAX: usize = 64;
/// Deaths that agents which were away have to hear of. So many nodes would have to die while one agent is
/// away; of more the highest are left out.
pub const DIED_MAX: usize = 32;
/// Volumes in use on one node. o2cb's disk heartbeat knows at most 32 regions; the user stack has no bound of its own.
pub const VOLUMES_MAX: usize = 256;
/// Bytes of a node's name. Source: linux fs/ocfs2/cluster/ocfs2_nodemanager.h, O2NM_MAX_NAME_LEN.
pub const NAME_LEN_MAX: usize = 64;
/// Bytes of a path: PATH_MAX of Linux.
pub const PATH_LEN_MAX: usize = 4096;
/// Bytes of a sentence for people: why something is unfit, failed, or leaves.
pub const TEXT_LEN_MAX: usize = 1024;
/// Bytes of the name of a release.
pub const RELEASE_LEN_MAX: usize = 128;
/// Pins that one answer names; status on the node itself shows all.
pub const PINS_MAX: usize = 128;
/// Bytes of one pin's name.
pub const PIN_LEN_MAX: usize = 256;
/// Largest errno that Linux hands out (MAX_ERRNO).
pub const ERRNO_MAX: u32 = 4095;
/// Highest o2cb node number. Source: ocfs2_nodemanager.h, O2NM_MAX_NODES is 255.
pub const NUMBER_MAX: u8 = 254;
/// Highest o2net port: the kernel refuses 0 and 65535 with EINVAL. Source: nodemanager.c, o2nm_node_ipv4_port_store.
pub const PORT_MAX: u16 = 65534;
