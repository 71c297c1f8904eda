//! Small trees for unit tests: node N is 10.0.0.N:7777.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::{Address, Attributes, Cluster, ClusterName, Node, NodeName, NodeNum, Port, Tree};

pub(crate) fn node(name: &str, num: u32, local: bool) -> Node {
    let num = NodeNum::new(num).unwrap();
    Node { name: NodeName::new(name).unwrap(), num, address: address(num.as_u8()), port: Port::DEFAULT, local }
}

pub(crate) fn address(host: u8) -> Address {
    Address::new(Ipv4Addr::new(10, 0, 0, host)).unwrap()
}

pub(crate) fn cluster(nodes: &[Node]) -> Cluster {
    Cluster::new(ClusterName::new("o2").unwrap(), Attributes::default(), nodes.to_vec()).unwrap()
}

pub(crate) fn tree(nodes: &[Node]) -> Tree {
    Tree {
        name: "o2".to_owned(),
        attributes: Attributes::default(),
        nodes: nodes.iter().map(|node| (node.num, node.clone())).collect(),
        incomplete: BTreeMap::new(),
        regions: BTreeMap::new(),
    }
}
