//! What this node's kernel holds, which of it is ours, and the operations that bring it to the agreed table.
//!
//! An entry is ours if the state file says that we wrote it (or were about to) with exactly these values.
//! Everything else is foreign: shown, never touched.

use crate::adopt::Found;
use crate::event::{KernelRefusal, KernelView, Mount, Stack};
use crate::refusal::Refusal;
use crate::table::clash;
use configfs::{
    Address, Attributes, Cluster, ClusterName, Incomplete, Invalid, Node, NodeName, NodeNum, Op, Port, Region,
    RegionName, Tree,
};
use proto::peer::{Entry, Live, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The kernel as last read back, and what we wrote into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// configfs as last read; `Err` where it could not be.
    pub tree: Option<Result<Option<Tree>, KernelRefusal>>,
    /// Regions as they were when it was last read; while it cannot be, they count as being there.
    #[serde(default)]
    pub regions_before: BTreeMap<RegionName, Region>,
    /// ocfs2 mounts of this machine.
    pub mounts: Vec<Mount>,
    /// The cluster stack as last seen.
    #[serde(default)]
    pub stack: Stack,
    /// It could not be read since the start: nothing is to be concluded from what it is taken for.
    #[serde(default)]
    pub stack_is_unknown: bool,
    /// Entries we wrote or were about to write; of one that is to be replaced, both.
    pub written: BTreeSet<Entry>,
}

impl Kernel {
    /// Takes what was seen.
    pub fn see(&mut self, view: KernelView) {
        if let Some(tree) = view.tree {
            self.read(tree);
        }
        if let Some(mounts) = view.mounts {
            self.mounts = mounts;
        }
        if let Some(stack) = view.stack {
            self.stack = stack;
            self.stack_is_unknown = false;
        }
    }

    /// Takes the tree as read.
    pub fn read(&mut self, tree: Result<Option<Tree>, KernelRefusal>) {
        if let (Some(Ok(before)), Err(_)) = (&self.tree, &tree) {
            self.regions_before = before.as_ref().map(|tree| tree.regions.clone()).unwrap_or_default();
        }
        self.tree = Some(tree.map(|tree| tree.map(|tree| with_half_made(tree, &self.written))));
    }

