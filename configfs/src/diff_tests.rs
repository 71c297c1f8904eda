//! Unit tests of `diff.rs`; the generated ones are in `tests/diff.rs`.

use super::*;
use crate::sample::{address, cluster, node, tree};
use crate::{Region, RegionName};

fn lines(ops: &[Op]) -> Vec<String> {
    ops.iter().map(Op::to_string).collect()
}

fn half(tree: &mut Tree, name: &str, found: Incomplete) {
    tree.incomplete.insert(NodeName::new(name).unwrap(), found);
}

fn region(tree: &mut Tree) {
    tree.regions.insert(RegionName::new("A1").unwrap(), Region::default());
}

fn with(attributes: Attributes) -> Cluster {
    Cluster::new(cluster(&[]).name().clone(), attributes, []).unwrap()
}

#[test]
fn from_nothing_the_local_entry_and_its_local_store_come_last() {
    let want = cluster(&[node("a", 1, true), node("b", 2, false)]);
    assert_eq!(
        lines(&diff(None, &want)),
        [
            "+ cluster o2",
            "store 31 to o2/heartbeat/dead_threshold",
            "store local to o2/heartbeat/mode",
            "+ node b",
            "store 7777 to o2/node/b/ipv4_port",
            "store 10.0.0.2 to o2/node/b/ipv4_address",
            "store 2 to o2/node/b/num",
            "+ node a",
            "store 7777 to o2/node/a/ipv4_port",
            "store 10.0.0.1 to o2/node/a/ipv4_address",
            "store 1 to o2/node/a/num",
            "store 1 to o2/node/a/local",
        ]
    );
}

#[test]
fn equal_needs_nothing() {
    let nodes = [node("a", 1, true), node("b", 2, false)];
    assert!(diff(Some(&tree(&nodes)), &cluster(&nodes)).is_empty());
    assert!(additions(Some(&tree(&nodes)), &cluster(&nodes)).is_empty());
}

#[test]
fn a_changed_entry_is_removed_and_made_again() {
    let want = cluster(&[node("a", 1, true), Node { address: address(99), ..node("b", 2, false) }]);
    let ops = lines(&diff(Some(&tree(&[node("a", 1, true), node("b", 2, false)])), &want));
    assert_eq!(ops[0..2], ["- node b", "+ node b"]);
    assert_eq!(ops[3], "store 10.0.0.99 to o2/node/b/ipv4_address");
    assert_eq!(ops.len(), 5);
}

#[test]
fn swapped_names_are_both_removed_before_either_is_made() {
    let have = tree(&[node("a", 1, false), node("b", 2, false)]);
    let want = cluster(&[node("b", 1, false), node("a", 2, false)]);
    assert_eq!(lines(&diff(Some(&have), &want))[0..2], ["- node a", "- node b"]);
}

#[test]
fn an_entry_becomes_local_by_one_store() {
    let have = tree(&[node("a", 1, false)]);
    let want = cluster(&[node("a", 1, true)]);
    assert_eq!(lines(&diff(Some(&have), &want)), ["store 1 to o2/node/a/local"]);
    assert_eq!(lines(&additions(Some(&have), &want)), ["store 1 to o2/node/a/local"]);
}

#[test]
fn an_entry_that_must_not_be_local_is_made_again() {
    let ops = lines(&diff(Some(&tree(&[node("a", 1, true)])), &cluster(&[node("a", 1, false)])));
    assert_eq!(ops[0], "- node a");
    assert!(ops.iter().all(|op| !op.contains("local")));
}

#[test]
fn a_half_made_entry_is_completed() {
    let mut have = tree(&[]);
    half(&mut have, "a", Incomplete { port: Some(crate::Port::DEFAULT), address: None });
    let want = cluster(&[node("a", 1, false)]);
    let expected = ["store 10.0.0.1 to o2/node/a/ipv4_address", "store 1 to o2/node/a/num"];
    assert_eq!(lines(&diff(Some(&have), &want)), expected);
    assert_eq!(lines(&additions(Some(&have), &want)), expected);
}

#[test]
fn a_half_made_entry_in_the_way_is_removed_even_when_adding() {
    let mut have = tree(&[]);
    half(&mut have, "x", Incomplete { address: Some(address(1)), port: None });
    let want = cluster(&[node("a", 1, false)]);
    assert_eq!(lines(&additions(Some(&have), &want))[0], "- node x");
    assert_eq!(lines(&diff(Some(&have), &want))[0], "- node x");
}

#[test]
fn attributes_come_before_the_first_entry() {
    let want = Cluster::new(
        cluster(&[]).name().clone(),
        Attributes { idle_timeout_ms: 5000, ..Attributes::default() },
        [node("a", 1, false)],
    )
    .unwrap();
    let ops = lines(&diff(Some(&tree(&[])), &want));
    assert_eq!(ops[0..2], ["store 5000 to o2/idle_timeout_ms", "+ node a"]);
}

