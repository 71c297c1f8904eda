//! corosync's configuration as typed values. Pure: text of the configuration map in, [`Config`] out.
//!
//! corosync 3.1 keeps no version of itself in the map, so there is none here.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// The configuration map's keys and values as text, as far as they were read.
pub type Keys = BTreeMap<String, String>;

/// Prefix of our own section in corosync.conf: `o2cpg { … }`.
///
/// corosync takes unknown sections as they are, nested ones with dots, every value a string. On a reload it sets what
/// the file holds but keeps what the file no longer holds (seen on 3.1.7): a removed key keeps its last value until
/// corosync restarts.
pub const OWN_PREFIX: &str = "o2cpg.";

/// The flag of a reload under way: `1` while corosync sets the keys one by one.
pub const RELOAD_FLAG: &str = "config.reload_in_progress";

/// What is read of the map: whole keys or prefixes.
pub const READ_PREFIXES: [&str; 7] = [
    RELOAD_FLAG,
    "totem.cluster_name",
    "nodelist.",
    "quorum.",
    "runtime.config.totem.",
    "runtime.votequorum.",
    OWN_PREFIX,
];

/// What corosync is configured to be, as it runs now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `totem.cluster_name`; empty if corosync.conf gives none.
    pub cluster_name: String,
    /// Our own nodeid.
    pub local: NodeId,
    /// The nodelist, by nodeid. Positions in corosync's list move at a reload and are not kept.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Token time in force, in milliseconds: it grows with the number of nodes.
    pub token_ms: u64,
    /// Consensus time in force, in milliseconds.
    pub consensus_ms: u64,
    /// The quorum section.
    pub quorum: QuorumConfig,
    /// Our own section, without its prefix.
    pub own: BTreeMap<String, String>,
}

/// One entry of the nodelist.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Its `name`, if given.
    pub name: Option<String>,
    /// Its addresses by link number (`ring0_addr` is link 0), as written: IPv4, IPv6 or a host name.
    pub addresses: BTreeMap<u8, String>,
}

/// How corosync decides about quorum.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct QuorumConfig {
    /// `corosync_votequorum`, or nothing: then corosync always says quorate.
    pub provider: Option<String>,
    /// Two-node mode in force: one of two nodes is enough.
    pub two_node: bool,
    /// Configured number of votes; otherwise it is counted from the nodelist.
    pub expected_votes: Option<u32>,
    /// Model of the quorum device, if there is one.
    pub device: Option<String>,
}

/// The map lacks a key or holds one that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// A key that corosync always has is not there.
    #[error("{0} is missing; a value before it that is not UTF-8 hides what follows")]
    Missing(String),
    /// A value is not what its key calls for.
    #[error("{key} is {value:?}, not a number")]
    NotANumber {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
    },
    /// Two entries of the nodelist have one nodeid.
    #[error("nodeid {0} is in the nodelist twice")]
    DuplicateNode(NodeId),
    /// The map kept changing while it was read.
    #[error("the map did not hold still while it was read {0} times")]
    Restless(u32),
}

impl Config {
    /// Makes sense of what was read. `local` is what the cfg library says we are.
    pub fn from_keys(keys: &Keys, local: NodeId) -> Result<Self, Unreadable> {
        Ok(Self {
            cluster_name: keys.get("totem.cluster_name").cloned().unwrap_or_default(),
            local,
            nodes: nodes(keys)?,
            token_ms: required(keys, "runtime.config.totem.token")?,
            consensus_ms: required(keys, "runtime.config.totem.consensus")?,
            quorum: quorum(keys)?,
            own: section(keys, OWN_PREFIX).map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        })
    }
}

/// The keys below `prefix`, without it.
fn section<'a>(keys: &'a Keys, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a String)> {
    keys.range(prefix.to_owned()..).map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
}

fn number<T: FromStr>(keys: &Keys, key: &str) -> Result<Option<T>, Unreadable> {
    let not_a_number = |value: &String| Unreadable::NotANumber { key: key.to_owned(), value: value.clone() };
    keys.get(key).map(|value| value.parse().map_err(|_| not_a_number(value))).transpose()
}

fn required<T: FromStr>(keys: &Keys, key: &str) -> Result<T, Unreadable> {
    number(keys, key)?.ok_or_else(|| Unreadable::Missing(key.to_owned()))
}