    /// The tree, if there is one and it could be read.
    #[must_use]
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()?.as_ref().ok()?.as_ref()
    }

    /// Why the tree cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> Option<&KernelRefusal> {
        self.tree.as_ref()?.as_ref().err()
    }

    /// Heartbeat regions, as far as anybody knows.
    pub(crate) fn regions(&self) -> impl Iterator<Item = (&RegionName, &Region)> {
        match self.unreadable() {
            Some(_) => Some(&self.regions_before),
            None => self.tree().map(|tree| &tree.regions),
        }
        .into_iter()
        .flatten()
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.tree().into_iter().flat_map(|tree| tree.nodes.values())
    }

    /// Our entries that the kernel really holds.
    #[must_use]
    pub fn held(&self) -> Vec<Entry> {
        self.nodes().filter_map(|node| self.ours(node)).cloned().collect()
    }

    fn ours(&self, node: &Node) -> Option<&Entry> {
        self.written.iter().find(|entry| same(entry, node))
    }

    /// Entries that are not ours.
    #[must_use]
    pub fn foreign(&self) -> Vec<Node> {
        self.nodes().filter(|node| self.ours(node).is_none()).cloned().collect()
    }

    /// Whether the kernel holds this entry, by whomever made.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        self.nodes().any(|node| same(entry, node))
    }

    /// Whether our own entry is marked local.
    #[must_use]
    pub fn is_local(&self, nodeid: u32) -> bool {
        self.nodes().any(|node| node.local && self.ours(node).is_some_and(|entry| entry.nodeid == nodeid))
    }

    /// Regions whose start was broken off: nobody may touch them.
    pub(crate) fn broken_regions(&self) -> impl Iterator<Item = String> + '_ {
        self.regions().filter(|(_, region)| region.is_broken_off()).map(|(name, _)| name.to_string())
    }

    /// What must not be disturbed.
    #[must_use]
    pub fn live(&self) -> Live {
        let regions = self.regions().filter(|(_, region)| region.heartbeats()).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Live { mounts: count(self.mounts.len()), regions: count(regions) }
    }

    /// Attributes that are not as wanted although a cluster exists: they cannot be changed silently later.
    #[must_use]
    pub fn attribute_drift(&self, wanted: &Attributes) -> Option<Refusal> {
        let found = Some(&self.tree()?.attributes).filter(|found| *found != wanted)?;
        let pairs = [
            ("idle_timeout_ms", found.idle_timeout_ms.to_string(), wanted.idle_timeout_ms.to_string()),
            ("keepalive_delay_ms", found.keepalive_delay_ms.to_string(), wanted.keepalive_delay_ms.to_string()),
            ("dead_threshold", found.dead_threshold.to_string(), wanted.dead_threshold.to_string()),
            ("heartbeat mode", found.heartbeat_mode.to_string(), wanted.heartbeat_mode.to_string()),
        ];
        let differs = |(name, kernel, wanted): (&str, String, String)| {
            (kernel != wanted).then(|| Refusal::Attribute { name: name.into(), kernel, wanted })
        };
        pairs.into_iter().find_map(differs)
    }

    /// Operations after which the kernel holds the table and these entries as well. Of our own old entries,
    /// those that stand in the way of a new one go first, and those that are half made. A member that is in
    /// never gives up the entry it goes by; a joiner takes the table exactly as it is.
    pub fn install(&self, wish: &Wish, table: &Table, add: &[Entry]) -> Result<Vec<Op>, Invalid> {
        let wanted: Vec<&Entry> = table.entries.values().chain(add).collect();
        let mut ops = Vec::new();
        let mut have = self.tree().cloned();
        // Attributes are stored before the first entry.
        let anew = self.attribute_drift(&wish.attributes).is_some();
        let mut held: Vec<(&Node, &Entry)> = self.nodes().filter_map(|node| Some((node, self.ours(node)?))).collect();
        held.sort_by_key(|(node, _)| !node.local); // where a mount has just begun the kernel refuses it, and nothing was touched
        for (node, entry) in held {
            let unwanted = in_the_way(entry, &wanted) && !node.local;
            if unwanted || wish.exactly && (anew || !wanted.contains(&entry)) {
                ops.extend(have.as_ref().map_or_else(Vec::new, |tree| configfs::removal(tree, node.num)));
                have.as_mut().map(|tree| tree.nodes.remove(&node.num));
            }
        }
        ops.extend(self.remove_unfinished());
        have.as_mut().into_iter().for_each(|tree| tree.incomplete.retain(|name, _| !self.is_unfinished(name)));
        ops.extend(configfs::additions(have.as_ref(), &wish.cluster(&wanted)?));
        Ok(ops)
    }

    /// An entry of somebody else, complete or half made, that leaves no room for one of these: its name, and in words.
    #[must_use]
    pub fn blocker<'a>(&self, wanted: impl IntoIterator<Item = &'a Entry>) -> Option<(&'a Entry, NodeName, String)> {
        let strangers = self.foreign();
        wanted.into_iter().find_map(|entry| {
            let clashes = |node: &&Node| {
                !same(entry, node)
                    && (entry.number == node.num.as_u8()
                        || entry.name == node.name.as_str()
                        || entry.address == node.address.as_ipv4())
            };
            let complete = strangers.iter().find(clashes).map(|node| (node.name.clone(), node.to_string()));
            let half_made = |(name, found): &(&NodeName, &Incomplete)| {
                name.as_str() == entry.name || found.address.is_some_and(|address| address.as_ipv4() == entry.address)
            };
            let (name, text) = complete.or_else(|| {
                let (name, _) = self.half_made_by_others().find(half_made)?;
                Some((name.clone(), format!("{name}, half made")))
            })?;
            Some((entry, name, text))
        })
    }

    /// Entries without a number that are not ours.
    pub fn half_made_by_others(&self) -> impl Iterator<Item = (&NodeName, &Incomplete)> {
        let ours = |name: &NodeName| self.written.iter().any(|entry| entry.name == name.as_str());
        self.tree().into_iter().flat_map(|tree| &tree.incomplete).filter(move |(name, _)| !ours(name))
    }

    /// Operations after which none of these is in the kernel, complete or half made.
    #[must_use]
    pub fn remove(&self, entries: &[Entry]) -> Vec<Op> {
        let Some(tree) = self.tree() else { return Vec::new() };
        let complete = tree
            .nodes
            .values()
            .filter(|node| self.ours(node).is_some_and(|entry| entries.contains(entry) || planted!(AllEntriesGo)));
        let mut ops: Vec<Op> = complete.flat_map(|node| configfs::removal(tree, node.num)).collect();
        let ours = |entry: &&Entry| self.written.contains(*entry);
        ops.extend(self.remove_half_made(|name| entries.iter().filter(ours).any(|entry| entry.name == name.as_str())));
        ops
    }

    /// Operations after which nothing of ours is half made.
    #[must_use]
    pub fn remove_unfinished(&self) -> Vec<Op> {
        self.remove_half_made(|name| self.is_unfinished(name))
    }

    fn is_unfinished(&self, name: &NodeName) -> bool {
        self.written.iter().any(|entry| entry.name == name.as_str())
    }

    fn remove_half_made(&self, which: impl Fn(&NodeName) -> bool) -> Vec<Op> {
        let Some(tree) = self.tree() else { return Vec::new() };
        let remove = |(name, found): (&NodeName, &Incomplete)| Op::RemoveNode {
            cluster: tree.name.clone(),
            entry: configfs::Entry::Incomplete(name.clone(), *found),
        };
        tree.incomplete.iter().filter(|(name, _)| which(name)).map(remove).collect()
    }

    /// These are about to be written. An entry that they replace stays ours until it is gone.
    pub fn claim<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        for entry in entries {
            let other_nodes = |old: &Entry| Entry { nodeid: entry.nodeid, ..old.clone() } != *entry;
            self.written.retain(other_nodes);
            self.written.insert(entry.clone());
        }
    }

    /// What is not in the kernel any more is not ours any more.
    pub fn keep_account(&mut self) {
        let Some(Ok(tree)) = &self.tree else { return };
        let there = |entry: &Entry| {
            let complete = tree.iter().flat_map(|tree| tree.nodes.values()).any(|node| same(entry, node));
            complete || tree.iter().flat_map(|tree| tree.incomplete.keys()).any(|name| name.as_str() == entry.name)
        };
        self.written.retain(|entry| there(entry) && !planted!(AccountIsLost));
    }

    /// Takes the verdicts of the start: what was found to be ours.
    pub fn adopt(&mut self, found: &Found) {
        self.written.clone_from(&found.written);
    }
}

