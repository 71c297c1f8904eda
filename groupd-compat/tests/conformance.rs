//! The numbered cases of compatible behaviour that need no real corosync, one test each. Those that do are
//! listed with the reason in `conformance/needs-corosync.json`; together they are all 57.

#![allow(clippy::disallowed_methods, reason = "a test reads its list")]

mod cluster;

use cluster::{Cluster, level, name};
use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::error::DecodeError;
use groupd_compat::event_id::{Cause, EventId, Phase};
use groupd_compat::frame::{FRAME_LEN, Frame, FrameReader};
use groupd_compat::ids::{ClientId, CpgId, GlobalId, NodeId, Tick};
use groupd_compat::machine::{
    Access, Caller, Compat, Effect, Effects, Event, Exit, Machine, OnClientDeath, Settings, Wait,
};
use groupd_compat::names::GroupKey;
use groupd_compat::records::{GroupRecord, Reply};
use groupd_compat::verbs::{Callback, Query, Request};
use std::collections::BTreeSet;

fn record(cluster: &Cluster, node: u32, group: &str) -> GroupRecord {
    let groups = cluster.daemons[&node].machine.status().groups;
    groups.into_iter().find(|g| g.key.name == name(group)).expect("the group").record
}

fn state(cluster: &Cluster, node: u32, group: &str) -> Option<(Cause, Phase)> {
    record(cluster, node, group).change.map(|change| (change.cause, change.phase))
}

fn joined(nodes: u32, at: i64, group: &str) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    for node in 1..=nodes {
        cluster.join(node, at, group);
        cluster.settle();
    }
    cluster
}

/// What a client was told since this many callbacks.
fn since(cluster: &Cluster, node: u32, at: i64, count: usize) -> Vec<String> {
    cluster.words(node, at).split_off(count)
}

fn counts(cluster: &Cluster, nodes: u32, at: i64) -> Vec<usize> {
    (1..=nodes).map(|node| cluster.told_to(node, at).len()).collect()
}

fn assert_quiet(cluster: &Cluster) {
    assert_eq!(cluster.waits(), Vec::<String>::new());
}

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

