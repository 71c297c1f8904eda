//! Effects of the agents: what each of them does to the world.

use super::{Cluster, Due};
use crate::sim::agenda::MS;
use crate::sim::corosync::CallError;
use crate::sim::host::{Job, Outgoing};
use agent_core::effect::ShutdownVerdict;
use agent_core::{Effect, Event};

impl Cluster {
    pub(super) fn perform(&mut self, node: u32, effect: &Effect) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let Some(daemon) = host.daemon.as_mut() else { return };
        let life = daemon.life;
        match effect {
            Effect::Multicast(message) => self.send(node, life, Outgoing::Message(message.encode())),
            Effect::LeaveGroup => self.send(node, life, Outgoing::Leave),
            Effect::Exit(_) => self.send(node, life, Outgoing::Exit),
            Effect::Save(saved) => (host.saved, host.is_state_cut) = (Some((**saved).clone()), false),
            Effect::Kernel(op, ops) => {
                self.queue_job(node, life, Job::Batch { op: *op, ops: ops.clone(), done: 0 });
            }
            Effect::Control(op, ops) => {
                let result = self.control(node, ops);
                self.plan_event(node, life, Event::ControlDone(*op, result), MS);
            }
            Effect::LookAtLockspaces(op, dead, volumes) => {
                let seen = self.look_at_lockspaces(node, dead.0, volumes);
                self.plan_event(node, life, Event::LockspacesSeen(*op, seen), MS);
            }
            Effect::Fence(dead, _) => self.fence(node, life, *dead),
            Effect::MountReply(client, answer) => self.tool_hears(node, *client, answer),
            Effect::KillNode(target, _) => self.crash_corosync(target.0),
            Effect::LookAtKernel => self.queue_job(node, life, Job::Look),
            Effect::Reply(client, _) => daemon.open_requests.retain(|open| *open != client.0),
            Effect::SetTimer(token, after_ms) => {
                self.agenda.plan(self.now + after_ms * MS, Due::Timer { node, life, token: *token });
            }
            Effect::AnswerShutdown(ShutdownVerdict::Yes) => self.corosync.terminate(node),
            Effect::AnswerShutdown(ShutdownVerdict::No) | Effect::Publish(..) | Effect::Notice(_) => {}
        }
    }

    fn send(&mut self, node: u32, life: u64, out: Outgoing) {
        let Some(daemon) = self.daemon(node, life) else { return };
        daemon.outbox.push_back(out);
        if daemon.outbox.len() == 1 {
            self.flush(node, life);
        }
    }

    /// Hands corosync what it takes, in order.
    pub(super) fn flush(&mut self, node: u32, life: u64) {
        while let Some(daemon) = self.daemon(node, life) {
            let (Some(out), handle) = (daemon.outbox.front(), daemon.handle) else { return };
            let taken = match (out, handle) {
                (Outgoing::Exit, _) => return self.exit_daemon(node),
                (_, None) => Err(CallError::Library),
                (Outgoing::Message(bytes), Some(handle)) => {
                    let bytes = bytes.clone();
                    self.corosync.multicast(handle, &bytes)
                }
                (Outgoing::Leave, Some(handle)) => self.corosync.leave(handle),
            };
            if matches!(taken, Err(CallError::TryAgain | CallError::Busy)) {
                return self.try_again(node, life, Due::Resend { node, life });
            }
            let Some(daemon) = self.daemon(node, life) else { return };
            daemon.outbox.pop_front();
            daemon.refused = 0;
        }
    }
}
