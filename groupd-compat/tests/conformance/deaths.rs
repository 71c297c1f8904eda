//! Deaths of nodes and daemons, in each phase of what goes on.

use crate::cluster::{Cluster, level, name};
use crate::{assert_quiet, counts, joined, layered, record, since, state};
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::ids::NodeId;
use groupd_compat::verbs::Request;

#[test]
fn conformance_17_two_deaths_one_recovery() {
    let mut cluster = joined(5, 1, "a");
    let from = counts(&cluster, 5, 1);
    cluster.manual(1, 1);
    cluster.crash(5);
    cluster.settle();
    cluster.crash(4);
    cluster.settle();
    cluster.stop_done(1, 1, "a");
    cluster.auto(1, 1);
    cluster.settle();
    let nr = cluster.last_start(1, 1, "a").unwrap();
    cluster.ask(1, level(1), Request::StartDone { name: name("a"), nr });
    cluster.settle();
    for node in [1u32, 2, 3] {
        let heard = since(&cluster, node, 1, from[node as usize - 1]);
        assert_eq!(heard.len(), 3, "one stop, one start, one finish: {heard:?}");
        assert!(heard[1].contains(" 1 3 "), "type 1, three members: {heard:?}");
    }
}

#[test]
fn conformance_18_a_dead_daemon_with_groups_gets_its_node_killed() {
    let mut cluster = joined(3, 1, "a");
    cluster.kill_daemon(3);
    cluster.settle_without_kills();
    let kills: Vec<&String> = cluster.log.iter().filter(|line| line.contains("! kill 3")).collect();
    assert_eq!(kills.len(), 2, "one from each survivor: {kills:?}");
    assert_eq!(cluster.words(1, 1).last().unwrap(), "stop a", "no start before quorum has noticed");
    assert!(cluster.waits().iter().all(|line| line.ends_with("quorum report about {3}")), "{:?}", cluster.waits());
    cluster.execute_kills();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "finish a 4");
    assert_quiet(&cluster);
}

#[test]
fn conformance_19_a_dead_daemon_without_groups_is_nobodys_business() {
    let mut cluster = Cluster::new(3);
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.kill_daemon(3);
    cluster.settle();
    assert!(!cluster.log.iter().any(|line| line.contains("! kill")));
    cluster.start_daemon(3);
    cluster.settle();
    cluster.join(3, 1, "a");
    cluster.settle();
    assert_quiet(&cluster);
}

#[test]
fn conformance_20_a_queued_joiner_dies() {
    let mut cluster = Cluster::new(3);
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.manual(1, 1);
    cluster.join(2, 1, "a");
    cluster.settle();
    cluster.join(3, 1, "a");
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    cluster.stop_done(1, 1, "a");
    cluster.settle();
    cluster.start_done(1, 1, "a");
    cluster.settle();
    let heard = cluster.words(1, 1);
    assert_eq!(heard[3..], ["stop a", "start a 2 2 2 2 1", "finish a 2"]);
    assert_quiet(&cluster);
}

#[test]
fn conformance_21_a_member_dies_while_a_join_waits_for_stops() {
    let mut cluster = Cluster::new(3);
    for node in [1, 3] {
        cluster.join(node, 1, "a");
        cluster.settle();
    }
    let from = counts(&cluster, 3, 1);
    cluster.manual(1, 1);
    cluster.manual(3, 1);
    cluster.log.clear();
    cluster.join(2, 1, "a");
    cluster.settle();
    cluster.stop_done(1, 1, "a");
    cluster.auto(1, 1);
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    let heard = since(&cluster, 1, 1, from[0]);
    assert_eq!(heard, ["stop a", "start a 3 2 3 2 3 1", "stop a", "start a 4 1 2 2 1", "finish a 4"]);
    let recover = cluster.log.iter().filter(|line| line.ends_with("RECOVER 1:a Fail(3/2)")).count();
    assert_eq!(recover, 2);
    let joiner = since(&cluster, 2, 1, from[1]);
    assert_eq!(joiner[1..], ["start a 1 2 3 1 2 3", "stop a", "start a 2 1 2 1 2", "finish a 2"]);
    assert_quiet(&cluster);
}

#[test]
fn conformance_22_a_failure_replaces_a_leave_that_has_started() {
    let mut cluster = joined(4, 1, "a");
    let from = counts(&cluster, 4, 1);
    cluster.manual(3, 1);
    cluster.leave(4, 1, "a");
    cluster.settle();
    cluster.stop_done(3, 1, "a");
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    let heard = since(&cluster, 1, 1, from[0]);
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert!(heard[0] == "stop a" && heard[1].contains(" 3 3 ") && heard[2] == "stop a", "{heard:?}");
    assert!(heard[3].contains(" 1 2 ") && heard[4].starts_with("finish"), "{heard:?}");
    assert_quiet(&cluster);
}

#[test]
fn conformance_23_another_member_dies_during_the_own_leave() {
    let mut cluster = joined(4, 1, "a");
    cluster.manual(3, 1);
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "stop a");
    cluster.crash(3);
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "terminate a");
    assert_quiet(&cluster);
}

#[test]
fn conformance_24_a_leaver_dies_before_it_is_stopped() {
    let mut cluster = joined(3, 1, "a");
    let from = counts(&cluster, 3, 1);
    cluster.manual(3, 1);
    cluster.leave(3, 1, "a");
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, from[0]), ["stop a", "start a 4 1 2 2 1", "finish a 4"]);
    assert_quiet(&cluster);
}

