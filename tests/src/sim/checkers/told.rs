//! What one daemon was told since its start and what it asked for, by its events and effects alone: the checkers compare
//! the agent with this, not with itself.

use super::super::agenda::Micros;
use super::super::recording::Record;
use agent_core::event::{ConfiguredNode, KernelView, Reason, ViewChange};
use agent_core::ids::{Member, NodeId, RingId};
use agent_core::step::StepKind;
use agent_core::{Agent, Effect, Event};
use proto::control::Ask;
use proto::control::api::response::Answer;
use proto::peer::{Body, Live, Message, Version, ViewTag};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Who it is, while connected.
    pub(super) me: Option<Member>,
    listed: BTreeSet<Member>,
    pub(super) ring: Option<RingId>,
    pub(super) nodes: BTreeSet<NodeId>,
    ring_follows: bool,
    /// Who came since the ring stands, and who was left out by others of it: by whom.
    newcomers: BTreeSet<Member>,
    left_out: BTreeSet<(Member, Member)>,
    /// The present message has shown who is a ghost, or is none: another view, by whatever name it came.
    pub(super) ghosts_changed: bool,
    quorum: Option<(RingId, bool)>,
    /// Volumes are mounted here, as it was told.
    pub(super) mounted: bool,
    /// It stood still, and its probe has not come back.
    pub(super) slept: bool,
    /// Nothing happened for so long that it may have been away, and its probe has not come back.
    pub(super) quiet: bool,
    /// Own messages that have not come back, and since when none has.
    pub(super) unheard: u32,
    pub(super) unheard_since: Micros,
    /// What was live on the others when they were last heard, as long as they stay in sight.
    pub(super) lives: BTreeMap<NodeId, Live>,
    /// Its table's version before the present event.
    pub(super) version: Option<Version>,
    /// Names of the entries in its state file before the present event.
    pub(super) saved: BTreeSet<String>,
    /// The nodelist as last told.
    named: BTreeMap<String, NodeId>,
    /// Nodes whose entry somebody pinned here.
    pinned: BTreeSet<NodeId>,
    /// The entry of the last vote, and whether it was pinned here when this node acted on it or answered.
    pub(super) voted: Option<(String, Option<bool>)>,
    /// Timers that rang in this second.
    pub(super) rung: InOneSecond,
    /// Messages that were said in it.
    pub(super) said: InOneSecond,
    /// What was delivered last was said in its view.
    pub(super) is_of_view: bool,
}

/// How often something happened in the last second in which it did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InOneSecond {
    second: u64,
    count: usize,
}

impl InOneSecond {
    fn add(&mut self, count: usize, now: Micros) {
        let before = self.within(now);
        *self = InOneSecond { second: now / super::SECOND, count: before + count };
    }

    /// In the present second.
    pub(super) fn within(self, now: Micros) -> usize {
        if self.second == now / super::SECOND { self.count } else { 0 }
    }
}

impl Told {
    /// Takes an event, before its effects are looked at.
    pub(super) fn take(&mut self, record: &Record, now: Micros) {
        match &record.event {
            Event::Started(started) => {
                let written = started.saved.iter().flatten().flat_map(|saved| &saved.written);
                *self = Told { saved: written.map(|entry| entry.name.clone()).collect(), ..Told::default() };
                self.kernel_seen(&started.kernel);
            }
            Event::ConfigChanged(config) => {
                let named = |(id, node): (&NodeId, &ConfiguredNode)| Some((node.name.clone()?, *id));
                self.named = config.nodes.iter().filter_map(named).collect();
            }
            Event::CorosyncUp(up) => *self = Told { me: Some(up.member), ..self.disconnected() },
            Event::CorosyncLost { .. } => *self = self.disconnected(),
            Event::ViewChanged(change) => self.view_changed(change),
            Event::RingChanged { ring, nodes } => {
                self.ring = Some(*ring);
                self.nodes.clone_from(nodes);
                self.lives.retain(|node, _| nodes.contains(node));
                (self.ring_follows, self.slept, self.quiet) = (false, false, false);
                self.newcomers.clear();
                self.left_out.clear();
            }
            Event::QuorumChanged { ring, quorate } => self.quorum = Some((*ring, *quorate)),
            Event::Delivered { from, body: Ok(message) } => self.delivered(*from, message, now),
            Event::KernelSeen(view) => self.kernel_seen(view),
            Event::Slept { .. } => (self.slept, self.unheard_since) = (self.is_open(), now),
            Event::Quiet => self.quiet = self.is_open(),
            Event::TimerFired(_) => self.rung.add(1, now),
            _ => {}
        }
        self.said.add(record.effects.iter().filter(|effect| matches!(effect, Effect::Multicast(_))).count(), now);
    }

