//! The settings that exist: one row each.

use super::{Origin, Settings, Values};
use crate::{groupd, telemetry};
use agent_core::ids::NodeId;
use agent_core::policy::{Fence, Forget};
use configfs::{DEAD_THRESHOLD_MAX, DEAD_THRESHOLD_MIN, FenceMethod, HeartbeatMode};
use groupd_compat::machine::{Compat, OnClientDeath};
use std::time::Duration;

/// When a new value is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At once.
    Live,
    /// At once, unless the kernel has a local entry: peers compare these, or the table was agreed with them.
    NotWhileLocal,
    /// When the daemon starts.
    Start,
}

/// One setting.
pub(super) struct Key {
    /// With dots; `*` stands for a nodeid.
    pub(super) name: &'static str,
    default: Option<&'static str>,
    /// Ends the sentence "must be …".
    pub(super) rule: &'static str,
    pub(super) when: When,
    /// Takes the text in; `None` if it breaks the rule.
    pub(super) set: fn(&mut Settings, key: &str, text: &str) -> Option<()>,
}

const MILLISECONDS: &str = "milliseconds from 1 to 4294967294";
const RECORDER_MIN_BYTES: u64 = 64 * 1024;
const RECORDER_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// corosync has up to eight links.
const LINK_MAX: u8 = 7;

const KEYS: &[Key] = &[
    row("fence", "none", "none, command or manual", When::NotWhileLocal, |settings, _, text| {
        settings.policy.fence = match text {
            "none" => Fence::None,
            "command" => Fence::Command,
            "manual" => Fence::Manual,
            _ => return None,
        };
        Some(())
    }),
    row("fence_command", "", "the absolute path of a program", When::Live, |settings, _, text| {
        settings.fence_command = Some(text).filter(|text| text.is_empty() || text.starts_with('/'))?.to_owned();
        Some(())
    }),
    row("fence_timeout_s", "60", "seconds from 1 to 3600", When::Live, |settings, _, text| {
        let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
        settings.fence_timeout = Duration::from_secs(seconds);
        Some(())
    }),
    row("forget", "unconfigured", "unconfigured or gone", When::NotWhileLocal, |settings, _, text| {
        settings.policy.forget = match text {
            "unconfigured" => Forget::Unconfigured,
            "gone" => Forget::Gone,
            _ => return None,
        };
        Some(())
    }),
    row("link", "0", "a link of corosync from 0 to 7", When::NotWhileLocal, |settings, _, text| {
        settings.link = text.parse().ok().filter(|link| *link <= LINK_MAX)?;
        Some(())
    }),
    row("lock_memory", "false", "true or false", When::Start, |settings, _, text| {
        settings.lock_memory = text.parse().ok()?;
        Some(())
    }),
    row("modprobe", "true", "true or false", When::Start, |settings, _, text| {
        settings.modprobe = text.parse().ok()?;
        Some(())
    }),
    row("control.group", "", "the name of a group of this machine", When::Start, |settings, _, text| {
        settings.control_group = (!text.is_empty()).then(|| text.to_owned());
        Some(())
    }),
    row("legacy.controld", "on", "on or off", When::Start, |settings, _, text| {
        settings.controld = match text {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        Some(())
    }),
    row("legacy.groupd", "off", "off, libgroup, libcpg or detect", When::Start, |settings, _, text| {
        settings.groupd = match text {
            "off" => None,
            "libgroup" => Some(Compat::Libgroup),
            "libcpg" => Some(Compat::Libcpg),
            "detect" => Some(Compat::Detect),
            _ => return None,
        };
        Some(())
    }),
    row("legacy.groupd_socket", groupd::SOCKET, ABSTRACT_NAME, When::Start, |settings, _, text| {
        settings.groupd_socket = Some(text).filter(|text| (1..=ABSTRACT_NAME_MAX).contains(&text.len()))?.to_owned();
        Some(())
    }),
    row("legacy.on_client_death", "kill-node", "leave, hold or kill-node", When::Start, |settings, _, text| {
        settings.on_client_death = match text {
            "leave" => OnClientDeath::Leave,
            "hold" => OnClientDeath::Hold,
            "kill-node" => OnClientDeath::KillNode,
            _ => return None,
        };
        Some(())
    }),
    row("log.level", "info", "directives such as info,cpg_glue=trace", When::Live, |settings, _, text| {
        settings.log_level = text.to_owned();
        telemetry::check(text).ok()
    }),
    Key {
        name: "numbers.*",
        default: None,
        rule: "an o2cb number from 0 to 254",
        when: When::NotWhileLocal,
        set: |settings, key, text| {
            let nodeid = NodeId(nodeid(key)?);
            let number = text.parse().ok().filter(|number| u32::from(*number) <= agent_core::identity::NUMBER_MAX)?;
            settings.policy.numbers.insert(nodeid, number);
            Some(())
        },
    },
    row("o2cb.dead_threshold", "31", DEAD_THRESHOLD, When::NotWhileLocal, |settings, _, text| {
        let fits = |beats: &u32| (DEAD_THRESHOLD_MIN..=DEAD_THRESHOLD_MAX).contains(beats);
        settings.policy.attributes.dead_threshold = text.parse().ok().filter(fits)?;
        Some(())
    }),
    row("o2cb.fence_method", "reset", "reset or panic", When::NotWhileLocal, |settings, _, text| {
        let methods = [FenceMethod::Reset, FenceMethod::Panic];
        settings.policy.attributes.fence_method = methods.into_iter().find(|method| method.as_str() == text)?;
        Some(())
    }),
    row("o2cb.heartbeat_mode", "local", "local or global", When::NotWhileLocal, |settings, _, text| {
        let modes = [HeartbeatMode::Local, HeartbeatMode::Global];
        settings.policy.attributes.heartbeat_mode = modes.into_iter().find(|mode| mode.as_str() == text)?;
        Some(())
    }),
    row("o2cb.idle_timeout_ms", "30000", MILLISECONDS, When::NotWhileLocal, |settings, _, text| {
        settings.policy.attributes.idle_timeout_ms = milliseconds(text)?;
        Some(())
    }),
    row("o2cb.keepalive_delay_ms", "2000", MILLISECONDS, When::NotWhileLocal, |settings, _, text| {
        settings.policy.attributes.keepalive_delay_ms = milliseconds(text)?;
        Some(())
    }),
    row("o2cb.port", "7777", "a port from 1 to 65534", When::NotWhileLocal, |settings, _, text| {
        settings.policy.port = text.parse().ok().filter(|port| (1..u16::MAX).contains(port))?;
        Some(())
    }),
    row("o2cb.reconnect_delay_ms", "2000", MILLISECONDS, When::NotWhileLocal, |settings, _, text| {
        settings.policy.attributes.reconnect_delay_ms = milliseconds(text)?;
        Some(())
    }),
    row("publish_volumes", "true", "true or false", When::Live, |settings, _, text| {
        settings.policy.publish = text.parse().ok()?;
        Some(())
    }),
    row("recorder.size_bytes", "8388608", "bytes from 65536 to 1073741824", When::Start, |settings, _, text| {
        let fits = |bytes: &u64| (RECORDER_MIN_BYTES..=RECORDER_MAX_BYTES).contains(bytes);
        settings.recorder_size_bytes = text.parse().ok().filter(fits)?;
        Some(())
    }),
    row("restart_grace_s", "30", "seconds from 0 (for ever) to 3600", When::Live, |settings, _, text| {
        let seconds: u64 = text.parse().ok().filter(|seconds| *seconds <= 3600)?;
        settings.policy.restart_grace_ms = seconds * 1000;
        Some(())
    }),
];

/// Of `sun_path`, without its leading zero byte.
const ABSTRACT_NAME_MAX: usize = 107;
const ABSTRACT_NAME: &str = "a name of 1 to 107 bytes";
const DEAD_THRESHOLD: &str = "a number of heartbeats from 4 to 2147484";

const fn row(
    name: &'static str,
    default: &'static str,
    rule: &'static str,
    when: When,
    set: fn(&mut Settings, &str, &str) -> Option<()>,
) -> Key {
    Key { name, default: Some(default), rule, when, set }
}

fn milliseconds(text: &str) -> Option<u32> {
    text.parse().ok().filter(|ms| (1..u32::MAX).contains(ms))
}

fn nodeid(key: &str) -> Option<u32> {
    key.strip_prefix("numbers.")?.parse().ok().filter(|nodeid| *nodeid > 0)
}

/// The row of a setting.
pub(super) fn find(key: &str) -> Option<&'static Key> {
    let name = if nodeid(key).is_some() { "numbers.*" } else { key };
    KEYS.iter().find(|known| known.name == name && !(name == "numbers.*" && name == key))
}

