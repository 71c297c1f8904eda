//! What a tree can do, whoever holds it, and the two things built on that: apply a list, read everything.
//!
//! Calls block: a store can take seconds (`local` opens a socket, `dev` waits for heartbeats). The caller keeps them
//! off the threads that must not wait.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Errno;
use crate::attributes::{Attributes, FenceMethod, HeartbeatMode};
use crate::error::Error;
use crate::name::{NodeName, RegionName};
use crate::node::{Address, Node, NodeNum, Port};
use crate::op::{Change, Op};
use crate::state::{Incomplete, Region, Tree};

/// The `cluster` directory of a configfs. Paths are relative to it, without a leading slash; `""` is the directory itself.
pub trait Backend {
    /// mkdir(2).
    fn mkdir(&mut self, path: &str) -> Result<(), Error>;
    /// rmdir(2).
    fn rmdir(&mut self, path: &str) -> Result<(), Error>;
    /// The whole content of an attribute, trailing newline included.
    fn show(&self, path: &str) -> Result<String, Error>;
    /// Exactly one write(2) of exactly these bytes.
    fn store(&mut self, path: &str, value: &str) -> Result<(), Error>;
    /// The names in a directory, attributes and directories alike, sorted.
    fn list(&self, path: &str) -> Result<Vec<String>, Error>;
    /// Opens the device and stores its descriptor's number to the region's `dev`; returns when the heartbeat is steady.
    fn start_heartbeat(&mut self, region: &str, device: &Path) -> Result<(), Error>;
    /// Where a relative path really is, for error texts.
    fn locate(&self, path: &str) -> PathBuf;
}

/// A list that could not be finished: everything before `index` was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{op}")]
pub struct Failed {
    /// How many ops were done before.
    pub index: usize,
    /// The one that failed.
    pub op: Box<Op>,
    /// Why.
    #[source]
    pub error: Error,
}

/// Does the list in order and stops at the first failure.
pub fn apply(backend: &mut dyn Backend, ops: &[Op]) -> Result<(), Failed> {
    for (index, op) in ops.iter().enumerate() {
        perform(backend, op).map_err(|error| Failed { index, op: Box::new(op.clone()), error })?;
    }
    Ok(())
}

/// Does one op. A setting is read back, because the kernel ignores some stores without a word.
pub fn perform(backend: &mut dyn Backend, op: &Op) -> Result<(), Error> {
    let path = op.path();
    match op.change() {
        Change::Mkdir => backend.mkdir(&path),
        Change::Rmdir => backend.rmdir(&path),
        Change::Store(value) => {
            backend.store(&path, &value)?;
            if matches!(op, Op::StoreAttribute { .. }) { read_back(backend, &path, value) } else { Ok(()) }
        }
    }
}

fn read_back(backend: &dyn Backend, path: &str, value: String) -> Result<(), Error> {
    let reads = backend.show(path)?;
    if reads == value { Ok(()) } else { Err(Error::NotKept { path: backend.locate(path), value, reads }) }
}

/// What goes away while the tree is read, a region at its unmount, is not looked for again more often than this.
const READS_MAX: u32 = 4;

/// Reads everything; `None` if there is no cluster. The kernel allows one cluster: of several, which only a plain
/// directory can have, it is an error to choose.
///
/// A tree has no snapshot: what was listed may be gone before it is read. Then all is read again.
pub fn read_tree(backend: &dyn Backend) -> Result<Option<Tree>, Error> {
    let is_gone = |read: &Result<_, Error>| read.as_ref().is_err_and(|error| error.errno() == Some(Errno::ENOENT.0));
    let again = (1..READS_MAX).map(|_| read_once(backend)).find(|read| !is_gone(read));
    again.unwrap_or_else(|| read_once(backend))
}

fn read_once(backend: &dyn Backend) -> Result<Option<Tree>, Error> {
    let names = backend.list("")?;
    match names.as_slice() {
        [] => Ok(None),
        [name] => Reader { backend, cluster: name }.tree().map(Some),
        several => Err(unexpected(backend, "", several.join(" "), "one cluster")),
    }
}

fn unexpected(backend: &dyn Backend, path: &str, value: String, expected: impl ToString) -> Error {
    Error::Unexpected { path: backend.locate(path), value, expected: expected.to_string() }
}

struct Reader<'a> {
    backend: &'a dyn Backend,
    cluster: &'a str,
}

