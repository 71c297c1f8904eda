//! The small state file in /run: what a restarted daemon must know and the kernel cannot tell it.

use proto::peer::{Entry, Table, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The form that this release writes. It reads every older one: what those lack has its default.
pub const SCHEMA: u32 = 4;

/// Written before each kernel change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// [`SCHEMA`]; 1 before there was one.
    #[serde(default = "first")]
    pub schema: u32,
    /// The boot it belongs to; of another boot it means nothing.
    pub boot_id: [u8; 16],
    /// Name of the cluster directory we made or adopted.
    pub cluster: String,
    /// The table as last agreed.
    pub table: Option<Table>,
    /// Every entry we made or were about to make; two of one number where one was to replace the other. A kernel
    /// entry that is not here is not ours.
    pub written: BTreeSet<Entry>,
    /// Which node had which volumes in use, as last heard; what a restarted daemon has to know of a node that died meanwhile.
    #[serde(default, with = "crate::pairs")]
    pub volumes: BTreeMap<u32, BTreeSet<VolumeId>>,
    /// The last boot of each of those nodes: whether one that comes back was off in between.
    #[serde(default, with = "crate::pairs")]
    pub boots: BTreeMap<u32, [u8; 16]>,
    /// Deaths that were not handled yet.
    #[serde(default, with = "crate::pairs")]
    pub deaths: BTreeMap<u32, SavedDeath>,
    /// Those that agents which were away have still to hear of: the boot that died.
    #[serde(default, with = "crate::pairs")]
    pub died: BTreeMap<u32, [u8; 16]>,
    /// Volumes with which dlm_controld was told to wait for us no longer; to register them again would make them wait for good.
    #[serde(default)]
    pub unguarded: BTreeSet<VolumeId>,
    /// It has not been let in, although its kernel may be local: it comes as a joiner.
    #[serde(default)]
    pub joins: bool,
}

/// What must not be forgotten of a death: to end it halfway would leave volumes standing still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDeath {
    /// What the node used.
    pub volumes: BTreeSet<VolumeId>,
    /// We were not there.
    pub learned: bool,
    /// The boot that died.
    #[serde(default)]
    pub boot: Option<[u8; 16]>,
    /// Who opened the fence gate.
    pub fenced_by: Option<String>,
}

fn first() -> u32 {
    1
}

impl Saved {
    /// Why this release cannot go by what was written, if so.
    #[must_use]
    pub fn is_newer(&self) -> Option<String> {
        (self.schema > SCHEMA).then(|| {
            format!("it has form {}, this release reads up to {SCHEMA}: a newer o2cpgd ran here before", self.schema)
        })
    }
}
