//! The agent: one exhaustive match that routes each event. No policy here; see the module named in each arm.

use crate::adopt::{self, Found};
use crate::control::Control;
use crate::deaths::Death;
use crate::effect::{Effect, Effects};
use crate::event::{ClusterConfig, Connected, Event, KernelView, Reason, Started, ViewChange};
use crate::ids::{ClientId, Member, NodeId, OpId, Tick};
use crate::leave::Leaving;
use crate::legacy::LegacyRecovery;
use crate::link::Link;
use crate::notice::Notice;
use crate::pins::Tokens;
use crate::policy::Policy;
use crate::table::Agreed;
use crate::timers::{Timer, Timers};
use crate::tree::Kernel;
use crate::tries::Tries;
use crate::view::View;
use crate::volumes::Volumes;
use crate::waits::Waits;
use crate::work::Work;
use proto::control::Condition;
use proto::peer::{Hello, Live, Message, Previous, Table, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything one agent knows. [`Agent::handle`] is the only way to change it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    pub(crate) now: Tick,
    pub(crate) started: Option<Box<Started>>,
    pub(crate) policy: Policy,
    pub(crate) config: Option<ClusterConfig>,
    /// Why what corosync is configured to be by now is not known.
    #[serde(default)]
    pub(crate) config_why: String,
    pub(crate) found: Found,
    /// Our node, once corosync has told it; also known while corosync is away.
    pub(crate) own_node: Option<NodeId>,

    pub(crate) link: Link,
    pub(crate) view: View,
    pub(crate) exchange: Exchange,
    pub(crate) agreed: Option<Agreed>,

    pub(crate) table: Option<Table>,
    pub(crate) absent: BTreeMap<NodeId, Live>,
    /// Nodes that died with volumes mounted, and when their disk heartbeat has run out at the latest.
    pub(crate) dying: BTreeMap<NodeId, Tick>,
    /// Volumes on this node.
    pub(crate) volumes: Volumes,
    /// Which node uses which volumes, as agreed.
    #[serde(with = "crate::pairs")]
    pub(crate) uses: BTreeMap<NodeId, BTreeSet<VolumeId>>,
    /// Of these it is not known what they use by now: we were not there. Whether they have been in our ring since, silent.
    #[serde(default)]
    pub(crate) unheard: BTreeMap<NodeId, bool>,
    /// Nodes that died while they used volumes.
    pub(crate) deaths: BTreeMap<NodeId, Death>,
    /// Fence programs that run on this node, and for which death, by its beginning and boot. Their end always comes,
    /// whatever views come and go meanwhile.
    #[serde(default)]
    pub(crate) fencing: BTreeMap<NodeId, (Tick, Option<[u8; 16]>)>,
    /// Nodes that we have buried and that have not come back since.
    #[serde(default)]
    pub(crate) buried: BTreeSet<NodeId>,
    /// We were away from our kernel, and it may have used volumes: who has been let in since, or buried.
    #[serde(default)]
    pub(crate) met: Option<BTreeSet<NodeId>>,
    /// Buried while an agent was away from a live kernel: the boot that died.
    #[serde(default)]
    pub(crate) obituaries: BTreeMap<NodeId, [u8; 16]>,
    /// The last boot of each node that was heard.
    pub(crate) boots: BTreeMap<NodeId, [u8; 16]>,
    pub(crate) control: Control,
    pub(crate) absent_since: BTreeMap<NodeId, Tick>,
    /// Without an agent, and nobody here knows what they use: since when we know of them.
    #[serde(default)]
    pub(crate) silent: BTreeMap<NodeId, Tick>,
    /// Those whose time to come back is over, until a younger message of our own has come back.
    #[serde(default)]
    pub(crate) overdue: BTreeSet<NodeId>,
    /// What was live on each established node when it was last heard.
    pub(crate) lives: BTreeMap<NodeId, Live>,
    /// Nodes whose agent said Goodbye and has not come back.
    pub(crate) left: BTreeSet<NodeId>,
    /// The present view, once quorum has spoken about it and we have said Hello.
    pub(crate) settled: Option<Previous>,
    /// The settled view before the present one.
    pub(crate) previous: Option<Previous>,
    /// All members have let us in since our own entry became local, or since we last came as a joiner; an earlier daemon too.
    #[serde(default)]
    pub(crate) admitted: bool,
    /// The state file has it that we are not.
    #[serde(default)]
    pub(crate) joins_saved: bool,
    /// Who was in then, or has come since with nothing in use: they have nothing of ours to bury. Not known after a restart.
    #[serde(default)]
    pub(crate) let_in_by: Option<BTreeSet<NodeId>>,
    pub(crate) cut_off: bool,
    pub(crate) seen_since: BTreeMap<NodeId, Tick>,

    pub(crate) kernel: Kernel,
    pub(crate) work: Option<Work>,
    pub(crate) last_op: u64,

    pub(crate) tokens: Tokens,
    /// Groups of legacy clients, as `LEVEL:NAME`.
    pub(crate) legacy: BTreeSet<String>,
    /// What the legacy service said last of deaths; `None` where there is no such service.
    #[serde(default)]
    pub(crate) legacy_recovery: Option<LegacyRecovery>,
    pub(crate) waiters: BTreeMap<ClientId, Condition>,
    pub(crate) timers: Timers,
    pub(crate) tries: Tries,
    pub(crate) leaving: Leaving,
    pub(crate) waits: Waits,
    pub(crate) counters: Counters,
}

