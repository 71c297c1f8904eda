//! `heartbeat/`: the two module-wide settings, and regions.
//!
//! Source: linux fs/ocfs2/cluster/heartbeat.c; recorded in tests/kernel/cluster-attrs.jsonl.

use std::collections::BTreeMap;

use super::Model;
use super::number::{loose, loose_decimal, same_word};
use super::tree::{Attribute, Class, DirId};
use crate::attributes::{Attributes, HeartbeatMode};
use crate::error::Errno;
use crate::name::REGION_NAME_LEN_MAX;

/// Lower and equal values are ignored.
const IGNORED_THRESHOLD_MAX: u32 = 2;
const BLOCK_BYTES_MIN: u64 = 512;
const BLOCK_BYTES_MAX: u64 = 4096;
/// One block per node.
const BLOCKS_MAX: u64 = 255;
/// The first heartbeat thread's number; any will do.
const FIRST_PID: u32 = 1000;

#[derive(Debug, Clone)]
pub(super) struct Heartbeat {
    dead_threshold: u32,
    mode: HeartbeatMode,
    pub(super) regions: BTreeMap<DirId, Region>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let fresh = Attributes::KERNEL_DEFAULTS;
        Self { dead_threshold: fresh.dead_threshold, mode: fresh.heartbeat_mode, regions: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Region {
    block_bytes: u64,
    start_block: u64,
    blocks: u64,
    device: Option<String>,
    /// Whoever started it was killed meanwhile: the thread has ended, and its `pid` stays.
    broken_off: bool,
    /// Mounts and whatever else depends on it.
    pub(super) users: u32,
}

impl Region {
    /// The store to `dev` is interrupted while the heartbeat gets steady.
    pub(super) fn break_off(&mut self) {
        (self.device, self.broken_off) = (None, true);
    }
}

impl Region {
    /// As its attributes show it.
    pub(super) fn shown(&self, id: DirId) -> crate::state::Region {
        crate::state::Region { device: self.device.clone(), pid: self.pid(id) }
    }

    fn pid(&self, id: DirId) -> Option<u32> {
        (self.device.is_some() || self.broken_off).then_some(FIRST_PID + id)
    }
}

impl Heartbeat {
    /// The threshold and the mode.
    pub(super) fn settings(&self) -> (u32, HeartbeatMode) {
        (self.dead_threshold, self.mode)
    }

    pub(super) fn is_running(&self) -> bool {
        self.regions.values().any(|region| region.device.is_some())
    }
}

/// Starts the heartbeat, as a store of a descriptor of that device to `dev` does.
pub(super) fn start(model: &mut Model, id: DirId, device: &str) -> Result<(), Errno> {
    let has_local = model.cluster.this_node().is_some();
    model.cluster.oopsed |= region_mut(model, id)?.broken_off;
    let region = region_mut(model, id)?;
    let sized = region.block_bytes > 0 && region.start_block > 0 && region.blocks > 0;
    if !has_local || !sized || region.device.is_some() {
        return Err(Errno::EINVAL);
    }
    region.device = Some(device.to_owned());
    Ok(())
}

pub(super) static HEARTBEAT: Class = Class {
    attributes: &[
        Attribute::new(
            "dead_threshold",
            |model, _| Ok(format!("{}\n", model.cluster.heartbeat.dead_threshold)),
            store_threshold,
        ),
        Attribute::new("mode", |model, _| Ok(format!("{}\n", model.cluster.heartbeat.mode)), store_mode),
    ],
    make: Some(make_region),
    ..Class::BARE
};

static REGION: Class = Class {
    attributes: &[
        Attribute::new(
            "block_bytes",
            |model, id| show(model, id, |region| format!("{}\n", region.block_bytes)),
            store_block_bytes,
        ),
        Attribute::new(
            "start_block",
            |model, id| show(model, id, |region| format!("{}\n", region.start_block)),
            store_start_block,
        ),
        Attribute::new("blocks", |model, id| show(model, id, |region| format!("{}\n", region.blocks)), store_blocks),
        Attribute::new("dev", |model, id| show(model, id, shown_device), store_dev),
        Attribute::read_only("pid", show_pid),
    ],
    busy: |model, id| model.cluster.heartbeat.regions.get(&id).is_some_and(|region| region.users > 0),
    init: |model, id| drop(model.cluster.heartbeat.regions.insert(id, Region::default())),
    release: |model, id| {
        let region = model.cluster.heartbeat.regions.remove(&id);
        model.cluster.oopsed |= region.is_some_and(|region| region.broken_off);
    },
    ..Class::BARE
};

fn show(model: &Model, id: DirId, text: fn(&Region) -> String) -> Result<String, Errno> {
    model.cluster.heartbeat.regions.get(&id).map(text).ok_or(Errno::ENOENT)
}

fn shown_device(region: &Region) -> String {
    region.device.as_ref().map(|device| format!("{device}\n")).unwrap_or_default()
}

fn show_pid(model: &Model, id: DirId) -> Result<String, Errno> {
    let region = model.cluster.heartbeat.regions.get(&id).ok_or(Errno::ENOENT)?;
    Ok(region.pid(id).map(|pid| format!("{pid}\n")).unwrap_or_default())
}

fn make_region(_model: &mut Model, _parent: DirId, name: &str) -> Result<&'static Class, Errno> {
    if name.len() > REGION_NAME_LEN_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(&REGION) }
}