/// Whether some setting begins with `name.`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|known| known.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// What every setting is when nobody says anything.
pub(super) fn defaults() -> Values {
    let given = |key: &Key| Some((key.name.to_owned(), (key.default?.to_owned(), Origin::Default)));
    KEYS.iter().filter_map(given).collect()
}

/// The setting that was probably meant: two letters may differ, in a long word a third of them, and the section may be
/// missing.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let distance = |known: &'static str| {
        let last = known.rsplit('.').next().unwrap_or(known);
        letters_apart(key, known).min(letters_apart(key, last))
    };
    let nearest = KEYS.iter().map(|known| known.name).min_by_key(|name| distance(name))?;
    let len = key.chars().count();
    (distance(nearest) <= (len / 3).max(2).min(len / 2)).then_some(nearest)
}

/// Letters to insert, remove or replace between two words (Levenshtein).
fn letters_apart(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_inserted_removed_and_replaced_letters() {
        assert_eq!(letters_apart("", "abc"), 3);
        assert_eq!(letters_apart("treshold", "threshold"), 1);
        assert_eq!(letters_apart("kitten", "sitting"), 3);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(nearest("o2cb.idle_timeout"), Some("o2cb.idle_timeout_ms"));
        assert_eq!(nearest("prot"), Some("o2cb.port"));
        assert_eq!(nearest("stonith_enabled"), None);
    }

    #[test]
    fn a_number_is_set_by_nodeid_only() {
        assert!(find("numbers.300").is_some());
        for bad in ["numbers.*", "numbers.x", "numbers.0", "numbers.4294967296", "numbers"] {
            assert!(find(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_rule_of_the_dead_threshold_says_what_is_checked() {
        assert!(DEAD_THRESHOLD.ends_with(&format!("from {DEAD_THRESHOLD_MIN} to {DEAD_THRESHOLD_MAX}")));
    }
}
