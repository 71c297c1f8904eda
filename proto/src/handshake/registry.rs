//! Which facts there are: one provider each. A new fact is a new line in [`REGISTRY`], and a line in `version.rs`.
//!
//! A magic is never reused, even when its provider is gone: an older agent may still send it.

use serde::{Deserialize, Serialize};

/// What this node is configured to do and can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the o2cb cluster.
    pub cluster_name: String,
    /// Cluster stack of OCFS2, `o2cb` or the name of a user stack.
    pub stack: String,
    /// o2net: a connection without traffic is dead after this time.
    pub idle_timeout_ms: u32,
    /// o2net: a connection without traffic is probed after this time.
    pub keepalive_delay_ms: u32,
    /// o2net: pause between two attempts to connect.
    pub reconnect_delay_ms: u32,
    /// o2hb: disk heartbeats missed, in iterations of 2 s, after which a node is dead.
    pub dead_threshold: u32,
    /// o2hb: heartbeat on global regions instead of one per mount.
    pub heartbeat_mode_global: bool,
    /// When the entry of a node that is gone is removed.
    pub forget: Forget,
    /// corosync's token time-out.
    pub token_ms: u32,
    /// Hash of corosync's nodelist as this node sees it, made by whoever fills this in.
    pub nodelist_hash: u64,
    /// Oldest and newest protocol version: [`crate::version::MIN`] and [`crate::version::CURRENT`].
    pub protocol: (u16, u16),
    /// What has to be true of a dead node before anything is done about it, the word of our setting `fence`; empty for
    /// "none", which is not sent.
    pub fence: String,
    /// Highest locking protocol of the file system in this node's kernel, major and minor; `None` is not sent.
    pub locking: Option<(u8, u8)>,
    /// One bit for each optional ability of this agent. None is defined yet.
    pub features: u64,
}

/// When the entry of a node that is gone is removed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forget {
    /// When it is also no longer in corosync's nodelist.
    #[default]
    Unconfigured,
    /// As soon as it is gone.
    Gone,
}

/// What two sides do with a block.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Equal byte for byte, or the joiner is refused.
    MustMatch,
    /// Both sides take what both can.
    Negotiated,
    /// For people.
    Shown,
}

/// Produces one block, and renders it for people. Both are pure; `render` takes whatever a peer sent.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Names the block on the wire.
    pub magic: u16,
    /// Names the block for people, in refusals.
    pub name: &'static str,
    /// What is done with it.
    pub rule: Rule,
    /// Protocol version that added it; a must-match block counts only if both sides know it.
    pub since: u16,
    /// Our own block.
    pub produce: fn(&Facts) -> Vec<u8>,
    /// Not sent if it is empty.
    pub optional: bool,
    /// Any side's block as text; bytes of the wrong form as hexadecimal.
    pub render: fn(&[u8]) -> String,
}

/// Versions spoken: `min u16 | newest u16`.
pub(super) const PROTOCOL: Provider = Provider {
    magic: 0x0001,
    name: "protocol version",
    rule: Rule::Negotiated,
    since: 1,
    optional: false,
    produce: |facts| [facts.protocol.0.to_le_bytes(), facts.protocol.1.to_le_bytes()].concat(),
    render: |data| parse_versions(data).map_or_else(|| unreadable(data), versions_text),
};

/// Feature bits: `u64`.
pub(super) const FEATURES: Provider = Provider {
    magic: 0x0002,
    name: "features",
    rule: Rule::Negotiated,
    since: 1,
    optional: false,
    produce: |facts| facts.features.to_le_bytes().into(),
    render: render_bits,
};

/// Locking protocol of the file system: `major u8 | minor u8`.
pub(super) const LOCKING: Provider = Provider {
    magic: 0x0003,
    name: "locking protocol",
    rule: Rule::Negotiated,
    since: 1,
    optional: true,
    produce: |facts| facts.locking.map_or_else(Vec::new, |(major, minor)| vec![major, minor]),
    render: |data| match data {
        [major, minor] => format!("{major}.{minor}"),
        _ => unreadable(data),
    },
};

