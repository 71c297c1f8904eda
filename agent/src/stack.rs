//! The cluster stack of this machine: which one the next mount takes, which of its parts the kernel has, what is live,
//! and what was really started. This reads; `change` acts.
//!
//! ```text
//! /sys/fs/ocfs2/                       there when ocfs2 is loaded or built in
//!     cluster_stack                    four characters and a newline: what the next mount takes, free while nothing is mounted
//!     active_cluster_plugin            "o2cb" or "user" while something is mounted, else empty
//!     loaded_cluster_plugins           one a line
//!     max_locking_protocol             "1.0"
//! /sys/kernel/config/cluster/NAME/heartbeat/UUID/     o2cb: a heartbeat region
//! /sys/kernel/dlm/NAME/                               the user stack: a lockspace; OCFS2's are named by volume
//! /run/o2cpg/stack.json                               what was started, see `record`
//! ```
//!
//! Every path is taken below a root, `/` but for tests. What cannot be read is not there: all of it may be missing.
//!
//! Source: linux fs/ocfs2/stackglue.c, ocfs2_cluster_stack_store and its neighbours.

pub mod change;
mod parts;
mod record;

use crate::mountinfo::ocfs2_mounts;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

pub use parts::{Part, Presence};
pub use record::Record;

/// Where the label is read and written, below the root.
const LABEL_FILE: &str = "sys/fs/ocfs2/cluster_stack";
/// Entries of a directory that are looked at.
const LISTED_MAX: usize = 4096;
/// Hexadecimal digits of a volume's uuid, which names its region and its lockspace.
const UUID_LEN: usize = 32;

/// A label that stock tools write on volumes. The kernel would take any four characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Served by the kernel's own disk heartbeat and o2net.
    O2cb,
    /// The user stack, as Pacemaker clusters have it.
    Pcmk,
    /// The user stack, as cman clusters had it.
    Cman,
}

impl Label {
    const ALL: [Label; 3] = [Label::O2cb, Label::Pcmk, Label::Cman];

    /// As the kernel and the tools write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Label::O2cb => "o2cb",
            Label::Pcmk => "pcmk",
            Label::Cman => "cman",
        }
    }

    /// The part of the kernel that serves it.
    #[must_use]
    pub fn plugin(self) -> &'static str {
        match self {
            Label::O2cb => "ocfs2_stack_o2cb",
            Label::Pcmk | Label::Cman => "ocfs2_stack_user",
        }
    }

    /// What stock mount.ocfs2 needs with it. configfs is o2cb's and the DLM's, and everybody else's too.
    #[must_use]
    pub fn modules(self) -> [&'static str; 4] {
        let own = if self == Label::O2cb { "ocfs2_dlmfs" } else { "dlm" };
        ["configfs", "ocfs2", self.plugin(), own]
    }
}

/// No stock tool knows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cluster stack: mkfs.ocfs2 knows o2cb, pcmk and cman")]
pub struct UnknownLabel(String);

impl FromStr for Label {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Label, UnknownLabel> {
        Label::ALL.into_iter().find(|label| label.as_str() == text).ok_or_else(|| UnknownLabel(text.to_owned()))
    }
}

/// Something that uses the stack, so that it has to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Live {
    /// A mounted volume.
    Mount {
        /// Where.
        path: String,
        /// What.
        device: String,
    },
    /// A heartbeat region.
    Region {
        /// The volume.
        uuid: String,
    },
    /// A DLM lockspace of a volume.
    Lockspace {
        /// The volume.
        uuid: String,
    },
    /// What only o2cpgd knows, in its words.
    Pin {
        /// Its sentence.
        text: String,
    },
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Live::Mount { path, device } => write!(f, "{device} is mounted on {path}"),
            Live::Region { uuid } => write!(f, "heartbeat region {uuid}"),
            Live::Lockspace { uuid } => write!(f, "DLM lockspace {uuid}"),
            Live::Pin { text } => f.write_str(text),
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// The label of the next mount; `None` where the kernel has no ocfs2.
    pub label: Option<String>,
    /// The plugin that mounts use.
    pub active_plugin: Option<String>,
    /// The kernel's locking protocol.
    pub locking_protocol: Option<String>,
    /// What the stacks are made of.
    pub parts: Vec<Part>,
    /// What uses the stack.
    pub live: Vec<Live>,
    /// Lockspaces of other programs, which are no business of this.
    pub other_lockspaces: Vec<String>,
    /// What was started here since the boot.
    pub started: Option<Record>,
}

