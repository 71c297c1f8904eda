//! Performs each effect of the machine, in order. Every side effect starts here; nothing waits.

use super::clients::Clients;
use super::cpgs::Cpgs;
use super::journal::{self, Journal};
use super::waits::{LONG_MS, News, Waits};
use crate::clock;
use cpg_glue::{Glue, GroupName, Refused, Verdict};
use groupd_compat::cpg_message::Message;
use groupd_compat::ids::{ClientId, CpgId, NodeId};
use groupd_compat::machine::{Effect, Exit, KillReason, Machine, Notice};
use groupd_compat::names::CpgName;
use groupd_compat::verbs::Callback;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// Messages of one group that wait for corosync before its senders have to wait too. Far below the glue's own bound, so
/// that every client may have one more on its way.
const SENDING_MAX: usize = 1024;
/// At so few the senders go on.
const SENDING_AGAIN: usize = 256;

/// What the effects act on.
pub(super) struct Hands {
    pub(super) glue: Glue,
    pub(super) cpgs: Cpgs,
    pub(super) clients: Clients,
    pub(super) journal: Journal,
    pub(super) waits: Waits,
    /// When the machine's timer rings.
    pub(super) timer: Option<Instant>,
    /// Whose frame is being carried out.
    pub(super) asking: Option<ClientId>,
    /// Joins that failed before corosync was even asked.
    pub(super) failed: VecDeque<CpgId>,
    /// Nodes that corosync is still to be told to kill; the glue takes a few at a time.
    kills: VecDeque<(NodeId, KillReason)>,
    /// Orders that have not ended.
    killing: usize,
    /// Clients that wait until a group has less to send.
    held: BTreeMap<GroupName, BTreeSet<ClientId>>,
    /// Set by the last effect of all.
    pub(super) exit: Option<Exit>,
}

impl Hands {
    pub(super) fn new(glue: Glue, clients: Clients, me: NodeId) -> Hands {
        Hands {
            glue,
            clients,
            cpgs: Cpgs::default(),
            journal: Journal::default(),
            waits: Waits::new(me),
            timer: None,
            asking: None,
            failed: VecDeque::new(),
            kills: VecDeque::new(),
            killing: 0,
            held: BTreeMap::new(),
            exit: None,
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::JoinCpg(cpg, name) => self.join(cpg, &name),
            Effect::LeaveCpg(cpg) => self.cpgs.leave(cpg),
            Effect::CloseCpg(cpg) => self.cpgs.close(cpg),
            Effect::Multicast(cpg, message) => self.multicast(cpg, &message),
            Effect::Tell(client, callback) => self.tell(client, &callback),
            Effect::Reply(client, reply) => self.clients.answer(client, reply.encode()),
            Effect::Dump(client) => {
                let waits = self.waits.lines(journal::now(), clock::now());
                self.clients.answer(client, [self.journal.text(), waits.into_bytes()].concat());
                self.clients.close(client);
            }
            Effect::Kill(node, why) => self.kills.push_back((node, why)),
            Effect::SetTimer(ms) => self.timer = Some(Instant::now() + Duration::from_millis(ms)),
            Effect::AnswerShutdown(may_end) => self.answer_shutdown(may_end),
            Effect::Notice(notice) => self.notice(&notice),
            Effect::Exit(exit) => self.exit = Some(exit),
        }
    }

    /// Looks which groups stand still, and tells the log what is new of that.
    pub(super) fn look(&mut self, machine: &Machine) {
        for news in self.waits.look(machine, |client| self.clients.pid(client), clock::now()) {
            match &news {
                News::Long { group, what, fix } => {
                    let longer_than_s = LONG_MS / 1000;
                    warn!(%group, longer_than_s, waits_for = what, fix, "a group stands still");
                    self.journal.say_of(group, format_args!("stands still: {what}"));
                }
                News::GoesOn { group, after_ms } => {
                    info!(%group, after_ms, "the group goes on");
                    self.journal.say_of(group, format_args!("goes on after {after_ms} ms"));
                }
                News::More { long, go_on } => warn!(long, go_on, "groups more stand still, or go on"),
            }
        }
    }

    /// What was only possible after something else: leaves behind the last message, kills behind other kills, and
    /// clients that may go on.
    pub(super) fn follow_up(&mut self) {
        for name in self.cpgs.due(|name| self.glue.waiting(name) == 0) {
            if let Err(refused) = self.glue.leave(&name) {
                debug!(%refused, "not left");
            }
        }
        self.order_kills();
        let glue = &self.glue;
        self.held.retain(|name, clients| {
            let stays = glue.waiting(name) > SENDING_AGAIN;
            if !stays {
                clients.iter().for_each(|&client| self.clients.release(client));
            }
            stays
        });
    }

    /// The glue holds nothing more under this name: what stands behind it may begin.
    pub(super) fn left(&mut self, name: &GroupName) {
        if self.cpgs.ended(name) {
            self.begin(name);
        }
    }

    /// corosync refuses this membership: it is given up, and the glue does not try again.
    pub(super) fn give_up(&mut self, cpg: CpgId) {
        if let Some(name) = self.cpgs.name(cpg).cloned() {
            self.cpgs.close(cpg);
            if let Err(refused) = self.glue.leave(&name) {
                debug!(%refused, "not given up");
            }
        }
        self.failed.push_back(cpg);
    }

