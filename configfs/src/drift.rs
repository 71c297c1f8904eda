//! How a found tree differs from the wanted cluster, one value per difference: what `plan` and `status` show.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attributes::Attribute;
use crate::name::{ClusterName, NodeName, RegionName};
use crate::node::{Address, Node, NodeNum, Port};
use crate::state::{Cluster, Incomplete, Tree};

/// One difference. Both values, wherever there are two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// There is no cluster directory.
    NoCluster {
        /// Which one should be there.
        wanted: ClusterName,
    },
    /// There is one of another name; the kernel takes only one. Nothing else is compared then.
    OtherCluster {
        /// What is there.
        found: String,
        /// What should be.
        wanted: ClusterName,
        /// Its regions: while there are any it cannot be removed.
        regions: Vec<RegionName>,
    },
    /// A setting has another value.
    Attribute {
        /// The kernel's.
        found: Attribute,
        /// Ours.
        wanted: Attribute,
        /// A region exists, and this setting ignores stores as long as it does.
        held_by_region: bool,
    },
    /// A wanted entry is not there.
    Missing(Node),
    /// An entry is there that nobody wants.
    Extra(Node),
    /// An entry was made and not numbered.
    Incomplete {
        /// Its directory.
        name: NodeName,
        /// What it has.
        found: Incomplete,
        /// It has all but perhaps the number, and 0 cannot be told from none.
        may_be_number_zero: bool,
    },
    /// A wanted entry is there with another value in one field.
    Changed {
        /// The entry's number.
        num: NodeNum,
        /// Which field, and both values.
        field: Differs,
    },
}

/// A field of an entry that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "`found` is the kernel's value, `wanted` ours")]
pub enum Differs {
    Name { found: NodeName, wanted: NodeName },
    Address { found: Address, wanted: Address },
    Port { found: Port, wanted: Port },
    Local { found: bool, wanted: bool },
}

/// All differences, cluster first, then settings, then entries by number. Empty: the kernel holds what we want.
pub fn drift(have: Option<&Tree>, want: &Cluster) -> Vec<Drift> {
    let wanted = want.name().clone();
    let Some(tree) = have else {
        return vec![Drift::NoCluster { wanted }];
    };
    if tree.name != wanted.as_str() {
        let regions = tree.regions.keys().cloned().collect();
        return vec![Drift::OtherCluster { found: tree.name.clone(), wanted, regions }];
    }
    let presumed = presumed_zero(tree, want);
    let mut list = attributes(tree, want);
    for node in want.nodes().values() {
        match tree.nodes.get(&node.num).or(presumed.as_ref().filter(|zero| zero.num == node.num)) {
            None => list.push(Drift::Missing(node.clone())),
            Some(found) => {
                list.extend(fields(found, node).into_iter().map(|field| Drift::Changed { num: node.num, field }));
            }
        }
    }
    let extra = tree.nodes.values().filter(|node| !want.nodes().contains_key(&node.num));
    list.extend(extra.cloned().map(Drift::Extra));
    list.extend(incomplete(tree, presumed.as_ref()));
    list
}

/// Of several entries that read number 0, the one that equals the wanted number 0.
fn presumed_zero(tree: &Tree, want: &Cluster) -> Option<Node> {
    let zero = want.nodes().get(&NodeNum::ZERO)?;
    let found = tree.incomplete.get(&zero.name)?;
    (found.may_be_number_zero() && found.can_become(zero)).then(|| Node { local: false, ..zero.clone() })
}

fn attributes(tree: &Tree, want: &Cluster) -> Vec<Drift> {
    tree.attributes
        .each()
        .into_iter()
        .zip(want.attributes().each())
        .filter(|(found, wanted)| found != wanted)
        .map(|(found, wanted)| {
            let held_by_region = found.is_module_wide() && !tree.regions.is_empty();
            Drift::Attribute { found, wanted, held_by_region }
        })
        .collect()
}

