//! Performs each effect, in order, what is only told after all that is done. Every side effect of the core starts here;
//! nothing waits.

use crate::controld::Counter;
use crate::desk::Desk;
use crate::fence;
use crate::kernel::Kernel;
use crate::run_dir::StateFile;
use crate::telemetry;
use crate::timers::Timers;
use agent_core::effect::{Exit, ShutdownVerdict};
use agent_core::event::KernelRefusal;
use agent_core::ids::{NodeId, Tick};
use agent_core::notice::Notice;
use agent_core::saved::Saved;
use agent_core::{Effect, Event};
use cpg_glue::{Glue, GroupName, Verdict};
use proto::peer::{Message, VolumeId};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tracing::{debug, warn};

/// What the effects act on.
pub(crate) struct Hands {
    pub(crate) glue: Glue,
    pub(crate) group: GroupName,
    pub(crate) kernel: Kernel,
    pub(crate) state: StateFile,
    pub(crate) timers: Timers,
    pub(crate) desk: Rc<Desk>,
    pub(crate) mounts: Rc<Counter>,
    /// Why the state file could not be written; the batch that it announces must not run then.
    pub(crate) unsaved: Option<KernelRefusal>,
    /// Set by the last effect of all.
    pub(crate) exit: Option<Exit>,
}

impl Hands {
    pub(crate) fn perform(&mut self, effect: &Effect) {
        match effect {
            Effect::Multicast(message) => self.multicast(message),
            Effect::Save(saved) => self.save(saved),
            Effect::Kernel(op, ops) => {
                self.kernel.apply(*op, self.unsaved.clone().map_or_else(|| Ok(ops.clone()), Err))
            }
            Effect::Control(op, ops) => self.kernel.control(*op, ops.clone()),
            Effect::LookAtLockspaces(op, node, volumes) => self.kernel.look_at_lockspaces(*op, *node, volumes.clone()),
            Effect::Fence(node, name) => self.fence(*node, name.clone()),
            Effect::KillNode(node, why) => self.kill_node(*node, why),
            Effect::Publish(volume, on) => self.publish(*volume, *on),
            Effect::LookAtKernel => self.kernel.look(true),
            Effect::Reply(client, response) => self.desk.deliver(*client, response.clone()),
            Effect::MountReply(client, answer) => self.mounts.deliver(*client, answer.clone()),
            Effect::SetTimer(token, after_ms) => self.timers.set(*token, Duration::from_millis(*after_ms)),
            Effect::AnswerShutdown(verdict) => self.answer_shutdown(*verdict),
            Effect::Notice(_) => {} // `tell`
            Effect::LeaveGroup => {
                if let Err(refused) = self.glue.leave(&self.group) {
                    debug!(%refused, "not left");
                }
            }
            Effect::Exit(exit) => self.exit = Some(exit.clone()),
        }
    }

    /// To the log and to those who follow the events. A line of the log costs more than everything that the cluster
    /// waits for, so it comes last.
    pub(crate) fn tell(&self, now: Tick, notice: &Notice) {
        telemetry::tell(notice);
        self.desk.events.push(now, notice);
    }

    /// What cannot be sent is missed by its sender, who hears its own messages; so it is not lost in silence.
    fn multicast(&self, message: &Message) {
        if let Err(refused) = self.glue.multicast(&self.group, message.encode()) {
            match refused {
                cpg_glue::Refused::Down => debug!(%refused, "not sent"),
                refused => warn!(%refused, "not sent"),
            }
        }
    }

    fn save(&mut self, saved: &Saved) {
        let refusal = |error: std::io::Error| KernelRefusal {
            errno: error.raw_os_error().unwrap_or(0),
            path: self.state.path().display().to_string(),
            what: format!("write the state file ({error})"),
        };
        self.unsaved = self.state.write(saved).err().map(refusal);
    }

    /// The end of the program comes back as an event.
    fn fence(&self, node: NodeId, name: String) {
        let settings = self.desk.settings.borrow();
        let (program, within) = (settings.in_force().fence_command.clone(), settings.in_force().fence_timeout);
        let desk = self.desk.clone();
        spawn_local(async move {
            let result = fence::run(&program, node, &name, within).await;
            desk.report(Event::FenceEnded(node, result)).await;
        });
    }

    fn kill_node(&self, node: NodeId, why: &str) {
        if let Err(refused) = self.glue.kill_node(cpg_glue::NodeId(node.0), why) {
            warn!(%node, %refused, "corosync could not be asked to end the node");
        }
    }

    /// For people: what cannot be shown changes nothing.
    fn publish(&self, volume: VolumeId, on: bool) {
        let Ok(group) = GroupName::new(&format!("ocfs2:{volume}")) else { return };
        let shown = if on { self.glue.join(&group) } else { self.glue.leave(&group) };
        if let Err(refused) = shown {
            debug!(%volume, on, %refused, "the group of the volume is not shown as it is");
        }
    }

    fn answer_shutdown(&self, verdict: ShutdownVerdict) {
        let verdict = match verdict {
            ShutdownVerdict::Yes => Verdict::Yes,
            ShutdownVerdict::No => Verdict::No,
        };
        if let Err(refused) = self.glue.answer_shutdown(verdict) {
            warn!(%refused, "corosync's question is not answered");
        }
    }
}
