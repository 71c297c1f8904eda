//! Clients of the control socket: every request is answered once, now or when what it waits for is true.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::ids::{ClientId, NodeId};
use crate::notice::Notice;
use crate::pins::Pin;
use crate::wait::Wait;
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, Condition};
use proto::peer::{Body, Entry, Proposal, ProposalReason};

impl Agent {
    pub(crate) fn asked(&mut self, client: ClientId, ask: Ask, fx: &mut Effects) {
        let answer = match ask {
            Ask::Status => Ok(Answer::Status(self.status())),
            Ask::Plan => Ok(Answer::Plan(self.plan_view())),
            Ask::Groups => Ok(Answer::Groups(self.groups())),
            Ask::CanStop => Ok(Answer::CanStop(self.can_stop())),
            Ask::Pin { text, node } => self.pin(&text, node.as_deref(), fx),
            Ask::Unpin { text, node } => self.unpin(&text, node.as_deref(), fx),
            Ask::Forget { node } => self.forget(&node, fx),
            Ask::AckDead { node, by } => self.ack_dead(&node, by),
            Ask::Wait(condition) => {
                // Answered by answer_waiters, in this very event if the condition holds already.
                self.waiters.insert(client, condition);
                return;
            }
            Ask::Events { .. } | Ask::Log(_) | Ask::Config | Ask::Dump | Ask::CpgList => {
                Err(no(Kind::Failed, "this is not for the core to answer", "", ""))
            }
        };
        reply(client, answer, fx);
    }

    pub(crate) fn answer_waiters(&mut self, fx: &mut Effects) {
        let waiters = std::mem::take(&mut self.waiters);
        for (client, condition) in waiters {
            match self.holds(&condition) {
                Ok(true) => {
                    reply(client, Ok(done(condition_text(&condition))), fx);
                    if planted!(AnsweredTwice) {
                        self.waiters.insert(client, condition);
                    }
                }
                Ok(false) if planted!(WaitersAreForgotten) => {}
                Ok(false) => _ = self.waiters.insert(client, condition),
                Err(refusal) => reply(client, Err(refusal), fx),
            }
        }
    }

    /// Whether the condition holds; `Err` if it never will.
    fn holds(&self, condition: &Condition) -> Result<bool, No> {
        let node = match condition {
            Condition::NodeGone(node) | Condition::NodeReady(node) => match self.node_named(node) {
                // Who is configured will be known when corosync has told us.
                Err(_) if self.config.is_none() => return Ok(false),
                node => Some(node?),
            },
            Condition::Quorate | Condition::Ready | Condition::Settled => None,
        };
        Ok(match condition {
            Condition::Quorate => self.agreed.as_ref().is_some_and(|agreed| agreed.quorate),
            Condition::Ready => self.member().is_some_and(|me| self.is_ready(NodeId(me.nodeid))),
            Condition::Settled => self.is_quiet() || planted!(SettledIsAGuess),
            // Without corosync nobody is seen, and nobody is known to be gone.
            Condition::NodeGone(_) => node.is_some_and(|node| !self.view.in_ring(node)) && self.view.is_open(),
            Condition::NodeReady(_) => node.is_some_and(|node| self.is_ready(node)) || planted!(ReadyIsAGuess),
        })
    }

