//! Which parts of the kernel are there: built in, loaded, to be loaded, or missing.
//!
//! ```text
//! /sys/module/NAME/initstate            a loaded module; a built-in part has its directory, if at all, without this file
//! /lib/modules/RELEASE/modules.builtin  kernel/fs/configfs/configfs.ko
//! /lib/modules/RELEASE/modules.dep      kernel/fs/ocfs2/ocfs2.ko.xz: what it needs …
//! /proc/filesystems                     nodev  configfs
//! ```
//!
//! Source: linux Documentation/kbuild/kbuild.rst (modules.builtin), Documentation/ABI/stable/sysfs-module.

use super::text;
use serde::Serialize;
use std::path::Path;

/// What stacks are made of: module, plugin of the stack glue, and what for. A file system is named as its module.
const PARTS: [(&str, Option<&str>, &str); 7] = [
    ("configfs", None, "the tree of the node table and of the DLM"),
    ("ocfs2", None, "the file system"),
    ("ocfs2_nodemanager", None, "o2cb: node table, disk heartbeat, o2net"),
    ("ocfs2_stack_o2cb", Some("o2cb"), "o2cb: the plugin"),
    ("ocfs2_dlmfs", None, "o2cb: locks for the tools"),
    ("ocfs2_stack_user", Some("user"), "pcmk, cman: the plugin"),
    ("dlm", None, "pcmk, cman: the lock manager"),
];

/// Whether a part can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The kernel always has it.
    BuiltIn,
    /// A module, and it is in the kernel.
    Loaded,
    /// A module that modprobe finds.
    Loadable,
    /// Neither.
    Missing,
}

impl Presence {
    /// Whether it can be used at once.
    #[must_use]
    pub fn is_there(self) -> bool {
        matches!(self, Presence::BuiltIn | Presence::Loaded)
    }

    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::BuiltIn => "built in",
            Presence::Loaded => "loaded",
            Presence::Loadable => "not loaded",
            Presence::Missing => "missing",
        }
    }
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The module's name.
    pub module: &'static str,
    /// Whether it can be used.
    pub presence: Presence,
    /// What it is for.
    pub purpose: &'static str,
}

/// Every part, as found below `root`.
pub(super) fn parts(root: &Path) -> Vec<Part> {
    let known = Known::read(root);
    let part = |(module, plugin, purpose)| Part { module, presence: known.presence(root, module, plugin), purpose };
    PARTS.into_iter().map(part).collect()
}

/// Whether one module is there; [`PARTS`] or not.
pub(super) fn presence(root: &Path, module: &str) -> Presence {
    let plugin = PARTS.iter().find(|(name, ..)| *name == module).and_then(|(_, plugin, _)| *plugin);
    Known::read(root).presence(root, module, plugin)
}

/// What the kernel and its installation say.
struct Known {
    builtin: String,
    dep: String,
    file_systems: String,
    plugins: String,
}

impl Known {
    fn read(root: &Path) -> Known {
        let release = text(root, "proc/sys/kernel/osrelease").unwrap_or_default();
        let installed = |name: &str| text(root, &format!("lib/modules/{release}/{name}")).unwrap_or_default();
        Known {
            builtin: installed("modules.builtin"),
            dep: installed("modules.dep"),
            file_systems: text(root, "proc/filesystems").unwrap_or_default(),
            plugins: text(root, "sys/fs/ocfs2/loaded_cluster_plugins").unwrap_or_default(),
        }
    }

    fn presence(&self, root: &Path, module: &str, plugin: Option<&str>) -> Presence {
        let folder = root.join("sys/module").join(module);
        if folder.join("initstate").exists() {
            return Presence::Loaded;
        }
        // Where the installation does not know the running kernel, what it does is what counts.
        let works = self.file_systems.lines().any(|line| line.split_whitespace().last() == Some(module))
            || plugin.is_some_and(|plugin| self.plugins.lines().any(|line| line == plugin));
        if folder.exists() || works || lists(&self.builtin, module) {
            return Presence::BuiltIn;
        }
        if lists(&self.dep, module) { Presence::Loadable } else { Presence::Missing }
    }
}

/// Whether a line begins with the path of this module. `-` and `_` are the same in a module's name.
fn lists(list: &str, module: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split_once(".ko").is_some_and(|(name, _)| name.replace('-', "_") == module)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Machine;
    use super::*;

    #[test]
    fn a_module_is_loaded_to_be_loaded_or_missing() {
        let machine = Machine::new();
        assert_eq!(presence(machine.root(), "ocfs2"), Presence::Loadable);
        assert_eq!(presence(machine.root(), "ocfs2_stack_user"), Presence::Missing);
        machine.write("sys/module/ocfs2/initstate", "live\n");
        assert_eq!(presence(machine.root(), "ocfs2"), Presence::Loaded);
    }

    #[test]
    fn a_part_is_built_in_if_the_list_says_so_or_if_it_simply_works() {
        let machine = Machine::new();
        machine.write(
            "lib/modules/6.1.0/modules.builtin",
            "kernel/fs/configfs/configfs.ko\nkernel/fs/ocfs2/ocfs2-dlmfs.ko\n",
        );
        machine.write("proc/filesystems", "nodev\tsysfs\n\text4\nnodev\tocfs2\n");
        machine.write("sys/fs/ocfs2/loaded_cluster_plugins", "o2cb\nuser\n");
        machine.write("sys/module/dlm/parameters/x", "1\n");
        for module in ["configfs", "ocfs2_dlmfs", "ocfs2", "ocfs2_stack_o2cb", "ocfs2_stack_user", "dlm"] {
            assert_eq!(presence(machine.root(), module), Presence::BuiltIn, "{module}");
        }
        assert_eq!(presence(machine.root(), "ocfs2_nodemanager"), Presence::Missing);
    }

    #[test]
    fn what_a_module_needs_is_not_the_module() {
        assert!(lists("kernel/a/ocfs2.ko.zst: kernel/b/dlm.ko.zst", "ocfs2"));
        assert!(!lists("kernel/a/ocfs2.ko.zst: kernel/b/dlm.ko.zst", "dlm"));
        assert!(!lists("kernel/a/ocfs2_dlm.ko", "ocfs2"));
    }
}
