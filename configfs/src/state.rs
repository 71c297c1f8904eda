//! The tree as it should be ([`Cluster`]) and as it was found ([`Tree`]).
//!
//! A `Cluster` can only be built if the kernel would take it. A `Tree` holds whatever a kernel can show, also what
//! somebody else left there half made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::invalid::Invalid;
use crate::name::{ClusterName, NodeName, RegionName};
use crate::node::{Address, Node, NodeNum, Port};

/// What we want the kernel to hold: names, numbers and addresses are unique, and at most one node is local.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wish", into = "Wish")]
pub struct Cluster {
    name: ClusterName,
    attributes: Attributes,
    nodes: BTreeMap<NodeNum, Node>,
}

impl Cluster {
    /// Checks every node against every other, and the attributes.
    pub fn new(
        name: ClusterName,
        attributes: Attributes,
        nodes: impl IntoIterator<Item = Node>,
    ) -> Result<Self, Invalid> {
        let mut cluster = Self { name, attributes: attributes.check()?, nodes: BTreeMap::new() };
        for node in nodes {
            cluster.insert(node)?;
        }
        Ok(cluster)
    }

    /// Adds a node, if it does not clash with those already there.
    pub fn insert(&mut self, node: Node) -> Result<(), Invalid> {
        for other in self.nodes.values() {
            clash(other, &node)?;
        }
        self.nodes.insert(node.num, node);
        Ok(())
    }

    /// Takes a node out again.
    pub fn remove(&mut self, num: NodeNum) -> Option<Node> {
        self.nodes.remove(&num)
    }

    /// The same cluster in which no node is `local` yet: what a joiner's kernel may hold before all members have its entry.
    pub fn without_local(&self) -> Self {
        let mut cluster = self.clone();
        cluster.nodes.values_mut().for_each(|node| node.local = false);
        cluster
    }

    /// The directory's name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// The settings; checked.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The nodes by number.
    pub fn nodes(&self) -> &BTreeMap<NodeNum, Node> {
        &self.nodes
    }

    /// The node that is this host.
    pub fn local(&self) -> Option<&Node> {
        self.nodes.values().find(|node| node.local)
    }
}

/// What the kernel would say no to when both stand in one cluster.
fn clash(old: &Node, new: &Node) -> Result<(), Invalid> {
    let (first, second) = (old.name.clone(), new.name.clone());
    if old.num == new.num {
        return Err(Invalid::SameNum { num: old.num, first, second });
    }
    if old.name == new.name {
        return Err(Invalid::SameName { name: first, first: old.num, second: new.num });
    }
    if old.address == new.address {
        return Err(Invalid::SameAddress { address: old.address, first, second });
    }
    if old.local && new.local {
        return Err(Invalid::TwoLocal { first, second });
    }
    Ok(())
}

/// A [`Cluster`] before it was checked: its form in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: ClusterName,
    attributes: Attributes,
    nodes: Vec<Node>,
}

impl TryFrom<Wish> for Cluster {
    type Error = Invalid;
    fn try_from(wish: Wish) -> Result<Self, Invalid> {
        Self::new(wish.name, wish.attributes, wish.nodes)
    }
}

impl From<Cluster> for Wish {
    fn from(cluster: Cluster) -> Self {
        Self { name: cluster.name, attributes: cluster.attributes, nodes: cluster.nodes.into_values().collect() }
    }
}

/// What was found in the kernel.
///
/// An entry without a number reads `num` 0, as the entry numbered 0 does. An entry with address and port that reads 0
/// is taken for number 0 if it is local or the only one of its kind; otherwise all of them are in `incomplete`. The
/// kernel offers no way to tell, so an agent that was killed between storing the address and the number 0 of a remote
/// entry finds it complete. Numbers from 1 up have no such gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The cluster's directory; somebody else's need not be a [`ClusterName`].
    pub name: String,
    /// As read, unchecked.
    pub attributes: Attributes,
    /// Complete entries.
    pub nodes: BTreeMap<NodeNum, Node>,
    /// Entries made but not numbered.
    pub incomplete: BTreeMap<NodeName, Incomplete>,
    /// Heartbeat regions, running or not.
    pub regions: BTreeMap<RegionName, Region>,
}

