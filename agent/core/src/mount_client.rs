//! What the tools of a mount ask over the ocfs2_controld socket, and what they are told. Decoded and encoded at the edge
//! (agent/src/controld); decided in `volumes`.

use serde::{Deserialize, Serialize};

/// One message of a tool, its words as sent. Nothing in it is checked but that the words are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountAsk {
    /// `MOUNT fstype uuid cluster device service`: may I?
    Mount {
        /// Always "ocfs2".
        fstype: String,
        /// 32 capital hex digits.
        uuid: String,
        /// Name of the cluster, as on the disk.
        cluster: String,
        /// Path of the device.
        device: String,
        /// Its device number (major, minor), where the edge could look it up; or why not.
        number: Result<(u64, u64), String>,
        /// "ocfs2" for a mount, otherwise the name of the tool.
        service: String,
    },
    /// `MRESULT fstype uuid errno service`: how mount(2) ended.
    Result {
        /// Always "ocfs2".
        fstype: String,
        /// Of the volume.
        uuid: String,
        /// Decimal; 0: mounted.
        errno: String,
        /// As in the MOUNT.
        service: String,
    },
    /// `UNMOUNT fstype uuid service`: it is gone.
    Unmount {
        /// Always "ocfs2".
        fstype: String,
        /// Of the volume.
        uuid: String,
        /// As in the MOUNT.
        service: String,
    },
    /// `LISTFS fstype cluster`: the volumes.
    ListVolumes {
        /// Always "ocfs2".
        fstype: String,
        /// Name of the cluster.
        cluster: String,
    },
    /// `LISTMOUNTS fstype uuid`: services and mount points of a volume.
    ListMounts {
        /// Always "ocfs2".
        fstype: String,
        /// Of the volume.
        uuid: String,
    },
    /// `LISTCLUSTERS`: the name of the cluster.
    ListClusters,
    /// `DUMP`: everything, for people.
    Dump,
    /// Not a message: too few words, or an unknown one. Answered, and the connection goes on.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountAnswer {
    /// `STATUS errno text`.
    Status {
        /// 0: yes.
        errno: i32,
        /// Never empty.
        text: String,
    },
    /// `ITEMCOUNT n`, n times `ITEM text`, `STATUS 0 OK`.
    Items(Vec<String>),
}