    /// A view is agreed, nothing is being changed and nothing is waited for.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let agreed = self.agreed.as_ref().filter(|agreed| agreed.step.is_none() && agreed.next().is_none());
        agreed.is_some() && self.work.is_none() && self.waits().is_empty()
    }

    /// Looks a node up by name or nodeid: among the configured, the agreed and the present.
    pub(crate) fn node_named(&self, text: &str) -> Result<NodeId, No> {
        let configured = self.config.iter().flat_map(|config| &config.nodes);
        let named = configured.filter(|(_, node)| node.name.as_deref() == Some(text)).map(|(id, _)| *id);
        let entries = self.table.iter().flat_map(|table| table.entries.values());
        let in_table = entries.filter(|entry| entry.name == text).map(|entry| NodeId(entry.nodeid));
        let by_id = text.parse().ok().map(NodeId).filter(|id| self.is_known(*id));
        named.chain(in_table).next().or(by_id).ok_or_else(|| match self.config {
            Some(_) => no(
                Kind::NotFound,
                &format!("no node {text:?}"),
                "it is neither in corosync's nodelist nor in the table",
                "o2cpg nodes",
            ),
            None => no(
                Kind::ClusterUnreachable,
                &format!("node {text:?} is not known yet"),
                "corosync's configuration has not been read, or cannot be used",
                "o2cpg status says what is waited for; then again",
            ),
        })
    }

    fn is_known(&self, node: NodeId) -> bool {
        self.view.in_ring(node)
            || self.config.as_ref().is_some_and(|config| config.nodes.contains_key(&node))
            || self.table.iter().flat_map(|table| table.entries.values()).any(|entry| entry.nodeid == node.0)
            || self.tokens.of_nodes().any(|(pinned, _)| pinned == node)
    }

    fn pin(&mut self, text: &str, node: Option<&str>, fx: &mut Effects) -> Result<Answer, No> {
        let node = node.map(|node| self.node_named(node)).transpose()?;
        match self.tokens.set(text, node) {
            Ok(()) => {
                fx.notice(Notice::PinChanged { text: text.into(), set: true });
                let what = node.map_or_else(|| "the daemon".to_owned(), |node| self.name_of(node));
                Ok(done(format!("pinned {what}: {text}")))
            }
            Err(why) => Err(no(Kind::Usage, &why, "", "o2cpg unpin, or a shorter text")),
        }
    }

    fn unpin(&mut self, text: &str, node: Option<&str>, fx: &mut Effects) -> Result<Answer, No> {
        let node = node.map(|node| self.node_named(node)).transpose()?;
        if self.tokens.clear(text, node) {
            fx.notice(Notice::PinChanged { text: text.into(), set: false });
            return Ok(done(format!("no longer pinned: {text}")));
        }
        Err(no(Kind::NotFound, &format!("no such pin: {text}"), "", "o2cpg can-stop lists them"))
    }

    /// The removal itself is agreed by all; this only asks for it.
    fn forget(&mut self, text: &str, fx: &mut Effects) -> Result<Answer, No> {
        let node = self.node_named(text)?;
        if let Err(wait) = self.may_act().and_then(|()| self.may_be_proposed()) {
            let why = format!("waiting for {wait}");
            return Err(no(Kind::Refused, &format!("{text} cannot be forgotten now"), &why, "o2cpg status"));
        }
        let entry = self.agreed.as_ref().and_then(|agreed| of_node(&agreed.table.entries, node)).cloned();
        let Some(entry) = entry else {
            return Err(no(Kind::NotFound, &format!("the table has no entry of {text}"), "", "o2cpg nodes"));
        };
        let pins = self.pins_of(&entry, ProposalReason::Operator);
        if !pins.is_empty() {
            let why = pins.iter().map(Pin::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{} must stay", entry.name);
            return Err(no(Kind::Refused, &what, &why, "stop the node first, or remove the pin"));
        }
        self.say(Body::Proposal(Proposal { number: entry.number, reason: ProposalReason::Operator }), fx);
        Ok(done(format!("asked all members to remove {}; see o2cpg status", entry.name)))
    }

    /// A proposal that has to wait for another view is lost with this one.
    fn may_be_proposed(&self) -> Result<(), Wait> {
        let agreed = self.agreed.as_ref().filter(|agreed| agreed.quorate).ok_or_else(|| self.quorum_wait())?;
        match agreed.blocking_absent().next() {
            Some((node, live)) => Err(Wait::Absent { node, mounts: live.mounts }),
            None => Ok(()),
        }
    }

    /// A person takes the responsibility. Everybody learns it at the same point.
    fn ack_dead(&mut self, text: &str, by: String) -> Result<Answer, No> {
        let node = self.node_named(text)?;
        if !self.view.is_open() {
            let (what, why) =
                (format!("it is not known whether {text} is dead"), "corosync is not reachable, or has just begun");
            return Err(no(Kind::ClusterUnreachable, &what, why, "say it on a node that has corosync; o2cpg status"));
        }
        if self.view.in_ring(node) {
            let why = "corosync has it as a member of the ring";
            return Err(no(Kind::Refused, &format!("{text} is not dead"), why, "power it off first; o2cpg nodes"));
        }
        let closed = self.deaths.get(&node).is_some_and(|death| !self.is_gate_open(death));
        if !closed {
            let what = format!("nothing waits for the end of {text}");
            return Err(no(Kind::NotFound, &what, "its fence gate is not closed", "o2cpg status"));
        }
        self.confirm_dead(node, by);
        Ok(done(format!("noted that {text} is dead; all members are told as soon as there is quorum: o2cpg status")))
    }
}

fn of_node(entries: &std::collections::BTreeMap<u8, Entry>, node: NodeId) -> Option<&Entry> {
    entries.values().find(|entry| entry.nodeid == node.0)
}

fn condition_text(condition: &Condition) -> String {
    match condition {
        Condition::Quorate => "quorate".into(),
        Condition::Ready => "ready".into(),
        Condition::Settled => "settled".into(),
        Condition::NodeGone(node) => format!("{node} is gone"),
        Condition::NodeReady(node) => format!("{node} is ready"),
    }
}

fn done(text: String) -> Answer {
    Answer::Done(api::Done { text })
}

type No = Box<api::Refusal>;

fn no(kind: Kind, what: &str, cause: &str, fix: &str) -> No {
    Box::new(api::Refusal { kind: kind.into(), what: what.into(), cause: cause.into(), fix: fix.into() })
}

fn reply(client: ClientId, answer: Result<Answer, No>, fx: &mut Effects) {
    let answer = answer.unwrap_or_else(|refusal| Answer::Refusal(*refusal));
    fx.push(Effect::Reply(client, Box::new(api::Response { answer: Some(answer) })));
}
