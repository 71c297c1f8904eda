//! The file-system calls that the recorded scripts make, over a configfs mount: answered by the kernel
//! ([`Files`](crate::transcript::Files)) or by [`Model`](crate::Model).
//!
//! Paths are relative to the root of the mount, or absolute.

use serde::{Deserialize, Serialize};

use crate::error::Errno;

/// A descriptor that one implementation gave out.
pub type Fd = u32;

/// How an attribute or directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// O_RDONLY
    Read,
    /// O_WRONLY
    Write,
    /// O_WRONLY | O_APPEND
    Append,
    /// O_WRONLY | O_TRUNC
    Truncate,
    /// O_RDWR
    ReadWrite,
}

impl Access {
    /// Reads are possible.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Writes are possible.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// The part of lstat(2) that configfs decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// File type and permissions, as Python prints them: `0o100644`.
    pub mode: String,
    /// 4096 for an attribute, otherwise 0.
    pub size: u64,
    /// 2 + subdirectories for a directory, otherwise 1.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
}

/// What a shell line printed, both streams, without blanks around, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// Exit status.
    pub status: i32,
    /// Standard output and standard error together.
    pub output: String,
}

/// One method per system call; each answers with the kernel's errno.
#[allow(missing_docs, reason = "each method is the system call of its name")]
pub trait Calls {
    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), Errno>;
    fn rmdir(&mut self, path: &str) -> Result<(), Errno>;
    fn unlink(&mut self, path: &str) -> Result<(), Errno>;
    /// Names in a directory, sorted.
    fn list(&mut self, path: &str) -> Result<Vec<String>, Errno>;
    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno>;
    fn readlink(&mut self, path: &str) -> Result<String, Errno>;
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno>;
    fn link(&mut self, from: &str, to: &str) -> Result<(), Errno>;
    /// open(2) with O_WRONLY | O_CREAT | O_EXCL.
    fn create(&mut self, path: &str) -> Result<(), Errno>;
    /// mknod(2) of a FIFO.
    fn mknod(&mut self, path: &str) -> Result<(), Errno>;
    fn lstat(&mut self, path: &str) -> Result<Stat, Errno>;
    fn chmod(&mut self, path: &str, mode: u32) -> Result<(), Errno>;
    fn chown(&mut self, path: &str, uid: u32) -> Result<(), Errno>;
    fn truncate(&mut self, path: &str, size: i64) -> Result<(), Errno>;
    /// utimensat(2) with some fixed time.
    fn touch(&mut self, path: &str) -> Result<(), Errno>;
    fn chdir(&mut self, path: &str) -> Result<(), Errno>;
    fn open(&mut self, path: &str, access: Access) -> Result<Fd, Errno>;
    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>, Errno>;
    fn write(&mut self, fd: Fd, bytes: &[u8]) -> Result<usize, Errno>;
    fn pwrite(&mut self, fd: Fd, bytes: &[u8], offset: u64) -> Result<usize, Errno>;
    /// Names in an open directory, sorted.
    fn list_open(&mut self, fd: Fd) -> Result<Vec<String>, Errno>;
    fn close(&mut self, fd: Fd) -> Result<(), Errno>;
    /// A line for /bin/sh.
    fn shell(&mut self, line: &str) -> Result<Shell, Errno>;
}
