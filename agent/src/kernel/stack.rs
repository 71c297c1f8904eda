//! What the kernel says of its cluster stack.

use super::Choice;
use agent_core::event::Stack;
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lockspaces that are looked at; more volumes than that are not served.
const LOCKSPACES_MAX: usize = 4096;

/// Where to look.
pub(super) struct Place {
    sys: PathBuf,
    configfs: PathBuf,
}

impl Place {
    /// The model's directory may hold the same files below `sys` and `config`.
    pub(super) fn of(choice: &Choice) -> Place {
        match choice {
            Choice::Kernel(root) => {
                Place { sys: "/sys".into(), configfs: root.parent().unwrap_or(Path::new("/")).to_owned() }
            }
            Choice::Model(folder) => Place { sys: folder.join("sys"), configfs: folder.join("config") },
        }
    }

    /// A file that is not there is a part that is not loaded.
    pub(super) fn read(&self, control: bool) -> Stack {
        Stack {
            label: text(&self.sys.join("fs/ocfs2/cluster_stack")).unwrap_or_default(),
            recovers_by_itself: text(&self.configfs.join("dlm/cluster/recover_callbacks")).map(|text| text != "0"),
            locking: text(&self.sys.join("fs/ocfs2/max_locking_protocol")).and_then(|text| locking(&text)),
            lockspaces: lockspaces(&self.sys.join("kernel/dlm")),
            control,
        }
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `1.0`.
fn locking(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Those whose name is a volume's uuid.
fn lockspaces(folder: &Path) -> BTreeSet<VolumeId> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(LOCKSPACES_MAX);
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&Choice::Model(dir.path().to_owned()));
        assert_eq!(place.read(false), Stack::default());
    }

    #[test]
    fn a_user_stack_that_leaves_recovery_to_a_daemon_needs_the_control_device() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&Choice::Model(dir.path().to_owned()));
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/fs/ocfs2/cluster_stack", "cman\n");
        write("sys/fs/ocfs2/max_locking_protocol", "1.0\n");
        write("config/dlm/cluster/recover_callbacks", "0\n");
        write("sys/kernel/dlm/A0000000000000000000000000000000/id", "1\n");
        write("sys/kernel/dlm/clvmd/id", "1\n");
        let stack = place.read(false);
        assert_eq!((stack.label.as_str(), stack.locking, stack.lockspaces.len()), ("cman", Some((1, 0)), 1));
        assert!(stack.needs_control());
        write("config/dlm/cluster/recover_callbacks", "1\n");
        assert!(!place.read(false).needs_control());
    }
}
