//! The model as a file system: what each system call answers.

use super::tree::{Attribute, DirId, Meta, Place, split};
use super::{MOUNT_POINT, Model, READ, SEARCH, WRITE, inside};
use crate::calls::{Access, Calls, Fd, Shell, Stat};
use crate::error::Errno;

/// configfs passes at most a page less one byte to a store.
const STORE_LEN_MAX: usize = 4095;
/// What every attribute says its size is.
const ATTRIBUTE_SIZE: u64 = 4096;

#[derive(Debug, Clone)]
pub(super) enum Descriptor {
    Dir(DirId),
    File(File),
}

#[derive(Debug, Clone)]
pub(super) struct File {
    dir: DirId,
    attribute: &'static Attribute,
    access: Access,
    offset: usize,
    /// Taken at the first read; later changes are not seen.
    page: Option<Vec<u8>>,
}

impl Calls for Model {
    fn mkdir(&mut self, path: &str, _mode: u32) -> Result<(), Errno> {
        self.make_dir(&self.inner(path)?).map(drop)
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        self.remove_dir(&self.inner(path)?)
    }

    fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        let path = self.inner(path)?;
        match self.tree.lookup(&path)? {
            Place::Dir(_) => Err(Errno::EISDIR),
            Place::Attribute(..) => Err(Errno::EPERM),
            Place::Link(target) => self.tree.remove_link(&path, target),
        }
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, Errno> {
        self.names(&self.inner(path)?)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        self.make_link(target, &self.inner(path)?)
    }

    /// Always relative, whatever was given to symlink(2).
    fn readlink(&mut self, path: &str) -> Result<String, Errno> {
        let path = self.inner(path)?;
        let Place::Link(target) = self.tree.lookup(&path)? else { return Err(Errno::EINVAL) };
        let (holder, _) = split(&path)?;
        let depth = super::tree::components(&self.tree.path(self.tree.lookup_dir(holder)?)?).count();
        Ok("../".repeat(depth) + &self.tree.path(target)?)
    }

    fn rename(&mut self, from: &str, _to: &str) -> Result<(), Errno> {
        self.tree.lookup(&self.inner(from)?).and(Err(Errno::EPERM))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        self.tree.lookup(&self.inner(from)?)?;
        self.tree.lookup_new(&self.inner(to)?).and(Err(Errno::EPERM))
    }

    fn create(&mut self, path: &str) -> Result<(), Errno> {
        self.tree.lookup_new(&self.inner(path)?).and(Err(Errno::EACCES))
    }

    fn mknod(&mut self, path: &str) -> Result<(), Errno> {
        self.tree.lookup_new(&self.inner(path)?).and(Err(Errno::EPERM))
    }

    fn lstat(&mut self, path: &str) -> Result<Stat, Errno> {
        let place = self.tree.lookup(&self.inner(path)?)?;
        let (kind, meta, size, nlink) = match place {
            Place::Dir(id) => {
                let dir = self.tree.dir(id)?;
                (0o040_000, dir.meta, 0, 2 + dir.subdirectories() as u64)
            }
            Place::Attribute(id, attribute) => {
                (0o100_000, self.tree.dir(id)?.attribute_meta(attribute), ATTRIBUTE_SIZE, 1)
            }
            Place::Link(_) => (0o120_000, Meta { mode: 0o777, uid: 0 }, 0, 1),
        };
        Ok(Stat { mode: format!("0o{:o}", kind | meta.mode), size, nlink, uid: meta.uid })
    }

    fn chmod(&mut self, path: &str, mode: u32) -> Result<(), Errno> {
        self.change_meta(path, |meta| Meta { mode, ..meta })
    }

    fn chown(&mut self, path: &str, uid: u32) -> Result<(), Errno> {
        self.change_meta(path, |meta| Meta { uid, ..meta })
    }

    fn truncate(&mut self, path: &str, _size: i64) -> Result<(), Errno> {
        match self.tree.lookup(&self.inner(path)?)? {
            Place::Attribute(..) => Ok(()),
            Place::Dir(_) | Place::Link(_) => Err(Errno::EISDIR),
        }
    }

    fn touch(&mut self, path: &str) -> Result<(), Errno> {
        self.tree.lookup(&self.inner(path)?).map(drop)
    }

    fn chdir(&mut self, path: &str) -> Result<(), Errno> {
        let inner = self.inner(path)?;
        self.tree.lookup_dir(&inner)?;
        self.cwd = format!("{MOUNT_POINT}/{inner}");
        Ok(())
    }

    fn open(&mut self, path: &str, access: Access) -> Result<Fd, Errno> {
        let descriptor = match self.tree.lookup(&self.inner(path)?)? {
            Place::Dir(_) | Place::Link(_) if access.writes() => return Err(Errno::EISDIR),
            Place::Dir(id) | Place::Link(id) => Descriptor::Dir(id),
            Place::Attribute(dir, attribute) => Descriptor::File(self.open_attribute(dir, attribute, access)?),
        };
        let fd = self.next_fd;
        self.next_fd += 1;
        self.descriptors.insert(fd, descriptor);
        Ok(fd)
    }