fn layered() -> Cluster {
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

fn position(cluster: &Cluster, line: &str) -> usize {
    cluster.log.iter().position(|l| l.starts_with(line)).unwrap_or_else(|| panic!("{line} in {:#?}", cluster.log))
}

#[test]
fn conformance_13_all_stop_before_any_start_and_low_levels_start_first() {
    let mut cluster = layered();
    cluster.crash(3);
    cluster.settle();
    for node in [1, 2] {
        let first_start = cluster.log.iter().position(|l| l.starts_with(&format!("n{node} > start"))).unwrap();
        for group in ["fence", "lock", "clvm", "fs"] {
            assert!(position(&cluster, &format!("n{node} > stop {group}")) < first_start);
        }
        let fence = position(&cluster, &format!("n{node} > finish fence"));
        assert!(fence < position(&cluster, &format!("n{node} > start lock")));
        assert!(fence < position(&cluster, &format!("n{node} > start clvm")));
        assert!(
            position(&cluster, &format!("n{node} > finish lock")) < position(&cluster, &format!("n{node} > start fs"))
        );
        assert!(
            position(&cluster, &format!("n{node} > finish clvm")) < position(&cluster, &format!("n{node} > start fs"))
        );
    }
    assert!(!cluster.log.iter().any(|line| line.contains("only1 ") || line.contains("only2")));
    assert_quiet(&cluster);
}

#[test]
fn conformance_14_a_slow_stop_holds_every_start() {
    let mut cluster = layered();
    cluster.manual(2, 2);
    cluster.crash(3);
    cluster.settle();
    assert!(!cluster.log.iter().any(|line| line.starts_with("n2 > start")));
    assert!(!cluster.log.iter().any(|line| line.contains("> start fs")));
    cluster.auto(2, 2);
    cluster.stop_done(2, 2, "fs");
    cluster.settle();
    assert_quiet(&cluster);
}

#[test]
fn conformance_15_quorum_lost_and_regained() {
    let mut cluster = joined(3, 0, "fence");
    let from = cluster.told_to(1, 0).len();
    cluster.crash_all(&[2, 3]);
    cluster.settle();
    assert_eq!(since(&cluster, 1, 0, from), ["stop fence"]);
    let shown = record(&cluster, 1, "fence");
    let change = shown.change.unwrap();
    assert_eq!((change.cause, change.phase, change.id.raw()), (Cause::Fail, Phase::AllStopped, 0x2_0002_0003));
    assert_eq!(shown.members.len(), 3, "the dead are still listed");
    cluster.boot(2);
    cluster.settle();
    assert_eq!(since(&cluster, 1, 0, from + 1), ["start fence 4 1 1 1", "finish fence 4"]);
}

#[test]
fn conformance_16_no_start_of_a_join_without_quorum() {
    let mut cluster = joined(3, 0, "fence");
    cluster.crash_all(&[2, 3]);
    cluster.settle();
    cluster.join(1, 1, "late");
    cluster.settle();
    assert!(cluster.words(1, 1).is_empty());
    assert_eq!(state(&cluster, 1, "late"), Some((Cause::Join, Phase::AllStopped)));
    cluster.boot(2);
    cluster.settle();
    assert_eq!(cluster.words(1, 1), ["setid late 131073", "start late 5 2 1 1", "finish late 5"]);
}

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
fn conformance_29_sigterm_with_groups_is_ignored() {
    let mut cluster = joined(2, 1, "a");
    for moment in 0..20 {
        cluster.sigterm(1);
        assert!(cluster.daemons.contains_key(&1), "moment {moment}");
        if moment == 5 {
            cluster.leave(2, 1, "a");
        }
        cluster.step_of(1 + moment % 2);
    }
}

#[test]
fn conformance_30_sigterm_without_groups_leaves_the_control_cpg() {
    let mut machine = Machine::new(Settings::libgroup(NodeId(1)));
    let mut fx = Effects::default();
    machine.handle(Tick(0), Event::Started, &mut fx);
    fx.drain();
    machine.handle(Tick(1), Event::StopAsked, &mut fx);
    assert_eq!(fx.as_slice(), [Effect::LeaveCpg(CpgId::CONTROL), Effect::Exit(Exit::Asked)]);
    fx.drain();
    machine.handle(Tick(2), Event::ShutdownAsked, &mut fx);
    assert_eq!(fx.as_slice(), [], "an ended machine does nothing");
}

#[test]
fn conformance_31_data_comes_in_the_same_order_everywhere() {
    let mut cluster = joined(3, 1, "a");
    let from = counts(&cluster, 3, 1);
    for round in 0..5 {
        for node in [2, 3, 1] {
            let data = format!("{node}{round}").into_bytes();
            cluster.ask(node, level(1), Request::Send { name: name("a"), data });
        }
    }
    cluster.settle();
    let heard: Vec<&[Callback]> = (1..=3).map(|node| &cluster.told_to(node, 1)[from[node as usize - 1]..]).collect();
    assert_eq!(heard[0].len(), 15, "the sender hears itself");
    assert!(heard[0] == heard[1] && heard[1] == heard[2]);
}

#[test]
fn conformance_32_payloads() {
    let mut cluster = joined(2, 1, "a");
    let every_byte: Vec<u8> = (0..=255).cycle().take(2048).collect();
    for data in [every_byte, vec![], vec![0; 3]] {
        cluster.ask(1, level(1), Request::Send { name: name("a"), data: data.clone() });
        cluster.settle();
        let deliver = Callback::Deliver { name: name("a"), from: NodeId(1), data };
        assert_eq!(cluster.told_to(1, 1).last(), Some(&deliver));
        assert_eq!(cluster.told_to(2, 1).last(), Some(&deliver));
        assert_eq!(Callback::decode(&deliver.encode().unwrap()), Ok(deliver));
    }
    let shorter = Request::decode(&Frame::new(b"send a 3", b"abcdef").unwrap());
    assert_eq!(shorter, Ok(Request::Send { name: name("a"), data: b"abc".to_vec() }));
}

#[test]
fn conformance_33_lengths_that_cannot_be_are_refused() {
    for text in ["send a -1", "send a 2049", "send a 2200", "send a 2147483647", "send a"] {
        assert!(Request::decode(&Frame::new(text.as_bytes(), b"").unwrap()).is_err(), "{text}");
    }
    let mut cluster = joined(2, 1, "a");
    let oversize = Message::Data { key: None, global_id: GlobalId(65537), data: vec![1; 2049] }.encode();
    let pid = cluster.pid(2);
    let from = cluster.told_to(1, 1).len();
    cluster.multicast_as(2, pid, b"1_a\0", &oversize);
    cluster.settle();
    assert!(since(&cluster, 1, 1, from).is_empty());
}

#[test]
fn conformance_34_data_comes_before_the_first_start_and_while_stopped() {
    let mut two = Cluster::new(2);
    two.manual(1, 1);
    two.manual(2, 1);
    two.join(1, 1, "a");
    two.settle();
    two.ask(1, level(1), Request::Send { name: name("a"), data: b"x".to_vec() });
    two.settle();
    assert_eq!(two.words(1, 1).last().unwrap(), "deliver a 1 1");
    two.start_done(1, 1, "a");
    two.settle();
    two.join(2, 1, "a");
    two.settle();
    two.ask(1, level(1), Request::Send { name: name("a"), data: b"y".to_vec() });
    two.settle();
    assert_eq!(two.words(1, 1)[4..], ["stop a", "deliver a 1 1"]);
    assert_eq!(two.words(2, 1), ["deliver a 1 1"], "the joiner has not even started");
}

#[test]
fn conformance_35_a_second_join_does_nothing() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (record(&cluster, 1, "a"), cluster.words(1, 1));
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!((record(&cluster, 1, "a"), cluster.words(1, 1)), (before, told.clone()));
    cluster.manual(1, 1);
    cluster.leave(1, 1, "a");
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, told.len()), ["stop a"], "nor while leaving");
}

