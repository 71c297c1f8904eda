//! As much of the SCSI target's tree as the recorded script of links touches: it is the one subsystem at hand that allows
//! links, so it shows what configfs does with them.
//!
//! Source: linux drivers/target/target_core_configfs.c, target_core_fabric_configfs.c; recorded in
//! tests/kernel/configfs-links.jsonl.

use std::collections::BTreeMap;

use super::Model;
use super::number::loose;
use super::tree::{Attribute, Child, Class, DirId};
use crate::error::Errno;

/// The devices that were told what they stand on.
#[derive(Debug, Clone, Default)]
pub(super) struct Module {
    devices: BTreeMap<DirId, Device>,
}

#[derive(Debug, Clone, Default)]
struct Device {
    parameters: Option<String>,
    enabled: bool,
}

pub(super) static TARGET: Class = Class {
    attributes: &[
        Attribute::new("dbroot", |_, _| Ok("/var/target\n".to_owned()), |_, _, _| Err(Errno::EINVAL)),
        Attribute::read_only("version", unread),
    ],
    groups: &[("core", &CORE)],
    make: Some(|_, _, name| made(name == "loopback", &FABRIC)),
    ..Class::BARE
};

static CORE: Class = Class {
    groups: &[("alua", &Class::BARE)],
    make: Some(|_, _, name| made(name.starts_with("fileio_"), &HBA)),
    ..Class::BARE
};

static HBA: Class = Class {
    attributes: &[Attribute::read_only("hba_info", unread), Attribute::read_only("hba_mode", unread)],
    make: Some(|_, _, _| Ok(&DEVICE)),
    ..Class::BARE
};

static DEVICE: Class = Class {
    attributes: &[
        Attribute::write_only("control", store_control),
        Attribute::new("enable", show_enable, store_enable),
        Attribute::read_only("info", unread),
    ],
    init: |model, id| drop(model.target.devices.insert(id, Device::default())),
    release: |model, id| drop(model.target.devices.remove(&id)),
    ..Class::BARE
};

static FABRIC: Class = Class { make: Some(|_, _, name| made(name.starts_with("naa."), &WWN)), ..Class::BARE };
static WWN: Class = Class { make: Some(|_, _, name| made(name.starts_with("tpgt_"), &TPG)), ..Class::BARE };

static TPG: Class = Class {
    attributes: &[
        Attribute::read_only("address", unread),
        Attribute::read_only("nexus", unread),
        Attribute::read_only("transport_status", unread),
    ],
    groups: &[
        ("acls", &Class::BARE),
        ("attrib", &Class::BARE),
        ("auth", &Class::BARE),
        ("lun", &LUNS),
        ("np", &Class::BARE),
        ("param", &Class::BARE),
    ],
    ..Class::BARE
};

static LUNS: Class = Class { make: Some(|_, _, name| made(name.starts_with("lun_"), &LUN)), ..Class::BARE };

static LUN: Class = Class {
    attributes: &[
        Attribute::read_only("alua_tg_pt_gp", unread),
        Attribute::read_only("alua_tg_pt_offline", unread),
        Attribute::read_only("alua_tg_pt_status", unread),
        Attribute::read_only("alua_tg_pt_write_md", unread),
    ],
    groups: &[("statistics", &Class::BARE)],
    allow_link: Some(link_device),
    ..Class::BARE
};

fn made(known: bool, class: &'static Class) -> Result<&'static Class, Errno> {
    if known { Ok(class) } else { Err(Errno::EINVAL) }
}

/// No recording reads it while its directory lives, so nothing is claimed about its text.
fn unread(_model: &Model, _id: DirId) -> Result<String, Errno> {
    Ok(String::new())
}

fn store_control(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let device = model.target.devices.get_mut(&id).ok_or(Errno::ENODEV)?;
    device.parameters = Some(String::from_utf8_lossy(bytes).into_owned());
    Ok(())
}

fn show_enable(model: &Model, id: DirId) -> Result<String, Errno> {
    let enabled = model.target.devices.get(&id).is_some_and(|device| device.enabled);
    Ok(format!("{}\n", u8::from(enabled)))
}

fn store_enable(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let device = model.target.devices.get_mut(&id).ok_or(Errno::ENODEV)?;
    if loose(bytes)? != 1 || device.parameters.is_none() {
        return Err(Errno::EINVAL);
    }
    device.enabled = true;
    Ok(())
}

/// A unit takes one enabled device. The errnos are the target's own: what is no device is EFAULT.
fn link_device(model: &Model, holder: DirId, target: DirId) -> Result<(), Errno> {
    let device = model.target.devices.get(&target).ok_or(Errno::EFAULT)?;
    if !device.enabled {
        return Err(Errno::ENODEV);
    }
    let linked = model.tree.dir(holder)?.children.values().any(|child| matches!(child, Child::Link(_)));
    if linked { Err(Errno::EEXIST) } else { Ok(()) }
}
