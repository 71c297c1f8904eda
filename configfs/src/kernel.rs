//! Backend on the real tree.
//!
//! Every call is the plain system call: no retries, no buffering, one write(2) per store. A store can block for
//! seconds and cannot be interrupted, so the caller gives this a thread of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, statfs};
use tracing::debug;

use crate::backend::Backend;
use crate::error::{Errno, Error};

/// Where the kernel's module puts its directory.
pub const DEFAULT_ROOT: &str = "/sys/kernel/config/cluster";
/// Names in one directory that we are ready to read; the kernel has at most 255 entries and 32 regions.
const NAMES_MAX: usize = 4096;
/// configfs shows at most one page.
const SHOW_LEN_MAX: u64 = 4096;
/// linux include/uapi/linux/magic.h.
const CONFIGFS_MAGIC: FsType = FsType(0x6265_6570);

/// The tree of the running kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    root: PathBuf,
}

impl Kernel {
    /// The tree whose `cluster` directory is `root`, normally [`DEFAULT_ROOT`]. Says what is missing: the mount of
    /// configfs, or the module.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        match fs::metadata(&root) {
            Ok(found) if found.is_dir() => Ok(Self { root }),
            Ok(_) => Err(Error::List { path: root, source: Errno::ENOTDIR }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(root)),
            Err(error) => Err(Error::List { path: root, source: Errno::of(&error) }),
        }
    }

    /// The `cluster` directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn missing(root: PathBuf) -> Error {
    let parent = root.parent().unwrap_or(Path::new("/"));
    match statfs(parent) {
        Ok(found) if found.filesystem_type() == CONFIGFS_MAGIC => Error::NoNodemanager { path: root },
        Ok(_) | Err(_) => Error::NotMounted { path: parent.to_owned() },
    }
}

impl Backend for Kernel {
    fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        let path = self.locate(path);
        debug!(path = %path.display(), "mkdir");
        fs::create_dir(&path).map_err(|error| Error::Mkdir { source: Errno::of(&error), path })
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Error> {
        let path = self.locate(path);
        debug!(path = %path.display(), "rmdir");
        fs::remove_dir(&path).map_err(|error| Error::Rmdir { source: Errno::of(&error), path })
    }

    fn show(&self, path: &str) -> Result<String, Error> {
        let path = self.locate(path);
        let bytes = read(&path).map_err(|error| Error::Show { source: Errno::of(&error), path: path.clone() })?;
        String::from_utf8(bytes).map_err(|error| Error::Unexpected {
            path,
            value: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            expected: "UTF-8 text".to_owned(),
        })
    }

    fn store(&mut self, path: &str, value: &str) -> Result<(), Error> {
        let path = self.locate(path);
        debug!(path = %path.display(), ?value, "store");
        write_once(&path, value).map_err(|error| Error::Store {
            source: Errno::of(&error),
            path,
            value: value.to_owned(),
        })
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = self.locate(path);
        let refused = |error: io::Error| Error::List { source: Errno::of(&error), path: path.clone() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(refused)?.take(NAMES_MAX) {
            let name = entry.map_err(refused)?.file_name();
            names.push(name.into_string().map_err(|name| Error::Unexpected {
                path: path.clone(),
                value: name.to_string_lossy().into_owned(),
                expected: "names in UTF-8".to_owned(),
            })?);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn start_heartbeat(&mut self, region: &str, device: &Path) -> Result<(), Error> {
        let path = self.locate(region);
        debug!(path = %path.display(), device = %device.display(), "start heartbeat");
        // The kernel takes its own reference: ours may close when the store is over.
        let started = OpenOptions::new().read(true).write(true).open(device).and_then(|disk| {
            let number = disk.as_raw_fd();
            write_once(&path.join("dev"), &format!("{number}\n"))
        });
        started.map_err(|error| Error::StartHeartbeat { source: Errno::of(&error), path, device: device.to_owned() })
    }

    fn locate(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SHOW_LEN_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Two writes would be two stores, so what one write does not take is an error.
fn write_once(path: &Path, value: &str) -> io::Result<()> {
    let taken = OpenOptions::new().write(true).open(path)?.write(value.as_bytes())?;
    if taken == value.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(Errno::EIO.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_mount_and_a_missing_module_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("config/cluster");
        assert_eq!(Kernel::open(&root).unwrap_err(), Error::NotMounted { path: dir.path().join("config") });
        fs::create_dir(dir.path().join("config")).unwrap();
        assert_eq!(Kernel::open(&root).unwrap_err(), Error::NotMounted { path: dir.path().join("config") });
    }

    #[test]
    fn errors_carry_the_absolute_path_the_value_and_the_errno() {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::open(dir.path()).unwrap();
        let path = dir.path().join("o2/node/a/num");
        assert_eq!(
            kernel.store("o2/node/a/num", "1\n").unwrap_err(),
            Error::Store { path, value: "1\n".to_owned(), source: Errno::ENOENT }
        );
        assert_eq!(kernel.rmdir("o2").unwrap_err().errno(), Some(2));
    }

    #[test]
    fn a_store_creates_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::open(dir.path()).unwrap();
        kernel.mkdir("o2").unwrap();
        kernel.store("o2/fence_method", "reset\n").expect_err("no such attribute");
        assert!(kernel.list("o2").unwrap().is_empty());
    }
}