#[test]
fn conformance_25_and_its_other_groups_recover() {
    let mut cluster = layered();
    cluster.manual(3, 2);
    cluster.leave(3, 2, "fs");
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    for group in ["fence", "lock", "clvm", "fs"] {
        assert_eq!(record(&cluster, 1, group).members.len(), 2, "{group}");
    }
    assert_quiet(&cluster);
}

#[test]
fn conformance_26_a_node_fails_again_during_its_recovery() {
    let mut cluster = Cluster::new(4);
    for node in [1, 2, 3, 4] {
        cluster.join(node, 1, "old");
        cluster.settle();
    }
    cluster.manual(1, 1);
    cluster.crash(4);
    cluster.settle();
    cluster.stop_done(1, 1, "old");
    cluster.settle();
    cluster.boot(4);
    cluster.start_daemon(4);
    cluster.settle();
    for node in [1, 2, 4] {
        cluster.join(node, 0, "new");
        cluster.settle();
    }
    cluster.crash(4);
    cluster.settle();
    assert_eq!(record(&cluster, 2, "new").members, [NodeId(1), NodeId(2)], "{:?}", cluster.waits());
    cluster.start_done(1, 1, "old");
    cluster.settle();
    assert_quiet(&cluster);
}

#[test]
fn conformance_27_the_creator_dies_before_anybody_heard_its_id() {
    let mut cluster = Cluster::new(3);
    cluster.manual(1, 1);
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.join(2, 1, "a");
    cluster.settle();
    cluster.crash(1);
    cluster.settle();
    assert_eq!(cluster.words(2, 1), ["setid a 65538", "start a 1 2 1 2", "finish a 1"]);
}

#[test]
fn conformance_28_a_healed_partition_starts_nothing_alone() {
    let mut cluster = joined(3, 0, "fence");
    let from = cluster.told_to(3, 0).len();
    cluster.partition(&[&[1, 2], &[3]]);
    cluster.settle();
    assert_eq!(since(&cluster, 3, 0, from), ["stop fence"]);
    cluster.heal();
    cluster.settle();
    assert_eq!(since(&cluster, 3, 0, from), ["stop fence"], "not a word more");
    assert_eq!(record(&cluster, 1, "fence").members, [NodeId(2), NodeId(1)]);
    assert_quiet(&cluster);
}

#[test]
fn conformance_50_a_restarted_creator_goes_on_counting() {
    let mut cluster = Cluster::new(3);
    cluster.join(3, 1, "g1");
    cluster.settle();
    cluster.join(3, 1, "g2");
    cluster.settle();
    cluster.join(1, 1, "g2");
    cluster.settle();
    cluster.crash(3);
    cluster.settle();
    cluster.boot(3);
    cluster.settle();
    cluster.log.clear();
    cluster.start_daemon(3);
    cluster.settle();
    assert!(cluster.log.contains(&"n1 * GLOBAL_ID 0x20003".to_owned()), "{:?}", cluster.log);
    let from = cluster.told_to(3, 1).len();
    cluster.join(3, 1, "g3");
    cluster.settle();
    assert_eq!(since(&cluster, 3, 1, from)[0], format!("setid g3 {}", 0x0003_0003));
}

#[test]
fn conformance_55_second_death_between_two_starts() {
    let mut cluster = joined(5, 1, "a");
    for node in [2, 5] {
        cluster.join(node, 0, "private");
        cluster.settle();
    }
    cluster.manual(2, 0);
    cluster.crash(5);
    cluster.settle();
    cluster.stop_done(2, 0, "private");
    cluster.settle();
    assert_eq!(state(&cluster, 1, "a"), Some((Cause::Fail, Phase::StartWait)));
    assert_eq!(state(&cluster, 2, "a"), Some((Cause::Fail, Phase::AllStopped)));
    cluster.crash(4);
    cluster.settle();
    cluster.start_done(2, 0, "private");
    cluster.settle();
    assert_quiet(&cluster);
    for node in 1..=3 {
        assert_eq!(record(&cluster, node, "a").members.len(), 3);
        assert!(cluster.words(node, 1).last().unwrap().starts_with("finish"));
    }
}

#[test]
fn conformance_56_a_member_dies_while_a_join_waits_for_a_lower_level() {
    let mut cluster = Cluster::new(5);
    for node in [1, 2, 3, 5] {
        cluster.join(node, 0, "fence");
        cluster.settle();
    }
    for node in [1, 2, 3] {
        cluster.join(node, 1, "a");
        cluster.settle();
    }
    cluster.manual(1, 0);
    cluster.crash(5);
    cluster.settle();
    cluster.stop_done(1, 0, "fence");
    cluster.settle();
    cluster.join(4, 1, "a");
    cluster.settle();
    assert_eq!(state(&cluster, 1, "a"), Some((Cause::Join, Phase::AllStopped)));
    cluster.crash(3);
    cluster.settle();
    cluster.auto(1, 0);
    cluster.stop_done(1, 0, "fence");
    cluster.settle();
    assert_quiet(&cluster);
    assert_eq!(record(&cluster, 1, "a").members, [NodeId(4), NodeId(2), NodeId(1)]);
    assert_eq!(record(&cluster, 1, "fence").members, [NodeId(2), NodeId(1)]);
}