/// The Hellos of the present view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Those that have come.
    #[serde(with = "crate::pairs")]
    pub hellos: BTreeMap<Member, Hello>,
    /// Incarnations of the members, as far as known in this view.
    #[serde(with = "crate::pairs")]
    pub nonces: BTreeMap<Member, u64>,
    /// We owe one.
    pub owed: bool,
    /// And it is to begin the exchange, for all.
    #[serde(default)]
    pub begins: bool,
    /// Ours that are on their way back to us, of this view or of one before.
    pub outstanding: u32,
    /// The last step begun in this view.
    pub round: u32,
    /// The last step we have answered.
    pub answered: u32,
    /// What the last Hello said was live here.
    pub told: Live,
    /// Removals we have proposed in this view.
    pub proposed: BTreeSet<u8>,
    /// Half-made entries were taken out, or the kernel did not let us.
    pub tidied: bool,
    /// Messages that came before the ring of our first view was known.
    pub early: Vec<(Member, Message)>,
}

/// Counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Views.
    pub views: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Messages that were sent in another view.
    pub stale: u64,
    /// Messages that could not be read.
    pub undecodable: u64,
    /// Members listed that were gone.
    pub ghosts: u64,
    /// Operations handed to the kernel.
    pub kernel_ops: u64,
    /// Batches that it refused.
    pub kernel_refusals: u64,
    /// Senders whose undecodable messages were reported once.
    pub reported: BTreeSet<Member>,
}

/// Messages kept while the ring of our first view is not known; corosync says it within milliseconds.
pub(crate) const EARLY_MAX: usize = 4096;

impl Agent {
    /// A new agent that knows nothing. The first event must be [`Event::Started`].
    #[must_use]
    pub fn new() -> Self {
        Agent::default()
    }

