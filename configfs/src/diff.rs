//! From what was found to what is wanted: lists of [`Op`]. Pure; nothing is read, nothing is done.
//!
//! Three ways, by how much they may touch: [`additions`] never removes a numbered entry, [`removal`] takes out exactly
//! one, [`diff`] does whatever is needed. How the two differ, in words, is in [`drift`](crate::drift()).

use std::collections::BTreeMap;

use crate::attributes::{Attribute, Attributes};
use crate::name::NodeName;
use crate::node::{Node, NodeNum};
use crate::op::{Entry, Field, Op};
use crate::state::{Cluster, Incomplete, Tree};

/// Have → want as the shortest safe list: removals first, then attributes, then entries, the local one last.
///
/// Number, address and port can each be stored once (EBUSY after that), so a changed entry is removed and made again,
/// never edited. Order within an entry: ipv4_port, ipv4_address, num, local; the kernel wants the first two before `num`
/// and all three before `local` (EINVAL otherwise). `local` of the local entry is the very last store.
///
/// Not in the list, and then reported by [`drift`](crate::drift()) alone: dead threshold and mode while a region exists
/// (the store would be without effect), and everything if a cluster of another name still has regions.
///
/// Source: linux fs/ocfs2/cluster/nodemanager.c, o2nm_node_*_store; recorded in tests/kernel/node-attrs.jsonl.
pub fn diff(have: Option<&Tree>, want: &Cluster) -> Vec<Op> {
    match have {
        None => create(want, None),
        Some(tree) if is_same(tree, want) => change(tree, want),
        Some(tree) if tree.regions.is_empty() => {
            let mut ops = remove_all(tree);
            ops.extend(create(want, Some(&tree.attributes)));
            ops
        }
        Some(_) => Vec::new(),
    }
}

/// The part of [`diff`] that only adds: the cluster, its attributes while it has no numbered entry, missing entries, and
/// `local`. A half-made entry that stands in the way is removed if it surely has no number.
///
/// What cannot be added while a numbered entry stays (its number, name or address is taken, another entry is local, the
/// cluster is another one) is left out; [`drift`](crate::drift()) names it. Give [`Cluster::without_local`] to add every
/// entry but not yet `local`.
pub fn additions(have: Option<&Tree>, want: &Cluster) -> Vec<Op> {
    let Some(tree) = have else {
        return create(want, None);
    };
    if !is_same(tree, want) {
        return Vec::new();
    }
    let mut obstacles = BTreeMap::new();
    let steps: Vec<Step<'_>> = in_order(want).filter_map(|node| addition(tree, node, &mut obstacles)).collect();
    let entries = obstacles.into_iter().map(|(name, found)| Entry::Incomplete(name.clone(), *found));
    let mut ops: Vec<Op> = entries.map(|entry| remove(tree, entry)).collect();
    if tree.nodes.is_empty() {
        ops.extend(attribute_changes(tree, want));
    }
    ops.extend(steps.into_iter().flat_map(|step| step.ops(&tree.name)));
    ops
}

/// The removal of one numbered entry; nothing if it is not there.
pub fn removal(have: &Tree, num: NodeNum) -> Vec<Op> {
    have.nodes.get(&num).map(|node| remove(have, Entry::Complete(node.clone()))).into_iter().collect()
}

fn is_same(tree: &Tree, want: &Cluster) -> bool {
    tree.name == want.name().as_str()
}

/// A cluster from nothing. The module-wide attributes keep what a former cluster had, so unless that was seen
/// they are stored whatever they may be.
fn create(want: &Cluster, former: Option<&Attributes>) -> Vec<Op> {
    let cluster = want.name().as_str();
    let fresh = Attributes::KERNEL_DEFAULTS.each().map(|attribute| (!attribute.is_module_wide()).then_some(attribute));
    let module_wide = former.unwrap_or(&Attributes::KERNEL_DEFAULTS).each().map(|attribute| former.map(|_| attribute));
    let found: [Option<Attribute>; 6] = std::array::from_fn(|index| fresh[index].or(module_wide[index]));

    let mut ops = vec![Op::MakeCluster { cluster: cluster.to_owned() }];
    ops.extend(attribute_ops(cluster, &found, want.attributes()));
    ops.extend(in_order(want).flat_map(|node| Step { node, has: Has::default() }.ops(cluster)));
    ops
}

