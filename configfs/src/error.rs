//! What can go wrong with the kernel's tree: which change, on which path, with which value, and the kernel's errno.
//!
//! Errors are plain values (`Clone`, `PartialEq`, serde), because they travel inside events and recordings.
//! A value that the kernel would not take is no `Error`: it is [`Invalid`](crate::Invalid), found before any call.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A kernel error number, printed with its name and its meaning: `EBUSY (Device or resource busy)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident),*) => {
        impl Errno {
            $(#[allow(missing_docs)] pub const $name: Self = Self(nix::errno::Errno::$name as i32);)*
        }
    };
}
errnos!(
    EPERM,
    ENOENT,
    EIO,
    EBADF,
    EAGAIN,
    EACCES,
    EFAULT,
    EBUSY,
    EEXIST,
    ENODEV,
    ENOTDIR,
    EISDIR,
    EINVAL,
    ENOSPC,
    ERANGE,
    ENAMETOOLONG,
    ENOTEMPTY,
    ELOOP,
    EADDRINUSE,
    EADDRNOTAVAIL,
    ENOTCONN,
    EPROTO,
    ETIMEDOUT,
    ECONNREFUSED,
    EALREADY
);

impl Errno {
    /// The errno behind an [`io::Error`]; `EIO` when it carries none.
    pub fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(Self::EIO.0))
    }

    /// The symbolic name, `EBUSY`; `UnknownErrno` for a number Linux does not use.
    pub fn name(self) -> String {
        format!("{:?}", nix::errno::Errno::from_raw(self.0))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), nix::errno::Errno::from_raw(self.0).desc())
    }
}

impl std::error::Error for Errno {}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

/// A failed call on the tree. Paths are absolute for the real tree, and start at `cluster` in the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    /// There is no configfs where the tree should be.
    #[error("no configfs is mounted at {path}")]
    NotMounted {
        /// Where it should be mounted.
        path: PathBuf,
    },
    /// configfs is there, the `cluster` directory is not.
    #[error("no directory {path}: the kernel module ocfs2_nodemanager is not loaded")]
    NoNodemanager {
        /// The directory that the module makes.
        path: PathBuf,
    },
    /// mkdir(2) was refused.
    #[error("making directory {path}")]
    Mkdir {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// rmdir(2) was refused. `EBUSY` means: in use, not yet.
    #[error("removing directory {path}")]
    Rmdir {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// An attribute could not be read.
    #[error("reading {path}")]
    Show {
        /// The attribute.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// An attribute refused a value.
    #[error("storing {value:?} to {path}")]
    Store {
        /// The attribute.
        path: PathBuf,
        /// The value, byte for byte.
        value: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The kernel took a store and did not keep the value; it does so to `dead_threshold` and `mode` while a region exists.
    #[error("storing {value:?} to {path} was accepted without effect: it still reads {reads:?}")]
    NotKept {
        /// The attribute.
        path: PathBuf,
        /// The value, byte for byte.
        value: String,
        /// What was read back.
        reads: String,
    },
    /// A directory could not be listed.
    #[error("listing {path}")]
    List {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// A region's heartbeat did not start.
    #[error("starting the heartbeat of {path} on device {device}")]
    StartHeartbeat {
        /// The region's directory.
        path: PathBuf,
        /// The block device.
        device: PathBuf,
        /// The kernel's answer.
        source: Errno,
    },
    /// The tree holds something that this crate cannot represent.
    #[error("{path} holds {value:?}, expected {expected}")]
    Unexpected {
        /// Where.
        path: PathBuf,
        /// What was found, unreadable bytes replaced.
        value: String,
        /// What should be there.
        expected: String,
    },
}

impl Error {
    /// The kernel's error number, where the kernel said no.
    pub fn errno(&self) -> Option<i32> {
        self.refusal().map(|errno| errno.0)
    }

    /// The kernel's answer, where it was a refusal.
    pub fn refusal(&self) -> Option<Errno> {
        match self {
            Self::Mkdir { source, .. }
            | Self::Rmdir { source, .. }
            | Self::Show { source, .. }
            | Self::Store { source, .. }
            | Self::List { source, .. }
            | Self::StartHeartbeat { source, .. } => Some(*source),
            Self::NotMounted { .. } | Self::NoNodemanager { .. } | Self::NotKept { .. } | Self::Unexpected { .. } => {
                None
            }
        }
    }

    /// The directory or attribute that the failed call named.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::NotMounted { path }
            | Self::NoNodemanager { path }
            | Self::Mkdir { path, .. }
            | Self::Rmdir { path, .. }
            | Self::Show { path, .. }
            | Self::Store { path, .. }
            | Self::NotKept { path, .. }
            | Self::List { path, .. }
            | Self::StartHeartbeat { path, .. }
            | Self::Unexpected { path, .. } => path,
        }
    }

    /// True for `EBUSY`: something still uses the entry; the kernel's normal "not yet".
    pub fn is_busy(&self) -> bool {
        self.refusal() == Some(Errno::EBUSY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_error_names_path_and_value_and_its_source_names_the_errno() {
        let error = Error::Store { path: "o2/node/a/num".into(), value: "1\n".into(), source: Errno::EEXIST };
        assert_eq!(error.to_string(), r#"storing "1\n" to o2/node/a/num"#);
        assert_eq!(error.source().expect("has a source").to_string(), "EEXIST (File exists)");
        assert_eq!(error.errno(), Some(17));
        assert_eq!(error.path(), std::path::Path::new("o2/node/a/num"));
    }

    #[test]
    fn only_ebusy_is_not_yet() {
        let refused = |source| Error::Rmdir { path: "x".into(), source };
        assert!(refused(Errno::EBUSY).is_busy());
        assert!(!refused(Errno::ENOTEMPTY).is_busy());
    }
}