#[test]
fn idle_stays_above_keepalive_after_every_store() {
    let mut have = tree(&[]);
    let up = Attributes { idle_timeout_ms: 90_000, keepalive_delay_ms: 60_000, ..Attributes::default() };
    assert_eq!(
        lines(&diff(Some(&have), &with(up))),
        ["store 90000 to o2/idle_timeout_ms", "store 60000 to o2/keepalive_delay_ms"]
    );
    have.attributes = up;
    assert_eq!(
        lines(&diff(Some(&have), &with(Attributes::default()))),
        ["store 2000 to o2/keepalive_delay_ms", "store 30000 to o2/idle_timeout_ms"]
    );
}

#[test]
fn what_a_region_holds_is_not_stored_in_vain() {
    let mut have = tree(&[]);
    region(&mut have);
    let want = with(Attributes { dead_threshold: 7, reconnect_delay_ms: 1000, ..Attributes::default() });
    assert_eq!(lines(&diff(Some(&have), &want)), ["store 1000 to o2/reconnect_delay_ms"]);
    assert_eq!(crate::drift(Some(&have), &want).len(), 2);
}

#[test]
fn another_cluster_is_replaced_unless_it_has_regions() {
    let mut have = tree(&[node("z", 1, true)]);
    have.name = "old".to_owned();
    have.attributes.dead_threshold = 9;
    let want = cluster(&[]);
    assert_eq!(
        lines(&diff(Some(&have), &want)),
        ["- node z", "- cluster old", "+ cluster o2", "store 31 to o2/heartbeat/dead_threshold"]
    );
    assert!(additions(Some(&have), &want).is_empty());
    region(&mut have);
    assert!(diff(Some(&have), &want).is_empty());
}

#[test]
fn additions_never_touch_a_numbered_entry() {
    let have = tree(&[node("a", 1, true), node("b", 2, false)]);
    let want = cluster(&[
        Node { address: address(77), ..node("a", 1, false) },
        Node { address: address(2), ..node("c", 3, false) },
        node("d", 4, true),
    ]);
    let ops = lines(&additions(Some(&have), &want));
    assert_eq!(ops[0], "+ node d");
    assert_eq!(ops.len(), 4, "no local: a is local");
}

#[test]
fn additions_store_attributes_only_before_the_first_entry() {
    let want = |nodes: &[Node]| {
        let attributes = Attributes { reconnect_delay_ms: 1000, ..Attributes::default() };
        Cluster::new(cluster(&[]).name().clone(), attributes, nodes.to_vec()).unwrap()
    };
    let both = [node("a", 1, false), node("b", 2, false)];
    assert!(lines(&additions(Some(&tree(&[])), &want(&both)))[0].contains("reconnect_delay_ms"));
    assert_eq!(lines(&additions(Some(&tree(&both[..1])), &want(&both)))[0], "+ node b");
}

#[test]
fn an_entry_that_reads_0_is_numbered_when_adding_and_replaced_when_not() {
    let have = tree(&[Node { address: address(3), ..node("c", 0, false) }]);
    let want = cluster(&[node("c", 3, false)]);
    assert_eq!(lines(&additions(Some(&have), &want)), ["store 3 to o2/node/c/num"]);
    assert_eq!(lines(&diff(Some(&have), &want))[0..2], ["- node c", "+ node c"]);
}

#[test]
fn of_two_entries_that_read_0_the_wanted_one_is_kept() {
    let mut have = tree(&[]);
    let port = Some(crate::Port::DEFAULT);
    half(&mut have, "zero", Incomplete { address: Some(address(10)), port });
    half(&mut have, "c", Incomplete { address: Some(address(3)), port });
    let zero = Node { address: address(10), ..node("zero", 0, false) };
    let want = cluster(&[zero, node("c", 3, false)]);
    assert_eq!(lines(&diff(Some(&have), &want))[0..2], ["- node c", "+ node c"]);
    assert_eq!(lines(&additions(Some(&have), &want)), ["store 3 to o2/node/c/num"]);
}

#[test]
fn removal_takes_one_entry_and_nothing_else() {
    let have = tree(&[node("a", 1, true), node("b", 2, false)]);
    assert_eq!(lines(&removal(&have, NodeNum::new(2).unwrap())), ["- node b"]);
    assert!(removal(&have, NodeNum::new(9).unwrap()).is_empty());
}

#[test]
fn an_own_entry_that_reads_0_is_made_anew_to_become_local() {
    let zero = |local| Node { address: address(10), ..node("zero", 0, local) };
    let ops = lines(&diff(Some(&tree(&[zero(false)])), &cluster(&[zero(true)])));
    assert_eq!(ops[0..2], ["- node zero", "+ node zero"]);
    assert_eq!(ops.last().unwrap(), "store 1 to o2/node/zero/local");
    assert!(diff(Some(&tree(&[zero(true)])), &cluster(&[zero(true)])).is_empty());
}
