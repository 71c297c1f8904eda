//! The numbered cases of compatible behaviour that need no real corosync, one test each. Those that do are
//! listed with the reason in `needs-corosync.json`; together they are all 57.

#![allow(unreachable_pub, clippy::disallowed_methods, reason = "a test reads its list")]

mod clients;
#[path = "../cluster/mod.rs"]
mod cluster;
mod daemons;
mod data;
mod deaths;
mod joining;
mod levels;

use crate::cluster::{Cluster, name};
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::records::GroupRecord;
use std::collections::BTreeSet;

pub(crate) fn record(cluster: &Cluster, node: u32, group: &str) -> GroupRecord {
    let groups = cluster.daemons[&node].machine.status().groups;
    groups.into_iter().find(|g| g.key.name == name(group)).expect("the group").record
}

pub(crate) fn state(cluster: &Cluster, node: u32, group: &str) -> Option<(Cause, Phase)> {
    record(cluster, node, group).change.map(|change| (change.cause, change.phase))
}

pub(crate) fn joined(nodes: u32, at: i64, group: &str) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    for node in 1..=nodes {
        cluster.join(node, at, group);
        cluster.settle();
    }
    cluster
}

pub(crate) fn layered() -> Cluster {
    let mut cluster = Cluster::new(3);
    for (at, group) in [(0, "fence"), (1, "lock"), (1, "clvm"), (2, "fs")] {
        for node in 1..=3 {
            cluster.join(node, at, group);
            cluster.settle();
        }
    }
    for node in [1, 3] {
        cluster.join(node, 3, "only13");
        cluster.settle();
    }
    cluster.join(1, 3, "only1");
    cluster.join(2, 3, "only2");
    cluster.settle();
    cluster.log.clear();
    cluster
}

/// What a client was told since this many callbacks.
pub(crate) fn since(cluster: &Cluster, node: u32, at: i64, count: usize) -> Vec<String> {
    cluster.words(node, at).split_off(count)
}

pub(crate) fn counts(cluster: &Cluster, nodes: u32, at: i64) -> Vec<usize> {
    (1..=nodes).map(|node| cluster.told_to(node, at).len()).collect()
}

pub(crate) fn assert_quiet(cluster: &Cluster) {
    assert_eq!(cluster.waits(), Vec::<String>::new());
}

/// Where tests of cases are; those that need more than a machine are beside the code that they test.
const PLACES: [&str; 9] = [
    include_str!("clients.rs"),
    include_str!("daemons.rs"),
    include_str!("data.rs"),
    include_str!("deaths.rs"),
    include_str!("joining.rs"),
    include_str!("levels.rs"),
    include_str!("../replay/main.rs"),
    include_str!("../../../agent/src/groupd/outbox.rs"),
    include_str!("../../../agent/src/cli/render/legacy.rs"),
];

#[test]
fn every_case_has_a_test_of_its_number() {
    let numbers = PLACES.iter().flat_map(|text| text.split("fn conformance_").skip(1));
    let tested: BTreeSet<u32> = numbers.filter_map(|rest| rest.get(..2)?.parse().ok()).collect();
    assert_eq!(tested, (1..=57).collect());
    let listed: Vec<serde_json::Value> = serde_json::from_str(include_str!("needs-corosync.json")).expect("a list");
    assert!(listed.iter().all(|case| tested.contains(&(case["case"].as_u64().unwrap() as u32))));
}
