//! One syscall-sized change of the tree, and how to take it back.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attributes::{Attribute, Attributes};
use crate::name::NodeName;
use crate::node::{Address, Node, NodeNum, Port};
use crate::state::Incomplete;

/// One mkdir(2), rmdir(2) or write(2). Printed for an operator: `+ node bravo`, `store 7777 to o2/node/bravo/ipv4_port`.
///
/// There is no way to store 0 to `local`: with a mount it ends in a kernel oops, without one no entry of that cluster can
/// ever be local again. There is none to remove a region either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// mkdir of the cluster's directory.
    MakeCluster {
        /// The directory.
        cluster: String,
    },
    /// rmdir of the cluster's directory; ENOTEMPTY while it has a node or a region.
    RemoveCluster {
        /// The directory.
        cluster: String,
        /// What goes with it.
        was: Attributes,
    },
    /// Store of one setting.
    StoreAttribute {
        /// The cluster's directory.
        cluster: String,
        /// Setting and value.
        attribute: Attribute,
        /// The value before, where known.
        was: Option<Attribute>,
    },
    /// mkdir of a node entry. It disturbs nobody until it has a number.
    MakeNode {
        /// The cluster's directory.
        cluster: String,
        /// The entry.
        node: NodeName,
    },
    /// Store of one field of an entry. Each can be stored once; EBUSY after that.
    StoreNode {
        /// The cluster's directory.
        cluster: String,
        /// The entry.
        node: NodeName,
        /// Field and value.
        field: Field,
    },
    /// Store of 1 to `local`: the host listens on that address from here on.
    SetLocal {
        /// The cluster's directory.
        cluster: String,
        /// The whole entry, so that it can be taken back.
        node: Node,
    },
    /// rmdir of a node entry; EBUSY while the kernel uses it.
    RemoveNode {
        /// The cluster's directory.
        cluster: String,
        /// The entry as it was, so that it can be made again.
        entry: Entry,
    },
}

/// A field of a node entry that can be stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the field of Node of the same name")]
pub enum Field {
    Port(Port),
    Address(Address),
    Num(NodeNum),
}

impl Field {
    fn attribute(&self) -> &'static str {
        match self {
            Self::Port(_) => "ipv4_port",
            Self::Address(_) => "ipv4_address",
            Self::Num(_) => "num",
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Port(port) => port.to_string(),
            Self::Address(address) => address.to_string(),
            Self::Num(num) => num.to_string(),
        }
    }
}

/// A node entry as found, numbered or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It has all its fields.
    Complete(Node),
    /// It has no number.
    Incomplete(NodeName, Incomplete),
}

impl Entry {
    /// The entry's directory.
    pub fn name(&self) -> &NodeName {
        match self {
            Self::Complete(node) => &node.name,
            Self::Incomplete(name, _) => name,
        }
    }
}

/// What an [`Op`] asks of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// mkdir(2).
    Mkdir,
    /// rmdir(2).
    Rmdir,
    /// One write(2) of exactly these bytes.
    Store(String),
}

impl Op {
    /// The directory or attribute, relative to the `cluster` directory.
    pub fn path(&self) -> String {
        match self {
            Self::MakeCluster { cluster } | Self::RemoveCluster { cluster, .. } => cluster.clone(),
            Self::StoreAttribute { cluster, attribute, .. } => format!("{cluster}/{}", attribute.path()),
            Self::MakeNode { cluster, node } => format!("{cluster}/node/{node}"),
            Self::RemoveNode { cluster, entry } => format!("{cluster}/node/{}", entry.name()),
            Self::StoreNode { cluster, node, field } => format!("{cluster}/node/{node}/{}", field.attribute()),
            Self::SetLocal { cluster, node } => format!("{cluster}/node/{}/local", node.name),
        }
    }

    /// The system call. A stored value ends in a newline: `fence_method` insists on it, the others allow it.
    pub fn change(&self) -> Change {
        match self {
            Self::MakeCluster { .. } | Self::MakeNode { .. } => Change::Mkdir,
            Self::RemoveCluster { .. } | Self::RemoveNode { .. } => Change::Rmdir,
            Self::StoreAttribute { attribute, .. } => Change::Store(format!("{}\n", attribute.value())),
            Self::StoreNode { field, .. } => Change::Store(format!("{}\n", field.value())),
            Self::SetLocal { .. } => Change::Store("1\n".to_owned()),
        }
    }