/// What every batch of operations needs to know besides the entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Of the cluster directory.
    pub name: ClusterName,
    /// To be written before the first entry.
    pub attributes: Attributes,
    /// Whose entry is this host's: its nodeid. Settings may give it the number of another node meanwhile.
    pub own: Option<u32>,
    /// Of our own entries none but these: what we held when we were last in may be out of date.
    pub exactly: bool,
}

impl Wish {
    fn cluster(&self, entries: &[&Entry]) -> Result<Cluster, Invalid> {
        let nodes = entries.iter().map(|entry| node(entry, self.own == Some(entry.nodeid)));
        Cluster::new(self.name.clone(), self.attributes, nodes.collect::<Result<Vec<Node>, Invalid>>()?)
    }
}

/// An entry as the kernel knows it.
pub fn node(entry: &Entry, local: bool) -> Result<Node, Invalid> {
    Ok(Node {
        name: NodeName::new(entry.name.clone())?,
        num: NodeNum::new(u32::from(entry.number))?,
        address: Address::new(entry.address)?,
        port: Port::new(u32::from(entry.port))?,
        local,
    })
}

/// An entry whose number was never stored reads number 0. Where we know that one of ours was to get another number,
/// it is half made; and where it is the one of ours that has number 0, it is not, whatever else reads 0 beside it.
pub(crate) fn with_half_made(mut tree: Tree, written: &BTreeSet<Entry>) -> Tree {
    let unnumbered = |node: &Node| {
        let numbered = |entry: &Entry| Entry { number: 0, ..entry.clone() };
        !node.local && written.iter().any(|entry| entry.number != 0 && same(&numbered(entry), node))
    };
    if tree.nodes.get(&NodeNum::ZERO).is_some_and(unnumbered) {
        if let Some(node) = tree.nodes.remove(&NodeNum::ZERO) {
            let found = Incomplete { address: Some(node.address), port: Some(node.port) };
            tree.incomplete.insert(node.name, found);
        }
    }
    let zero = tree.incomplete.iter().find_map(|(name, found)| of_number_zero(name, found, written));
    if let Some(node) = zero.filter(|_| !tree.nodes.contains_key(&NodeNum::ZERO)) {
        tree.incomplete.remove(&node.name);
        tree.nodes.insert(NodeNum::ZERO, node);
    }
    tree
}

fn of_number_zero(name: &NodeName, found: &Incomplete, written: &BTreeSet<Entry>) -> Option<Node> {
    let (address, port) = found.address.zip(found.port)?;
    let node = Node { name: name.clone(), num: NodeNum::ZERO, address, port, local: false };
    written.iter().any(|entry| same(entry, &node)).then_some(node)
}

