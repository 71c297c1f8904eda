//! The DLM's tree. It has hardly any rules: any number of clusters, everything can be stored again, nothing is pinned.
//!
//! Source: linux fs/dlm/config.c; recorded in tests/kernel/dlm.jsonl.

use std::collections::BTreeMap;

use super::Model;
use super::number::strict;
use super::tree::{Attribute, Class, DirId};
use crate::error::Errno;

/// Bytes of a sockaddr_storage: what one store to `addr` must be.
const ADDR_LEN: usize = 128;
/// Bytes of a cluster's name, the NUL apart.
const CLUSTER_NAME_LEN_MAX: usize = 63;

/// The values that differ from a fresh directory's, as they are shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Module {
    values: BTreeMap<(DirId, &'static str), String>,
}

pub(super) static CLUSTERS: Class = Class { make: Some(|_, _, _| Ok(&CLUSTER)), ..Class::BARE };

/// An attribute that holds a number; the macro names it three times for us.
macro_rules! number {
    ($name:literal, $fresh:literal, $check:expr) => {
        Attribute::new(
            $name,
            |model, id| show(model, id, $name, $fresh),
            |model, id, bytes| store(model, id, $name, checked(bytes, $check)?),
        )
    };
}

static CLUSTER: Class = Class {
    attributes: &[
        number!("buffer_size", "4096", positive),
        Attribute::new("cluster_name", |model, id| show(model, id, "cluster_name", ""), store_cluster_name),
        number!("log_debug", "0", any),
        number!("log_info", "1", any),
        number!("mark", "0", any),
        number!("new_rsb_count", "128", any),
        number!("protocol", "0", |value| value == 0 || value == 1),
        number!("recover_callbacks", "0", any),
        number!("recover_timer", "5", positive),
        number!("rsbtbl_size", "1024", positive),
        number!("scan_secs", "5", positive),
        number!("tcp_port", "21064", positive),
        number!("toss_secs", "10", positive),
    ],
    groups: &[("comms", &COMMS), ("spaces", &SPACES)],
    release: forget,
    ..Class::BARE
};

static COMMS: Class = Class { make: Some(|_, _, _| Ok(&COMM)), ..Class::BARE };

static COMM: Class = Class {
    attributes: &[
        Attribute::write_only("addr", store_addr),
        Attribute::read_only("addr_list", |_, _| Ok(String::new())),
        number!("local", "0", any),
        number!("mark", "0", any),
        number!("nodeid", "-1", any),
    ],
    release: forget,
    ..Class::BARE
};

static SPACES: Class = Class { make: Some(|_, _, _| Ok(&SPACE)), ..Class::BARE };
static SPACE: Class = Class { groups: &[("nodes", &MEMBERS)], ..Class::BARE };
static MEMBERS: Class = Class { make: Some(|_, _, _| Ok(&MEMBER)), ..Class::BARE };

static MEMBER: Class =
    Class { attributes: &[number!("nodeid", "-1", any), number!("weight", "1", any)], release: forget, ..Class::BARE };

fn any(_value: i64) -> bool {
    true
}

fn positive(value: i64) -> bool {
    value > 0
}

fn checked(bytes: &[u8], allowed: fn(i64) -> bool) -> Result<String, Errno> {
    let value = strict(bytes)?;
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

/// Kept with its newline, if it has one; every later mount then fails.
fn store_cluster_name(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let text = String::from_utf8_lossy(super::number::text(bytes)).into_owned();
    let end = (0..=CLUSTER_NAME_LEN_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    store(model, id, "cluster_name", text[..end.unwrap_or(0)].to_owned())
}

/// One whole sockaddr_storage; which addresses there are already makes no difference here.
fn store_addr(_model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    if bytes.len() == ADDR_LEN { Ok(()) } else { Err(Errno::EINVAL) }
}

fn forget(model: &mut Model, id: DirId) {
    model.dlm.values.retain(|(owner, _), _| *owner != id);
}