    /// Takes the effects, once they were looked at.
    pub(super) fn done(&mut self, record: &Record, agent: &Agent, now: Micros) {
        self.version = agent.table().map(|table| table.version);
        let is_done = |effect: &Effect| match effect {
            Effect::Reply(_, response) => matches!(response.answer, Some(Answer::Done(_))),
            _ => false,
        };
        if let (Event::Asked(_, ask), true) = (&record.event, record.effects.iter().any(is_done)) {
            self.asked(ask, agent);
        }
        self.vote(record, agent);
        for effect in &record.effects {
            match effect {
                Effect::Multicast(_) if self.unheard == 0 => (self.unheard, self.unheard_since) = (1, now),
                Effect::Multicast(_) => self.unheard += 1,
                Effect::Save(saved) => self.saved = saved.written.iter().map(|entry| entry.name.clone()).collect(),
                _ => {}
            }
        }
    }

    fn vote(&mut self, record: &Record, agent: &Agent) {
        let step = agent.agreed().and_then(|agreed| agreed.step.as_ref());
        let Some(StepKind::Vote { entry, .. }) = step.map(|step| &step.kind) else { return self.voted = None };
        let decides = |effect: &Effect| match effect {
            Effect::Kernel(..) => true,
            Effect::Multicast(message) => matches!(message.body, Body::Answer(_)),
            _ => false,
        };
        let decided = record.effects.iter().any(decides).then(|| self.pinned.contains(&NodeId(entry.nodeid)));
        let before = self.voted.take().filter(|(name, _)| *name == entry.name).and_then(|(_, decided)| decided);
        self.voted = Some((entry.name.clone(), before.or(decided)));
    }

    fn asked(&mut self, ask: &Ask, agent: &Agent) {
        match ask {
            Ask::Pin { node: Some(node), .. } => self.pinned.extend(self.node_named(node, agent)),
            Ask::Unpin { node: Some(node), .. } => {
                let node = self.node_named(node, agent);
                self.pinned.retain(|pinned| Some(*pinned) != node);
            }
            _ => {}
        }
    }

    /// As the nodelist calls it, or else as its entry is called.
    fn node_named(&self, text: &str, agent: &Agent) -> Option<NodeId> {
        let entries = agent.table().into_iter().flat_map(|table| table.entries.values());
        let in_table = || entries.into_iter().find(|entry| entry.name == text).map(|entry| NodeId(entry.nodeid));
        self.named.get(text).copied().or_else(in_table).or_else(|| text.parse().ok().map(NodeId))
    }

    fn disconnected(&mut self) -> Told {
        Told {
            version: self.version,
            saved: std::mem::take(&mut self.saved),
            rung: self.rung,
            said: self.said,
            named: std::mem::take(&mut self.named),
            pinned: std::mem::take(&mut self.pinned),
            mounted: self.mounted,
            ..Told::default()
        }
    }

    fn kernel_seen(&mut self, view: &KernelView) {
        self.mounted = view.mounts.as_ref().map_or(self.mounted, |mounts| !mounts.is_empty());
    }

