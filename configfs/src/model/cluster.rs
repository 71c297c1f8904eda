//! The o2cb node manager: `cluster/NAME`, its settings and its node entries. Regions are in `heartbeat.rs`.
//!
//! Source: linux fs/ocfs2/cluster/nodemanager.c; recorded in tests/kernel/node-attrs.jsonl and cluster-attrs.jsonl.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Model;
use super::heartbeat::{HEARTBEAT, Heartbeat};
use super::number::{dotted_quad, loose, same_word};
use super::tree::{Attribute, Class, DirId};
use crate::attributes::{Attributes, FenceMethod};
use crate::error::Errno;
use crate::name::NODE_NAME_LEN_MAX;
use crate::node::{NODE_NUM_MAX, PORT_MAX};

/// The whole module's memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Module {
    pub(super) settings: Settings,
    pub(super) nodes: BTreeMap<DirId, Entry>,
    pub(super) heartbeat: Heartbeat,
    /// Numbers of nodes with an o2net connection object.
    pub(super) peers: BTreeSet<u8>,
    /// Addresses a socket can be bound to; `None`: any.
    pub(super) host_addresses: Option<BTreeSet<Ipv4Addr>>,
    /// Set when a thread of this kernel would have died.
    pub(super) oopsed: bool,
}

/// What belongs to the one cluster directory.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    idle_timeout_ms: u32,
    keepalive_delay_ms: u32,
    reconnect_delay_ms: u32,
    fence_method: FenceMethod,
    /// Some entry was made local. Stays set when 0 is stored to `local`: kept on purpose, the kernel does it; see the
    /// EBUSY near the end of node-attrs.jsonl.
    has_local: bool,
    local_num: Option<u8>,
    listening: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        let fresh = Attributes::KERNEL_DEFAULTS;
        Self {
            idle_timeout_ms: fresh.idle_timeout_ms,
            keepalive_delay_ms: fresh.keepalive_delay_ms,
            reconnect_delay_ms: fresh.reconnect_delay_ms,
            fence_method: fresh.fence_method,
            has_local: false,
            local_num: None,
            listening: None,
        }
    }
}

/// A node entry; each field but `local` can be stored once.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    num: Option<u8>,
    address: Option<Ipv4Addr>,
    port: Option<u16>,
    local: bool,
}

impl Entry {
    /// Number, address, port, and whether it is local; 0 where nothing was stored.
    pub(super) fn shown(&self) -> (u8, Ipv4Addr, u16, bool) {
        let address = self.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        (self.num.unwrap_or(0), address, self.port.unwrap_or(0), self.local)
    }
}

impl Module {
    /// Sockets listening on that port.
    pub(super) fn listeners(&self, port: u16) -> usize {
        usize::from(self.settings.listening == Some(port))
    }

    pub(super) fn attributes(&self) -> Attributes {
        let Settings { idle_timeout_ms, keepalive_delay_ms, reconnect_delay_ms, fence_method, .. } = self.settings;
        let (dead_threshold, heartbeat_mode) = self.heartbeat.settings();
        Attributes {
            idle_timeout_ms,
            keepalive_delay_ms,
            reconnect_delay_ms,
            fence_method,
            dead_threshold,
            heartbeat_mode,
        }
    }

    pub(super) fn this_node(&self) -> Option<u8> {
        self.settings.local_num
    }
}

pub(super) static CLUSTERS: Class = Class { make: Some(make_cluster), ..Class::BARE };

static CLUSTER: Class = Class {
    attributes: &[
        Attribute::new("idle_timeout_ms", |model, _| number(model.cluster.settings.idle_timeout_ms), store_idle),
        Attribute::new(
            "keepalive_delay_ms",
            |model, _| number(model.cluster.settings.keepalive_delay_ms),
            store_keepalive,
        ),
        Attribute::new(
            "reconnect_delay_ms",
            |model, _| number(model.cluster.settings.reconnect_delay_ms),
            store_reconnect,
        ),
        Attribute::new(
            "fence_method",
            |model, _| Ok(format!("{}\n", model.cluster.settings.fence_method)),
            store_fence,
        ),
    ],
    groups: &[("heartbeat", &HEARTBEAT), ("node", &NODES)],
    release: |model, _| model.cluster.settings = Settings::default(),
    ..Class::BARE
};

static NODES: Class = Class { make: Some(make_node), ..Class::BARE };

static NODE: Class = Class {
    attributes: &[
        Attribute::new("num", |model, id| entry(model, id, |entry| entry.shown().0.to_string()), store_num),
        Attribute::new("ipv4_port", |model, id| entry(model, id, |entry| entry.shown().2.to_string()), store_port),
        Attribute::new("ipv4_address", |model, id| entry(model, id, shown_address), store_address),
        Attribute::new("local", |model, id| entry(model, id, |entry| u8::from(entry.local).to_string()), store_local),
    ],
    busy: is_used,
    init: |model, id| {
        model.cluster.nodes.insert(id, Entry::default());
    },
    release: release_node,
    ..Class::BARE
};

fn number(value: u32) -> Result<String, Errno> {
    Ok(format!("{value}\n"))
}

fn entry(model: &Model, id: DirId, text: fn(&Entry) -> String) -> Result<String, Errno> {
    model.cluster.nodes.get(&id).map(|entry| text(entry) + "\n").ok_or(Errno::ENOENT)
}

fn shown_address(entry: &Entry) -> String {
    entry.shown().1.to_string()
}