/// Looks at the machine below `root`.
#[must_use]
pub fn look(root: &Path) -> Found {
    let (lockspaces, other_lockspaces) = lockspaces(root);
    let live = mounts(root).chain(regions(root)).chain(lockspaces);
    Found {
        label: text(root, LABEL_FILE),
        active_plugin: text(root, "sys/fs/ocfs2/active_cluster_plugin").filter(|plugin| !plugin.is_empty()),
        locking_protocol: text(root, "sys/fs/ocfs2/max_locking_protocol"),
        parts: parts::parts(root),
        live: live.collect(),
        other_lockspaces,
        started: record::read(root),
    }
}

fn mounts(root: &Path) -> impl Iterator<Item = Live> {
    let mountinfo = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
    ocfs2_mounts(&mountinfo)
        .into_iter()
        .map(|mount| Live::Mount { path: mount.path.display().to_string(), device: mount.device.display().to_string() })
}

fn regions(root: &Path) -> impl Iterator<Item = Live> {
    let clusters = root.join("sys/kernel/config/cluster");
    let heartbeats = folders(&clusters).into_iter().map(move |name| clusters.join(name).join("heartbeat"));
    heartbeats.flat_map(|heartbeat| folders(&heartbeat)).map(|uuid| Live::Region { uuid })
}

/// OCFS2's, and the names of the others'.
fn lockspaces(root: &Path) -> (Vec<Live>, Vec<String>) {
    let is_uuid = |name: &String| name.len() == UUID_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (ours, others): (Vec<String>, _) = folders(&root.join("sys/kernel/dlm")).into_iter().partition(is_uuid);
    (ours.into_iter().map(|uuid| Live::Lockspace { uuid }).collect(), others)
}

/// Names of the directories in a directory, sorted.
fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().take(LISTED_MAX);
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut names: Vec<String> =
        entries.filter(is_dir).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tempfile::TempDir;

    pub(crate) const UUID: &str = "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF";

    /// A machine made of files.
    pub(crate) struct Machine(pub(crate) TempDir);

    impl Machine {
        pub(crate) fn new() -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            machine.write("proc/sys/kernel/osrelease", "6.1.0\n");
            machine.write("lib/modules/6.1.0/modules.dep", "kernel/fs/ocfs2/ocfs2.ko.xz: kernel/fs/ocfs2/x.ko.xz\n");
            machine
        }

        /// With ocfs2 in the kernel.
        pub(crate) fn with_ocfs2(label: &str) -> Machine {
            let machine = Machine::new();
            machine.write("sys/fs/ocfs2/cluster_stack", &format!("{label}\n"));
            machine.write("sys/fs/ocfs2/active_cluster_plugin", "");
            machine.write("sys/fs/ocfs2/loaded_cluster_plugins", "");
            machine.write("sys/module/ocfs2/initstate", "live\n");
            machine
        }

        pub(crate) fn root(&self) -> &Path {
            self.0.path()
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(crate) fn mount(&self) {
            self.write("proc/self/mountinfo", "36 22 98:0 / /srv rw - ocfs2 /dev/sdb rw,heartbeat=local\n");
        }
    }

    #[test]
    fn a_machine_without_ocfs2_has_neither_label_nor_anything_live() {
        let machine = Machine::new();
        let found = look(machine.root());
        assert_eq!((&found.label, &found.active_plugin, &found.started), (&None, &None, &None));
        assert!(found.live.is_empty() && found.other_lockspaces.is_empty());
    }

    #[test]
    fn mounts_regions_and_lockspaces_of_volumes_are_live() {
        let machine = Machine::with_ocfs2("pcmk");
        machine.mount();
        machine.write(&format!("sys/kernel/config/cluster/lab/heartbeat/{UUID}/pid"), "1\n");
        machine.write("sys/kernel/config/cluster/lab/heartbeat/mode", "local\n");
        machine.write(&format!("sys/kernel/dlm/{UUID}/id"), "1\n");
        machine.write("sys/kernel/dlm/clvmd/id", "2\n");
        let found = look(machine.root());
        let live: Vec<String> = found.live.iter().map(ToString::to_string).collect();
        let uuid = UUID;
        assert_eq!(
            live,
            ["/dev/sdb is mounted on /srv".into(), format!("heartbeat region {uuid}"), format!("DLM lockspace {uuid}")]
        );
        assert_eq!(found.other_lockspaces, ["clvmd"]);
        assert_eq!(found.label.as_deref(), Some("pcmk"));
    }

    #[test]
    fn a_label_is_one_that_stock_tools_know() {
        for label in Label::ALL {
            assert_eq!(label.as_str().parse(), Ok(label));
        }
        for bad in ["", "o2c", "o2cb ", "O2CB", "user", "none", "pcmk\n"] {
            assert_eq!(bad.parse::<Label>(), Err(UnknownLabel(bad.into())));
        }
    }
}