    /// Takes one event, updates the state, appends to `fx` what must happen, in order. Cannot fail.
    pub fn handle(&mut self, now: Tick, event: Event, fx: &mut Effects) {
        self.now = now;
        #[cfg(feature = "planted")]
        crate::planted::by_chance(fx);
        match event {
            Event::Started(started) => self.start(*started, fx),
            Event::ConfigChanged(config) => self.configure(config),
            Event::ConfigUnreadable { why } => self.config_why = why,
            Event::JoinRefused { why } => self.link.join_why = why,
            Event::PolicyChanged(policy) => self.change_policy(*policy),
            Event::CorosyncUp(connected) => self.corosync_up(connected, fx),
            Event::CorosyncLost { why } => self.corosync_lost(why, fx),
            Event::CorosyncStuck { call } => self.link.stuck = Some(call),
            Event::CorosyncUnstuck => self.link.stuck = None,
            Event::ViewChanged(change) => self.view_changed(&change, fx),
            Event::RingChanged { ring, nodes } => self.ring_changed(ring, nodes, fx),
            Event::QuorumChanged { quorate, ring } => self.quorum_changed(quorate, ring),
            Event::Delivered { from, body: Ok(message) } => self.delivered(from, message, fx),
            Event::Delivered { from, body: Err(err) } => self.undecodable(from, &err.to_string(), fx),
            Event::Asked(client, ask) => self.asked(client, ask, fx),
            Event::MountAsked(client, ask) => self.mount_asked(client, &ask, fx),
            Event::ClientGone(client) => {
                if !planted!(AnsweredAfterTheEnd) {
                    self.waiters.remove(&client);
                }
                self.mount_client_gone(client, fx);
            }
            Event::LegacyGroups(groups) => self.legacy = groups.into_iter().collect(),
            Event::LegacyRecovery(recovery) => self.legacy_recovery = Some(recovery),
            Event::LegacyWaits(waits) => self.legacy_waits(waits, fx),
            Event::ControlDone(op, result) => self.control_done(op, result, fx),
            Event::LockspacesSeen(op, seen) => self.lockspaces_seen(op, seen, fx),
            Event::FenceEnded(node, result) => self.fence_ended(node, result, fx),
            Event::KernelDone(op, outcome) => self.kernel_done(op, outcome, fx),
            Event::KernelSeen(view) => self.kernel_seen(view, fx),
            Event::TimerFired(token) => {
                if let Some(timer) = self.timers.take(token) {
                    self.ring_timer(timer, fx);
                }
            }
            Event::Slept { ms } => self.slept(ms, fx),
            Event::Quiet => self.link.doubt = true,
            Event::ShutdownAsked => self.shutdown_asked(fx),
            Event::StopAsked { by } => self.stop_asked(by, fx),
        }
        self.advance(fx);
    }

    /// What may follow from any event, in this order.
    fn advance(&mut self, fx: &mut Effects) {
        self.drive(fx);
        self.come_again_if_not_let_in();
        self.say_hello_if_due(fx);
        self.work_if_due(fx);
        self.tell_volumes(fx);
        self.propose_removals(fx);
        self.bury(fx);
        self.work_if_due(fx); // an answer may have waited for a burial
        self.open_control(fx);
        self.register(fx);
        self.end_absent(fx);
        self.answer_mounts(fx);
        self.tell_live(fx); // a mount that has its word is live
        self.publish_later(fx);
        self.stop_if_possible(fx);
        self.note_waits(fx);
        self.answer_waiters(fx);
    }

    fn start(&mut self, started: Started, fx: &mut Effects) {
        self.policy = started.policy.clone();
        self.found = adopt::look(&started);
        for verdict in &self.found.verdicts {
            let crate::adopt::Verdict { verdict, thing, why } = verdict.clone();
            fx.notice(Notice::Verdict { verdict: verdict.as_str().into(), thing, why });
        }
        self.table.clone_from(&self.found.table);
        self.kernel.adopt(&self.found);
        if let Ok(Some(saved)) = &started.saved {
            self.recall(saved, started.boot_id);
        }
        self.kernel.see(started.kernel.clone());
        self.kernel.stack_is_unknown = started.kernel.stack.is_none();
        let is_local = self.kernel.tree().is_some_and(|tree| tree.local().is_some());
        let joins = started.saved.as_ref().is_ok_and(|saved| saved.as_ref().is_some_and(|saved| saved.joins));
        (self.admitted, self.joins_saved) = (is_local && !joins, joins);
        self.was_away(is_local);
        self.control.unasked = true;
        self.link.why = "not connected yet".into();
        self.started = Some(Box::new(started));
    }

    fn configure(&mut self, config: ClusterConfig) {
        self.config_why.clear();
        if self.config.as_ref() != Some(&config) {
            self.config = Some(config);
            self.exchange.proposed.clear();
            self.exchange.owed = true;
        }
    }

    fn change_policy(&mut self, policy: Policy) {
        if self.policy != policy {
            self.policy = policy;
            // Set anew by what follows from any event, as long as the policy says now.
            self.timers.cancel(Timer::Grace);
            self.timers.cancel(Timer::Silence);
            self.exchange.owed = true;
        }
    }

