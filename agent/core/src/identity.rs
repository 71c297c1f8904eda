//! corosync's nodelist → the entry this node asks for, or why it cannot have one.
//!
//! The only place where a nodeid becomes an o2cb number. Nothing is truncated and nothing is guessed.

use crate::event::ClusterConfig;
use crate::ids::NodeId;
use crate::policy::Policy;
use crate::refusal::Refusal;
use configfs::{ClusterName, NodeName};
use proto::peer::Entry;

/// The largest o2cb number: one byte on disk and on the wire, 255 means "none".
pub const NUMBER_MAX: u32 = 254;

/// The entry of `nodeid`. `fallback_name` is used where the nodelist has no name (corosync allows that).
pub fn entry(config: &ClusterConfig, policy: &Policy, nodeid: NodeId, fallback_name: &str) -> Result<Entry, Refusal> {
    cluster_name(config)?;
    if config.lacks_quorum {
        return Err(Refusal::NoQuorumProvider);
    }
    let node = config.nodes.get(&nodeid).ok_or(Refusal::NotInNodelist { nodeid })?;
    let number = number(policy, nodeid)?;
    let address = node.address.clone().map_err(|found| Refusal::NoIpv4 { nodeid, found })?;
    let name = node.name.as_deref().unwrap_or(fallback_name);
    if let Err(rule) = NodeName::new(name) {
        return Err(Refusal::NodeName { name: name.into(), rule: rule.to_string() });
    }
    for (other, twin) in config.nodes.iter().filter(|(other, _)| **other != nodeid) {
        if twin.address.as_ref() == Ok(&address) {
            return Err(Refusal::SameAddress { address, other: *other });
        }
        if self::number(policy, *other) == Ok(number) {
            return Err(Refusal::SameNumber { number, other: *other });
        }
    }
    Ok(Entry { nodeid: nodeid.0, number, name: name.into(), address, port: policy.port })
}

/// The cluster name, if both the kernel and ocfs2-tools take it.
pub fn cluster_name(config: &ClusterConfig) -> Result<ClusterName, Refusal> {
    ClusterName::new(config.cluster_name.clone())
        .map_err(|rule| Refusal::ClusterName { name: config.cluster_name.clone(), rule: rule.to_string() })
}

/// The o2cb number of a node: mapped, or the nodeid itself where it fits.
pub fn number(policy: &Policy, nodeid: NodeId) -> Result<u8, Refusal> {
    match policy.numbers.get(&nodeid) {
        Some(number) => Ok(*number),
        None if nodeid.0 <= NUMBER_MAX => Ok(nodeid.0 as u8),
        None => Err(Refusal::NumberTooLarge { nodeid }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ConfiguredNode;
    use std::collections::BTreeMap;

    fn config(nodes: &[(u32, Option<&str>, Result<&str, &str>)]) -> ClusterConfig {
        let node = |(id, name, address): &(u32, Option<&str>, Result<&str, &str>)| {
            let address = address.map(|a| a.parse().unwrap()).map_err(str::to_owned);
            (NodeId(*id), ConfiguredNode { name: name.map(str::to_owned), address })
        };
        ClusterConfig { cluster_name: "lab".into(), nodes: nodes.iter().map(node).collect(), ..Default::default() }
    }

    #[test]
    fn a_nodeid_above_254_needs_a_map_and_is_never_truncated() {
        let config = config(&[(300, Some("x"), Ok("10.0.0.1"))]);
        let mut policy = Policy::default();
        assert_eq!(entry(&config, &policy, NodeId(300), "h"), Err(Refusal::NumberTooLarge { nodeid: NodeId(300) }));
        policy.numbers = BTreeMap::from([(NodeId(300), 7)]);
        assert_eq!(entry(&config, &policy, NodeId(300), "h").unwrap().number, 7);
    }

    #[test]
    fn a_mapped_number_that_is_another_nodes_own_is_refused() {
        let config = config(&[(7, Some("a"), Ok("10.0.0.1")), (300, Some("b"), Ok("10.0.0.2"))]);
        let policy = Policy { numbers: BTreeMap::from([(NodeId(300), 7)]), ..Policy::default() };
        let refusal = entry(&config, &policy, NodeId(300), "h").unwrap_err();
        assert_eq!(refusal, Refusal::SameNumber { number: 7, other: NodeId(7) });
    }

    #[test]
    fn one_address_for_two_nodes_is_refused() {
        let config = config(&[(1, Some("a"), Ok("10.0.0.1")), (2, Some("b"), Ok("10.0.0.1"))]);
        let refusal = entry(&config, &Policy::default(), NodeId(2), "h").unwrap_err();
        assert!(matches!(refusal, Refusal::SameAddress { other: NodeId(1), .. }));
    }

    #[test]
    fn a_node_without_ipv4_is_refused_with_what_was_found() {
        let config = config(&[(1, Some("a"), Err("fd00::1"))]);
        let refusal = entry(&config, &Policy::default(), NodeId(1), "h").unwrap_err();
        assert_eq!(refusal, Refusal::NoIpv4 { nodeid: NodeId(1), found: "fd00::1".into() });
    }

    #[test]
    fn a_corosync_without_quorum_is_refused() {
        let mut config = config(&[(1, Some("a"), Ok("10.0.0.1"))]);
        config.lacks_quorum = true;
        assert_eq!(entry(&config, &Policy::default(), NodeId(1), "h"), Err(Refusal::NoQuorumProvider));
    }

    #[test]
    fn a_cluster_name_with_a_blank_is_refused() {
        let mut config = config(&[(1, Some("a"), Ok("10.0.0.1"))]);
        config.cluster_name = "my cluster".into();
        assert!(matches!(entry(&config, &Policy::default(), NodeId(1), "h"), Err(Refusal::ClusterName { .. })));
    }

    #[test]
    fn without_a_name_in_the_nodelist_the_host_name_is_used() {
        let config = config(&[(1, None, Ok("10.0.0.1"))]);
        assert_eq!(entry(&config, &Policy::default(), NodeId(1), "host7").unwrap().name, "host7");
    }
}