fn fields(found: &Node, wanted: &Node) -> Vec<Differs> {
    let mut list = Vec::new();
    if found.name != wanted.name {
        list.push(Differs::Name { found: found.name.clone(), wanted: wanted.name.clone() });
    }
    if found.address != wanted.address {
        list.push(Differs::Address { found: found.address, wanted: wanted.address });
    }
    if found.port != wanted.port {
        list.push(Differs::Port { found: found.port, wanted: wanted.port });
    }
    if found.local != wanted.local {
        list.push(Differs::Local { found: found.local, wanted: wanted.local });
    }
    list
}

fn incomplete(tree: &Tree, presumed: Option<&Node>) -> Vec<Drift> {
    tree.incomplete
        .iter()
        .filter(|(name, _)| presumed.is_none_or(|zero| zero.name != **name))
        .map(|(name, found)| Drift::Incomplete {
            name: name.clone(),
            found: *found,
            may_be_number_zero: found.may_be_number_zero(),
        })
        .collect()
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCluster { wanted } => write!(f, "cluster {wanted} is missing"),
            Self::OtherCluster { found, wanted, regions } if regions.is_empty() => {
                write!(f, "cluster is {found}, wanted {wanted}")
            }
            Self::OtherCluster { found, wanted, regions } => {
                write!(f, "cluster is {found} with {} heartbeat regions, wanted {wanted}", regions.len())
            }
            Self::Attribute { found, wanted, held_by_region } => {
                write!(f, "{} is {}, wanted {}", found.path(), found.value(), wanted.value())?;
                if *held_by_region { f.write_str(" (fixed while a region exists)") } else { Ok(()) }
            }
            Self::Missing(node) => write!(f, "node {node} is missing"),
            Self::Extra(node) => write!(f, "node {node} is not wanted"),
            Self::Incomplete { name, may_be_number_zero: false, .. } => write!(f, "node {name} is half made"),
            Self::Incomplete { name, may_be_number_zero: true, .. } => {
                write!(f, "node {name} is half made, or number 0")
            }
            Self::Changed { num, field } => write!(f, "node {num} {field}"),
        }
    }
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { found, wanted } => write!(f, "name is {found}, wanted {wanted}"),
            Self::Address { found, wanted } => write!(f, "address is {found}, wanted {wanted}"),
            Self::Port { found, wanted } => write!(f, "port is {found}, wanted {wanted}"),
            Self::Local { found: true, .. } => f.write_str("is local, and should not be"),
            Self::Local { found: false, .. } => f.write_str("is not local yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::sample::{cluster, node, tree};

    fn lines(have: Option<&Tree>, want: &Cluster) -> Vec<String> {
        drift(have, want).iter().map(Drift::to_string).collect()
    }

    #[test]
    fn equal_is_empty() {
        let nodes = [node("a", 1, true), node("b", 2, false)];
        assert!(drift(Some(&tree(&nodes)), &cluster(&nodes)).is_empty());
    }

    #[test]
    fn every_difference_shows_both_values() {
        let mut have = tree(&[node("a", 1, false), node("x", 9, false)]);
        have.attributes = Attributes { dead_threshold: 5, ..Attributes::default() };
        let mut moved = node("b", 1, true);
        moved.port = Port::new(7778).unwrap();
        assert_eq!(
            lines(Some(&have), &cluster(&[moved, node("c", 3, false)])),
            [
                "heartbeat/dead_threshold is 5, wanted 31",
                "node 1 name is a, wanted b",
                "node 1 port is 7777, wanted 7778",
                "node 1 is not local yet",
                "node 3 c 10.0.0.3:7777 is missing",
                "node 9 x 10.0.0.9:7777 is not wanted",
            ]
        );
    }

    #[test]
    fn another_cluster_is_the_only_difference() {
        let mut have = tree(&[node("a", 1, true)]);
        have.name = "foreign-one".to_owned();
        assert_eq!(lines(Some(&have), &cluster(&[])), ["cluster is foreign-one, wanted o2"]);
        assert_eq!(lines(None, &cluster(&[])), ["cluster o2 is missing"]);
    }

    #[test]
    fn a_half_made_entry_is_named() {
        let mut have = tree(&[]);
        have.incomplete.insert(NodeName::new("h").unwrap(), Incomplete::default());
        assert_eq!(lines(Some(&have), &cluster(&[])), ["node h is half made"]);
    }
}
