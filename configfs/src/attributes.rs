//! The six settings of a cluster: four belong to the cluster directory, two to the heartbeat module.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;

/// The lowest usable dead threshold. The kernel ignores 0 to 2 without a word; with 3 the negotiation timer equals the
/// heartbeat period, and mounts can hang for ever.
pub const DEAD_THRESHOLD_MIN: u32 = 4;
/// The dead time, (threshold − 1) × 2000 ms, must fit 32 bits.
pub const DEAD_THRESHOLD_MAX: u32 = u32::MAX / 2000 + 1;
/// The kernel refuses 4294967295 with ERANGE.
const MILLISECONDS_MAX: u32 = u32::MAX - 1;

/// What a node does to itself when it must not write any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceMethod {
    /// Restart at once.
    Reset,
    /// Panic, so that kdump can take over.
    Panic,
}

impl FenceMethod {
    /// The word in the tree.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Panic => "panic",
        }
    }
}

/// One heartbeat region per mounted volume, or a few for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatMode {
    /// mount.ocfs2 starts a region on the volume it mounts.
    Local,
    /// Regions are started before the first mount.
    Global,
}

impl HeartbeatMode {
    /// The word in the tree.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Global => "global",
        }
    }
}

impl fmt::Display for FenceMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for HeartbeatMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The settings as the kernel holds them. Any value read from a kernel fits; [`Attributes::check`] says whether it may
/// be wished for, and [`Cluster::new`](crate::Cluster::new) asks.
///
/// idle, keepalive and dead threshold must be equal on all nodes: peers compare them when they connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Milliseconds of silence after which a connection is given up. EINVAL while a peer is connected.
    pub idle_timeout_ms: u32,
    /// Milliseconds of silence after which a keepalive is sent; below idle. EINVAL while a peer is connected.
    pub keepalive_delay_ms: u32,
    /// Milliseconds between attempts to connect. Any time; not compared between peers.
    pub reconnect_delay_ms: u32,
    /// Any time; not compared between peers.
    pub fence_method: FenceMethod,
    /// Heartbeats of 2 s missed before a node is dead. Module-wide; silently kept while a region exists.
    pub dead_threshold: u32,
    /// Module-wide; silently kept while a region exists.
    pub heartbeat_mode: HeartbeatMode,
}

impl Attributes {
    /// What a kernel starts with. The two module-wide ones keep what a former cluster had.
    pub const KERNEL_DEFAULTS: Self = Self {
        idle_timeout_ms: 30_000,
        keepalive_delay_ms: 2_000,
        reconnect_delay_ms: 2_000,
        fence_method: FenceMethod::Reset,
        dead_threshold: 31,
        heartbeat_mode: HeartbeatMode::Local,
    };

    /// The settings, if the kernel would take and survive them.
    pub fn check(self) -> Result<Self, Invalid> {
        self.check_milliseconds()?;
        if self.keepalive_delay_ms >= self.idle_timeout_ms {
            return Err(Invalid::KeepaliveNotBelowIdle {
                keepalive_delay_ms: self.keepalive_delay_ms,
                idle_timeout_ms: self.idle_timeout_ms,
            });
        }
        if !(DEAD_THRESHOLD_MIN..=DEAD_THRESHOLD_MAX).contains(&self.dead_threshold) {
            return Err(Invalid::DeadThreshold(self.dead_threshold));
        }
        Ok(self)
    }

    fn check_milliseconds(&self) -> Result<(), Invalid> {
        for attribute in &self.each()[..3] {
            let (Attribute::IdleTimeoutMs(value)
            | Attribute::KeepaliveDelayMs(value)
            | Attribute::ReconnectDelayMs(value)) = *attribute
            else {
                continue;
            };
            if !(1..=MILLISECONDS_MAX).contains(&value) {
                return Err(Invalid::Milliseconds { attribute: attribute.path().to_owned(), value });
            }
        }
        Ok(())
    }

    /// All six, in the order of the fields.
    pub fn each(&self) -> [Attribute; 6] {
        [
            Attribute::IdleTimeoutMs(self.idle_timeout_ms),
            Attribute::KeepaliveDelayMs(self.keepalive_delay_ms),
            Attribute::ReconnectDelayMs(self.reconnect_delay_ms),
            Attribute::FenceMethod(self.fence_method),
            Attribute::DeadThreshold(self.dead_threshold),
            Attribute::HeartbeatMode(self.heartbeat_mode),
        ]
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::KERNEL_DEFAULTS
    }
}

/// One setting and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the field of Attributes of the same name")]
pub enum Attribute {
    IdleTimeoutMs(u32),
    KeepaliveDelayMs(u32),
    ReconnectDelayMs(u32),
    FenceMethod(FenceMethod),
    DeadThreshold(u32),
    HeartbeatMode(HeartbeatMode),
}

impl Attribute {
    /// Where it lives, below the cluster's directory.
    pub fn path(&self) -> &'static str {
        match self {
            Self::IdleTimeoutMs(_) => "idle_timeout_ms",
            Self::KeepaliveDelayMs(_) => "keepalive_delay_ms",
            Self::ReconnectDelayMs(_) => "reconnect_delay_ms",
            Self::FenceMethod(_) => "fence_method",
            Self::DeadThreshold(_) => "heartbeat/dead_threshold",
            Self::HeartbeatMode(_) => "heartbeat/mode",
        }
    }

    /// The value as the tree shows it, without the newline.
    pub fn value(&self) -> String {
        match self {
            Self::IdleTimeoutMs(value)
            | Self::KeepaliveDelayMs(value)
            | Self::ReconnectDelayMs(value)
            | Self::DeadThreshold(value) => value.to_string(),
            Self::FenceMethod(method) => method.to_string(),
            Self::HeartbeatMode(mode) => mode.to_string(),
        }
    }

    /// Dead threshold and mode belong to the module: they outlive the cluster's directory, and a store while any region
    /// exists succeeds without effect.
    pub fn is_module_wide(&self) -> bool {
        matches!(self, Self::DeadThreshold(_) | Self::HeartbeatMode(_))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path(), self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_defaults_pass() {
        assert_eq!(Attributes::default().check(), Ok(Attributes::KERNEL_DEFAULTS));
    }

    #[test]
    fn keepalive_must_be_below_idle() {
        let equal = Attributes { idle_timeout_ms: 2000, ..Attributes::default() };
        assert_eq!(
            equal.check(),
            Err(Invalid::KeepaliveNotBelowIdle { keepalive_delay_ms: 2000, idle_timeout_ms: 2000 })
        );
    }

    #[test]
    fn dead_thresholds_below_4_are_refused_with_the_reason() {
        for bad in 0..4 {
            let attributes = Attributes { dead_threshold: bad, ..Attributes::default() };
            let refusal = attributes.check().expect_err("too low");
            assert_eq!(refusal, Invalid::DeadThreshold(bad));
            assert!(refusal.to_string().contains("3 leaves stuck heartbeats"));
        }
        assert!(Attributes { dead_threshold: 4, ..Attributes::default() }.check().is_ok());
    }

    #[test]
    fn milliseconds_are_neither_0_nor_all_ones() {
        for bad in [0, u32::MAX] {
            let attributes = Attributes { reconnect_delay_ms: bad, ..Attributes::default() };
            let attribute = "reconnect_delay_ms".to_owned();
            assert_eq!(attributes.check(), Err(Invalid::Milliseconds { attribute, value: bad }));
        }
    }
}