fn nodes(keys: &Keys) -> Result<BTreeMap<NodeId, Node>, Unreadable> {
    let mut by_position: BTreeMap<&str, Node> = BTreeMap::new();
    for (rest, value) in section(keys, "nodelist.node.") {
        let Some((position, field)) = rest.split_once('.') else {
            continue;
        };
        let node = by_position.entry(position).or_default();
        match field {
            "name" => node.name = Some(value.clone()),
            _ => node.addresses.extend(link_number(field).map(|link| (link, value.clone()))),
        }
    }
    let mut nodes = BTreeMap::new();
    for (position, node) in by_position {
        let nodeid = NodeId(required(keys, &format!("nodelist.node.{position}.nodeid"))?);
        if nodes.insert(nodeid, node).is_some() {
            return Err(Unreadable::DuplicateNode(nodeid));
        }
    }
    Ok(nodes)
}

/// `ring3_addr` → 3.
fn link_number(field: &str) -> Option<u8> {
    field.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok()
}

fn quorum(keys: &Keys) -> Result<QuorumConfig, Unreadable> {
    Ok(QuorumConfig {
        provider: keys.get("quorum.provider").cloned(),
        two_node: number::<u8>(keys, "runtime.votequorum.two_node")?.unwrap_or(0) != 0,
        expected_votes: number(keys, "quorum.expected_votes")?,
        device: keys.get("quorum.device.model").cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As corosync 3.1.7 gives it, with the positions out of step with the nodeids.
    fn keys() -> Keys {
        [
            ("totem.cluster_name", "demo"),
            ("nodelist.local_node_pos", "1"),
            ("nodelist.node.0.name", "west"),
            ("nodelist.node.0.nodeid", "7"),
            ("nodelist.node.0.ring0_addr", "10.0.0.7"),
            ("nodelist.node.0.ring1_addr", "fd00::7"),
            ("nodelist.node.1.nodeid", "3"),
            ("nodelist.node.1.ring0_addr", "east.example"),
            ("runtime.config.totem.token", "1650"),
            ("runtime.config.totem.consensus", "1980"),
            ("runtime.votequorum.two_node", "1"),
            ("quorum.provider", "corosync_votequorum"),
            ("o2cpg.stack", "o2cb"),
            ("o2cpg.node.7.number", "0"),
            ("o2cpgx.foreign", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn nodes_are_found_by_nodeid_not_by_position() {
        let config = Config::from_keys(&keys(), NodeId(3)).unwrap();
        assert_eq!(config.nodes.keys().copied().collect::<Vec<_>>(), [NodeId(3), NodeId(7)]);
        let west = &config.nodes[&NodeId(7)];
        assert_eq!(west.name.as_deref(), Some("west"));
        assert_eq!(west.addresses, [(0, "10.0.0.7".to_owned()), (1, "fd00::7".to_owned())].into());
        assert_eq!(config.nodes[&NodeId(3)].name, None);
    }

    #[test]
    fn times_quorum_and_our_own_section_are_read() {
        let config = Config::from_keys(&keys(), NodeId(3)).unwrap();
        assert_eq!((config.token_ms, config.consensus_ms), (1650, 1980));
        assert!(config.quorum.two_node);
        assert_eq!(config.own.keys().collect::<Vec<_>>(), ["node.7.number", "stack"]);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let broken = |key: &str, value: Option<&str>| {
            let mut keys = keys();
            match value {
                Some(value) => keys.insert(key.to_owned(), value.to_owned()),
                None => keys.remove(key),
            };
            Config::from_keys(&keys, NodeId(3)).unwrap_err()
        };
        let key = "nodelist.node.1.nodeid";
        assert_eq!(broken(key, None), Unreadable::Missing(key.to_owned()));
        assert_eq!(broken(key, Some("7")), Unreadable::DuplicateNode(NodeId(7)));
        let not_a_number = Unreadable::NotANumber { key: key.to_owned(), value: "-1".to_owned() };
        assert_eq!(broken(key, Some("-1")), not_a_number);
        let token = "runtime.config.totem.token";
        assert_eq!(broken(token, None), Unreadable::Missing(token.to_owned()));
    }
}
