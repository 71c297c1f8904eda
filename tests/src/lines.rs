//! What nodes said and did, as lines: `<` what came in, `>` what was done, `.` what was decided or is waited for.

use crate::sim::agenda::{MS, Micros};
use crate::sim::cluster::{Cluster, Happening, KernelDeed};
use crate::sim::recording::Record;
use agent_core::event::{ControlOp, errno_text};
use agent_core::notice::Notice;
use agent_core::{Effect, Event};
use configfs::{Field, Op};
use proto::control::api;
use proto::control::api::response::Answer;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Nodes that say the same within this time share a line.
const TOGETHER: Micros = 40 * MS;

/// Lines in the order in which they were said first.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    /// Fields stored so far to the entry that a node's kernel is making.
    fields: BTreeMap<u32, Vec<String>>,
}

#[derive(Debug)]
struct Line {
    at: Micros,
    nodes: Vec<u32>,
    text: String,
}

impl Lines {
    /// Adds what a step of the cluster has to tell.
    pub(crate) fn tell(&mut self, cluster: &Cluster, happening: &Happening) {
        let now = cluster.now();
        match happening {
            Happening::Handled(node) => {
                let Some(record) = cluster.last_record(*node) else { return };
                said(record).into_iter().for_each(|text| self.say(now, *node, text));
            }
            Happening::Kernel(deed) => {
                let text = kernel(deed, self.fields.entry(deed.node).or_default());
                text.into_iter().for_each(|text| self.say(now, deed.node, text));
            }
            Happening::Other | Happening::Planned(_) => {}
        }
    }

    /// Adds a line of a node, unless others have just said the same and the node nothing since.
    fn say(&mut self, at: Micros, node: u32, text: String) {
        let recent = self.lines.iter_mut().rev().take_while(|line| line.at + TOGETHER >= at);
        let mut not_after_own = recent.take_while(|line| !line.nodes.contains(&node));
        match not_after_own.find(|line| line.text == text) {
            Some(line) => line.nodes.push(node),
            None => self.lines.push(Line { at, nodes: vec![node], text }),
        }
    }

    /// Adds a line that is nobody's.
    pub(crate) fn add(&mut self, at: Micros, text: String) {
        self.lines.push(Line { at, nodes: vec![], text });
    }

    /// All of them, as text.
    pub(crate) fn take(&mut self) -> String {
        let mut out = String::new();
        for mut line in self.lines.drain(..) {
            line.nodes.sort_unstable();
            let nodes: Vec<String> = line.nodes.iter().map(|node| format!("n{node} ")).collect();
            let _infallible = writeln!(out, "{}{}", nodes.concat(), line.text);
        }
        out
    }
}

/// What an operator would want to know of an event and its effects.
pub(crate) fn said(record: &Record) -> Vec<String> {
    heard(&record.event).into_iter().chain(record.effects.iter().filter_map(done)).collect()
}

/// What an operator would want to know of an event.
fn heard(event: &Event) -> Option<String> {
    match event {
        Event::CorosyncStuck { call } => Some(format!("< corosync does not answer {call}")),
        Event::FenceEnded(node, Ok(())) => Some(format!("< the fence program confirms node {node}")),
        Event::FenceEnded(node, Err(why)) => Some(format!("< the fence program of node {node}: {why}")),
        Event::ShutdownAsked => Some("< corosync asks whether it may shut down".into()),
        Event::Started(_)
        | Event::ConfigChanged(_)
        | Event::ConfigUnreadable { .. }
        | Event::JoinRefused { .. }
        | Event::PolicyChanged(_)
        | Event::CorosyncUp(_)
        | Event::CorosyncLost { .. }
        | Event::CorosyncUnstuck
        | Event::ViewChanged(_)
        | Event::RingChanged { .. }
        | Event::QuorumChanged { .. }
        | Event::Delivered { .. }
        | Event::Asked(..)
        | Event::MountAsked(..)
        | Event::ControlDone(..)
        | Event::LockspacesSeen(..)
        | Event::LegacyGroups(_)
        | Event::LegacyRecovery(_)
        | Event::LegacyWaits(_)
        | Event::ClientGone(_)
        | Event::KernelDone(..)
        | Event::KernelSeen(_)
        | Event::TimerFired(_)
        | Event::Slept { .. }
        | Event::Quiet
        | Event::StopAsked { .. } => None,
    }
}

/// What an operator would want to know of an effect.
fn done(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Notice(notice) => Some(noticed(notice)),
        Effect::Reply(_, response) => Some(format!("> answer: {}", answer(response))),
        Effect::MountReply(_, answer) => Some(format!("> answer to the mount: {answer:?}")),
        Effect::AnswerShutdown(verdict) => Some(format!("> answer to corosync: {verdict:?}").to_lowercase()),
        Effect::LeaveGroup => Some("> leave the group".into()),
        Effect::Exit(_) => Some("> exit".into()),
        Effect::Fence(node, _) => Some(format!("> run the fence program for node {node}")),
        Effect::KillNode(node, why) => Some(format!("> have corosync end node {node}: {why}")),
        Effect::Control(_, ops) => Some(format!("> {}", control(ops))),
        Effect::Multicast(_)
        | Effect::Save(_)
        | Effect::Kernel(..)
        | Effect::LookAtKernel
        | Effect::LookAtLockspaces(..)
        | Effect::Publish(..)
        | Effect::SetTimer(..) => None,
    }
}