impl Tree {
    /// The entry that is this host.
    pub fn local(&self) -> Option<&Node> {
        self.nodes.values().find(|node| node.local)
    }

    /// The complete entry of that name.
    pub fn named(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.values().find(|node| node.name == *name)
    }
}

/// A node entry that has no number yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Incomplete {
    /// `ipv4_address`, once stored.
    pub address: Option<Address>,
    /// `ipv4_port`, once stored.
    pub port: Option<Port>,
}

impl Incomplete {
    /// Only its `num` may be missing, and even that is not sure: 0 and "never stored" read the same.
    pub fn may_be_number_zero(&self) -> bool {
        self.address.is_some() && self.port.is_some()
    }

    /// Nothing was stored that the node would need otherwise.
    pub(crate) fn can_become(&self, node: &Node) -> bool {
        self.address.is_none_or(|address| address == node.address) && self.port.is_none_or(|port| port == node.port)
    }
}

/// A heartbeat region, as far as configfs shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Region {
    /// The block device's name, once the heartbeat was started.
    pub device: Option<String>,
    /// The heartbeat thread, while it runs.
    pub pid: Option<u32>,
}

impl Region {
    /// A heartbeat thread writes to the disk.
    pub fn heartbeats(&self) -> bool {
        self.pid.is_some()
    }

    /// Its start was broken off by a signal: the kernel goes on naming a thread that has ended. Whatever uses the region
    /// again or removes it makes that kernel crash (seen with 6.1.176).
    pub fn is_broken_off(&self) -> bool {
        self.pid.is_some() && self.device.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn node(name: &str, num: u32, host: u8, local: bool) -> Node {
        Node {
            name: NodeName::new(name).unwrap(),
            num: NodeNum::new(num).unwrap(),
            address: Address::new(Ipv4Addr::new(10, 0, 0, host)).unwrap(),
            port: Port::DEFAULT,
            local,
        }
    }

    fn cluster(nodes: Vec<Node>) -> Result<Cluster, Invalid> {
        Cluster::new(ClusterName::new("o2").unwrap(), Attributes::default(), nodes)
    }

    #[test]
    fn numbers_names_and_addresses_are_unique() {
        let first = || node("a", 1, 1, false);
        assert!(matches!(cluster(vec![first(), node("b", 1, 2, false)]), Err(Invalid::SameNum { .. })));
        assert!(matches!(cluster(vec![first(), node("a", 2, 2, false)]), Err(Invalid::SameName { .. })));
        let mut other_port = node("b", 2, 1, false);
        other_port.port = Port::new(7778).unwrap();
        assert!(matches!(cluster(vec![first(), other_port]), Err(Invalid::SameAddress { .. })));
    }

    #[test]
    fn at_most_one_node_is_local() {
        let refusal = cluster(vec![node("a", 1, 1, true), node("b", 2, 2, true)]).expect_err("two locals");
        assert_eq!(refusal.to_string(), "both a and b are to be the local node");
        assert!(cluster(vec![node("a", 1, 1, false), node("b", 2, 2, false)]).unwrap().local().is_none());
    }

    #[test]
    fn without_local_keeps_everything_else() {
        let both = cluster(vec![node("a", 1, 1, true), node("b", 2, 2, false)]).unwrap();
        let quiet = both.without_local();
        assert!(quiet.local().is_none());
        assert!(quiet.nodes().values().zip(both.nodes().values()).all(|(one, two)| one.same_entry(two)));
    }

    #[test]
    fn a_cluster_read_from_a_file_is_checked_too() {
        let good = serde_json::to_string(&cluster(vec![node("a", 1, 1, true)]).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Cluster>(&good).unwrap().nodes().len(), 1);
        let bad = good.replace("\"dead_threshold\":31", "\"dead_threshold\":3");
        let error = serde_json::from_str::<Cluster>(&bad).expect_err("threshold 3").to_string();
        assert!(error.contains("dead_threshold 3"), "{error}");
    }
}