fn change(tree: &Tree, want: &Cluster) -> Vec<Op> {
    let mut ops = removals(tree, want);
    ops.extend(attribute_changes(tree, want));
    for node in in_order(want) {
        ops.extend(Step { node, has: kept(tree, node) }.ops(&tree.name));
    }
    ops
}

/// The local entry goes first: if the kernel still needs it (EBUSY), nothing was touched yet.
fn removals(tree: &Tree, want: &Cluster) -> Vec<Op> {
    let unwanted = |node: &&Node| !want.nodes().get(&node.num).is_some_and(|wanted| can_keep(node, wanted));
    let (local, remote): (Vec<&Node>, Vec<&Node>) = tree.nodes.values().filter(unwanted).partition(|node| node.local);
    let numbered = local.into_iter().chain(remote).map(|node| Entry::Complete(node.clone()));
    let useless = |(name, found): &(&NodeName, &Incomplete)| {
        !want.nodes().values().any(|node| node.name == **name && has_of(found, node).is_some())
    };
    let unnumbered =
        tree.incomplete.iter().filter(useless).map(|(name, found)| Entry::Incomplete(name.clone(), *found));
    numbered.chain(unnumbered).map(|entry| remove(tree, entry)).collect()
}

/// `local` can be stored, but never taken back. An entry that reads 0 may have no number, and then cannot become local:
/// making it anew settles it, and nobody can be using the own entry before it is local.
fn can_keep(found: &Node, wanted: &Node) -> bool {
    let can_become_local = wanted.local && !found.local && found.num != NodeNum::ZERO;
    found.same_entry(wanted) && (found.local == wanted.local || can_become_local)
}

fn remove_all(tree: &Tree) -> Vec<Op> {
    let numbered = tree.nodes.values().map(|node| Entry::Complete(node.clone()));
    let unnumbered = tree.incomplete.iter().map(|(name, found)| Entry::Incomplete(name.clone(), *found));
    let mut ops: Vec<Op> = numbered.chain(unnumbered).map(|entry| remove(tree, entry)).collect();
    ops.push(Op::RemoveCluster { cluster: tree.name.clone(), was: tree.attributes });
    ops
}

fn remove(tree: &Tree, entry: Entry) -> Op {
    Op::RemoveNode { cluster: tree.name.clone(), entry }
}

/// By number, the local one last.
fn in_order(want: &Cluster) -> impl Iterator<Item = &Node> {
    want.nodes().values().filter(|node| !node.local).chain(want.local())
}

fn attribute_changes(tree: &Tree, want: &Cluster) -> Vec<Op> {
    let mut ops = attribute_ops(&tree.name, &tree.attributes.each().map(Some), want.attributes());
    if !tree.regions.is_empty() {
        ops.retain(|op| !matches!(op, Op::StoreAttribute { attribute, .. } if attribute.is_module_wide()));
    }
    ops
}

/// Stores of what differs. idle must exceed keepalive after each of them: idle first, unless it comes down to where
/// keepalive was.
pub(crate) fn attribute_ops(cluster: &str, found: &[Option<Attribute>; 6], want: &Attributes) -> Vec<Op> {
    let mut ops: Vec<Op> = found
        .iter()
        .zip(want.each())
        .filter(|(was, attribute)| **was != Some(*attribute))
        .map(|(was, attribute)| Op::StoreAttribute { cluster: cluster.to_owned(), attribute, was: *was })
        .collect();
    let keepalive = found.iter().find_map(|was| match was {
        Some(Attribute::KeepaliveDelayMs(value)) => Some(*value),
        _ => None,
    });
    if keepalive.is_some_and(|keepalive| want.idle_timeout_ms <= keepalive) && ops.len() >= 2 {
        ops.swap(0, 1); // both differ: keepalive < idle held before and holds in `want`
    }
    ops
}

/// Which parts of a wanted entry are there.
#[derive(Default, Clone, Copy)]
struct Has {
    made: bool,
    port: bool,
    address: bool,
    num: bool,
    local: bool,
}