/// Success without effect for 0 to 2, and for any value while a region exists.
fn store_threshold(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let value = loose_decimal(bytes)? as u32;
    let heartbeat = &mut model.cluster.heartbeat;
    if value > IGNORED_THRESHOLD_MAX && heartbeat.regions.is_empty() {
        heartbeat.dead_threshold = value;
    }
    Ok(())
}

/// A word or its beginning, in any letter case, with or without a newline. Success without effect while a region exists.
fn store_mode(model: &mut Model, _id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let word = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let modes = [HeartbeatMode::Local, HeartbeatMode::Global];
    let found = modes.into_iter().find(|mode| !word.is_empty() && same_word(word, mode.as_str(), word.len()));
    let mode = found.ok_or(Errno::EINVAL)?;
    if model.cluster.heartbeat.regions.is_empty() {
        model.cluster.heartbeat.mode = mode;
    }
    Ok(())
}

fn region_mut(model: &mut Model, id: DirId) -> Result<&mut Region, Errno> {
    model.cluster.heartbeat.regions.get_mut(&id).ok_or(Errno::ENOENT)
}

/// Its geometry is fixed once the heartbeat runs.
fn idle_region(model: &mut Model, id: DirId) -> Result<&mut Region, Errno> {
    region_mut(model, id).and_then(|region| if region.device.is_some() { Err(Errno::EINVAL) } else { Ok(region) })
}

fn store_block_bytes(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let region = idle_region(model, id)?;
    let value = loose(bytes)?;
    if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&value) {
        return Err(Errno::ERANGE);
    }
    if !value.is_power_of_two() {
        return Err(Errno::EINVAL);
    }
    region.block_bytes = value;
    Ok(())
}

fn store_start_block(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    idle_region(model, id)?.start_block = loose(bytes)?;
    Ok(())
}

fn store_blocks(model: &mut Model, id: DirId, bytes: &[u8]) -> Result<(), Errno> {
    let region = idle_region(model, id)?;
    let value = loose(bytes)?;
    if !(1..=BLOCKS_MAX).contains(&value) {
        return Err(Errno::ERANGE);
    }
    region.blocks = value;
    Ok(())
}

/// No descriptor of the model's is a block device; [`start`] is the way.
fn store_dev(_model: &mut Model, _id: DirId, _bytes: &[u8]) -> Result<(), Errno> {
    Err(Errno::EINVAL)
}
