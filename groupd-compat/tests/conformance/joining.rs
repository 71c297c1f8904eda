//! Joins and leaves: what is told, what goes to the others, which numbers.

use crate::cluster::Cluster;
use crate::{assert_quiet, counts, joined, record, since};
use groupd_compat::event_id::{Cause, EventId, Phase};
use groupd_compat::ids::{GlobalId, NodeId};
use std::collections::BTreeSet;

#[test]
fn conformance_01_join_start_finish_on_one_node() {
    let mut cluster = Cluster::new(1);
    cluster.manual(1, 1);
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1), ["setid a 65537", "start a 1 2 1 1"]);
    cluster.start_done(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1)[2..], ["finish a 1"]);
}

#[test]
fn conformance_02_second_group_of_a_daemon() {
    let mut cluster = joined(1, 1, "a");
    cluster.join(1, 1, "b");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, 3), ["setid b 131073", "start b 2 2 1 1", "finish b 2"]);
}

#[test]
fn conformance_03_record_during_and_after_the_own_join() {
    let mut cluster = Cluster::new(1);
    cluster.manual(1, 1);
    cluster.join(1, 1, "a");
    cluster.settle();
    let during = record(&cluster, 1, "a");
    assert!(!during.member);
    let change = during.change.unwrap();
    assert_eq!((change.cause, change.phase, change.local), (Cause::Join, Phase::StartWait, 0));
    cluster.start_done(1, 1, "a");
    cluster.settle();
    let after = record(&cluster, 1, "a");
    assert!(after.member && after.change.is_none());
}

#[test]
fn conformance_04_leave_alone() {
    let mut cluster = joined(1, 1, "a");
    cluster.manual(1, 1);
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, 3), ["stop a"]);
    let id = record(&cluster, 1, "a").change.unwrap().id;
    assert_eq!(id.raw(), 0x1_0000_0002);
    cluster.stop_done(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, 4), ["terminate a"]);
    assert_eq!(cluster.daemons[&1].machine.records(10), []);
}

#[test]
fn conformance_05_rejoin_goes_on_counting() {
    let mut cluster = joined(1, 1, "a");
    cluster.leave(1, 1, "a");
    cluster.settle();
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, 5), ["setid a 131073", "start a 3 2 1 1", "finish a 3"]);
}

#[test]
fn conformance_06_second_node_joins() {
    let mut cluster = joined(2, 1, "dummy");
    for node in [1, 2] {
        cluster.manual(node, 1);
    }
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.start_done(1, 1, "a");
    cluster.settle();
    let from = counts(&cluster, 2, 1);
    cluster.join(2, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0]), ["stop a"]);
    assert!(since(&cluster, 2, 1, from[1]).is_empty());
    cluster.stop_done(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0] + 1), ["start a 4 2 2 2 1"]);
    assert_eq!(since(&cluster, 2, 1, from[1]), ["setid a 131073", "start a 2 2 2 1 2"]);
    cluster.start_done(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0] + 2), Vec::<String>::new());
    cluster.start_done(2, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0] + 2), ["finish a 4"]);
    assert_eq!(since(&cluster, 2, 1, from[1] + 2), ["finish a 2"]);
}

#[test]
fn conformance_07_third_node_joins_messages() {
    let mut cluster = Cluster::new(3);
    for node in [1, 2] {
        cluster.join(node, 1, "a");
        cluster.settle();
    }
    cluster.log.clear();
    cluster.join(3, 1, "a");
    cluster.settle();
    let said: Vec<&String> = cluster.log.iter().filter(|line| line.contains(" * ")).collect();
    let stopped = said.iter().filter(|line| line.contains("STOPPED 1:a Join(3/3)")).count();
    let started = said.iter().filter(|line| line.contains("STARTED 1:a Join(3/3)")).count();
    assert_eq!((stopped, started, said.len()), (2, 3, 5));
    assert!(!said.iter().any(|line| line.starts_with("n3") && line.contains("STOPPED")));
    assert_eq!(EventId::new(NodeId(3), 3, Cause::Join).raw(), 0x0000_0003_0003_0001);
}

#[test]
fn conformance_08_member_order_in_starts() {
    let cluster = joined(3, 1, "a");
    let last = |node| cluster.words(node, 1).into_iter().rev().find(|words| words.starts_with("start")).unwrap();
    assert_eq!(last(1), "start a 3 2 3 3 2 1");
    assert_eq!(last(2), "start a 2 2 3 3 1 2");
    assert_eq!(last(3), "start a 1 2 3 1 2 3");
}

#[test]
fn conformance_09_leave_of_one_of_three() {
    let mut cluster = joined(3, 1, "a");
    let from = counts(&cluster, 3, 1);
    cluster.manual(3, 1);
    cluster.leave(2, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 2, 1, from[1]), ["stop a"], "terminate needs all three");
    cluster.stop_done(3, 1, "a");
    cluster.auto(3, 1);
    cluster.settle();
    assert_eq!(since(&cluster, 2, 1, from[1]), ["stop a", "terminate a"]);
    cluster.start_done(3, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0]), ["stop a", "start a 4 3 2 3 1", "finish a 4"]);
    assert_eq!(since(&cluster, 3, 1, from[2]), ["stop a", "start a 2 3 2 1 3", "finish a 2"]);
}

#[test]
fn conformance_10_id_of_a_group_lives_as_long_as_the_group() {
    let mut cluster = joined(2, 1, "a");
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(record(&cluster, 2, "a").global_id, GlobalId(65537));
    cluster.leave(2, 1, "a");
    cluster.settle();
    cluster.join(2, 1, "a");
    cluster.settle();
    assert_eq!(record(&cluster, 2, "a").global_id, GlobalId(65538));
}

#[test]
fn conformance_11_simultaneous_joins_are_serialised() {
    let mut cluster = Cluster::new(3);
    for node in [1, 2, 3] {
        cluster.join(node, 1, "a");
    }
    cluster.settle();
    let finishes: usize =
        (1..=3).map(|node| cluster.words(node, 1).iter().filter(|words| words.starts_with("finish")).count()).sum();
    assert_eq!(finishes, 6);
    let ids: BTreeSet<GlobalId> = (1..=3).map(|node| record(&cluster, node, "a").global_id).collect();
    assert_eq!(ids.len(), 1);
    assert_quiet(&cluster);
}

#[test]
fn conformance_12_simultaneous_leaves() {
    let mut cluster = joined(3, 1, "a");
    cluster.leave(1, 1, "a");
    cluster.leave(2, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "terminate a");
    assert_eq!(cluster.words(2, 1).last().unwrap(), "terminate a");
    assert_eq!(record(&cluster, 3, "a").members, [NodeId(3)]);
    assert_quiet(&cluster);
}
