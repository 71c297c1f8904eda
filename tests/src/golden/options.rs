//! The small values that commands take.

use crate::sim::agenda::{MS, Micros, SECOND};
use crate::sim::kernel::{DEVICE, VOLUME};
use agent_core::ids::NodeId;
use agent_core::mount_client::MountAsk;
use agent_core::policy::{Fence, Forget, Policy};
use configfs::HeartbeatMode;
use proto::control::{Ask, Condition};

/// `5s`, `200ms`.
pub(super) fn time(text: &str) -> Result<Micros, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, MS),
        None => (text.strip_suffix('s').ok_or_else(|| format!("{text:?} is no time: 5s, 200ms"))?, SECOND),
    };
    Ok(number::<Micros>(digits)? * unit)
}

pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// `1,2`.
pub(super) fn nodes(text: &str) -> Result<Vec<u32>, String> {
    text.split(',').map(number).collect()
}

/// `dead_threshold=41`, `forget=gone`, `number=300:7`.
pub(super) fn set(policy: &mut Policy, option: &str) -> Result<(), String> {
    let (name, value) = option.split_once('=').ok_or_else(|| format!("{option:?} is not NAME=VALUE"))?;
    match name {
        "dead_threshold" => policy.attributes.dead_threshold = number(value)?,
        "idle_timeout_ms" => policy.attributes.idle_timeout_ms = number(value)?,
        "keepalive_delay_ms" => policy.attributes.keepalive_delay_ms = number(value)?,
        "port" => policy.port = number(value)?,
        "mode" if value == "global" => policy.attributes.heartbeat_mode = HeartbeatMode::Global,
        "fence" if value == "command" => policy.fence = Fence::Command,
        "fence" if value == "manual" => policy.fence = Fence::Manual,
        "restart_grace_ms" => policy.restart_grace_ms = number(value)?,
        "forget" if value == "gone" => policy.forget = Forget::Gone,
        "forget" if value == "unconfigured" => policy.forget = Forget::Unconfigured,
        "number" => {
            let (nodeid, number) = value.split_once(':').ok_or_else(|| format!("{value:?} is not NODEID:NUMBER"))?;
            policy.numbers.insert(NodeId(self::number(nodeid)?), self::number(number)?);
        }
        _ => return Err(format!("no setting {option:?}")),
    }
    Ok(())
}

/// `3=0:fence`: the group has not recovered from the death of node 3.
pub(super) fn behind(text: &str) -> Result<(NodeId, String), String> {
    let (node, group) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NODE=LEVEL:NAME"))?;
    Ok((NodeId(number(node)?), group.to_owned()))
}

/// What a client asks.
pub(super) fn ask(words: &[&str]) -> Result<Ask, String> {
    Ok(match words {
        ["can-stop"] => Ask::CanStop,
        ["plan"] => Ask::Plan,
        ["ack-dead", node] => Ask::AckDead { node: (*node).to_owned(), by: "alice".into() },
        ["forget", node] => Ask::Forget { node: (*node).to_owned() },
        ["pin", text] => Ask::Pin { text: (*text).to_owned(), node: None },
        ["pin", text, node] => Ask::Pin { text: (*text).to_owned(), node: Some((*node).to_owned()) },
        ["unpin", text] => Ask::Unpin { text: (*text).to_owned(), node: None },
        ["unpin", text, node] => Ask::Unpin { text: (*text).to_owned(), node: Some((*node).to_owned()) },
        ["wait", "ready"] => Ask::Wait(Condition::Ready),
        ["wait", "settled"] => Ask::Wait(Condition::Settled),
        ["wait", "quorate"] => Ask::Wait(Condition::Quorate),
        ["wait", "ready", node] => Ask::Wait(Condition::NodeReady((*node).to_owned())),
        ["wait", "gone", node] => Ask::Wait(Condition::NodeGone((*node).to_owned())),
        _ => return Err(format!("nothing to ask: {}", words.join(" "))),
    })
}

/// What a mount tool says about the one volume: `mount`, `result 0`, `unmount`, each with the service if it is not a mount.
pub(super) fn tool(words: &[&str]) -> Result<MountAsk, String> {
    let (fstype, uuid) = ("ocfs2".to_owned(), VOLUME.to_owned());
    let service = |rest: &[&str]| rest.first().copied().unwrap_or("ocfs2").to_owned();
    Ok(match words {
        ["mount", rest @ ..] => MountAsk::Mount {
            fstype,
            uuid,
            cluster: "lab".into(),
            device: DEVICE.into(),
            number: Ok((98, 0)),
            service: service(rest),
        },
        ["mount-of", cluster, uuid] => MountAsk::Mount {
            fstype,
            uuid: (*uuid).to_owned(),
            cluster: (*cluster).to_owned(),
            device: DEVICE.into(),
            number: Ok((98, 16)),
            service: service(&[]),
        },
        ["result", errno, rest @ ..] => {
            MountAsk::Result { fstype, uuid, errno: (*errno).to_owned(), service: service(rest) }
        }
        ["unmount", rest @ ..] => MountAsk::Unmount { fstype, uuid, service: service(rest) },
        ["list"] => MountAsk::ListVolumes { fstype, cluster: "lab".into() },
        ["list-mounts"] => MountAsk::ListMounts { fstype, uuid },
        ["dump"] => MountAsk::Dump,
        _ => return Err(format!("no tool says {}", words.join(" "))),
    })
}