impl Has {
    fn all(local: bool) -> Self {
        Self { made: true, port: true, address: true, num: true, local }
    }
}

/// One wanted entry and what is already done about it.
struct Step<'a> {
    node: &'a Node,
    has: Has,
}

impl Step<'_> {
    fn ops(&self, cluster: &str) -> Vec<Op> {
        let (node, has) = (self.node, self.has);
        let store = |field| Op::StoreNode { cluster: cluster.to_owned(), node: node.name.clone(), field };
        let make = || Op::MakeNode { cluster: cluster.to_owned(), node: node.name.clone() };
        let set_local = || Op::SetLocal { cluster: cluster.to_owned(), node: node.clone() };
        [
            (!has.made).then(make),
            (!has.port).then(|| store(Field::Port(node.port))),
            (!has.address).then(|| store(Field::Address(node.address))),
            (!has.num).then(|| store(Field::Num(node.num))),
            (node.local && !has.local).then(set_local),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What is left of a wanted entry after [`removals`].
fn kept(tree: &Tree, node: &Node) -> Has {
    if let Some(found) = tree.nodes.get(&node.num).filter(|found| can_keep(found, node)) {
        return Has::all(found.local);
    }
    tree.incomplete.get(&node.name).and_then(|found| has_of(found, node)).unwrap_or_default()
}

/// What an unnumbered entry already has of the wanted one; `None` if it must go. With address and port it may in truth
/// be number 0: then it is kept as that, or not at all.
fn has_of(found: &Incomplete, node: &Node) -> Option<Has> {
    if !found.can_become(node) {
        return None;
    }
    if found.may_be_number_zero() {
        return (node.num == NodeNum::ZERO && !node.local).then(|| Has::all(false));
    }
    Some(Has { made: true, port: found.port.is_some(), address: found.address.is_some(), num: false, local: false })
}

/// Half-made entries that surely have no number and stand in the way of a wanted one.
type Obstacles<'a> = BTreeMap<&'a NodeName, &'a Incomplete>;

/// How to add one entry without touching a numbered one; `None` if that cannot be.
fn addition<'a, 'b>(tree: &'a Tree, node: &'b Node, obstacles: &mut Obstacles<'a>) -> Option<Step<'b>> {
    let mut has = standing(tree, node)?;
    let in_the_way = |(name, found): &(&NodeName, &Incomplete)| {
        if **name == node.name { !found.can_become(node) } else { found.address == Some(node.address) }
    };
    let found: Obstacles<'a> = tree.incomplete.iter().filter(in_the_way).collect();
    if found.values().any(|found| found.may_be_number_zero()) {
        return None;
    }
    obstacles.extend(found);
    // Another local entry would make the store EBUSY.
    has.local |= tree.local().is_some_and(|other| other.num != node.num);
    Some(Step { node, has })
}

/// What of the entry is there; `None` if a numbered entry stands in its place, or one that may be number 0.
fn standing(tree: &Tree, node: &Node) -> Option<Has> {
    if let Some(found) = tree.nodes.get(&node.num) {
        return found.same_entry(node).then(|| Has::all(found.local));
    }
    if node.num == NodeNum::ZERO && tree.incomplete.values().any(Incomplete::may_be_number_zero) {
        let found = tree.incomplete.get(&node.name).filter(|found| found.can_become(node));
        return found.filter(|found| found.may_be_number_zero()).map(|_| Has::all(false));
    }
    match tree.nodes.values().find(|other| other.name == node.name || other.address == node.address) {
        // Reads 0: either truly number 0, then storing `num` is EBUSY and harmless, or never numbered.
        Some(zero) if zero.same_entry(&Node { num: NodeNum::ZERO, ..node.clone() }) && !zero.local => {
            Some(Has { num: false, ..Has::all(false) })
        }
        Some(_) => None,
        None => Some(unnumbered(tree, node)),
    }
}

fn unnumbered(tree: &Tree, node: &Node) -> Has {
    match tree.incomplete.get(&node.name) {
        Some(found) if found.can_become(node) => {
            Has { made: true, port: found.port.is_some(), address: found.address.is_some(), num: false, local: false }
        }
        _ => Has::default(),
    }
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