#[test]
fn conformance_36_the_same_name_on_another_level() {
    let mut cluster = joined(1, 1, "a");
    cluster.join(1, 2, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 2), ["setid a 131073", "start a 2 2 1 1", "finish a 2"]);
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.records(10).len(), 1);
}

#[test]
fn conformance_37_when_a_leave_is_ignored() {
    let mut cluster = Cluster::new(2);
    cluster.manual(1, 1);
    cluster.leave(1, 1, "unknown");
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).len(), 2, "not while joining");
    cluster.start_done(1, 1, "a");
    cluster.settle();
    cluster.join(2, 1, "a");
    cluster.settle();
    cluster.leave(1, 1, "a");
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "stop a");
    cluster.auto(1, 1);
    cluster.stop_done(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "terminate a", "queued behind the other's join");
    assert_eq!(cluster.words(1, 1).iter().filter(|words| *words == "terminate a").count(), 1);
}

#[test]
fn conformance_38_words_that_mean_nothing() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (cluster.daemons[&1].machine.status(), cluster.words(1, 1));
    for text in ["bogus", "", " ", "JOIN b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"").unwrap());
        assert!(request.is_err(), "{text:?}");
        cluster.inject(1, Event::Asked(ClientId(1), request));
    }
    cluster.settle();
    assert_eq!((cluster.daemons[&1].machine.status(), cluster.words(1, 1)), (before, told));
    assert_eq!(cluster.replies, []);
}

#[test]
fn conformance_39_queries() {
    let mut cluster = joined(2, 1, "a");
    cluster.join(1, 1, "b");
    cluster.settle();
    let mut ask = |request| {
        cluster.ask(1, level(1), request);
        cluster.replies.pop().unwrap().1.encode()
    };
    for (max, records) in [(1, 1), (0, 1), (-1, 1), (2, 2), (10, 2)] {
        let reply = ask(Request::GetGroups { max });
        assert_eq!(reply.len(), (records + 1) * 1128, "max {max}");
        assert!(reply[records * 1128..].iter().all(|&b| b == 0));
    }
    let unknown = GroupKey { level: level(3), name: name("a") };
    assert_eq!(ask(Request::GetGroup(Query::Group(unknown))), [0; 1128]);
    let control = GroupRecord::decode(&ask(Request::GetGroup(Query::Control))).unwrap();
    assert_eq!((control.level, control.members), (-1, vec![NodeId(1), NodeId(2)]));
}

