//! How long a survivor needs for the decision about a death: from the confchg without the dead node until DOWN for all
//! the volumes that both used is handed over to the kernel thread. What the others do meanwhile is in it, because all
//! cores are in one process; corosync's time is not.

use super::{Cluster, JOINER, NODES, nanoseconds};
use crate::kernel::Choice;
use agent_core::Event;
use agent_core::event::{ControlOp, KernelView, Mount, Stack};
use agent_core::ids::OpId;
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

/// Lets node 3 die `rounds` times while all three use so many volumes, on a stack that leaves recovery to us. In
/// nanoseconds, one figure for each death.
pub fn bury(run_dir: &Path, volumes: usize, rounds: u32) -> io::Result<Vec<u64>> {
    let choice = Choice::Model(run_dir.join("configfs"));
    let mut cluster = Cluster::new(&choice, run_dir, Ipv4Addr::new(10, 0, 0, 1), Instant::now)?;
    cluster.meet(&[1, 2]);
    for _ in 0..rounds {
        cluster.power_on(JOINER);
        cluster.meet(&[1, 2, 3]);
        cluster.use_volumes(volumes);
        cluster.meet(&[1, 2]);
    }
    Ok(cluster.measured.downs)
}

impl Cluster {
    /// All kernels show the mounts; then everybody knows of everybody's.
    fn use_volumes(&mut self, count: usize) {
        let view = KernelView { tree: None, mounts: Some((0..count).map(mount).collect()), stack: Some(user_stack()) };
        for id in 1..=NODES {
            self.handle(id, Event::KernelSeen(view.clone()));
        }
        self.deliver(&[1, 2, 3]);
    }

    /// The control device does it at once.
    pub(super) fn control(&mut self, id: u32, op: OpId, ops: &[ControlOp]) -> Event {
        let is_down = ops.iter().any(|op| matches!(op, ControlOp::Down { .. }));
        if let Some(begun) = self.measured.view_at.filter(|_| id == 1 && is_down) {
            self.measured.downs.push(nanoseconds(begun.elapsed()));
        }
        Event::ControlDone(op, Ok(()))
    }
}

/// dlm_controld has no such lockspace: what is measured ends before it is asked.
pub(super) fn no_lockspaces(op: OpId, volumes: &BTreeSet<VolumeId>) -> Event {
    Event::LockspacesSeen(op, volumes.iter().map(|volume| (*volume, Ok(None))).collect())
}

/// Its DLM leaves recovery to a daemon.
fn user_stack() -> Stack {
    Stack { label: "cman".into(), recovers_by_itself: Some(false), locking: Some((1, 0)), ..Stack::default() }
}

fn mount(number: usize) -> Mount {
    let uuid = Some(format!("{:032X}", 0xa000 + number));
    Mount { device: format!("/dev/v{number}"), path: format!("/srv/{number}"), uuid, number: None }
}