    /// An order to kill a node has ended.
    pub(super) fn kill_ended(&mut self) {
        self.killing = self.killing.saturating_sub(1);
    }

    /// Whether corosync was told of every node to kill, and has answered.
    pub(super) fn has_killed(&self) -> bool {
        self.killing == 0 && self.kills.is_empty()
    }

    fn join(&mut self, cpg: CpgId, name: &CpgName) {
        match GroupName::foreign(name.as_bytes()) {
            Ok(name) if self.cpgs.join(cpg, &name) => self.begin(&name),
            Ok(_) => {}
            Err(invalid) => {
                warn!(%invalid, "a groupd group cannot be joined");
                self.failed.push_back(cpg);
            }
        }
    }

    fn begin(&mut self, name: &GroupName) {
        if let Err(refused) = self.glue.join(name) {
            warn!(%refused, "a groupd group cannot be joined");
            self.failed.extend(self.cpgs.owner(name));
            self.left(name);
        }
    }

    fn multicast(&mut self, cpg: CpgId, message: &Message) {
        let Some(name) = self.cpgs.name(cpg) else {
            return debug!(%cpg, "nothing is sent behind a leave");
        };
        match self.glue.multicast(name, message.encode()) {
            Ok(()) => {}
            Err(refused @ Refused::QueueFull { .. }) if cpg == CpgId::CONTROL => {
                error!(%refused, "a word to the other daemons is lost: better no daemon than a silent one");
                self.exit = Some(Exit::Overwhelmed);
            }
            Err(refused) => debug!(%refused, "not sent"),
        }
        if let Some(client) = self.asking.filter(|_| self.glue.waiting(name) > SENDING_MAX) {
            self.held.entry(name.clone()).or_default().insert(client);
            self.clients.hold(client);
        }
    }

    fn tell(&mut self, client: ClientId, callback: &Callback) {
        match callback.encode() {
            Ok(frame) => self.clients.send(client, frame.as_bytes()),
            Err(overflow) => error!(%client, %overflow, "a callback is lost"),
        }
        if !matches!(callback, Callback::Deliver { .. }) {
            debug!(%client, ?callback, "told");
            self.journal.say(format_args!("client {client} {callback:?}"));
        }
    }

    fn order_kills(&mut self) {
        while let Some(&(node, why)) = self.kills.front() {
            match self.glue.kill_node(cpg_glue::NodeId(node.0), reason(why)) {
                Ok(()) => {
                    warn!(%node, reason = reason(why), "groupd has this node killed");
                    self.journal.say(format_args!("kill {node} {}", reason(why)));
                    self.killing += 1;
                }
                Err(Refused::TooManyKills(_)) => return,
                Err(refused) => warn!(%node, %refused, "not killed"),
            }
            self.kills.pop_front();
        }
    }

    fn answer_shutdown(&mut self, may_end: bool) {
        let verdict = if may_end { Verdict::Yes } else { Verdict::No };
        info!(may_end, "corosync asks whether groupd lets it shut down");
        if let Err(refused) = self.glue.answer_shutdown(verdict) {
            warn!(%refused, "corosync's question is not answered");
        }
    }

    /// To the log, each at the level of whose fault it is, and to the journal.
    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::BadRequest { client, error } => debug!(%client, %error, "a frame that says nothing"),
            Notice::NotAllowed { client, access } => debug!(%client, ?access, "a command that it may not give"),
            Notice::Ignored { client, why } => debug!(%client, ?why, "a command that does not fit"),
            Notice::ClientLog { client, text } => error!(%client, text = %text.escape_ascii(), "a client says"),
            Notice::Orphaned { group, client } => warn!(%group, %client, "the client of a group is gone"),
            Notice::BadMessage { from, error } => debug!(node = %from.node, pid = from.pid, %error, "bad message"),
            Notice::Forged { from } => debug!(node = %from.node, pid = from.pid, "a word of no daemon"),
            Notice::Ghost { ghost } => warn!(
                node = %ghost.node, pid = ghost.pid,
                "corosync goes on listing a groupd that has ended; nobody waits for it"
            ),
            Notice::Late { group, from } => debug!(%group, node = %from, "a step of a change that is over"),
            Notice::JoinFailed { group } => warn!(%group, "the group cannot be joined"),
            Notice::WideNodeId { node } => warn!(%node, "ids of groups may repeat: node ids above 65535"),
            Notice::ModeChosen { mode } => info!(mode, "groupd's mode is decided"),
            Notice::StillJoined { groups } => warn!(groups, "asked to end, but clients have groups"),
        }
        match notice {
            Notice::Orphaned { group, .. } | Notice::Late { group, .. } | Notice::JoinFailed { group } => {
                self.journal.say_of(group, format_args!("{notice:?}"));
            }
            _ => self.journal.say(format_args!("{notice:?}")),
        }
    }
}

/// For corosync's log and ours.
fn reason(why: KillReason) -> &'static str {
    match why {
        KillReason::DaemonGone => "its groupd ended while it shared groups with us",
        KillReason::StillNamed => "it has failed, and a later ring still names it",
        KillReason::Merged => "it came out of a partition with groups of its own",
        KillReason::ClientGone => "a groupd client died while its group was in use",
    }
}
