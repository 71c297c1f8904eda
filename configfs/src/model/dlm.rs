//! The DLM's tree. It has hardly any rules: any number of clusters, everything can be stored again, nothing is pinned.
//! A new cluster starts with what was last stored to any, and so outlives its directory.
//!
//! Source: linux fs/dlm/config.c; recorded in tests/kernel/dlm.jsonl and dlm-more.jsonl.

use std::collections::BTreeMap;

use super::Model;
use super::number::{strict_signed, strict_unsigned, text};
use super::tree::{Attribute, Class, DirId};
use crate::error::Errno;

/// Bytes of a sockaddr_storage: what one store to `addr` must be.
const ADDR_LEN: usize = 128;
/// Bytes of a cluster's name, the NUL apart.
const CLUSTER_NAME_LEN_MAX: usize = 63;

/// Values that were stored, as they are shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Module {
    values: BTreeMap<(DirId, &'static str), String>,
    /// What the next cluster starts with.
    defaults: BTreeMap<&'static str, String>,
}

pub(super) static CLUSTERS: Class = Class { make: Some(|_, _, _| Ok(&CLUSTER)), ..Class::BARE };

/// An attribute of a cluster that holds an unsigned number; the macro names it three times for us.
macro_rules! setting {
    ($name:literal, $fresh:literal, $allowed:expr) => {
        Attribute::new(
            $name,
            |model, id| show(model, id, $name, $fresh),
            |model, id, bytes| store_setting(model, id, $name, setting(bytes, $allowed)?),
        )
    };
}

/// An attribute of anything else, for which any number does.
macro_rules! number {
    ($name:literal, $fresh:literal) => {
        Attribute::new(
            $name,
            |model, id| show(model, id, $name, $fresh),
            |model, id, bytes| store(model, id, $name, strict_signed(bytes)?.to_string()),
        )
    };
}

static CLUSTER: Class = Class {
    attributes: &[
        setting!("buffer_size", "4096", positive),
        Attribute::new("cluster_name", |model, id| show(model, id, "cluster_name", ""), store_cluster_name),
        setting!("log_debug", "0", any),
        setting!("log_info", "1", any),
        setting!("mark", "0", any),
        setting!("new_rsb_count", "128", any),
        setting!("protocol", "0", |value| value == 0 || value == 1),
        setting!("recover_callbacks", "0", any),
        setting!("recover_timer", "5", positive),
        setting!("rsbtbl_size", "1024", positive),
        setting!("scan_secs", "5", positive),
        setting!("tcp_port", "21064", positive),
        setting!("toss_secs", "10", positive),
    ],
    groups: &[("comms", &COMMS), ("spaces", &SPACES)],
    init: inherit,
    release: forget,
    ..Class::BARE
};

static COMMS: Class = Class { make: Some(|_, _, _| Ok(&COMM)), ..Class::BARE };

static COMM: Class = Class {
    attributes: &[
        Attribute::write_only("addr", store_addr),
        Attribute::read_only("addr_list", |_, _| Ok(String::new())),
        number!("local", "0"),
        Attribute::new("mark", |model, id| show(model, id, "mark", "0"), store_mark),
        number!("nodeid", "-1"),
    ],
    release: forget,
    ..Class::BARE
};

static SPACES: Class = Class { make: Some(|_, _, _| Ok(&SPACE)), ..Class::BARE };
static SPACE: Class = Class { groups: &[("nodes", &MEMBERS)], ..Class::BARE };
static MEMBERS: Class = Class { make: Some(|_, _, _| Ok(&MEMBER)), ..Class::BARE };

static MEMBER: Class =
    Class { attributes: &[number!("nodeid", "-1"), number!("weight", "1")], release: forget, ..Class::BARE };

fn any(_value: u32) -> bool {
    true
}

fn positive(value: u32) -> bool {
    value > 0
}

fn setting(bytes: &[u8], allowed: fn(u32) -> bool) -> Result<String, Errno> {
    let value = strict_unsigned(bytes)?;
    if allowed(value) { Ok(value.to_string()) } else { Err(Errno::EINVAL) }
}

fn show(model: &Model, id: DirId, name: &'static str, fresh: &str) -> Result<String, Errno> {
    let value = model.dlm.values.get(&(id, name)).map_or(fresh, String::as_str);
    Ok(format!("{value}\n"))
}

fn store(model: &mut Model, id: DirId, name: &'static str, value: String) -> Result<(), Errno> {
    model.dlm.values.insert((id, name), value);
    Ok(())
}

/// Other clusters that exist keep their value.
fn store_setting(model: &mut Model, id: DirId, name: &'static str, value: String) -> Result<(), Errno> {
    model.dlm.defaults.insert(name, value.clone());
    store(model, id, name, value)
}

fn inherit(model: &mut Model, id: DirId) {
    let defaults = model.dlm.defaults.clone();
    model.dlm.values.extend(defaults.into_iter().map(|(name, value)| ((id, name), value)));
}

/// Kept with its newline, if it has one; every later mount then fails.
fn store_cluster_name(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let text = text(bytes);
    let kept = String::from_utf8_lossy(&text[..text.len().min(CLUSTER_NAME_LEN_MAX)]).into_owned();
    store_setting(model, id, "cluster_name", kept)
}

/// One whole sockaddr_storage; what is in it makes no difference here.
fn store_addr(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    if bytes.len() == ADDR_LEN { store(model, id, "addr", String::new()) } else { Err(Errno::EINVAL) }
}

/// The mark goes to a peer's address.
fn store_mark(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let mark = strict_unsigned(bytes)?;
    if model.dlm.values.contains_key(&(id, "addr")) {
        store(model, id, "mark", mark.to_string())
    } else {
        Err(Errno::ENOENT)
    }
}

fn forget(model: &mut Model, id: DirId) {
    model.dlm.values.retain(|(owner, _), _| *owner != id);
}
