//! Any tree, any wish: what `diff`, `additions` and `undo` promise, tried on the model.

#![allow(clippy::unwrap_used, reason = "test code; the lint knows only test functions")]

use std::net::Ipv4Addr;

use configfs::{
    Address, Attributes, Backend, Cluster, ClusterName, Entry, Errno, FenceMethod, HeartbeatMode, Model, Node,
    NodeName, NodeNum, Op, Port, Tree, additions, apply, diff, drift, perform, read_tree, undo,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Few names, numbers and addresses, so that they clash often.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const HOSTS: std::ops::Range<u8> = 1..6;
const NUMBERS: std::ops::Range<u32> = 0..6;

/// An entry left half made: mkdir, then perhaps port, then perhaps address, never a number.
type Half = (&'static str, bool, Option<u8>);

/// What a model holds before the test begins.
#[derive(Debug, Clone)]
struct Found {
    cluster: Option<Cluster>,
    half: Vec<Half>,
}

fn node() -> impl Strategy<Value = Node> {
    (select(&NAMES[..]), NUMBERS, HOSTS, 7777..7779_u32, any::<bool>()).prop_map(|(name, num, host, port, local)| {
        Node {
            name: NodeName::new(name).unwrap(),
            num: NodeNum::new(num).unwrap(),
            address: Address::new(Ipv4Addr::new(10, 0, 0, host)).unwrap(),
            port: Port::new(port).unwrap(),
            local,
        }
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (1..8_u32, 1..8_u32, 1..3_u32, any::<bool>(), 4..7_u32, any::<bool>()).prop_map(
        |(keepalive, more, reconnect, panic, dead_threshold, global)| Attributes {
            idle_timeout_ms: (keepalive + more) * 1000,
            keepalive_delay_ms: keepalive * 1000,
            reconnect_delay_ms: reconnect * 1000,
            fence_method: if panic { FenceMethod::Panic } else { FenceMethod::Reset },
            dead_threshold,
            heartbeat_mode: if global { HeartbeatMode::Global } else { HeartbeatMode::Local },
        },
    )
}

/// Of the generated nodes those that fit together.
fn cluster() -> impl Strategy<Value = Cluster> {
    (prop_oneof![9 => Just("o2"), 1 => Just("other")], attributes(), vec(node(), 0..8)).prop_map(
        |(name, attributes, nodes)| {
            let mut cluster = Cluster::new(ClusterName::new(name).unwrap(), attributes, []).unwrap();
            for node in nodes {
                // A node that clashes stays out.
                let _ = cluster.insert(node);
            }
            cluster
        },
    )
}

fn found() -> impl Strategy<Value = Found> {
    let half = (select(&["a", "b", "c", "x", "y"][..]), any::<bool>(), proptest::option::of(HOSTS));
    (proptest::option::weighted(0.9, cluster()), vec(half, 0..3)).prop_map(|(cluster, half)| Found { cluster, half })
}

/// A wish that shares entries with what was found more often than chance would.
fn found_and_wanted() -> impl Strategy<Value = (Found, Cluster)> {
    (found(), cluster(), vec(any::<bool>(), 8), any::<bool>()).prop_map(|(found, fresh, keep, same)| {
        let Some(old) = found.cluster.as_ref().filter(|_| same) else { return (found, fresh) };
        let kept = old.nodes().values().zip(&keep).filter(|(_, keep)| **keep).map(|(node, _)| node.clone());
        let mut wanted = Cluster::new(fresh.name().clone(), *fresh.attributes(), kept).unwrap();
        for node in fresh.nodes().values() {
            let _ = wanted.insert(node.clone());
        }
        (found, wanted)
    })
}

fn model(found: &Found) -> Model {
    let mut model = Model::new();
    let Some(cluster) = &found.cluster else { return model };
    apply(&mut model, &diff(None, cluster)).unwrap();
    for (name, port, host) in &found.half {
        let path = format!("{}/node/{name}", cluster.name());
        if model.mkdir(&path).is_err() {
            continue;
        }
        if *port {
            model.store(&format!("{path}/ipv4_port"), "7777\n").unwrap();
        }
        if let Some(host) = host {
            // An address that is taken stays unset.
            let _ = model.store(&format!("{path}/ipv4_address"), &format!("10.0.0.{host}\n"));
        }
    }
    model
}

fn read(model: &Model) -> Option<Tree> {
    let tree = read_tree(model).unwrap();
    assert_eq!(model.read(), Some(tree.clone()), "the short way ends elsewhere");
    tree
}

fn converge(model: &mut Model, want: &Cluster) {
    let ops = diff(read(model).as_ref(), want);
    apply(model, &ops).unwrap_or_else(|failed| panic!("{failed}: {:?} in {ops:#?}", failed.error));
    let have = read(model);
    assert_eq!(drift(have.as_ref(), want), []);
    assert_eq!(diff(have.as_ref(), want), []);
    let have = have.unwrap();
    assert_eq!(&have.nodes.into_values().collect::<Vec<_>>(), &want.nodes().values().cloned().collect::<Vec<_>>());
    assert!(have.incomplete.is_empty());
}

/// Complete entries that are taken away, by number.
fn removed(ops: &[Op]) -> Vec<Node> {
    ops.iter()
        .filter_map(|op| match op {
            Op::RemoveNode { entry: Entry::Complete(node), .. } => Some(node.clone()),
            _ => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn diff_leads_to_what_is_wanted_and_a_second_one_is_empty((found, want) in found_and_wanted()) {
        converge(&mut model(&found), &want);
    }

    #[test]
    fn no_prefix_of_a_diff_removes_an_entry_that_is_equal_in_both((found, want) in found_and_wanted()) {
        let mut model = model(&found);
        let Some(have) = read(&model).filter(|have| have.name == want.name().as_str()) else { return Ok(()) };
        let equal: Vec<Node> = have.nodes.values().filter(|node| want.nodes().get(&node.num) == Some(node)).cloned().collect();
        for op in diff(Some(&have), &want) {
            perform(&mut model, &op).unwrap();
            let now = read(&model).unwrap();
            for node in &equal {
                // While other entries are half made, number 0 may not be told from none.
                let kept = now.nodes.get(&node.num) == Some(node);
                let doubtful = now.incomplete.get(&node.name).is_some_and(|entry| entry.may_be_number_zero());
                prop_assert!(kept || (node.num == NodeNum::ZERO && doubtful), "{op} took {node}");
            }
        }
    }

    #[test]
    fn a_diff_cut_off_anywhere_is_finished_by_the_next((found, want) in found_and_wanted(), cut in any::<prop::sample::Index>()) {
        let mut model = model(&found);
        let ops = diff(read(&model).as_ref(), &want);
        let cut = cut.index(ops.len() + 1);
        apply(&mut model, &ops[..cut]).unwrap();
        converge(&mut model, &want);
    }

    #[test]
    fn nothing_ever_stores_0_to_local_or_local_before_the_end((found, want) in found_and_wanted()) {
        let ops = diff(read(&model(&found)).as_ref(), &want);
        let locals: Vec<usize> = ops.iter().enumerate().filter(|(_, op)| op.path().ends_with("/local")).map(|(at, _)| at).collect();
        prop_assert!(locals.is_empty() || locals == [ops.len() - 1], "{ops:#?}");
    }

    #[test]
    fn undo_brings_the_entries_back((found, want) in found_and_wanted()) {
        let mut model = model(&found);
        let before = read(&model);
        let ops = diff(before.as_ref(), &want);
        apply(&mut model, &ops).unwrap();
        apply(&mut model, &undo(&ops)).unwrap();
        let after = read(&model);
        prop_assert_eq!(after.is_some(), before.is_some());
        if let (Some(before), Some(after)) = (before, after) {
            prop_assert_eq!(after.name, before.name);
            prop_assert_eq!(after.attributes, before.attributes);
            for (num, node) in before.nodes {
                let doubtful = after.incomplete.get(&node.name).is_some_and(|entry| entry.may_be_number_zero());
                prop_assert!(after.nodes.get(&num) == Some(&node) || (num == NodeNum::ZERO && doubtful));
            }
        }
    }

    #[test]
    fn additions_remove_no_numbered_entry_and_come_to_an_end((found, want) in found_and_wanted()) {
        let mut model = model(&found);
        // The second round may use number 0, once the entry that read 0 for want of a number has got its own.
        for _ in 0..2 {
            let before = read(&model);
            let ops = additions(before.as_ref(), &want);
            prop_assert_eq!(removed(&ops), []);
            if let Err(failed) = apply(&mut model, &ops) {
                // An entry that reads 0: it truly is number 0 (EBUSY), or it is not and cannot become local (EINVAL).
                let zero = |name: &NodeName| before.iter().any(|tree| {
                    tree.incomplete.contains_key(name) || tree.named(name).is_some_and(|node| node.num == NodeNum::ZERO)
                });
                prop_assert!(failed.op.node().is_some_and(zero), "{failed:?}");
                prop_assert!(matches!(failed.error.refusal(), Some(Errno::EBUSY | Errno::EINVAL)), "{failed:?}");
                return Ok(());
            }
        }
        prop_assert_eq!(additions(read(&model).as_ref(), &want), []);
    }

    #[test]
    fn all_entries_can_be_added_before_one_becomes_local(want in cluster()) {
        let mut model = Model::new();
        apply(&mut model, &additions(None, &want.without_local())).unwrap();
        prop_assert!(read(&model).unwrap().local().is_none());
        let ops = additions(read(&model).as_ref(), &want);
        prop_assert_eq!(ops.len(), usize::from(want.local().is_some()));
        apply(&mut model, &ops).unwrap();
        prop_assert_eq!(drift(read(&model).as_ref(), &want), []);
    }
}
