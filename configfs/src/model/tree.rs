//! configfs in general: directories, attributes, default groups, links, and what may be removed when. What a directory
//! means is in its [`Class`]; the subsystems beside this file bring theirs.
//!
//! Source: linux fs/configfs/dir.c, symlink.c; recorded in tests/kernel/configfs-generic.jsonl and configfs-links.jsonl.

use std::collections::BTreeMap;

use super::Model;
use crate::error::Errno;

/// A directory; never used again after rmdir, so a held descriptor notices.
pub(super) type DirId = u32;
/// The root of the mount.
pub(super) const ROOT_ID: DirId = 0;
/// A longer path component is ENAMETOOLONG before any subsystem sees it.
const COMPONENT_LEN_MAX: usize = 255;

pub(super) type Show = fn(&Model, DirId) -> Result<String, Errno>;
pub(super) type Store = fn(&mut Model, DirId, &[u8]) -> Result<(), Errno>;
pub(super) type Make = fn(&mut Model, DirId, &str) -> Result<&'static Class, Errno>;
pub(super) type AllowLink = fn(&Model, DirId, DirId) -> Result<(), Errno>;

/// A file that stands for a value. It can be opened only for what it can do, by root too.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) show: Option<Show>,
    pub(super) store: Option<Store>,
}

impl Attribute {
    pub(super) const fn new(name: &'static str, show: Show, store: Store) -> Self {
        Self { name, show: Some(show), store: Some(store) }
    }

    pub(super) const fn read_only(name: &'static str, show: Show) -> Self {
        Self { name, show: Some(show), store: None }
    }

    pub(super) const fn write_only(name: &'static str, store: Store) -> Self {
        Self { name, show: None, store: Some(store) }
    }

    fn mode(&self) -> u32 {
        match (self.show, self.store) {
            (Some(_), Some(_)) => 0o644,
            (None, Some(_)) => 0o200,
            (_, None) => 0o444,
        }
    }
}

/// What a kind of directory is and does.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) attributes: &'static [Attribute],
    /// Made and removed with it.
    pub(super) groups: &'static [(&'static str, &'static Class)],
    /// mkdir in it; without this EPERM.
    pub(super) make: Option<Make>,
    /// symlink in it: holder, target; without this EPERM.
    pub(super) allow_link: Option<AllowLink>,
    /// Something in the kernel depends on it: rmdir is EBUSY.
    pub(super) busy: fn(&Model, DirId) -> bool,
    /// Called when it was made.
    pub(super) init: fn(&mut Model, DirId),
    /// Called when it is gone.
    pub(super) release: fn(&mut Model, DirId),
}

impl Class {
    /// Empty, and nothing may be made in it.
    pub(super) const BARE: Self = Self {
        attributes: &[],
        groups: &[],
        make: None,
        allow_link: None,
        busy: |_, _| false,
        init: |_, _| {},
        release: |_, _| {},
    };
}

/// Permissions and owner; they live as long as the directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) uid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    Dir(DirId),
    Link(DirId),
}

#[derive(Debug, Clone)]
pub(super) struct Dir {
    pub(super) class: &'static Class,
    pub(super) children: BTreeMap<String, Child>,
    pub(super) meta: Meta,
    name: String,
    parent: DirId,
    /// Made by the kernel, not by mkdir.
    default: bool,
    /// How many links point to it.
    links: u32,
    changed: BTreeMap<&'static str, Meta>,
}

impl Dir {
    fn new(name: &str, parent: DirId, class: &'static Class, default: bool) -> Self {
        let (name, meta) = (name.to_owned(), Meta { mode: 0o755, uid: 0 });
        Self { class, children: BTreeMap::new(), meta, name, parent, default, links: 0, changed: BTreeMap::new() }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.class.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn attribute_meta(&self, attribute: &'static Attribute) -> Meta {
        let fresh = Meta { mode: attribute.mode(), uid: 0 };
        self.changed.get(attribute.name).copied().unwrap_or(fresh)
    }

    pub(super) fn change_attribute(&mut self, attribute: &'static Attribute, meta: Meta) {
        self.changed.insert(attribute.name, meta);
    }

    /// Attributes, directories and links, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let attributes = self.class.attributes.iter().map(|attribute| attribute.name.to_owned());
        let mut names: Vec<String> = attributes.chain(self.children.keys().cloned()).collect();
        names.sort_unstable();
        names
    }

    /// Nobody has changed the mode or owner of an attribute.
    pub(super) fn is_plain(&self) -> bool {
        self.changed.is_empty()
    }

