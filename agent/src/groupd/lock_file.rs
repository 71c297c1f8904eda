//! The lock file of the program `groupd`: one daemon a node, whether it is this one or the original.

use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the original has it.
pub(super) const PATH: &str = "/var/run/groupd.pid";

/// Why it cannot be held.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Another process holds it.
    #[error("groupd runs already: it holds {0}")]
    Held(PathBuf),
    /// A system call.
    #[error("locking {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file, locked; removed at the end.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    _file: File,
}

impl LockFile {
    /// Takes the lock that the original takes (a record lock on the whole file, F_SETLK), and writes our pid and a newline.
    pub(super) fn take(path: &Path) -> Result<LockFile, Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let whole = nix::libc::flock {
            l_type: nix::libc::F_WRLCK as i16,
            l_whence: nix::libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).map_err(|errno| match errno {
            nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES => Error::Held(path.to_owned()),
            errno => failed(errno.into()),
        })?;
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(LockFile { path: path.to_owned(), _file: file })
    }
}

impl Drop for LockFile {
    /// While it is still locked: whoever opens it later makes a new one.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the lock file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_our_pid_and_goes_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("groupd.pid");
        std::fs::write(&path, "999999999999\nold").unwrap();
        let lock = LockFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let error = LockFile::take(Path::new("/nowhere/groupd.pid")).unwrap_err();
        assert_eq!(error.to_string(), "locking /nowhere/groupd.pid");
    }
}
