//! inotify on the tree: what other programs make, remove or store there shows at once.
//!
//! The kernel's own changes (a heartbeat thread that ends) raise no event; a slow scan finds those.

use super::Choice;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The watch; both threads hold it.
pub(crate) struct Watch {
    inotify: Arc<Inotify>,
    root: Arc<Path>,
}

impl Watch {
    pub(super) fn new(choice: &Choice) -> io::Result<Watch> {
        let (Choice::Kernel(root) | Choice::Model(root)) = choice;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(root.as_path(), changes())?;
        Ok(Watch { inotify: Arc::new(inotify), root: root.as_path().into() })
    }

    /// The same watch for another thread.
    pub(super) fn again(&self) -> Watch {
        Watch { inotify: self.inotify.clone(), root: self.root.clone() }
    }

    /// Watches each directory of this tree too. A directory that is gone is watched no longer by itself; one that cannot be
    /// watched is left to the scan.
    pub(super) fn follow(&self, tree: Option<&configfs::Tree>) {
        for folder in tree.into_iter().flat_map(folders) {
            _ = self.inotify.add_watch(&self.root.join(folder), changes());
        }
    }

    /// Takes what has been reported; what it was does not matter.
    pub(crate) fn drain(&self) {
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

fn changes() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO
}

fn folders(tree: &configfs::Tree) -> Vec<PathBuf> {
    let cluster = Path::new(&tree.name);
    let nodes = tree.nodes.values().map(|node| &node.name).chain(tree.incomplete.keys());
    let nodes = nodes.map(|name| cluster.join("node").join(name.as_str()));
    let regions = tree.regions.keys().map(|name| cluster.join("heartbeat").join(name.as_str()));
    let fixed = [cluster.to_owned(), cluster.join("node"), cluster.join("heartbeat")];
    fixed.into_iter().chain(nodes).chain(regions).collect()
}
