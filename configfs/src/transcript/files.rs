//! The real thing: every call is the system call of its name.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::dir::Dir;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::truncate;

use crate::calls::{Access, Calls, Fd, Shell, Stat};
use crate::error::Errno;

/// Any time will do.
const SOME_TIME: TimeSpec = TimeSpec::new(1, 0);
const FILE_MODE: u32 = 0o644;

/// A real directory tree, normally the mount of configfs.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    open: BTreeMap<Fd, File>,
    next: Fd,
}

impl Files {
    /// Relative paths of a script start at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), open: BTreeMap::new(), next: 0 }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn file(&mut self, fd: Fd) -> Result<&mut File, Errno> {
        self.open.get_mut(&fd).ok_or(Errno::EBADF)
    }
}

fn done<T>(result: io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno::of(&error))
}

impl Calls for Files {
    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), Errno> {
        done(fs::DirBuilder::new().mode(mode).create(self.at(path)))
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        done(fs::remove_dir(self.at(path)))
    }

    fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        done(fs::remove_file(self.at(path)))
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in done(fs::read_dir(self.at(path)))? {
            names.push(done(entry)?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        done(symlink(target, self.at(path)))
    }

    fn readlink(&mut self, path: &str) -> Result<String, Errno> {
        done(fs::read_link(self.at(path))).map(|target| target.to_string_lossy().into_owned())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        done(fs::rename(self.at(from), self.at(to)))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        done(fs::hard_link(self.at(from), self.at(to)))
    }

    fn create(&mut self, path: &str) -> Result<(), Errno> {
        done(OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(self.at(path))).map(drop)
    }

    fn mknod(&mut self, path: &str) -> Result<(), Errno> {
        Ok(mknod(&self.at(path), SFlag::S_IFIFO, Mode::from_bits_truncate(FILE_MODE), 0)?)
    }

    fn lstat(&mut self, path: &str) -> Result<Stat, Errno> {
        let found = done(fs::symlink_metadata(self.at(path)))?;
        Ok(Stat { mode: format!("0o{:o}", found.mode()), size: found.size(), nlink: found.nlink(), uid: found.uid() })
    }

    fn chmod(&mut self, path: &str, mode: u32) -> Result<(), Errno> {
        done(fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)))
    }

    fn chown(&mut self, path: &str, uid: u32) -> Result<(), Errno> {
        done(std::os::unix::fs::chown(self.at(path), Some(uid), None))
    }

    fn truncate(&mut self, path: &str, size: i64) -> Result<(), Errno> {
        Ok(truncate(&self.at(path), size)?)
    }

    fn touch(&mut self, path: &str) -> Result<(), Errno> {
        Ok(utimensat(AT_FDCWD, &self.at(path), &SOME_TIME, &SOME_TIME, UtimensatFlags::FollowSymlink)?)
    }

    fn chdir(&mut self, path: &str) -> Result<(), Errno> {
        done(std::env::set_current_dir(self.at(path)))
    }

    fn open(&mut self, path: &str, access: Access) -> Result<Fd, Errno> {
        let mut how = OpenOptions::new();
        match access {
            Access::Read => how.read(true),
            Access::Write => how.write(true),
            Access::Append => how.append(true),
            Access::Truncate => how.write(true).truncate(true),
            Access::ReadWrite => how.read(true).write(true),
        };
        let file = done(how.open(self.at(path)))?;
        let fd = self.next;
        self.next += 1;
        self.open.insert(fd, file);
        Ok(fd)
    }

    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len];
        let taken = done(self.file(fd)?.read(&mut bytes))?;
        bytes.truncate(taken);
        Ok(bytes)
    }

    fn write(&mut self, fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        done(self.file(fd)?.write(bytes))
    }

    fn pwrite(&mut self, fd: Fd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        done(self.file(fd)?.write_at(bytes, offset))
    }

    fn list_open(&mut self, fd: Fd) -> Result<Vec<String>, Errno> {
        let copy = done(self.file(fd)?.try_clone())?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(copy.into())?.iter() {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        self.open.remove(&fd).map(drop).ok_or(Errno::EBADF)
    }

    fn shell(&mut self, line: &str) -> Result<Shell, Errno> {
        let both = format!("exec 2>&1\n{line}");
        let done = done(Command::new("/bin/sh").arg("-c").arg(both).current_dir(Path::new("/")).output())?;
        let output = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        // A status is missing only when a signal ended it; -1 is no exit status.
        Ok(Shell { status: done.status.code().unwrap_or(-1), output })
    }
}
