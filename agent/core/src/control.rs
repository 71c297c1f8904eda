//! The control device and dlm_controld: one duty at a time goes to the kernel thread, and what was refused is tried again.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::event::{ControlOp, KernelRefusal};
use crate::ids::{NodeId, OpId};
use crate::notice::Notice;
use crate::timers::Timer;
use crate::words::Words;
use configfs::Errno;
use proto::handshake::Blocks;
use proto::peer::VolumeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A control device that refused is tried again after this.
pub const CONTROL_AGAIN_MS: u64 = 5_000;
/// dlm_controld does not take this word now.
const NOT_NOW: i32 = Errno::EAGAIN.0;

/// What the control device and dlm_controld are at work on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Duty {
    /// The handshake.
    Handshake,
    /// These volumes are registered.
    Register(BTreeSet<VolumeId>),
    /// DOWN of a dead node is written for these.
    Bury(NodeId, BTreeSet<VolumeId>),
    /// dlm_controld is asked how its lockspaces stand to a node that is gone.
    Look(NodeId),
    /// These lockspaces are told that they may go on without it.
    Tell(NodeId, BTreeSet<VolumeId>),
}

/// The control device and dlm_controld.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What was handed over.
    pub under_way: Option<(OpId, Duty)>,
    /// What it said last, if it was a no.
    pub why: String,
    /// Volumes for which the DLM waits for us.
    #[serde(default)]
    pub registered: BTreeSet<VolumeId>,
    /// Volumes that dlm_controld would not register: nothing waits for us.
    #[serde(default)]
    pub refused: BTreeSet<VolumeId>,
    /// Volumes that it had to be freed of, until they are out of use here.
    #[serde(default)]
    pub unguarded: BTreeSet<VolumeId>,
    /// Nodes that are gone, and that its lockspaces may wait to hear about.
    #[serde(default)]
    pub words: BTreeMap<NodeId, Words>,
    /// We have just started: an agent before us may have left somebody unsaid.
    #[serde(default)]
    pub unasked: bool,
}

impl Agent {
    /// The control device is opened when the first mount needs it, and not before.
    pub(crate) fn open_control(&mut self, fx: &mut Effects) {
        let stack = &self.kernel.stack;
        let wanted = stack.needs_control() && !stack.control && !self.volumes_here().is_empty();
        let (true, false, Some(me)) = (wanted, self.control_is_busy(), self.member()) else { return };
        let Some(locking) = self.agreed_locking() else {
            self.control.why = "the kernel does not say which locking protocol it has".into();
            return;
        };
        self.control_op(Duty::Handshake, vec![ControlOp::Handshake { node: me.nodeid, locking }], fx);
    }

    /// It has something to do, or has refused and is not tried again yet.
    pub(crate) fn control_is_busy(&self) -> bool {
        self.control.under_way.is_some() || self.timers.is_running(Timer::ControlAgain)
    }

    /// What every kernel of the cluster can: the lowest of their highest.
    fn agreed_locking(&self) -> Option<(u8, u8)> {
        let hellos = self.agreed.iter().flat_map(|agreed| agreed.hellos.values());
        let theirs = hellos.filter_map(|hello| Blocks::parse(&hello.handshake).ok()?.locking());
        self.kernel.stack.locking.into_iter().chain(theirs).min()
    }

    pub(crate) fn control_op(&mut self, duty: Duty, ops: Vec<ControlOp>, fx: &mut Effects) {
        let op = self.new_op();
        self.control.under_way = Some((op, duty));
        fx.push(Effect::Control(op, ops));
    }

    pub(crate) fn control_done(&mut self, op: OpId, result: Result<(), KernelRefusal>, fx: &mut Effects) {
        let Some((_, duty)) = self.control.under_way.take_if(|(expected, _)| *expected == op) else { return };
        if let Err(refusal) = result {
            return self.duty_refused(duty, &refusal, fx);
        }
        self.control.why.clear();
        match duty {
            Duty::Handshake => self.kernel.stack.control = true,
            Duty::Register(volumes) => {
                self.control.registered.extend(volumes);
                self.control.refused.clear();
            }
            Duty::Bury(node, volumes) => {
                self.deaths.entry(node).and_modify(|death| death.down.extend(volumes));
            }
            Duty::Tell(node, volumes) => self.lockspaces_told(node, &volumes, fx),
            Duty::Look(_) => {} // its end is another event
        }
    }

    fn duty_refused(&mut self, duty: Duty, refusal: &KernelRefusal, fx: &mut Effects) {
        match duty {
            Duty::Tell(..) if refusal.errno == NOT_NOW => return, // it is looked at again
            Duty::Register(volumes) => self.control.refused = volumes,
            Duty::Handshake | Duty::Bury(..) | Duty::Look(_) | Duty::Tell(..) => {}
        }
        fx.notice(Notice::KernelRefused { what: refusal.to_string() });
        self.control.why = refusal.to_string();
        self.timers.set(Timer::ControlAgain, CONTROL_AGAIN_MS, fx);
    }
}