    fn corosync_up(&mut self, connected: Connected, fx: &mut Effects) {
        fx.notice(Notice::CorosyncUp { nodeid: connected.member.nodeid });
        self.own_node = Some(NodeId(connected.member.nodeid));
        self.link = Link { returning: self.link.returning, view_since: self.now, ..Link::default() };
        self.view = View::of(connected.member);
        self.exchange = Exchange::default();
        self.agreed = None;
        self.link.up = Some(connected);
        self.look_for_deserted(fx);
    }

    fn corosync_lost(&mut self, why: String, fx: &mut Effects) {
        fx.notice(Notice::CorosyncLost { why: why.clone() });
        self.remember_view();
        self.link = Link { why, returning: true, view_since: self.now, ..Link::default() };
        self.view = View::default();
        self.exchange = Exchange::default();
        self.agreed = None;
        self.nobody_is_heard();
        self.was_away(!self.volumes_in_kernel().is_empty());
        self.dlm_controld_ends();
        self.timers.cancel(Timer::Deaf);
        self.look_for_deserted(fx);
    }

    fn view_changed(&mut self, change: &ViewChange, fx: &mut Effects) {
        for (member, reason) in &change.left {
            self.member_left(*member, *reason, fx);
        }
        for (member, _) in &change.joined {
            self.seen_since.insert(NodeId(member.nodeid), self.now);
            self.left.remove(&NodeId(member.nodeid));
            self.dying.remove(&NodeId(member.nodeid));
            fx.notice(Notice::NodeJoined { node: NodeId(member.nodeid) });
        }
        self.view.change(change);
        self.new_view();
    }

    fn member_left(&mut self, member: Member, reason: Reason, fx: &mut Effects) {
        if self.view.is_left_out(member) {
            return; // corosync forgets a ghost: not the end of the agent there
        }
        let node = NodeId(member.nodeid);
        if self.agreed.as_ref().is_some_and(|agreed| agreed.is_second(&member)) {
            fx.notice(Notice::NodeLeft { node, how: "second agent".into() });
            return; // its node's agent is another one
        }
        self.seen_since.insert(node, self.now);
        let said_goodbye = self.left.contains(&node);
        let how = match reason {
            Reason::Leave if said_goodbye || planted!(LeaveIsClean) => "left",
            Reason::ProcDown if planted!(ProcdownIsClean) => "left",
            Reason::NodeDown => "nodedown",
            Reason::Leave | Reason::ProcDown | Reason::Join | Reason::NodeUp | Reason::Unknown(_) => "procdown",
        };
        if how == "procdown" && self.agreed.is_none() && !self.exchange.hellos.contains_key(&member) {
            // corosync may have lost its last words with a ring that it tells nobody about (decision 10, seed 6481321).
            self.unheard.insert(node, true);
        }
        // A process that ends without Goodbye says nothing about its node: its kernel may go on.
        match self.lives.remove(&node) {
            Some(_) if planted!(AbsentIsForgotten) => {}
            Some(live) if how == "procdown" => _ = self.absent.insert(node, self.live_at_most(node, live)),
            Some(live) if live.is_live() && self.kernel.live().is_live() && self.kernel.stack.fences_by_disk() => {
                self.heartbeat_ends(node, fx);
            }
            None if how == "procdown" => self.ended_unheard(node),
            Some(_) | None => {}
        }
        match how {
            "nodedown" => self.node_died(node),
            "left" => self.is_done_with_volumes(node),
            _ => {}
        }
        fx.notice(Notice::NodeLeft { node, how: how.into() });
    }

    fn ring_changed(&mut self, ring: crate::ids::RingId, nodes: BTreeSet<NodeId>, fx: &mut Effects) {
        self.silent_nodes_died(&nodes);
        self.left.retain(|node| nodes.contains(node));
        self.view.ring_changed(ring, nodes);
        self.tell_ghosts(self.view.ghosts(), fx);
        self.new_view();
        for (from, message) in std::mem::take(&mut self.exchange.early) {
            self.delivered(from, message, fx);
        }
    }