/// Whether the kernel's entry is this one; it knows no nodeids.
pub(crate) fn same(entry: &Entry, node: &Node) -> bool {
    entry.number == node.num.as_u8()
        && entry.name == node.name.as_str()
        && entry.address == node.address.as_ipv4()
        && entry.port == node.port.as_u16()
}

/// Whether this entry is not wanted as it is, while something wanted cannot stand beside it.
fn in_the_way(held: &Entry, wanted: &[&Entry]) -> bool {
    !wanted.contains(&held) && wanted.iter().any(|entry| clash(entry, held))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::peer::Version;

    fn entry(nodeid: u32, number: u8) -> Entry {
        Entry { nodeid, number, name: format!("n{nodeid}"), address: [10, 0, 0, nodeid as u8].into(), port: 7777 }
    }

    fn table(entries: &[Entry]) -> Table {
        let version = Version { step: 1, ring: proto::peer::RingId { nodeid: 1, seq: 4 } };
        Table { version, entries: entries.iter().map(|entry| (entry.number, entry.clone())).collect() }
    }

    fn wish(own: u32) -> Wish {
        let attributes = crate::policy::Policy::default().attributes;
        Wish { name: ClusterName::new("lab").unwrap(), attributes, own: Some(own), exactly: true }
    }

    fn tree(nodes: &[Node]) -> Tree {
        Tree {
            name: "lab".into(),
            attributes: wish(1).attributes,
            nodes: nodes.iter().map(|node| (node.num, node.clone())).collect(),
            incomplete: BTreeMap::new(),
            regions: BTreeMap::new(),
        }
    }

    #[test]
    fn the_own_entry_is_that_of_the_nodeid_whoever_has_the_number() {
        let kernel = Kernel { tree: Some(Ok(None)), ..Kernel::default() };
        let ops = kernel.install(&wish(2), &table(&[entry(1, 1), entry(4, 2), entry(2, 4)]), &[]).unwrap();
        let local: Vec<&Node> = ops
            .iter()
            .filter_map(|op| match op {
                Op::SetLocal { node, .. } => Some(node),
                _ => None,
            })
            .collect();
        assert_eq!(local.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n2"]);
    }

    #[test]
    fn what_makes_room_takes_the_local_entry_first() {
        let ours = [entry(1, 1), entry(2, 2), entry(3, 3)];
        let nodes = ours.each_ref().map(|it| node(it, it.nodeid == 3).unwrap());
        let kernel = Kernel { tree: Some(Ok(Some(tree(&nodes)))), written: ours.clone().into(), ..Kernel::default() };
        let other = Wish { attributes: Attributes { idle_timeout_ms: 31_000, ..wish(3).attributes }, ..wish(3) };
        let ops = kernel.install(&other, &table(&ours), &[]).unwrap();
        assert!(matches!(&ops[0], Op::RemoveNode { entry: configfs::Entry::Complete(node), .. } if node.local));
    }

    #[test]
    fn a_half_made_entry_does_not_make_number_zero_one_of_them() {
        let (zero, five) = (entry(300, 0), entry(5, 5));
        let found = |entry: &Entry| {
            let node = node(entry, false).unwrap();
            (node.name, Incomplete { address: Some(node.address), port: Some(node.port) })
        };
        let both = Tree { incomplete: [found(&zero), found(&five)].into(), ..tree(&[]) };
        let tree = with_half_made(both, &[zero.clone(), five.clone()].into());
        assert_eq!(tree.nodes.get(&NodeNum::ZERO), Some(&node(&zero, false).unwrap()));
        assert_eq!(tree.incomplete.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["n5"]);
    }
    #[test]
    fn a_region_is_there_until_it_is_seen_that_it_is_not() {
        let name = RegionName::new("A0000000000000000000000000000000").unwrap();
        let with_region = Tree { regions: [(name, Region::default())].into(), ..tree(&[]) };
        let mut kernel = Kernel::default();
        kernel.read(Ok(Some(with_region)));
        let refusal = KernelRefusal { errno: 5, path: "cluster/lab".into(), what: "reading".into() };
        for _look in 0..2 {
            kernel.read(Err(refusal.clone()));
            assert_eq!(kernel.regions().count(), 1);
        }
        kernel.read(Ok(None));
        assert_eq!(kernel.regions().count(), 0);
    }
}
