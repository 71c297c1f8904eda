//! Lives of clusters: after all is mended nobody waits.

use crate::cluster::{Cluster, level, name};
use crate::config;
use groupd_compat::verbs::Request;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Something that happens to a cluster of five.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Join(u32, i64),
    Leave(u32, i64),
    Send(u32, i64),
    Crash(u32),
    Boot(u32),
    KillDaemon(u32),
    ClientDies(u32, i64),
    Partition(u32),
    Heal,
    Steps(u32, u8),
    Settle,
}

fn deed() -> impl Strategy<Value = Deed> {
    let node = || 1u32..6;
    prop_oneof![
        10 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Join(n, l)),
        4 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Leave(n, l)),
        2 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Send(n, l)),
        2 => node().prop_map(Deed::Crash),
        3 => node().prop_map(Deed::Boot),
        1 => node().prop_map(Deed::KillDaemon),
        1 => (node(), 0i64..3).prop_map(|(n, l)| Deed::ClientDies(n, l)),
        1 => node().prop_map(Deed::Partition),
        1 => Just(Deed::Heal),
        14 => (node(), 1u8..12).prop_map(|(n, steps)| Deed::Steps(n, steps)),
        3 => Just(Deed::Settle),
    ]
}

const GROUPS: [&str; 3] = ["fence", "lock", "fs"];

fn group(at: i64) -> &'static str {
    GROUPS[at as usize]
}

fn obey(cluster: &mut Cluster, deed: Deed) {
    let up = |cluster: &Cluster, node: u32| cluster.daemons.contains_key(&node);
    match deed {
        Deed::Join(node, at) => cluster.join(node, at, group(at)),
        Deed::Leave(node, at) => cluster.leave(node, at, group(at)),
        Deed::Send(node, at) => {
            cluster.ask(node, level(at), Request::Send { name: name(group(at)), data: b"data".to_vec() });
        }
        Deed::Crash(node) if up(cluster, node) => cluster.crash(node),
        Deed::Boot(node) => cluster.revive(node),
        Deed::KillDaemon(node) if up(cluster, node) => cluster.kill_daemon(node),
        Deed::ClientDies(node, at) => cluster.client_dies(node, at),
        Deed::Partition(node) => cluster.cut_off(node),
        Deed::Heal => cluster.heal(),
        Deed::Steps(node, steps) => (0..steps).for_each(|_| _ = cluster.step_of(node)),
        Deed::Settle => cluster.settle(),
        Deed::Crash(_) | Deed::KillDaemon(_) => {}
    }
}

/// After all nodes are back and nothing is on its way, nobody waits, and all members of a group agree.
fn end_well(deeds: &[Deed]) -> TestCaseResult {
    let mut cluster = Cluster::new(5);
    for &deed in deeds {
        obey(&mut cluster, deed);
    }
    cluster.heal();
    cluster.settle();
    (1..=5).for_each(|node| cluster.revive(node));
    cluster.settle();
    prop_assert_eq!(cluster.waits(), Vec::<String>::new(), "{}", cluster.log.join("\n"));
    for at in 0..3 {
        let mut seen = std::collections::BTreeSet::new();
        for daemon in cluster.daemons.values() {
            for status in daemon.machine.status().groups.into_iter().filter(|g| g.key.name == name(group(at))) {
                let mut members = status.record.members.clone();
                members.sort();
                seen.insert((members, status.record.global_id));
            }
        }
        prop_assert!(seen.len() <= 1, "{}: {:?}\n{}", group(at), seen, cluster.log.join("\n"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn whatever_happens_it_ends_well(deeds in prop::collection::vec(deed(), 0..60)) {
        end_well(&deeds)?;
    }
}