    pub(super) fn subdirectories(&self) -> usize {
        self.children.values().filter(|child| matches!(child, Child::Dir(_))).count()
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Dir(DirId),
    Attribute(DirId, &'static Attribute),
    /// Not followed: the link's target.
    Link(DirId),
}

#[derive(Debug, Clone)]
pub(super) struct Tree {
    dirs: BTreeMap<DirId, Dir>,
    next: DirId,
}

impl Tree {
    /// The root with the subsystems in it, which only modules can add.
    pub(super) fn new(root: &'static Class) -> Self {
        let mut tree = Self { dirs: BTreeMap::new(), next: ROOT_ID };
        tree.add(ROOT_ID, "", root, true);
        tree
    }

    pub(super) fn dir(&self, id: DirId) -> Result<&Dir, Errno> {
        self.dirs.get(&id).ok_or(Errno::ENOENT)
    }

    pub(super) fn dir_mut(&mut self, id: DirId) -> Result<&mut Dir, Errno> {
        self.dirs.get_mut(&id).ok_or(Errno::ENOENT)
    }

    pub(super) fn parent(&self, id: DirId) -> Option<DirId> {
        self.dirs.get(&id).map(|dir| dir.parent)
    }

    /// Adds a directory and its default groups.
    pub(super) fn add(&mut self, parent: DirId, name: &str, class: &'static Class, default: bool) -> DirId {
        let id = self.next;
        self.next += 1;
        self.dirs.insert(id, Dir::new(name, parent, class, default));
        if let (true, Some(holder)) = (id != ROOT_ID, self.dirs.get_mut(&parent)) {
            holder.children.insert(name.to_owned(), Child::Dir(id));
        }
        for (name, class) in class.groups {
            self.add(id, name, class, true);
        }
        id
    }

    /// Walks from the root; a link in the middle is followed, the last one is not.
    pub(super) fn lookup(&self, path: &str) -> Result<Place, Errno> {
        let mut place = Place::Dir(ROOT_ID);
        for name in components(path) {
            place = self.step(self.follow(place)?, name)?;
        }
        Ok(place)
    }

    fn step(&self, id: DirId, name: &str) -> Result<Place, Errno> {
        if name.len() > COMPONENT_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let dir = self.dir(id)?;
        if name == ".." {
            return Ok(Place::Dir(dir.parent));
        }
        if let Some(attribute) = dir.attribute(name) {
            return Ok(Place::Attribute(id, attribute));
        }
        match dir.children.get(name) {
            Some(Child::Dir(child)) => Ok(Place::Dir(*child)),
            Some(Child::Link(target)) => Ok(Place::Link(*target)),
            None => Err(Errno::ENOENT),
        }
    }

    fn follow(&self, place: Place) -> Result<DirId, Errno> {
        match place {
            Place::Dir(id) | Place::Link(id) => Ok(id),
            Place::Attribute(..) => Err(Errno::ENOTDIR),
        }
    }

    /// The directory a path leads to.
    pub(super) fn lookup_dir(&self, path: &str) -> Result<DirId, Errno> {
        self.follow(self.lookup(path)?)
    }

    /// Directory and name for something new; EEXIST if it is there already.
    pub(super) fn lookup_new<'a>(&self, path: &'a str) -> Result<(DirId, &'a str), Errno> {
        let (parent, name) = split(path)?;
        let id = self.lookup_dir(parent)?;
        match self.step(id, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Ok((id, name)),
            Err(error) => Err(error),
        }
    }

    /// May the directory go, as far as configfs itself is concerned? Its default groups go with it, if they can.
    pub(super) fn detachable(&self, id: DirId) -> Result<(), Errno> {
        let dir = self.dir(id)?;
        if dir.links > 0 {
            return Err(Errno::EBUSY);
        }
        for child in dir.children.values() {
            match child {
                Child::Dir(group) if self.dir(*group)?.default => self.detachable(*group)?,
                Child::Dir(_) | Child::Link(_) => return Err(Errno::ENOTEMPTY),
            }
        }
        Ok(())
    }

    pub(super) fn is_default(&self, id: DirId) -> Result<bool, Errno> {
        Ok(self.dir(id)?.default)
    }

    /// Takes the directory and its default groups out; the caller calls their `release`.
    pub(super) fn detach(&mut self, id: DirId) -> Vec<(DirId, &'static Class)> {
        let Some(dir) = self.dirs.remove(&id) else { return Vec::new() };
        if let Some(holder) = self.dirs.get_mut(&dir.parent) {
            holder.children.remove(&dir.name);
        }
        let mut gone = vec![(id, dir.class)];
        for child in dir.children.into_values() {
            if let Child::Dir(group) = child {
                gone.extend(self.detach(group));
            }
        }
        gone
    }

    pub(super) fn add_link(&mut self, holder: DirId, name: &str, target: DirId) -> Result<(), Errno> {
        self.dir_mut(target)?.links += 1;
        self.dir_mut(holder)?.children.insert(name.to_owned(), Child::Link(target));
        Ok(())
    }

    pub(super) fn remove_link(&mut self, path: &str, target: DirId) -> Result<(), Errno> {
        let (parent, name) = split(path)?;
        let holder = self.lookup_dir(parent)?;
        self.dir_mut(holder)?.children.remove(name);
        self.dir_mut(target)?.links -= 1;
        Ok(())
    }

    /// From the root, `a/b/c`.
    pub(super) fn path(&self, id: DirId) -> Result<String, Errno> {
        let dir = self.dir(id)?;
        if id == ROOT_ID {
            return Ok(String::new());
        }
        let above = self.path(dir.parent)?;
        Ok(if above.is_empty() { dir.name.clone() } else { format!("{above}/{}", dir.name) })
    }
}

pub(super) fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Parent and last name.
pub(super) fn split(path: &str) -> Result<(&str, &str), Errno> {
    let path = path.trim_end_matches('/');
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if matches!(name, "" | "." | "..") { Err(Errno::EEXIST) } else { Ok((parent, name)) }
}
