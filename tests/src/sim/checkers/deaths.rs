//! Rules D1, S3: the order of a death, held against what the machines really do.

use super::{Ledger, Outcome, Seen};
use agent_core::Effect;
use agent_core::event::ControlOp;
use agent_core::mount_client::MountAnswer;
use agent_core::policy::Fence;

/// With a fence gate: whoever is written DOWN has no volume mounted any more.
pub(super) fn nobody_is_down_who_may_still_write(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    for effect in &seen.record.effects {
        let Effect::Control(_, ops) = effect else { continue };
        for op in ops {
            let ControlOp::Down { node, .. } = op else { continue };
            let Some(host) = seen.cluster.hosts.get(node).filter(|host| host.policy.fence != Fence::None) else {
                continue;
            };
            if host.powered && host.kernel.is_user_mounted {
                return Err(format!("n{} writes DOWN for n{node}, which has the volume mounted", seen.node));
            }
        }
    }
    Ok(())
}

/// Whoever mounts again is forgotten as dead by all who had to bury it. Whoever is out of its ring cannot: it is dead to this
/// side, and has a gate of its own.
pub(super) fn nobody_mounts_before_its_own_death_is_handled(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let yes = |effect: &Effect| matches!(effect, Effect::MountReply(_, MountAnswer::Status { errno: 0 | 114, .. }));
    let host = seen.cluster.hosts.get(&seen.node).filter(|host| host.tool.is_some());
    if host.is_none() || !seen.record.effects.iter().any(yes) {
        return Ok(());
    }
    let ring = seen.cluster.corosync.ring_of(seen.node).map(|(_, nodes)| nodes).unwrap_or_default();
    let mut others = seen.cluster.hosts.values().filter(|other| ring.contains(&other.node));
    match others.find(|other| other.needs_down.contains(&seen.node)) {
        Some(other) => Err(format!("n{} may mount, and n{} has still to write DOWN for it", seen.node, other.node)),
        None => Ok(()),
    }
}

/// The DLM gives a dead node's locks to a kernel that knows of the death, and to no other: what is written with them before the
/// dead node's journal is replayed is lost.
pub(super) fn no_kernel_goes_on_before_it_is_told(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match seen.cluster.hosts.get(&seen.node).and_then(|host| host.dlm.unguarded) {
        Some(dead) => {
            Err(format!("n{} goes on with the locks of n{dead}, and was not told that it is dead", seen.node))
        }
        None => Ok(()),
    }
}

/// dlm_controld, told of a failure in a lockspace that has completed no change, ends, and all its volumes stand still.
pub(super) fn dlm_controld_is_told_only_what_it_can_take(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match seen.cluster.hosts.get(&seen.node).and_then(|host| host.dlm.ended_by) {
        Some(dead) => Err(format!("dlm_controld of n{} was told of n{dead} in the middle of a mount", seen.node)),
        None => Ok(()),
    }
}