    fn read(&mut self, fd: Fd, len: usize) -> Result<Vec<u8>, Errno> {
        let file = self.file(fd, Access::reads)?;
        let page = match &file.page {
            Some(page) => page.clone(),
            None => self.show_attribute(file.dir, file.attribute)?.into_bytes(),
        };
        let start = file.offset.min(page.len());
        let bytes = page[start..page.len().min(start.saturating_add(len))].to_vec();
        self.descriptors.insert(fd, Descriptor::File(File { offset: start + bytes.len(), page: Some(page), ..file }));
        Ok(bytes)
    }

    /// One write is one store; the offset only moves.
    fn write(&mut self, fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        let file = self.file(fd, Access::writes)?;
        let taken = self.store_attribute(file.dir, file.attribute, bytes)?;
        self.descriptors.insert(fd, Descriptor::File(File { offset: file.offset + taken, ..file }));
        Ok(taken)
    }

    fn pwrite(&mut self, fd: Fd, bytes: &[u8], _offset: u64) -> Result<usize, Errno> {
        let file = self.file(fd, Access::writes)?;
        self.store_attribute(file.dir, file.attribute, bytes)
    }

    /// A directory that is gone lists as empty.
    fn list_open(&mut self, fd: Fd) -> Result<Vec<String>, Errno> {
        match self.descriptors.get(&fd) {
            Some(Descriptor::Dir(id)) => Ok(self.tree.dir(*id).map(super::tree::Dir::names).unwrap_or_default()),
            Some(Descriptor::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::EBADF),
        }
    }

    fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        self.descriptors.remove(&fd).map(drop).ok_or(Errno::EBADF)
    }

    fn shell(&mut self, line: &str) -> Result<Shell, Errno> {
        super::shell::run(self, line)
    }
}

impl Model {
    /// A caller's path as one from the root of the mount.
    fn inner(&self, path: &str) -> Result<String, Errno> {
        if path.starts_with('/') { inside(path).ok_or(Errno::ENOENT) } else { Ok(path.to_owned()) }
    }

    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, Errno> {
        let dir = match self.tree.lookup(path)? {
            Place::Dir(id) | Place::Link(id) => self.tree.dir(id)?,
            Place::Attribute(..) => return Err(Errno::ENOTDIR),
        };
        self.permit(dir.meta, READ | SEARCH)?;
        Ok(dir.names())
    }

    pub(super) fn open_attribute(
        &self,
        dir: DirId,
        attribute: &'static Attribute,
        access: Access,
    ) -> Result<File, Errno> {
        let meta = self.tree.dir(dir)?.attribute_meta(attribute);
        if access.reads() && (attribute.show.is_none() || meta.mode & 0o444 == 0) {
            return Err(Errno::EACCES);
        }
        if access.writes() && (attribute.store.is_none() || meta.mode & 0o222 == 0) {
            return Err(Errno::EACCES);
        }
        let wanted = if access.reads() { READ } else { 0 } | if access.writes() { WRITE } else { 0 };
        self.permit(meta, wanted)?;
        Ok(File { dir, attribute, access, offset: 0, page: None })
    }

    pub(super) fn show_attribute(&self, dir: DirId, attribute: &Attribute) -> Result<String, Errno> {
        self.tree.dir(dir)?;
        let show = attribute.show.ok_or(Errno::EBADF)?;
        show(self, dir)
    }

    /// How many bytes were taken.
    pub(super) fn store_attribute(&mut self, dir: DirId, attribute: &Attribute, bytes: &[u8]) -> Result<usize, Errno> {
        let store = attribute.store.ok_or(Errno::EBADF)?;
        let bytes = &bytes[..bytes.len().min(STORE_LEN_MAX)];
        if bytes.is_empty() {
            return Err(Errno::EFAULT);
        }
        self.tree.dir(dir)?;
        store(self, dir, bytes)?;
        Ok(bytes.len())
    }

    fn file(&self, fd: Fd, can: fn(Access) -> bool) -> Result<File, Errno> {
        match self.descriptors.get(&fd) {
            Some(Descriptor::File(file)) if can(file.access) => Ok(file.clone()),
            Some(Descriptor::Dir(_)) => Err(Errno::EISDIR),
            Some(Descriptor::File(_)) | None => Err(Errno::EBADF),
        }
    }

    fn change_meta(&mut self, path: &str, change: impl Fn(Meta) -> Meta) -> Result<(), Errno> {
        match self.tree.lookup(&self.inner(path)?)? {
            Place::Dir(id) | Place::Link(id) => {
                let dir = self.tree.dir_mut(id)?;
                dir.meta = change(dir.meta);
            }
            Place::Attribute(id, attribute) => {
                let dir = self.tree.dir_mut(id)?;
                dir.change_attribute(attribute, change(dir.attribute_meta(attribute)));
            }
        }
        Ok(())
    }
}