    fn quorum_changed(&mut self, quorate: bool, ring: crate::ids::RingId) {
        if self.view.quorum_changed(ring, quorate) && self.view.is_settled() {
            self.exchange.owed = !planted!(QuorumIsNoNews);
        }
    }

    /// Everything that was said in the view before counts no more.
    pub(crate) fn new_view(&mut self) {
        self.counters.views += 1;
        self.remember_view();
        if !planted!(OldViewStands) {
            self.agreed = None;
        }
        let early = std::mem::take(&mut self.exchange.early);
        let outstanding = self.exchange.outstanding;
        self.exchange = Exchange { owed: true, early, outstanding, ..Exchange::default() };
        // Our own Hello has to come back before anything is done: as good as a probe.
        (self.link.probe, self.link.doubt) = (None, false);
        self.link.view_since = self.now;
    }

    /// What we were in counts as "before" from here on, if quorum ever spoke about it.
    fn remember_view(&mut self) {
        if let Some(settled) = self.settled.take() {
            self.previous = Some(settled);
        }
    }

    fn kernel_seen(&mut self, view: KernelView, fx: &mut Effects) {
        let before = (self.kernel.mounts.clone(), self.kernel.held(), self.is_local());
        let (stack, unreadable) = (self.kernel.stack.word().to_owned(), self.kernel.unreadable().is_some());
        let was_fit = self.own_entry().is_ok();
        let busy = self.work.as_ref().is_some_and(Work::in_kernel);
        let view = KernelView { tree: view.tree.filter(|_| !busy), ..view };
        self.kernel.see(view);
        self.settle_volumes(fx);
        self.exchange.owed |= self.kernel.stack.word() != stack || self.kernel.unreadable().is_some() != unreadable;
        self.exchange.owed |= self.own_entry().is_ok() != was_fit;
        if self.kernel.mounts != before.0 {
            let mounts = self.kernel.mounts.iter().map(|mount| mount.path.clone()).collect();
            fx.notice(Notice::Mounts { mounts });
            self.look_at_lockspaces_now();
        }
        if (self.kernel.held(), self.is_local()) != (before.1, before.2) {
            fx.notice(Notice::Drift { what: "entries of ours were changed by another program".into() });
            self.exchange.owed = true;
        }
        self.answer_if_asked(fx);
    }

    pub(crate) fn undecodable(&mut self, from: Member, why: &str, fx: &mut Effects) {
        #[cfg(feature = "planted")]
        assert!(!planted!(GarbageEndsIt), "{why}");
        self.counters.undecodable += 1;
        if self.counters.reported.insert(from) {
            fx.notice(Notice::Dropped { from: from.nodeid, why: format!("pid {}: {why}", from.pid) });
        }
    }

    fn ring_timer(&mut self, timer: Timer, fx: &mut Effects) {
        match timer {
            Timer::Deaf => self.listen(fx),
            Timer::HelloAgain => self.exchange.owed |= self.is_concerned() && !planted!(NoSecondTry),
            Timer::ProposeAgain => self.propose_again(fx),
            Timer::GoodbyeLost => self.leave_now(fx),
            Timer::Reminder => self.remind(fx),
            Timer::HeartbeatEnds => self.wake_for_the_dead(fx),
            Timer::Publish => self.publish(fx),
            Timer::MountDecides => self.mount_decides(fx),
            Timer::LookAgain => fx.push(Effect::LookAtKernel),
            Timer::FenceAgain => self.wake_for_fences(fx),
            Timer::WordAgain => self.wake_for_words(fx),
            Timer::ControlAgain | Timer::Grace | Timer::Silence => {} // what follows from any event
        }
    }

    /// What all members of the present view hold in common, once all have said Hello.
    #[must_use]
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Members, ring and quorum as last reported.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The table as last agreed.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// This process as a CPG member, while connected.
    #[must_use]
    pub fn member(&self) -> Option<Member> {
        self.link.up.as_ref().map(|up| up.member)
    }

    pub(crate) fn is_local(&self) -> bool {
        self.member().is_some_and(|me| self.kernel.is_local(me.nodeid))
    }

    pub(crate) fn new_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }
}