/// Every provider, by ascending magic. Times are `u32` in milliseconds, names and words are UTF-8 without an end.
///
/// A block for each value rather than one for all, so that a refusal names what differs.
pub const REGISTRY: &[Provider] = &[
    PROTOCOL,
    FEATURES,
    LOCKING,
    must_match(0x0010, "cluster name", |facts| name(&facts.cluster_name), render_text),
    must_match(0x0011, "stack", |facts| name(&facts.stack), render_text),
    must_match(0x0012, "heartbeat mode", |facts| heartbeat_mode(facts).into(), render_text),
    must_match(0x0013, "dead threshold", |facts| facts.dead_threshold.to_le_bytes().into(), render_number),
    must_match(0x0014, "idle time-out", |facts| facts.idle_timeout_ms.to_le_bytes().into(), render_ms),
    must_match(0x0015, "keepalive delay", |facts| facts.keepalive_delay_ms.to_le_bytes().into(), render_ms),
    must_match(0x0016, "forget policy", |facts| forget(facts).into(), render_text),
    Provider { optional: true, ..must_match(0x0017, "fence gate", |facts| name(&facts.fence), render_text) },
    shown(0x0040, "reconnect delay", |facts| facts.reconnect_delay_ms.to_le_bytes().into(), render_ms),
    shown(0x0041, "token time-out", |facts| facts.token_ms.to_le_bytes().into(), render_ms),
    shown(0x0042, "nodelist hash", |facts| facts.nodelist_hash.to_le_bytes().into(), render_bits),
];

const fn must_match(
    magic: u16,
    name: &'static str,
    produce: fn(&Facts) -> Vec<u8>,
    render: fn(&[u8]) -> String,
) -> Provider {
    Provider { magic, name, rule: Rule::MustMatch, since: 1, optional: false, produce, render }
}

const fn shown(
    magic: u16,
    name: &'static str,
    produce: fn(&Facts) -> Vec<u8>,
    render: fn(&[u8]) -> String,
) -> Provider {
    Provider { magic, name, rule: Rule::Shown, since: 1, optional: false, produce, render }
}

/// The provider of a block, if this agent has one.
pub(super) fn provider(magic: u16) -> Option<&'static Provider> {
    REGISTRY.iter().find(|provider| provider.magic == magic)
}

/// Longest name in a block, in bytes; o2cb and OCFS2 allow 64 and less. What is longer is cut: a wrong setting
/// is told to its operator where it is read, not here.
const NAME_BLOCK_LEN_MAX: usize = 255;

fn name(name: &str) -> Vec<u8> {
    name.bytes().take(NAME_BLOCK_LEN_MAX).collect()
}

/// The word of o2cb's own attribute `heartbeat/mode`.
fn heartbeat_mode(facts: &Facts) -> &'static str {
    if facts.heartbeat_mode_global { "global" } else { "local" }
}

/// The word of our setting `forget`.
fn forget(facts: &Facts) -> &'static str {
    match facts.forget {
        Forget::Unconfigured => "unconfigured",
        Forget::Gone => "gone",
    }
}

/// Reads the block of [`PROTOCOL`]; a range that holds nothing is unreadable.
pub(super) fn parse_versions(data: &[u8]) -> Option<(u16, u16)> {
    let &[min_low, min_high, newest_low, newest_high] = data else {
        return None;
    };
    let (min, newest) = (u16::from_le_bytes([min_low, min_high]), u16::from_le_bytes([newest_low, newest_high]));
    (min <= newest).then_some((min, newest))
}

pub(super) fn versions_text((min, newest): (u16, u16)) -> String {
    format!("{min} to {newest}")
}

fn render_text(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => unreadable(data),
    }
}

fn render_number(data: &[u8]) -> String {
    data.try_into().map_or_else(|_| unreadable(data), |number| u32::from_le_bytes(number).to_string())
}

fn render_ms(data: &[u8]) -> String {
    data.try_into().map_or_else(|_| unreadable(data), |number| format!("{} ms", u32::from_le_bytes(number)))
}

fn render_bits(data: &[u8]) -> String {
    data.try_into().map_or_else(|_| unreadable(data), |bits| format!("{:#x}", u64::from_le_bytes(bits)))
}

/// Bytes shown of a block that has not the form its provider gives it.
const UNREADABLE_SHOWN_MAX: usize = 32;

fn unreadable(data: &[u8]) -> String {
    let shown = &data[..data.len().min(UNREADABLE_SHOWN_MAX)];
    format!("{} bytes {}, unreadable", data.len(), crate::json::hex::text(shown))
}