    fn view_changed(&mut self, change: &ViewChange) {
        self.listed.clone_from(&change.members);
        for (member, _) in change.joined.iter().chain(&change.left) {
            self.left_out.retain(|(ghost, _)| ghost != member);
        }
        self.newcomers.extend(change.joined.iter().map(|(member, _)| *member));
        let of_nodes = |(_, reason): &(Member, Reason)| matches!(reason, Reason::NodeDown | Reason::NodeUp);
        self.ring_follows |= change.left.iter().chain(&change.joined).any(of_nodes);
        // Whether it is the same boot that comes back is not known before it says Hello; who leaves has nothing mounted.
        let down = change.left.iter().filter(|(_, reason)| matches!(reason, Reason::NodeDown | Reason::Leave));
        down.for_each(|(member, _)| _ = self.lives.remove(&NodeId(member.nodeid)));
        (self.slept, self.quiet) = (false, false);
    }

    /// A ring is one list: who has been in ours since it began, and is not in that of another, is a ghost.
    fn compare(&mut self, from: Member, tag: &ViewTag) {
        let names = |member: &Member| tag.members.iter().any(|(named, _)| named == member);
        if !self.is_open() || Some(tag.ring) != self.ring || !names(&from) || !self.me.is_some_and(|me| names(&me)) {
            return;
        }
        if self.left_out.is_empty() && self.listed.iter().all(names) {
            return;
        }
        for member in self.listed.clone().difference(&self.newcomers.clone()) {
            let was_left_out = self.left_out.contains(&(*member, from)) || *member == from && self.is_left_out(from);
            match names(member) {
                false => _ = self.left_out.insert((*member, from)),
                true if was_left_out => {
                    self.newcomers.insert(*member);
                    self.left_out.retain(|(ghost, _)| ghost != member);
                }
                true => {}
            }
        }
    }

    fn is_left_out(&self, member: Member) -> bool {
        self.left_out.iter().any(|(ghost, _)| *ghost == member)
    }

    /// It is listed, and not to be waited for.
    pub(super) fn is_ghost(&self, member: Member) -> bool {
        self.is_open() && (!self.nodes.contains(&NodeId(member.nodeid)) || self.is_left_out(member))
    }

    /// It joined in this ring, or has spoken in it.
    pub(super) fn was_announced(&self, member: Member) -> bool {
        self.newcomers.contains(&member)
    }

    fn delivered(&mut self, from: Member, message: &Message, now: Micros) {
        let ghosts = self.live().count();
        self.compare(from, &message.view);
        self.ghosts_changed = self.live().count() != ghosts;
        let node = NodeId(from.nodeid);
        let counts = self.is_named_by(&message.view);
        self.is_of_view = counts;
        match &message.body {
            Body::Hello(hello) if counts => _ = self.lives.insert(node, hello.live),
            Body::Live(live) if counts => _ = self.lives.insert(node, *live),
            Body::Probe(_) if self.me == Some(from) => (self.slept, self.quiet) = (false, false),
            _ => {}
        }
        if self.me == Some(from) {
            (self.unheard, self.unheard_since) = (self.unheard.saturating_sub(1), now);
        }
    }

    /// Whether this is its view, by ring and members.
    fn is_named_by(&self, tag: &ViewTag) -> bool {
        let members = tag.members.iter().map(|(member, _)| *member);
        self.is_open() && Some(tag.ring) == self.ring && members.eq(self.live())
    }

    /// It is a member, and knows the ring that belongs to the list.
    pub(super) fn is_open(&self) -> bool {
        self.ring.is_some() && !self.ring_follows && self.me.is_some_and(|me| self.listed.contains(&me))
    }

    /// And quorum has said yes to this very ring.
    pub(super) fn is_quorate(&self) -> bool {
        self.is_open() && self.quorum == self.ring.map(|ring| (ring, true))
    }

    /// Members that are no ghosts.
    pub(super) fn live(&self) -> impl Iterator<Item = Member> + '_ {
        let in_ring = |member: &Member| self.nodes.contains(&NodeId(member.nodeid)) && !self.is_left_out(*member);
        self.listed.iter().copied().filter(in_ring)
    }

    /// Whether the node is in the ring and has no agent in the group.
    pub(super) fn is_absent(&self, node: NodeId) -> bool {
        self.nodes.contains(&node) && !self.listed.iter().any(|member| member.nodeid == node.0)
    }
}
