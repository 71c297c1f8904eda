//! What the kernel says of its cluster stack.

use super::Choice;
use agent_core::event::Stack;
use configfs::Errno;
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
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

    /// A file that is not there is a part that is not loaded. One that is there and cannot be read says nothing, and then
    /// nothing is said at all: half a look would take a user stack for o2cb.
    pub(super) fn read(&self, control: bool) -> io::Result<Stack> {
        let lockspaces = of(&self.sys.join("kernel/dlm"), lockspaces)?.unwrap_or_default();
        let deserted = !lockspaces.is_empty() && of(&self.sockets, is_deserted)?.unwrap_or(false);
        let recover_callbacks = of(&self.configfs.join("dlm/cluster/recover_callbacks"), text)?;
        Ok(Stack {
            label: of(&self.sys.join("fs/ocfs2/cluster_stack"), text)?.unwrap_or_default(),
            recovers_by_itself: recover_callbacks.map(|text| text != "0"),
            locking: of(&self.sys.join("fs/ocfs2/max_locking_protocol"), text)?.and_then(|text| locking(&text)),
            lockspaces,
            control,
            deserted,
        })
    }
}

/// What `read` finds at this path; `None` where nothing is, or where its module goes away meanwhile (ENODEV, linux
/// fs/kernfs/file.c).
fn of<T>(path: &Path, read: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<Option<T>> {
    match read(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || Errno::of(&error) == Errno::ENODEV => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("reading {}: {error}", path.display()))),
    }
}

fn text(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// `1.0`.
fn locking(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Those whose name is a volume's uuid.
fn lockspaces(folder: &Path) -> io::Result<BTreeSet<VolumeId>> {
    let entries = fs::read_dir(folder)?.take(LOCKSPACES_MAX);
    let volume = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    entries.filter_map(|entry| volume(entry).transpose()).collect()
}

/// Whether nobody listens where dlm_controld does as long as it lives. The kernel does not show whether somebody drives
/// its lockspaces, and connecting would have dlm_controld wait for us.
fn is_deserted(sockets: &Path) -> io::Result<bool> {
    for line in BufReader::new(File::open(sockets)?).split(b'\n') {
        if line?.ends_with(DLM_CONTROLD.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&Choice::Model(dir.path().to_owned()));
        assert_eq!(place.read(false).unwrap(), Stack::default());
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
        let stack = place.read(false).unwrap();
        assert_eq!((stack.label.as_str(), stack.locking, stack.lockspaces.len()), ("cman", Some((1, 0)), 1));
        assert!(stack.needs_control());
        write("config/dlm/cluster/recover_callbacks", "1\n");
        assert!(!place.read(false).unwrap().needs_control());
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_not_taken_for_o2cb() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&Choice::Model(dir.path().to_owned()));
        let files = ["sys/fs/ocfs2/cluster_stack", "config/dlm/cluster/recover_callbacks"];
        for path in files.map(|path| dir.path().join(path)) {
            fs::create_dir_all(&path).unwrap();
            let error = place.read(false).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            fs::remove_dir(&path).unwrap();
        }
        let folder = dir.path().join("sys/kernel/dlm");
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        fs::write(&folder, "").unwrap();
        assert!(place.read(false).is_err(), "no lockspace is gone because the list cannot be read");
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
        assert!(!place.read(false).unwrap().deserted, "no lockspace, nobody missing");
        fs::create_dir_all(dir.path().join("sys/kernel/dlm/A0000000000000000000000000000000")).unwrap();
        assert!(place.read(false).unwrap().deserted);
        sockets(&["@dlmc_query_sock", "@dlmc_sock"]);
        assert!(!place.read(false).unwrap().deserted);
        fs::remove_file(dir.path().join("sockets")).unwrap();
        assert!(!place.read(false).unwrap().deserted, "a list that is not there says nothing");
    }
}