impl Reader<'_> {
    fn tree(&self) -> Result<Tree, Error> {
        let (nodes, incomplete) = self.entries()?;
        Ok(Tree {
            name: self.cluster.to_owned(),
            attributes: self.attributes()?,
            nodes,
            incomplete,
            regions: self.regions()?,
        })
    }

    fn attributes(&self) -> Result<Attributes, Error> {
        Ok(Attributes {
            idle_timeout_ms: self.number("idle_timeout_ms")?,
            keepalive_delay_ms: self.number("keepalive_delay_ms")?,
            reconnect_delay_ms: self.number("reconnect_delay_ms")?,
            fence_method: self.word("fence_method", &[FenceMethod::Reset, FenceMethod::Panic])?,
            dead_threshold: self.number("heartbeat/dead_threshold")?,
            heartbeat_mode: self.word("heartbeat/mode", &[HeartbeatMode::Local, HeartbeatMode::Global])?,
        })
    }

    fn entries(&self) -> Result<Entries, Error> {
        let names = self.backend.list(&format!("{}/node", self.cluster))?;
        let entries: Vec<Shown> = names.iter().map(|name| self.entry(name)).collect::<Result<_, _>>()?;
        Ok(sorted(entries))
    }

    fn entry(&self, name: &str) -> Result<Shown, Error> {
        let path = ["node/", name].concat();
        let at = |attribute: &str| [path.as_str(), "/", attribute].concat();
        let name = NodeName::new(name).map_err(|rule| self.unexpected(&path, name, rule))?;
        let address = self.parse(&at("ipv4_address"), "an IPv4 address", |text| text.parse::<Ipv4Addr>().ok())?;
        let port = self.number(&at("ipv4_port"))?;
        let num = self.parse(&at("num"), "a node number", |text| NodeNum::new(text.parse().ok()?).ok())?;
        let local = self.parse(&at("local"), "0 or 1", flag)?;
        Ok(Shown { name, num, address, port, local })
    }

    /// Directories below `heartbeat`; what else is there are attributes, whose names no region can have.
    fn regions(&self) -> Result<BTreeMap<RegionName, Region>, Error> {
        let mut regions = BTreeMap::new();
        for name in self.backend.list(&format!("{}/heartbeat", self.cluster))? {
            if matches!(name.as_str(), "dead_threshold" | "mode") {
                continue;
            }
            let path = format!("heartbeat/{name}");
            let key = RegionName::new(name.as_str()).map_err(|rule| self.unexpected(&path, &name, rule))?;
            regions.insert(key, self.region(&path)?);
        }
        Ok(regions)
    }

    /// `dev` and `pid` read empty until the heartbeat was started; the kernel sets the device first, so it is read last.
    fn region(&self, path: &str) -> Result<Region, Error> {
        let pid = self.parse(&format!("{path}/pid"), "a process id or nothing", |text| match text {
            "" => Some(None),
            digits => digits.parse().ok().map(Some),
        })?;
        let device = self.text(&format!("{path}/dev"))?;
        Ok(Region { device: Some(device).filter(|device| !device.is_empty()), pid })
    }

    fn number(&self, path: &str) -> Result<u32, Error> {
        self.parse(path, "a number", |text| text.parse().ok())
    }

    fn word<T: Copy + ToString>(&self, path: &str, words: &[T]) -> Result<T, Error> {
        self.parse(path, "a known word", |text| words.iter().find(|word| word.to_string() == text).copied())
    }

    fn parse<T>(&self, path: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
        let text = self.text(path)?;
        read(&text).ok_or_else(|| self.unexpected(path, &text, expected))
    }

    /// One attribute without its newline.
    fn text(&self, path: &str) -> Result<String, Error> {
        let mut text = self.backend.show(&[self.cluster, "/", path].concat())?;
        text.truncate(text.trim_end_matches('\n').len());
        Ok(text)
    }

    fn unexpected(&self, path: &str, value: &str, expected: impl ToString) -> Error {
        unexpected(self.backend, &format!("{}/{path}", self.cluster), value.to_owned(), expected)
    }
}

/// Numbered and unnumbered entries of a [`Tree`].
pub(crate) type Entries = (BTreeMap<NodeNum, Node>, BTreeMap<NodeName, Incomplete>);

/// The attributes of an entry as they read; what was never stored reads 0.
pub(crate) struct Shown {
    pub(crate) name: NodeName,
    pub(crate) num: NodeNum,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u32,
    pub(crate) local: bool,
}

/// Tells entries with a number from those without, as far as can be told; see [`Tree`] for the ones that read number 0.
pub(crate) fn sorted(entries: impl IntoIterator<Item = Shown>) -> Entries {
    let (mut nodes, mut incomplete, mut zeros) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for Shown { name, num, address, port, local } in entries {
        let (address, port) = (Address::new(address).ok(), Port::new(port).ok());
        match address.zip(port) {
            None => drop(incomplete.insert(name, Incomplete { address, port })),
            Some((address, port)) => {
                let node = Node { name, num, address, port, local };
                if num == NodeNum::ZERO && !local { zeros.push(node) } else { drop(nodes.insert(num, node)) }
            }
        }
    }
    if let (1, false) = (zeros.len(), nodes.contains_key(&NodeNum::ZERO)) {
        nodes.extend(zeros.drain(..).map(|node| (node.num, node)));
    }
    let doubtful = |node: Node| (node.name, Incomplete { address: Some(node.address), port: Some(node.port) });
    incomplete.extend(zeros.into_iter().map(doubtful));
    (nodes, incomplete)
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}