fn control(ops: &[ControlOp]) -> String {
    let text = |op: &ControlOp| match op {
        ControlOp::Handshake { node, locking } => {
            format!("control device: node {node}, locking {}.{}", locking.0, locking.1)
        }
        ControlOp::Down { volume, node } => format!("control device: node {node} is down for {volume}"),
        ControlOp::Register { volume } => format!("dlm_controld: wait for us with {volume}"),
        ControlOp::Notified { volume, node } => format!("dlm_controld: go on without node {node} in {volume}"),
        ControlOp::Unregister { volume } => format!("dlm_controld: wait for us no longer with {volume}"),
    };
    ops.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn noticed(notice: &Notice) -> String {
    match notice {
        Notice::MountRefused { what, errno, why } => format!(". {what}: {} ({why})", errno_text(*errno)),
        Notice::MountDecided { volume, mounted } => {
            format!(". the tool of {volume} is gone: {}", if *mounted { "mounted" } else { "not mounted" })
        }
        Notice::FenceOpened { node, by } => format!(". node {node} is fenced by {by}"),
        Notice::FenceFailed { node, why } => format!(". the fence program of node {node} failed: {why}"),
        Notice::Buried { node, by, .. } if by.is_empty() => format!(". death of node {node} handled"),
        Notice::Buried { node, .. } => format!(". death of node {node} handled, fenced"),
        Notice::Unguarded { node, volumes } => format!(". unguarded since node {node} failed: {}", texts(volumes)),
        Notice::NodeEnded { node, .. } => format!(". corosync is to end node {node}"),
        Notice::Verdict { verdict, thing, why } => format!(". {verdict}: {thing} ({why})"),
        Notice::CorosyncUp { .. } => "< corosync is there".into(),
        Notice::CorosyncLost { why } => format!("< corosync lost: {why}"),
        Notice::View { members, quorate, .. } => {
            format!("< view {}{}", list(members), if *quorate { "" } else { ", no quorum" })
        }
        Notice::NodeJoined { node } => format!("< node {node} joined"),
        Notice::NodeLeft { node, how } => format!("< node {node} went: {how}"),
        Notice::Ghosts { members } => {
            let named = members.iter().map(|member| format!("node {} (pid {})", member.nodeid, member.pid));
            format!("< ghosts: {}", named.collect::<Vec<_>>().join(", "))
        }
        Notice::Table { step, change } => format!(". table {step}: {change}"),
        Notice::Ready => ". ready".into(),
        Notice::Step { what, .. } => format!(". step: {what}"),
        Notice::Refused { node, what, fix, .. } => format!(". refused: node {node}: {what} [{fix}]"),
        Notice::WaitStarted { what, .. } => format!(". waits: {what}"),
        Notice::WaitStill { what, for_s } => format!(". waits since {for_s} s: {what}"),
        Notice::WaitEnded { what, after_ms } => format!(". waited {} s: {what}", tenths(*after_ms)),
        Notice::KernelRefused { what } => format!(". kernel refused: {what}"),
        Notice::Drift { what } => format!("< drift: {what}"),
        Notice::Dropped { from, why } => format!("< dropped a message of node {from}: {why}"),
        Notice::Slept { ms } => format!("< stood still for {} s", tenths(*ms)),
        Notice::StopAsked { by, pins } => format!("< asked to end by {by}, pins: {}", texts(pins)),
        Notice::PinChanged { text, set } => format!(". pin {}: {text}", if *set { "set" } else { "removed" }),
        Notice::Mounts { mounts } => format!("< mounted: {}", texts(mounts)),
        Notice::ShutdownAnswered { yes, pins } => {
            format!(". may corosync shut down: {}, pins: {}", if *yes { "yes" } else { "no" }, texts(pins))
        }
    }
}

fn answer(response: &api::Response) -> String {
    match &response.answer {
        Some(Answer::Done(done)) => done.text.clone(),
        Some(Answer::Refusal(refusal)) => format!("no: {} ({}) [{}]", refusal.what, refusal.cause, refusal.fix),
        Some(Answer::CanStop(can)) => {
            let pins: Vec<String> = can.pins.iter().map(|pin| pin.text.clone()).collect();
            if can.yes { "yes".into() } else { format!("no: {} [{}]", texts(&pins), can.advice) }
        }
        Some(Answer::Plan(plan)) => {
            let lines = plan.lines.iter().map(|line| format!("\n     {} {}  {}", line.mark, line.thing, line.why));
            format!("plan{}", lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join(""))
        }
        Some(_) => "(long)".into(),
        None => "nothing".into(),
    }
}

/// One operation in a kernel. An entry is one line: told when it gets its number, or where it was refused.
fn kernel(deed: &KernelDeed, fields: &mut Vec<String>) -> Option<String> {
    let refused = deed.result.as_ref().err().map(|refusal| errno_text(refusal.errno));
    let text = match (&deed.op, &refused) {
        (Op::MakeNode { .. }, None) => {
            fields.clear();
            return None;
        }
        (Op::StoreNode { field: Field::Port(port), .. }, None) => {
            fields.push(format!(":{port}"));
            return None;
        }
        (Op::StoreNode { field: Field::Address(address), .. }, None) => {
            fields.insert(0, address.to_string());
            return None;
        }
        (Op::StoreNode { node, field: Field::Num(num), .. }, None) => {
            format!("+ node {node} {num} {}", std::mem::take(fields).concat())
        }
        (Op::StoreAttribute { attribute, .. }, None) => format!("{} = {}", attribute.path(), attribute.value()),
        (Op::SetLocal { node, .. }, _) => format!("local {}", node.name),
        (op, _) => op.to_string(),
    };
    Some(match refused {
        None => format!("> {text}"),
        Some(refusal) => format!("> {text}: {refusal}"),
    })
}

fn list(nodes: &[u32]) -> String {
    nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

fn texts(texts: &[String]) -> String {
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}

fn tenths(ms: u64) -> String {
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}