/// One cluster at a time.
fn make_cluster(model: &mut Model, parent: DirId, _name: &str) -> Result<&'static Class, Errno> {
    if model.tree.dir(parent)?.children.is_empty() { Ok(&CLUSTER) } else { Err(Errno::ENOSPC) }
}

fn make_node(_model: &mut Model, _parent: DirId, name: &str) -> Result<&'static Class, Errno> {
    if name.len() > NODE_NAME_LEN_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(&NODE) }
}

/// A setting in milliseconds: 1 to 4294967294.
fn milliseconds(bytes: &[u8]) -> Result<u32, Errno> {
    match loose(bytes)? {
        0 => Err(Errno::EINVAL),
        value => u32::try_from(value).ok().filter(|value| *value < u32::MAX).ok_or(Errno::ERANGE),
    }
}

/// With a peer connected only the value in force is taken.
fn store_idle(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let value = milliseconds(bytes)?;
    let settings = &mut model.cluster.settings;
    let frozen = !model.cluster.peers.is_empty() && value != settings.idle_timeout_ms;
    if frozen || value <= settings.keepalive_delay_ms {
        return Err(Errno::EINVAL);
    }
    settings.idle_timeout_ms = value;
    Ok(())
}

fn store_keepalive(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let value = milliseconds(bytes)?;
    let settings = &mut model.cluster.settings;
    let frozen = !model.cluster.peers.is_empty() && value != settings.keepalive_delay_ms;
    if frozen || value >= settings.idle_timeout_ms {
        return Err(Errno::EINVAL);
    }
    settings.keepalive_delay_ms = value;
    Ok(())
}

fn store_reconnect(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    model.cluster.settings.reconnect_delay_ms = milliseconds(bytes)?;
    Ok(())
}

/// The whole word in any letter case, and a newline.
fn store_fence(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let word = bytes.strip_suffix(b"\n").ok_or(Errno::EINVAL)?;
    let is = |method: &FenceMethod| {
        let name = method.as_str();
        word.len() == name.len() && same_word(word, name, name.len())
    };
    let methods = [FenceMethod::Reset, FenceMethod::Panic];
    model.cluster.settings.fence_method = methods.into_iter().find(is).ok_or(Errno::EINVAL)?;
    Ok(())
}

/// The number is checked before "already set", so its own number again is EEXIST, not EBUSY.
fn store_num(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let num = u8::try_from(loose(bytes)?).ok().filter(|num| *num <= NODE_NUM_MAX).ok_or(Errno::ERANGE)?;
    let nodes = &mut model.cluster.nodes;
    let taken = nodes.values().any(|other| other.num == Some(num));
    let entry = nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
    if entry.address.is_none() || entry.port.is_none() {
        return Err(Errno::EINVAL);
    }
    store_once(&mut entry.num, num, taken)
}

fn store_port(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let value = loose(bytes)?;
    if value == 0 {
        return Err(Errno::EINVAL);
    }
    let port = u16::try_from(value).ok().filter(|port| *port <= PORT_MAX).ok_or(Errno::ERANGE)?;
    let entry = model.cluster.nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
    store_once(&mut entry.port, port, false)
}

fn store_address(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let address = dotted_quad(bytes)?;
    let nodes = &mut model.cluster.nodes;
    let taken = nodes.values().any(|other| other.address == Some(address));
    let entry = nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
    store_once(&mut entry.address, address, taken)
}

fn store_once<T>(field: &mut Option<T>, value: T, taken: bool) -> Result<(), Errno> {
    match field {
        _ if taken => Err(Errno::EEXIST),
        Some(_) => Err(Errno::EBUSY),
        None => {
            *field = Some(value);
            Ok(())
        }
    }
}

/// Anything but 0 makes the entry local. 0 on the local entry closes the socket and forgets which entry it was, but not
/// that there was one; with a heartbeat running it kills the kernel.
fn store_local(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let wanted = loose(bytes)? != 0;
    let module = &mut model.cluster;
    let entry = module.nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
    let (Some(num), Some(address), Some(port)) = (entry.num, entry.address, entry.port) else {
        return Err(Errno::EINVAL);
    };
    let settings = &mut module.settings;
    if wanted && settings.has_local && settings.local_num != Some(num) {
        return Err(Errno::EBUSY);
    }
    if wanted && !settings.has_local {
        if module.host_addresses.as_ref().is_some_and(|host| !host.contains(&address)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        settings.listening = Some(port);
    }
    if !wanted && settings.local_num == Some(num) {
        settings.listening = None;
        settings.local_num = None;
        module.oopsed |= module.heartbeat.is_running();
    }
    entry.local = wanted;
    if wanted {
        settings.has_local = true;
        settings.local_num = Some(num);
    }
    Ok(())
}

/// The local entry while any region heartbeats, a remote one while a connection object to it exists.
fn is_used(model: &Model, id: DirId) -> bool {
    model.cluster.nodes.get(&id).is_some_and(|entry| {
        let heartbeats = entry.local && model.cluster.heartbeat.is_running();
        heartbeats || entry.num.is_some_and(|num| model.cluster.peers.contains(&num))
    })
}

fn release_node(model: &mut Model, id: DirId) {
    let num = model.cluster.nodes.remove(&id).and_then(|entry| entry.num);
    let settings = &mut model.cluster.settings;
    if num.is_some() && settings.local_num == num {
        settings.has_local = false;
        settings.local_num = None;
        settings.listening = None;
    }
}
