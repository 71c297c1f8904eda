//! Levels and quorum: who stops first, who starts first, what holds a start.

use crate::cluster::{Cluster, level, name};
use crate::{assert_quiet, joined, layered, record, since, state};
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::ids::NodeId;
use groupd_compat::machine::Wait;
use groupd_compat::verbs::Request;

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
