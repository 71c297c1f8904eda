//! The connection to corosync, and how far what it tells can be trusted.

use crate::event::Connected;
use crate::ids::Tick;
use serde::{Deserialize, Serialize};

/// The connection to corosync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Who we are on it; `None` while it is down.
    pub up: Option<Connected>,
    /// Why it is down.
    pub why: String,
    /// Why corosync has not let us into the group yet.
    #[serde(default)]
    pub join_why: String,
    /// The call that does not return.
    pub stuck: Option<String>,
    /// It broke, and we have not been in a quorate view since: that we are alone means nothing yet.
    pub returning: bool,
    /// When the present view began.
    pub view_since: Tick,
    /// Own messages that have not come back yet.
    pub unheard: u32,
    /// When the first of them was sent, or the last one before them came back.
    #[serde(default)]
    pub listens_since: Tick,
    /// Those of them that say which volumes we use.
    #[serde(default)]
    pub volumes_unheard: u32,
    /// None has come back for longer than token + consensus.
    pub deaf: bool,
    /// After a pause: the probe that must come back before anything is decided.
    pub probe: Option<u64>,
    /// We may have been away without knowing: the next thing to do begins with a probe.
    pub doubt: bool,
    /// corosync waits for an answer whether it may end; we have one when the kernel has been looked at.
    #[serde(default)]
    pub is_asked_to_end: bool,
}
