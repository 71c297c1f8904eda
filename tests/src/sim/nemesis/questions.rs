//! Everything that the command and the tools of a mount can ask, sensible or not.

use crate::sim::kernel::{DEVICE, VOLUME};
use agent_core::mount_client::MountAsk;
use proto::control::{Ask, Condition};

/// A volume that nobody has.
const NO_VOLUME: &str = "B0000000000000000000000000000000";
/// A tool that is not a mount.
const TOOL: &str = "tunefs.ocfs2";

/// What the command asks of a daemon. `node` is what it is asked about.
pub(super) fn of_command(byte: u8, node: String) -> Ask {
    let nobody = || "nobody".to_owned();
    match byte % 24 {
        0 | 1 => Ask::Status,
        2 => Ask::Plan,
        3 => Ask::CanStop,
        4 => Ask::Groups,
        5 => Ask::Wait(Condition::Settled),
        6 => Ask::Wait(Condition::NodeReady(node)),
        7 => Ask::Wait(Condition::NodeGone(node)),
        8 => Ask::Wait(Condition::Quorate),
        9 => Ask::Wait(Condition::Ready),
        10 => Ask::Wait(Condition::NodeReady(nobody())),
        11 => Ask::Forget { node },
        12 => Ask::Forget { node: nobody() },
        13 | 14 => Ask::Pin { text: PIN.into(), node: Some(node) },
        15 | 16 => Ask::Unpin { text: PIN.into(), node: Some(node) },
        17 => Ask::Pin { text: PIN.into(), node: None },
        18 => Ask::Unpin { text: PIN.into(), node: None },
        19 => Ask::Pin { text: String::new(), node: None },
        20 => Ask::AckDead { node, by: "a person".into() },
        21 => Ask::Forget { node: "3".into() },
        22 => Ask::Config,
        _ => Ask::Events { since: 0, all: true, follow: false },
    }
}

/// The text of every pin.
pub(super) const PIN: &str = "x";

/// What a tool says over the old socket, in any order.
pub(super) fn of_tool(byte: u8) -> MountAsk {
    let mount = |fstype: &str, uuid: &str, cluster: &str, number, service: &str| MountAsk::Mount {
        fstype: fstype.into(),
        uuid: uuid.into(),
        cluster: cluster.into(),
        device: DEVICE.into(),
        number,
        service: service.into(),
    };
    let result = |uuid: &str, errno: &str, service: &str| MountAsk::Result {
        fstype: "ocfs2".into(),
        uuid: uuid.into(),
        errno: errno.into(),
        service: service.into(),
    };
    let unmount = |uuid: &str, service: &str| MountAsk::Unmount {
        fstype: "ocfs2".into(),
        uuid: uuid.into(),
        service: service.into(),
    };
    match byte / 2 % 20 {
        0 => mount("gfs2", VOLUME, "lab", Ok((98, 0)), "ocfs2"),
        1 => mount("ocfs2", VOLUME, "another", Ok((98, 0)), "ocfs2"),
        2 => mount("ocfs2", VOLUME, "lab", Err("no such device".into()), "ocfs2"),
        3 => mount("ocfs2", VOLUME, "lab", Ok((98, 7)), "ocfs2"),
        4 => mount("ocfs2", "no volume", "lab", Ok((98, 0)), "ocfs2"),
        5 => mount("ocfs2", &VOLUME.repeat(2), "lab", Ok((98, 0)), "ocfs2"),
        6 | 7 => mount("ocfs2", VOLUME, "lab", Ok((98, 0)), TOOL),
        8 | 9 => result(VOLUME, "0", TOOL),
        10 => result(VOLUME, "5", TOOL),
        11 => result(NO_VOLUME, "0", "ocfs2"),
        12 => result(VOLUME, "five", "ocfs2"),
        13 => unmount(VOLUME, TOOL),
        14 => unmount(NO_VOLUME, "ocfs2"),
        15 => MountAsk::ListVolumes { fstype: "ocfs2".into(), cluster: "lab".into() },
        16 => MountAsk::ListMounts { fstype: "ocfs2".into(), uuid: VOLUME.into() },
        17 => MountAsk::ListClusters,
        18 => MountAsk::Dump,
        _ => MountAsk::Unreadable { why: "two words".into() },
    }
}
