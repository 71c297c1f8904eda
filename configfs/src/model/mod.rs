//! A configfs in memory that refuses what the kernel refuses, errno by errno.
//!
//! `tree.rs` is configfs in general; `cluster.rs`, `heartbeat.rs`, `dlm.rs` and `target.rs` describe the subsystems.
//! The proof is `tests/kernel.rs`: every line recorded on a real kernel comes out the same.
//!
//! What the world does to the kernel (peers that connect, heartbeats, mounts) has a method each in `world.rs`; faults
//! that the kernel does not have are injected with [`Model::refuse`].
//!
//! Not modelled: time. Nothing blocks here; the simulator delays calls itself.

mod backend;
mod calls;
mod cluster;
mod dlm;
mod fault;
mod heartbeat;
mod number;
mod read;
mod shell;
mod target;
mod tree;
mod world;

use std::collections::BTreeMap;

use self::calls::Descriptor;
use self::tree::{Child, Class, DirId, Place, Tree};
use crate::calls::Fd;
use crate::error::Errno;

pub use self::fault::{Call, Fault};

/// Where the model says that it is mounted.
pub const MOUNT_POINT: &str = "/sys/kernel/config";

static ROOT: Class = Class {
    groups: &[("cluster", &cluster::CLUSTERS), ("dlm", &dlm::CLUSTERS), ("target", &target::TARGET)],
    ..Class::BARE
};

/// A kernel's configfs with the modules ocfs2_nodemanager, dlm and target_core_mod.
#[derive(Debug, Clone)]
pub struct Model {
    tree: Tree,
    cluster: cluster::Module,
    dlm: dlm::Module,
    target: target::Module,
    faults: Vec<Fault>,
    descriptors: BTreeMap<Fd, Descriptor>,
    next_fd: Fd,
    /// The caller's working directory: absolute, or relative to the root of the mount.
    cwd: String,
    /// Who calls; 0 passes all permission checks.
    uid: u32,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// Making, removing and linking: common to both ways of calling the model.
impl Model {
    /// As after boot: the modules are loaded, and nothing was made yet. Every address is this host's.
    pub fn new() -> Self {
        Self {
            tree: Tree::new(&ROOT),
            cluster: cluster::Module::default(),
            dlm: dlm::Module::default(),
            target: target::Module::default(),
            faults: Vec::new(),
            descriptors: BTreeMap::new(),
            next_fd: 0,
            cwd: "/".to_owned(),
            uid: 0,
        }
    }

    fn make_dir(&mut self, path: &str) -> Result<DirId, Errno> {
        let (parent, name) = self.tree.lookup_new(path)?;
        let holder = self.tree.dir(parent)?;
        self.permit(holder.meta, WRITE | SEARCH)?;
        let make = holder.class.make.ok_or(Errno::EPERM)?;
        let class = make(self, parent, name)?;
        let id = self.tree.add(parent, name, class, false);
        self.init(id)?;
        Ok(id)
    }

    fn init(&mut self, id: DirId) -> Result<(), Errno> {
        let dir = self.tree.dir(id)?;
        let (init, children) = (dir.class.init, dir.children.clone());
        init(self, id);
        for child in children.into_values() {
            if let Child::Dir(group) = child {
                self.init(group)?;
            }
        }
        Ok(())
    }

    /// Default groups cannot go alone, what something depends on cannot go yet, what is not empty cannot go at all.
    fn remove_dir(&mut self, path: &str) -> Result<(), Errno> {
        let Place::Dir(id) = self.tree.lookup(path)? else { return Err(Errno::ENOTDIR) };
        let dir = self.tree.dir(id)?;
        let holder = self.tree.parent(id).ok_or(Errno::ENOENT)?;
        self.permit(self.tree.dir(holder)?.meta, WRITE | SEARCH)?;
        if self.tree.is_default(id)? {
            return Err(Errno::EPERM);
        }
        if (dir.class.busy)(self, id) {
            return Err(Errno::EBUSY);
        }
        self.tree.detachable(id)?;
        for (gone, class) in self.tree.detach(id) {
            (class.release)(self, gone);
        }
        Ok(())
    }

    /// The target is looked up now, from the caller's working directory, and must be a directory of configfs.
    fn make_link(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        let (parent, name) = self.tree.lookup_new(path)?;
        let allow = self.tree.dir(parent)?.class.allow_link.ok_or(Errno::EPERM)?;
        let target = self.link_target(target)?;
        allow(self, parent, target)?;
        self.tree.add_link(parent, name, target)
    }

    fn link_target(&self, target: &str) -> Result<DirId, Errno> {
        let absolute = if target.starts_with('/') { target.to_owned() } else { format!("{}/{target}", self.cwd) };
        let Some(inside) = inside(&absolute) else { return outside(&absolute) };
        match self.tree.lookup(&inside)? {
            Place::Dir(tree::ROOT_ID) => Err(Errno::ENOENT),
            Place::Dir(id) | Place::Link(id) => Ok(id),
            Place::Attribute(..) => Err(Errno::ENOTDIR),
        }
    }

    fn permit(&self, meta: tree::Meta, wanted: u32) -> Result<(), Errno> {
        let granted = if meta.uid == self.uid { meta.mode >> 6 } else { meta.mode };
        if self.uid == 0 || granted & wanted == wanted { Ok(()) } else { Err(Errno::EACCES) }
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;

/// The part of an absolute path below the mount; `None` if it leads elsewhere.
fn inside(absolute: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in tree::components(absolute) {
        if name == ".." {
            names.pop();
        } else {
            names.push(name);
        }
    }
    let normal = format!("/{}", names.join("/"));
    let rest = normal.strip_prefix(MOUNT_POINT)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
}

/// The rest of the file system, as small as the recordings need it: a link to it is refused in any case.
fn outside(absolute: &str) -> Result<DirId, Errno> {
    match absolute {
        "/etc" => Err(Errno::EPERM),
        "/etc/passwd" => Err(Errno::ENOTDIR),
        _ => Err(Errno::ENOENT),
    }
}