    /// The entry that this touches.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::MakeNode { node, .. } | Self::StoreNode { node, .. } => Some(node),
            Self::SetLocal { node, .. } => Some(&node.name),
            Self::RemoveNode { entry, .. } => Some(entry.name()),
            Self::MakeCluster { .. } | Self::RemoveCluster { .. } | Self::StoreAttribute { .. } => None,
        }
    }

    /// What takes it back, once it was done.
    ///
    /// A field cannot be unset: the undo of storing one is to remove the entry. A setting whose former value is unknown
    /// stays. For a list use [`undo`].
    pub fn undo(&self) -> Vec<Op> {
        match self {
            Self::MakeCluster { cluster } => {
                vec![Self::RemoveCluster { cluster: cluster.clone(), was: Attributes::KERNEL_DEFAULTS }]
            }
            Self::RemoveCluster { cluster, was } => make_cluster_again(cluster, was),
            Self::StoreAttribute { cluster, attribute, was } => was
                .map(|was| Self::StoreAttribute { cluster: cluster.clone(), attribute: was, was: Some(*attribute) })
                .into_iter()
                .collect(),
            Self::MakeNode { cluster, node } | Self::StoreNode { cluster, node, .. } => {
                vec![remove_unfinished(cluster, node)]
            }
            Self::SetLocal { cluster, node } => {
                let mut ops = vec![Self::RemoveNode { cluster: cluster.clone(), entry: Entry::Complete(node.clone()) }];
                ops.extend(make_again(cluster, &Entry::Complete(Node { local: false, ..node.clone() })));
                ops
            }
            Self::RemoveNode { cluster, entry } => make_again(cluster, entry),
        }
    }
}

/// What takes back a whole list that was done, last first. An entry that the list made or numbered is simply removed.
pub fn undo(ops: &[Op]) -> Vec<Op> {
    let mut back = Vec::new();
    let mut gone = BTreeSet::new();
    for (index, op) in ops.iter().enumerate().rev() {
        let step = if is_local_of_new(op, &ops[..index]) { Vec::new() } else { op.undo() };
        for op in step {
            let repeated = match &op {
                Op::RemoveNode { entry, .. } => !gone.insert(entry.name().clone()),
                Op::MakeNode { node, .. } => {
                    gone.remove(node);
                    false
                }
                _ => false,
            };
            if !repeated {
                back.push(op);
            }
        }
    }
    back
}

/// `local` of an entry that the same list stored fields of: it goes with the entry.
fn is_local_of_new(op: &Op, before: &[Op]) -> bool {
    let Op::SetLocal { node, .. } = op else {
        return false;
    };
    before.iter().any(|earlier| matches!(earlier, Op::StoreNode { node: stored, .. } if *stored == node.name))
}

fn remove_unfinished(cluster: &str, node: &NodeName) -> Op {
    let entry = Entry::Incomplete(node.clone(), Incomplete::default());
    Op::RemoveNode { cluster: cluster.to_owned(), entry }
}

fn make_cluster_again(cluster: &str, was: &Attributes) -> Vec<Op> {
    let mut ops = vec![Op::MakeCluster { cluster: cluster.to_owned() }];
    let defaults = Attributes::KERNEL_DEFAULTS;
    let stores = crate::diff::attribute_ops(cluster, &defaults.each().map(Some), was);
    ops.extend(stores.into_iter().filter(|op| !is_module_wide(op)));
    ops
}

fn is_module_wide(op: &Op) -> bool {
    matches!(op, Op::StoreAttribute { attribute, .. } if attribute.is_module_wide())
}

