//! What the kernel says of its cluster stack.

use super::Choice;
use agent_core::event::Stack;
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Lockspaces that are looked at; more volumes than that are not served.
const LOCKSPACES_MAX: usize = 4096;
/// The abstract socket of dlm_controld, as proc(5) lists it.
const DLM_CONTROLD: &str = " @dlmc_sock";

/// Where to look.
pub(super) struct Place {
    sys: PathBuf,
    configfs: PathBuf,
    sockets: PathBuf,
}

impl Place {
    /// The model's directory may hold the same files below `sys` and `config`, and `sockets`.
    pub(super) fn of(choice: &Choice) -> Place {
        match choice {
            Choice::Kernel(root) => Place {
                sys: "/sys".into(),
                configfs: root.parent().unwrap_or(Path::new("/")).to_owned(),
                sockets: "/proc/net/unix".into(),
            },
            Choice::Model(folder) => {
                Place { sys: folder.join("sys"), configfs: folder.join("config"), sockets: folder.join("sockets") }
            }
        }
    }

    /// A file that is not there is a part that is not loaded.
    pub(super) fn read(&self, control: bool) -> Stack {
        let lockspaces = lockspaces(&self.sys.join("kernel/dlm"));
        let deserted = !lockspaces.is_empty() && is_deserted(&self.sockets);
        Stack {
            label: text(&self.sys.join("fs/ocfs2/cluster_stack")).unwrap_or_default(),
            recovers_by_itself: text(&self.configfs.join("dlm/cluster/recover_callbacks")).map(|text| text != "0"),
            locking: text(&self.sys.join("fs/ocfs2/max_locking_protocol")).and_then(|text| locking(&text)),
            lockspaces,
            control,
            deserted,
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

/// Whether nobody listens where dlm_controld does as long as it lives. The kernel does not show whether somebody drives
/// its lockspaces, and connecting would have dlm_controld wait for us. A list that cannot be read says nothing.
fn is_deserted(sockets: &Path) -> bool {
    File::open(sockets).is_ok_and(|file| {
        let mut lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        !lines.any(|line| line.ends_with(DLM_CONTROLD.as_bytes()))
    })
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

    #[test]
    fn lockspaces_without_dlm_controld_are_deserted() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&Choice::Model(dir.path().to_owned()));
        let line = |name: &str| format!("0000000063ab242e: 00000002 00000000 00010000 0001 01   135 {name}\n");
        let sockets = |names: &[&str]| {
            let text: String = names.iter().map(|name| line(name)).collect();
            fs::write(dir.path().join("sockets"), text).unwrap();
        };
        sockets(&["@dlmc_query_sock"]);
        assert!(!place.read(false).deserted, "no lockspace, nobody missing");
        fs::create_dir_all(dir.path().join("sys/kernel/dlm/A0000000000000000000000000000000")).unwrap();
        assert!(place.read(false).deserted);
        sockets(&["@dlmc_query_sock", "@dlmc_sock"]);
        assert!(!place.read(false).deserted);
        fs::remove_file(dir.path().join("sockets")).unwrap();
        assert!(!place.read(false).deserted, "what cannot be read says nothing");
    }
}