fn detect(node: NodeId) -> Settings {
    Settings { compat: Compat::Detect, ..Settings::libgroup(node) }
}

fn versions(cluster: &mut Cluster, nodes: u32) -> Vec<i32> {
    (1..=nodes)
        .map(|node| {
            cluster.ask(node, level(1), Request::GetVersion);
            match cluster.replies.pop() {
                Some((_, Reply::Version(version))) => version,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

#[test]
fn conformance_40_get_version() {
    let mut cluster =
        Cluster::without_daemons(2, |node| Settings { compat: Compat::Libcpg, ..Settings::libgroup(node) });
    cluster.start_daemon(1);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 1), [3]);
    assert_eq!(versions(&mut Cluster::new(1), 1), [2]);
    // One that is decided decides for those that are not.
    let mut mixed =
        Cluster::without_daemons(2, |node| if node.0 == 1 { Settings::libgroup(node) } else { detect(node) });
    mixed.start_daemon(1);
    mixed.start_daemon(2);
    assert_eq!(versions(&mut mixed, 2), [2, -11]);
    mixed.settle();
    assert_eq!(versions(&mut mixed, 2), [2, 2]);
}

#[test]
fn conformance_41_all_pending_become_libcpg() {
    let mut cluster = Cluster::without_daemons(3, detect);
    for node in 1..=3 {
        cluster.start_daemon(node);
        cluster.settle();
    }
    cluster.pass_time(1999);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 3), [-11, -11, -11]);
    cluster.pass_time(1);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 3), [3, 3, 3]);
    let records = cluster.daemons[&2].machine.records(10);
    let shown: Vec<(&[u8], i32, usize)> =
        records.iter().map(|r| (r.name.as_slice(), r.level, r.members.len())).collect();
    assert_eq!(shown, [(&b"default"[..], 0, 0), (&b"clvmd"[..], 1, 0), (&b"rgmanager"[..], 1, 0)]);
    cluster.join(1, 1, "a");
    cluster.settle();
    assert!(cluster.words(1, 1).is_empty(), "no event ever");
    cluster.sigterm(1);
    assert!(!cluster.daemons.contains_key(&1), "ends in spite of groups");
}

#[test]
fn conformance_42_a_silent_node_is_an_old_daemon() {
    let mut cluster =
        Cluster::without_daemons(3, |node| if node.0 == 3 { Settings::libgroup(node) } else { detect(node) });
    cluster.start_daemon(1);
    cluster.start_daemon(2);
    cluster.settle();
    cluster.silent_member(3);
    cluster.settle();
    cluster.log.clear();
    cluster.pass_time(4999);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 2), [-11, -11]);
    cluster.pass_time(1);
    cluster.settle();
    let spoken: Vec<&String> =
        cluster.log.iter().filter(|l| l.contains("VERSION node 3 generation 2 mode 2 compat 1 groups 0")).collect();
    assert_eq!(spoken.len(), 2, "once from each: {:?}", cluster.log);
    assert_eq!(versions(&mut cluster, 2), [2, 2]);
}

#[test]
fn conformance_43_half_a_frame_holds_nobody() {
    let whole = Frame::new(b"setup test 1", b"").unwrap();
    let join = Frame::new(b"join a", b"").unwrap();
    let both = [whole.as_bytes().as_slice(), join.as_bytes()].concat();
    let mut reader = FrameReader::default();
    let mut rest = both.as_slice();
    assert_eq!(reader.next_frame(&mut rest), Some(whole.clone()));
    assert_eq!(reader.next_frame(&mut rest), Some(join));
    let (head, tail) = whole.as_bytes().split_at(1000);
    assert_eq!(reader.next_frame(&mut &*head), None, "and the caller goes on with others");
    assert_eq!(reader.partial_len(), 1000);
    assert_eq!(reader.next_frame(&mut &*tail), Some(whole));
}