fn make_again(cluster: &str, entry: &Entry) -> Vec<Op> {
    let (name, port, address, complete) = match entry {
        Entry::Complete(node) => (&node.name, Some(node.port), Some(node.address), Some(node)),
        Entry::Incomplete(name, found) => (name, found.port, found.address, None),
    };
    let store = |field| Op::StoreNode { cluster: cluster.to_owned(), node: name.clone(), field };
    let mut ops = vec![Op::MakeNode { cluster: cluster.to_owned(), node: name.clone() }];
    ops.extend(port.map(Field::Port).map(store));
    ops.extend(address.map(Field::Address).map(store));
    ops.extend(complete.map(|node| store(Field::Num(node.num))));
    ops.extend(
        complete.filter(|node| node.local).map(|node| Op::SetLocal { cluster: cluster.to_owned(), node: node.clone() }),
    );
    ops
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeCluster { cluster } => write!(f, "+ cluster {cluster}"),
            Self::RemoveCluster { cluster, .. } => write!(f, "- cluster {cluster}"),
            Self::MakeNode { node, .. } => write!(f, "+ node {node}"),
            Self::RemoveNode { entry, .. } => write!(f, "- node {}", entry.name()),
            Self::StoreAttribute { attribute, .. } => {
                write!(f, "store {} to {}", attribute.value(), self.path())
            }
            Self::StoreNode { field, .. } => {
                write!(f, "store {} to {}", field.value(), self.path())
            }
            Self::SetLocal { .. } => write!(f, "store 1 to {}", self.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn bravo(local: bool) -> Node {
        Node {
            name: NodeName::new("bravo").unwrap(),
            num: NodeNum::new(2).unwrap(),
            address: Address::new(Ipv4Addr::new(10, 0, 0, 2)).unwrap(),
            port: Port::DEFAULT,
            local,
        }
    }

    fn remove(node: Node) -> Op {
        Op::RemoveNode { cluster: "o2".to_owned(), entry: Entry::Complete(node) }
    }

    fn lines(ops: &[Op]) -> Vec<String> {
        ops.iter().map(Op::to_string).collect()
    }

    #[test]
    fn an_op_reads_like_what_it_does() {
        let again = remove(bravo(true)).undo();
        assert_eq!(
            lines(&again),
            [
                "+ node bravo",
                "store 7777 to o2/node/bravo/ipv4_port",
                "store 10.0.0.2 to o2/node/bravo/ipv4_address",
                "store 2 to o2/node/bravo/num",
                "store 1 to o2/node/bravo/local",
            ]
        );
        assert_eq!(again[1].change(), Change::Store("7777\n".to_owned()));
    }

    #[test]
    fn undo_of_a_made_entry_is_one_removal() {
        let made = remove(bravo(true)).undo();
        assert_eq!(lines(&undo(&made)), ["- node bravo"]);
    }

    #[test]
    fn undo_of_a_replaced_entry_brings_the_old_one_back() {
        let mut ops = vec![remove(bravo(false))];
        ops.extend(remove(Node { num: NodeNum::new(9).unwrap(), ..bravo(false) }).undo());
        let back = lines(&undo(&ops));
        assert_eq!(back[0..2], ["- node bravo", "+ node bravo"]);
        assert_eq!(back[4], "store 2 to o2/node/bravo/num");
        assert_eq!(back.len(), 5);
    }

    #[test]
    fn undo_of_local_never_stores_0() {
        let back = undo(&[Op::SetLocal { cluster: "o2".to_owned(), node: bravo(true) }]);
        assert_eq!(back[0].to_string(), "- node bravo");
        assert!(back.iter().all(|op| !op.path().ends_with("/local")));
    }

    #[test]
    fn undo_of_attributes_goes_backwards() {
        let store = |attribute, was| Op::StoreAttribute { cluster: "o2".to_owned(), attribute, was: Some(was) };
        let ops = [
            store(Attribute::IdleTimeoutMs(60_000), Attribute::IdleTimeoutMs(30_000)),
            store(Attribute::KeepaliveDelayMs(40_000), Attribute::KeepaliveDelayMs(2_000)),
        ];
        assert_eq!(lines(&undo(&ops)), ["store 2000 to o2/keepalive_delay_ms", "store 30000 to o2/idle_timeout_ms"]);
    }
}
