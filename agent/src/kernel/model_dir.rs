//! The model of configfs with its tree kept in a directory, so that it outlives the daemon as the kernel's does.
//!
//! For machines without ocfs2, and for tests. The directory holds, each one optional:
//!
//! * `tree.json`: the tree as the model has it. Written after each batch; a test may write another, as another program
//!   writes into configfs.
//! * `faults`: calls that are refused, one a line: `mkdir|rmdir|store PATTERN ERRNO`, with the paths of the model
//!   (`lab/node/bravo/num`) and `*` for any text.
//! * `mountinfo`: mounts that this machine is to have, in the kernel's form.

use configfs::model::Call;
use configfs::{Backend, Errno, Model, Tree, apply, read_tree};
use configfs::{Change, Field, NodeName, Op};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tracing::warn;

pub(super) struct ModelDir {
    folder: PathBuf,
    model: Model,
    /// What `tree.json` holds as far as we know.
    text: String,
    faults: String,
}

impl ModelDir {
    pub(super) fn open(folder: &Path) -> io::Result<ModelDir> {
        fs::create_dir_all(folder)?;
        let mut model =
            ModelDir { folder: folder.to_owned(), model: Model::new(), text: String::new(), faults: String::new() };
        model.refresh();
        Ok(model)
    }

    pub(super) fn backend(&mut self) -> &mut dyn Backend {
        &mut self.model
    }

    /// Takes what was written into the directory since.
    pub(super) fn refresh(&mut self) {
        let text = self.read("tree.json");
        if text != self.text {
            self.model = Model::new();
            self.faults.clear();
            match rebuild(&mut self.model, &text) {
                Ok(()) => self.text = text,
                Err(why) => warn!(folder = %self.folder.display(), why, "tree.json is not taken"),
            }
        }
        let faults = self.read("faults");
        if faults != self.faults {
            self.take_faults(faults);
        }
    }

    fn take_faults(&mut self, faults: String) {
        let old: Vec<String> = self.model.faults().iter().map(|fault| fault.pattern.clone()).collect();
        old.iter().for_each(|pattern| self.model.allow(pattern));
        for line in faults.lines().filter(|line| !line.trim().is_empty()) {
            match fault(line) {
                Some((call, pattern, errno)) => self.model.refuse(call, pattern, errno),
                None => warn!(line, "not a fault: mkdir|rmdir|store PATTERN ERRNO"),
            }
        }
        self.faults = faults;
    }

    /// Writes the tree down, as a whole or not at all.
    pub(super) fn keep(&mut self) {
        let tree = read_tree(&self.model).ok().flatten();
        let text = tree.map_or_else(String::new, |tree| serde_json::to_string(&tree).unwrap_or_default());
        let path = self.folder.join("tree.json");
        let written =
            fs::write(path.with_extension("new"), &text).and_then(|()| fs::rename(path.with_extension("new"), &path));
        match written {
            Ok(()) => self.text = text,
            Err(error) => warn!(path = %path.display(), %error, "the model's tree is not kept"),
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

fn fault(line: &str) -> Option<(Call, String, Errno)> {
    let [call, pattern, errno] = line.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let call = match call {
        "mkdir" => Call::Mkdir,
        "rmdir" => Call::Rmdir,
        "store" => Call::Store,
        _ => return None,
    };
    Some((call, pattern.to_owned(), Errno(errno.parse().ok()?)))
}

/// Makes a fresh model hold a tree, by the calls that another program would have made.
fn rebuild(model: &mut Model, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let tree: Tree = serde_json::from_str(text).map_err(|error| error.to_string())?;
    apply(model, &ops(&tree)).map_err(|failed| format!("{failed}: {}", failed.error))?;
    for region in tree.regions.iter().filter(|(_, region)| region.heartbeats()) {
        let device = region.1.device.as_deref().unwrap_or("disk");
        model.start_region(region.0, device).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn ops(tree: &Tree) -> Vec<Op> {
    let cluster = tree.name.clone();
    let mut ops = vec![Op::MakeCluster { cluster: cluster.clone() }];
    ops.extend(tree.attributes.each().map(|attribute| Op::StoreAttribute {
        cluster: cluster.clone(),
        attribute,
        was: None,
    }));
    let mut entry = |name: &NodeName, fields: Vec<Field>| {
        ops.push(Op::MakeNode { cluster: cluster.clone(), node: name.clone() });
        let store = |field| Op::StoreNode { cluster: cluster.clone(), node: name.clone(), field };
        ops.extend(fields.into_iter().map(store));
    };
    for node in tree.nodes.values() {
        entry(&node.name, vec![Field::Port(node.port), Field::Address(node.address), Field::Num(node.num)]);
    }
    for (name, found) in &tree.incomplete {
        entry(name, found.port.map(Field::Port).into_iter().chain(found.address.map(Field::Address)).collect());
    }
    let local = |node: &configfs::Node| Op::SetLocal { cluster: tree.name.clone(), node: node.clone() };
    ops.extend(tree.local().map(local));
    debug_assert!(ops.iter().all(|op| op.change() != Change::Rmdir));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfs::{Attributes, Cluster, ClusterName, Node, NodeNum, Port};

    fn tree() -> Tree {
        let node = |name: &str, num, host, local| Node {
            name: NodeName::new(name).unwrap(),
            num: NodeNum::new(num).unwrap(),
            address: configfs::Address::new([10, 0, 0, host].into()).unwrap(),
            port: Port::DEFAULT,
            local,
        };
        let nodes = [node("a", 1, 1, true), node("zero", 0, 9, false)];
        let attributes = Attributes { dead_threshold: 7, ..Attributes::default() };
        let cluster = Cluster::new(ClusterName::new("lab").unwrap(), attributes, nodes).unwrap();
        let mut model = Model::new();
        apply(&mut model, &configfs::diff(None, &cluster)).unwrap();
        model.mkdir("lab/node/half").unwrap();
        model.store("lab/node/half/ipv4_port", "7777\n").unwrap();
        read_tree(&model).unwrap().unwrap()
    }

    #[test]
    fn a_tree_written_by_somebody_is_held_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut model = ModelDir::open(dir.path()).unwrap();
        assert_eq!(read_tree(model.backend()).unwrap(), None);
        fs::write(dir.path().join("tree.json"), serde_json::to_string(&tree()).unwrap()).unwrap();
        model.refresh();
        assert_eq!(read_tree(model.backend()).unwrap(), Some(tree()));
        model.keep();
        let mut next = ModelDir::open(dir.path()).unwrap();
        assert_eq!(read_tree(next.backend()).unwrap(), Some(tree()));
    }

    #[test]
    fn faults_hold_while_the_file_says_so() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("faults"), "mkdir lab/node/* 28\nnonsense\n").unwrap();
        let mut model = ModelDir::open(dir.path()).unwrap();
        model.backend().mkdir("lab").unwrap();
        assert_eq!(model.backend().mkdir("lab/node/b").unwrap_err().errno(), Some(28));
        fs::write(dir.path().join("faults"), "").unwrap();
        model.refresh();
        model.backend().mkdir("lab/node/b").unwrap();
    }
}
