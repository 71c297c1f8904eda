//! What [`crate::read_tree`] finds, without the way through paths and text: a simulator reads after every change.

use super::Model;
use super::tree::{Child, Dir, ROOT_ID};
use crate::backend::{Shown, sorted};
use crate::name::{NodeName, RegionName};
use crate::node::NodeNum;
use crate::state::Tree;

impl Model {
    /// The same as [`crate::read_tree`]; `None` where only the calls themselves can tell, because some are made to fail, or
    /// what is there has no place in a tree.
    pub fn read(&self) -> Option<Option<Tree>> {
        let plain = self.faults.is_empty() && self.uid == 0;
        let clusters = self.below(self.tree.dir(ROOT_ID).ok().filter(|_| plain)?, "cluster")?;
        let mut names = clusters.children.keys();
        match (names.next(), names.next()) {
            (None, _) => Some(None),
            (Some(name), None) => self.cluster_of(name, self.below(clusters, name)?).map(Some),
            (Some(_), Some(_)) => None,
        }
    }

    fn cluster_of(&self, name: &str, cluster: &Dir) -> Option<Tree> {
        let entries = self.below(cluster, "node")?.children.iter().map(|(name, child)| self.entry_of(name, *child));
        let (nodes, incomplete) = sorted(entries.collect::<Option<Vec<Shown>>>()?);
        let regions = self.below(cluster, "heartbeat")?.children.iter().map(|(name, child)| {
            let Child::Dir(id) = *child else { return None };
            let region = self.cluster.heartbeat.regions.get(&id).filter(|_| self.is_plain(id))?;
            Some((RegionName::new(name.as_str()).ok()?, region.shown(id)))
        });
        let regions = regions.collect::<Option<_>>()?;
        Some(Tree { name: name.to_owned(), attributes: self.cluster.attributes(), nodes, incomplete, regions })
    }

    fn entry_of(&self, name: &str, child: Child) -> Option<Shown> {
        let Child::Dir(id) = child else { return None };
        let entry = self.cluster.nodes.get(&id).filter(|_| self.is_plain(id))?;
        let (num, address, port, local) = entry.shown();
        let (name, num) = (NodeName::new(name).ok()?, NodeNum::new(u32::from(num)).ok()?);
        Some(Shown { name, num, address, port: u32::from(port), local })
    }

    /// A directory whose attributes all have their first mode.
    fn below(&self, dir: &Dir, name: &str) -> Option<&Dir> {
        let Child::Dir(id) = *dir.children.get(name)? else { return None };
        self.tree.dir(id).ok().filter(|_| self.is_plain(id))
    }

    fn is_plain(&self, id: super::DirId) -> bool {
        self.tree.dir(id).is_ok_and(Dir::is_plain)
    }
}