#[test]
fn conformance_46_a_dead_clients_group_is_not_inherited() {
    for policy in [OnClientDeath::Leave, OnClientDeath::Hold, OnClientDeath::KillNode] {
        let settings = |policy| match policy {
            OnClientDeath::Leave => |n| Settings { on_client_death: OnClientDeath::Leave, ..Settings::libgroup(n) },
            OnClientDeath::Hold => |n| Settings { on_client_death: OnClientDeath::Hold, ..Settings::libgroup(n) },
            OnClientDeath::KillNode => {
                |n| Settings { on_client_death: OnClientDeath::KillNode, ..Settings::libgroup(n) }
            }
        };
        let mut cluster = Cluster::without_daemons(3, settings(policy));
        (1..=3).for_each(|node| cluster.start_daemon(node));
        cluster.settle();
        cluster.join(1, 1, "a");
        cluster.settle();
        let from = cluster.told_to(1, 1).len();
        cluster.client_dies(1, 1);
        cluster.ask(1, level(1), Request::GetVersion); // a new connection of the same level
        cluster.settle();
        cluster.join(2, 1, "a");
        cluster.settle();
        cluster.stop_done(1, 1, "a");
        cluster.settle();
        assert!(since(&cluster, 1, 1, from).is_empty(), "{policy:?}");
        match policy {
            OnClientDeath::Leave => assert_eq!(cluster.daemons[&1].machine.records(9), []),
            OnClientDeath::Hold => assert_eq!(state(&cluster, 1, "a"), Some((Cause::Join, Phase::StopWait))),
            OnClientDeath::KillNode => assert!(!cluster.daemons.contains_key(&1)),
        }
        if policy != OnClientDeath::Hold {
            assert_eq!(cluster.words(2, 1).last().map(|words| words.starts_with("finish a")), Some(true));
            assert_quiet(&cluster);
        }
    }
}

#[test]
fn conformance_47_malformed_commands_are_ignored() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (cluster.daemons[&1].machine.status(), cluster.words(1, 1));
    let long = "n".repeat(300);
    let texts = [
        "stop_done nosuch",
        "stop_done a",
        "start_done a 77",
        "start_done a 1",
        "setup",
        "setup x",
        "setup x -1",
        "setup x 4",
        "setup x 1000000",
        "join",
        "leave",
        "send",
        "send a",
        "get_groups",
        "get_group",
        "get_group 1",
        "join ",
        &format!("join {long}"),
        &format!("join {}", &long[..33]),
        "start_done",
        "stop_done",
        "send a -65",
    ];
    for text in texts {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"").unwrap());
        cluster.inject(1, Event::Asked(ClientId(1), request));
    }
    cluster.inject(1, Event::Asked(ClientId(1), Request::decode(&Frame::from([b'A'; FRAME_LEN]))));
    cluster.settle();
    assert_eq!((cluster.daemons[&1].machine.status(), cluster.words(1, 1)), (before, told));
    // Before any setup there is no level to join on.
    let stranger = ClientId(99);
    cluster.inject(1, Event::ClientCame(stranger, Caller { uid: 0, access: Access::Full }));
    cluster.inject(1, Event::Asked(stranger, Ok(Request::Join { name: name("b") })));
    assert_eq!(cluster.daemons[&1].machine.records(9).len(), 1);
}

#[test]
fn conformance_48_a_name_of_32_bytes() {
    let long = "n".repeat(32);
    let cluster = joined(2, 1, &long);
    assert_eq!(cluster.words(2, 1)[0], format!("setid {long} 65537"));
    let key = GroupKey { level: level(1), name: name(&long) };
    assert_eq!(key.cpg_name().as_bytes().len(), 35);
    let shown = record(&cluster, 1, &long);
    assert_eq!(GroupRecord::decode(&shown.encode()).unwrap().name, long.as_bytes());
    assert_quiet(&cluster);
}

