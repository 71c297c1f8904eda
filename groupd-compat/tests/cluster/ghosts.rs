//! Ghosts: processes that corosync goes on listing after their end.
//!
//! A node that goes while rings are being formed, and is back in the next, is listed with its old process as well by those whose
//! join lists are as old. The process comes back with its node, by a merge, and goes with it. Source: corosync 3.1.7 under chaos,
//! its commit 2ab885ab.

use super::Cluster;
use groupd_compat::ids::{CpgId, Member};
use std::collections::{BTreeMap, BTreeSet};

/// Of each CPG, by name.
#[derive(Default)]
pub struct Ghosts(BTreeMap<Vec<u8>, BTreeSet<Member>>);

impl Ghosts {
    /// Its node goes, and with it all that corosync lists of it.
    pub(super) fn lose(&mut self, node: u32) {
        self.0.values_mut().for_each(|ghosts| ghosts.retain(|ghost| ghost.node.0 != node));
    }

    /// Those that these nodes have in a CPG.
    pub(super) fn of(&self, name: &[u8], nodes: &BTreeSet<u32>) -> BTreeSet<Member> {
        self.0.get(name).into_iter().flatten().copied().filter(|ghost| nodes.contains(&ghost.node.0)).collect()
    }
}

impl Cluster {
    /// The node restarts, and its daemon stays listed in these CPGs. Its next one has another process id.
    pub fn haunt(&mut self, node: u32, names: &[Vec<u8>]) {
        self.log.push(format!("-- node {node} restarts, and corosync goes on listing what ran there"));
        let ghost = self.member(node);
        self.crash_all(&[node]);
        self.log.retain(|line| *line != format!("-- node {node} crashes"));
        for name in names {
            self.ghosts.0.entry(name.clone()).or_default().insert(ghost);
        }
        self.boot(node);
        self.starts.insert(node, ghost.pid - 1000);
    }

    /// Names of the CPGs that the daemon of this node is in.
    pub fn names_of(&self, node: u32) -> Vec<Vec<u8>> {
        self.daemons.get(&node).map_or_else(Vec::new, |daemon| daemon.names.values().cloned().collect())
    }

    /// The members of a CPG as corosync lists them to these nodes: by node, then by process.
    pub(super) fn listed(&self, name: &[u8], members: &BTreeSet<u32>, side: &BTreeSet<u32>) -> Vec<Member> {
        let mut list: Vec<Member> = members.iter().map(|&node| self.member(node)).collect();
        list.extend(self.ghosts.of(name, side));
        list.sort();
        list
    }

    /// What a handle has been shown of ghosts, and what there is: who went, who came.
    pub(super) fn show_ghosts(&mut self, node: u32, cpg: CpgId, here: BTreeSet<Member>) -> [Vec<Member>; 2] {
        let Some(daemon) = self.daemons.get_mut(&node) else { return [vec![], vec![]] };
        let shown = daemon.ghosts.insert(cpg, here.clone()).unwrap_or_default();
        [&shown - &here, &here - &shown].map(|ghosts| ghosts.into_iter().collect())
    }
}
