//! Volumes: who has which one mounted, and the tools that ask before they mount.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::ids::ClientId;
use crate::mount_client::{MountAnswer, MountAsk};

/// linux asm-generic/errno.h.
const EOPNOTSUPP: i32 = 95;

impl Agent {
    pub(crate) fn mount_asked(&mut self, client: ClientId, _ask: &MountAsk, fx: &mut Effects) {
        let text = "not served yet".to_owned();
        fx.push(Effect::MountReply(client, MountAnswer::Status { errno: EOPNOTSUPP, text }));
    }
}