#[test]
fn conformance_49_control_messages_that_crashed_every_daemon() {
    let mut cluster = joined(2, 1, "a");
    let before = cluster.daemons[&1].machine.status();
    let id = EventId::new(NodeId(2), 2, Cause::Join);
    let key = GroupKey { level: level(1), name: name("a") };
    let good = Message::Step { step: Step::Stopped, key, global_id: GlobalId(1), id }.encode();
    let with = |at: usize, bytes: &[u8]| {
        let mut message = good.clone();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    let name_without_nul = with(32, &[b'x'; 32]);
    let foreign_version = with(0, &[9; 12]);
    let oversize = [with(12, &[4, 0]), vec![1; 4000]].concat();
    let messages =
        [vec![1, 2, 3], with(14, &[0xff, 0xff]), with(12, &[77, 0]), name_without_nul, foreign_version, oversize];
    let pid = cluster.pid(2);
    for message in &messages {
        cluster.multicast_as(2, pid, b"groupd\0", message);
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
    cluster.leave(2, 1, "a");
    cluster.settle();
    assert_quiet(&cluster);
    assert!(matches!(Message::decode(&messages[0]), Err(DecodeError::Short { .. })));
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
fn conformance_51_a_join_waits_for_recovery_below_it_only() {
    let mut cluster = joined(3, 0, "fence");
    cluster.manual(1, 0);
    cluster.crash(3);
    cluster.settle();
    cluster.join(1, 2, "fs");
    cluster.settle();
    assert!(cluster.words(1, 2).is_empty());
    let wait = cluster.daemons[&1].machine.status().groups[1].waits.clone();
    assert_eq!(wait, Some(Wait::LowerLevel { level: level(0), node: NodeId(3) }));
    cluster.ask(1, level(0), Request::Join { name: name("other") });
    cluster.settle();
    assert!(cluster.words(1, 0).iter().any(|words| words.starts_with("start other")));
    cluster.stop_done(1, 0, "fence");
    cluster.settle();
    cluster.start_done(1, 0, "fence");
    cluster.settle();
    assert_eq!(cluster.words(1, 2).last().unwrap(), "finish fs 5");
}

#[test]
fn conformance_53_a_join_that_fails_leaves_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.join(1, 1, "a");
    cluster.inject(1, Event::JoinFailed(CpgId(1)));
    assert_eq!(cluster.daemons[&1].machine.records(9), []);
    cluster.settle();
    assert!(cluster.words(1, 1).is_empty(), "what the dead handle still says is not heard");
}

#[test]
fn conformance_54_a_client_that_may_only_look() {
    let mut cluster = joined(1, 1, "a");
    let before = cluster.daemons[&1].machine.status();
    let stranger = ClientId(99);
    cluster.inject(1, Event::ClientCame(stranger, Caller { uid: 65534, access: Access::Queries }));
    for text in ["setup x 1", "join b", "leave a", "stop_done a", "send a 1", "log x"] {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"x").unwrap());
        cluster.inject(1, Event::Asked(stranger, request));
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
    cluster.inject(1, Event::Asked(stranger, Ok(Request::GetVersion)));
    assert_eq!(cluster.replies, [(1, Reply::Version(2))]);
    // One that may do everything, but is another user, has no say in this group either.
    let other = ClientId(100);
    cluster.inject(1, Event::ClientCame(other, Caller { uid: 65534, access: Access::Full }));
    for text in ["setup x 1", "leave a"] {
        cluster.inject(1, Event::Asked(other, Request::decode(&Frame::new(text.as_bytes(), b"").unwrap())));
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
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

/// Where tests of cases are; those that need more than a machine are beside the code that they test.
const PLACES: [&str; 4] = [
    include_str!("conformance.rs"),
    include_str!("replay/main.rs"),
    include_str!("../../agent/src/groupd/outbox.rs"),
    include_str!("../../agent/src/cli/render/legacy.rs"),
];

#[test]
fn every_case_has_a_test_of_its_number() {
    let numbers = PLACES.iter().flat_map(|text| text.split("fn conformance_").skip(1));
    let tested: BTreeSet<u32> = numbers.filter_map(|rest| rest.get(..2)?.parse().ok()).collect();
    assert_eq!(tested, (1..=57).collect());
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("conformance/needs-corosync.json")).expect("a list");
    assert!(listed.iter().all(|case| tested.contains(&(case["case"].as_u64().unwrap() as u32))));
}
