//! A view begins with everybody's Hello; when all are in, all members know the same, and changes are made
//! one step at a time (see `table.rs`). A second Hello of somebody starts the exchange again.

use crate::agent::{Agent, EARLY_MAX};
use crate::effect::{Effect, Effects};
use crate::event::ClusterConfig;
use crate::identity;
use crate::ids::{Member, NodeId};
use crate::merge::merge;
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::saved::Saved;
use crate::step::Step;
use crate::table::{Agreed, Ended, Standing};
use configfs::{Attributes, HeartbeatMode};
use proto::handshake::{Blocks, Facts};
use proto::peer::{Answer, Body, Entry, Hello, Identity, Incarnation, Live, Message, Outcome};
use proto::peer::{Previous, Proposal, ProposalReason};
use proto::version;
use std::collections::BTreeSet;
use std::fmt::Write;

impl Agent {
    /// Sends in the present view, if there is one.
    pub(crate) fn say(&mut self, body: Body, fx: &mut Effects) {
        let Some(mut view) = self.view.tag(&self.exchange.nonces) else { return };
        if matches!(body, Body::Hello(_)) {
            view.members.iter_mut().for_each(|(_, nonce)| *nonce = 0);
        }
        self.is_to_come_back(fx);
        self.link.volumes_unheard += u32::from(matches!(body, Body::Volumes(_)));
        fx.push(Effect::Multicast(Box::new(Message { view, body })));
    }

    /// Takes a message in agreed order. One that was sent in another view changes nothing.
    pub(crate) fn delivered(&mut self, from: Member, message: Message, fx: &mut Effects) {
        self.counters.messages += 1;
        let mine = self.member() == Some(from);
        if mine {
            self.came_back();
            if matches!(message.body, Body::Hello(_)) {
                // Also one of a view that is over: the count is of what is on its way.
                self.exchange.outstanding = self.exchange.outstanding.saturating_sub(1);
            }
            if matches!(message.body, Body::Volumes(_)) {
                self.link.volumes_unheard = self.link.volumes_unheard.saturating_sub(1);
            }
        }
        if self.view.is_opening() && self.view.ring().is_none() && self.exchange.early.len() < EARLY_MAX {
            self.exchange.early.push((from, message));
            return;
        }
        self.find_ghosts(from, &message.view, fx);
        let listed = message.view.members.iter().any(|(member, _)| *member == from);
        if !listed || !self.view.is_named_by(&message.view, &self.exchange.nonces) {
            self.counters.stale += 1;
            return;
        }
        match message.body {
            Body::Hello(hello) => self.heard_hello(from, *hello, fx),
            Body::Answer(answer) => self.heard_answer(from, answer, fx),
            Body::Proposal(proposal) => self.heard_proposal(proposal),
            Body::Live(_) if self.agreed.as_ref().is_some_and(|agreed| agreed.is_second(&from)) => {}
            Body::Live(live) => self.heard_live(from, live),
            Body::Probe(id) if mine && self.link.probe == Some(id) => self.link.probe = None,
            Body::Probe(_) => {}
            Body::Goodbye(_) => self.heard_goodbye(from, fx),
            Body::Volumes(volumes) => self.heard_volumes(from, volumes, fx),
            Body::Fenced(fenced) => self.heard_fenced(from, fenced, fx),
        }
    }

    fn heard_hello(&mut self, from: Member, hello: Hello, fx: &mut Effects) {
        if let Some(why) = self.not_its_own(from, &hello) {
            return self.undecodable(from, &why, fx);
        }
        let mine = self.member() == Some(from);
        self.begin_anew(&hello, mine);
        let exchange = &mut self.exchange;
        exchange.nonces.insert(from, hello.nonce);
        if exchange.hellos.contains_key(&from) && !planted!(SecondHelloIsIgnored) {
            exchange.hellos.clear();
            exchange.proposed.clear();
            exchange.tidied = false;
            exchange.round += 1;
            exchange.owed |= !mine && exchange.outstanding == 0;
            self.agreed = None;
        }
        self.left.remove(&NodeId(from.nodeid));
        let is_beside = |other: &Member| other.nodeid == from.nodeid && *other != from;
        if hello.local && !self.exchange.hellos.keys().any(is_beside) {
            // Also where somebody stays silent and nothing is agreed: its agent may die before that.
            self.lives.insert(NodeId(from.nodeid), hello.live);
        }
        self.exchange.hellos.insert(from, hello);
        if self.agreed.is_none() && self.view.each_live().all(|member| self.exchange.hellos.contains_key(&member)) {
            self.agree(fx);
        }
    }

    /// A Hello speaks for its sender alone; one that somebody else has said first is a copy.
    fn not_its_own(&self, from: Member, hello: &Hello) -> Option<String> {
        if let Identity::Entry(entry) = &hello.identity {
            if entry.nodeid != from.nodeid {
                return Some(format!("its Hello is that of node {}", entry.nodeid));
            }
        }
        let copied = self.exchange.nonces.iter().find(|(member, nonce)| **member != from && **nonce == hello.nonce);
        copied.map(|(member, _)| format!("its Hello is a copy of that of node {} (pid {})", member.nodeid, member.pid))
    }

    fn agree(&mut self, fx: &mut Effects) {
        let agreed = merge(self.exchange.hellos.clone(), self.view.ring_nodes());
        if let Some(ring) = self.view.ring() {
            let members = agreed.hellos.keys().map(|member| member.nodeid).collect();
            fx.notice(Notice::View { ring, members, quorate: agreed.quorate });
        }
        let own = self.own_entry().err();
        for (member, standing) in &agreed.standing {
            let Standing::Refused(refusal) = standing else { continue };
            let says_so_itself = self.member() == Some(*member) && matches!(refusal, Refusal::SaysUnfit(_));
            fx.notice(refused(*member, own.as_ref().filter(|_| says_so_itself).unwrap_or(refusal)));
        }
        for (member, refusal) in &agreed.troubles {
            fx.notice(refused(*member, refusal));
            let cut_off = matches!(refusal, Refusal::LiveWithoutQuorum { .. });
            self.cut_off |= cut_off && self.member() == Some(*member);
        }
        self.absent.clone_from(&agreed.absent);
        let counts = agreed.each_established().chain(agreed.outsiders().map(|(member, _)| *member));
        self.lives = counts.map(|member| (NodeId(member.nodeid), agreed.hellos[&member].live)).collect();
        self.find_the_dead(&agreed.hellos);
        self.hear_uses(&agreed.hellos);
        self.note_silent(&agreed);
        self.note_unknown(&agreed);
        self.agreed = Some(agreed);
        self.rebooted_is_fenced(fx);
        self.learn_of_deaths();
        self.bury_strangers();
        self.note_boots();
        self.keep_uses(fx);
        self.tell_fenced_again();
        self.keep_table(fx);
        self.retry_if_refused(fx);
    }

    /// The newest table of a quorate view is the one to go on with after a restart.
    fn keep_table(&mut self, fx: &mut Effects) {
        let Some(agreed) = self.agreed.as_ref().filter(|agreed| agreed.quorate) else { return };
        if !planted!(TableIsNotKept) && agreed.table.version.step > 0 && self.table.as_ref() != Some(&agreed.table) {
            self.table = Some(agreed.table.clone());
            self.save(fx);
        }
    }

    /// A state file that could not be read is left as it is: a newer release may have written it, and will go by it again.
    pub(crate) fn save(&mut self, fx: &mut Effects) {
        let Some(started) = self.started.as_ref().filter(|started| started.saved.is_ok()) else { return };
        self.joins_saved = !self.admitted;
        fx.push(Effect::Save(Box::new(Saved {
            schema: crate::saved::SCHEMA,
            boot_id: started.boot_id,
            cluster: self.cluster_written(),
            table: self.table.clone(),
            written: self.kernel.written.clone(),
            volumes: self.uses.iter().map(|(node, volumes)| (node.0, volumes.clone())).collect(),
            boots: self.boots.iter().map(|(node, boot)| (node.0, *boot)).collect(),
            deaths: self.deaths.iter().map(|(node, death)| (node.0, death.saved())).collect(),
            died: self.obituaries.iter().map(|(node, boot)| (node.0, *boot)).collect(),
            unguarded: self.control.unguarded.clone(),
            joins: !self.admitted,
        })));
    }

    /// The directory that there is, whatever the configuration calls it by now; or the one that will be made.
    fn cluster_written(&self) -> String {
        let there = self.kernel.tree().map(|tree| &tree.name);
        there.or(self.config.as_ref().map(|config| &config.cluster_name)).cloned().unwrap_or_default()
    }

    fn heard_answer(&mut self, from: Member, answer: Answer, fx: &mut Effects) {
        let failed = match &answer.outcome {
            Outcome::Failed { errno, path, what } => {
                Some(crate::event::KernelRefusal { errno: *errno, path: path.clone(), what: what.clone() })
            }
            Outcome::Done | Outcome::Held(_) => None,
        };
        let taken = self.agreed.as_mut().is_some_and(|agreed| agreed.answer(from, answer.round, answer.outcome));
        if let Some(refusal) = failed.filter(|_| taken) {
            fx.notice(Notice::KernelRefused { what: format!("node {}: {refusal}", from.nodeid) });
        }
    }

    fn heard_proposal(&mut self, proposal: Proposal) {
        let deaf = planted!(OddNodesMissProposals) && self.own_node.is_some_and(|node| node.0 % 2 == 1);
        if let Some(agreed) = self.agreed.as_mut().filter(|_| !deaf) {
            agreed.propose(proposal);
        }
    }

    /// Also while an exchange begins anew: whoever said it may be gone before it says Hello again.
    fn heard_live(&mut self, from: Member, live: Live) {
        self.lives.insert(NodeId(from.nodeid), live);
        let agreed = self.agreed.as_mut().and_then(|agreed| agreed.hellos.get_mut(&from));
        let known = self.exchange.hellos.get_mut(&from).into_iter().chain(agreed);
        known.for_each(|hello| hello.live = live);
    }

    /// Carries the change in progress as far as the answers allow.
    pub(crate) fn drive(&mut self, fx: &mut Effects) {
        while let (Some(agreed), Some(ring)) = (self.agreed.as_mut(), self.view.ring()) {
            let next = if agreed.step.is_some() {
                let Some((ended, forced)) = agreed.end(ring) else { return };
                self.step_ended(ended, fx);
                forced
            } else {
                None
            };
            let Some(agreed) = self.agreed.as_mut() else { return };
            let Some(kind) = next.or_else(|| agreed.next()) else {
                self.retry_if_refused(fx);
                self.forget_tries();
                return;
            };
            self.exchange.round += u32::from(!planted!(RoundsAreOne));
            fx.notice(Notice::Step { round: self.exchange.round, what: kind.text() });
            agreed.begin(self.exchange.round, kind, self.now);
        }
    }

    fn step_ended(&mut self, ended: Ended, fx: &mut Effects) {
        self.keep_table(fx);
        match ended {
            Ended::Quiet => {}
            Ended::TableChanged(change) | Ended::Stays(change) => {
                let step = self.table.as_ref().map_or(0, |table| table.version.step);
                fx.notice(Notice::Table { step, change });
            }
            Ended::Admitted(member) if self.member() == Some(member) => {
                self.tries.hello = 0;
                self.admitted = true;
                self.save(fx);
                self.note_who_let_us_in();
                self.lives.insert(NodeId(member.nodeid), self.live());
                fx.notice(Notice::Ready);
            }
            Ended::Admitted(member) => {
                self.lives.insert(NodeId(member.nodeid), Live::default());
                self.has_met(NodeId(member.nodeid));
                self.let_in_by.iter_mut().for_each(|by| _ = by.insert(NodeId(member.nodeid)));
                fx.notice(Notice::Table {
                    step: self.table.as_ref().map_or(0, |table| table.version.step),
                    change: format!("node {} is ready", member.nodeid),
                });
            }
        }
    }

    /// In for what we used when we said Hello, and let in by nobody: with nothing in use we come as a joiner.
    pub(crate) fn come_again_if_not_let_in(&mut self) {
        let (Some(agreed), Some(me), false) = (self.agreed.as_ref(), self.member(), self.admitted) else { return };
        let is_in = agreed.quorate && agreed.standing.get(&me) == Some(&Standing::Established);
        self.exchange.owed |= is_in && self.exchange.outstanding == 0 && !self.live().is_live();
    }

    /// Says what we are, when it is owed, our kernel is at rest and quorum has spoken about this ring.
    pub(crate) fn say_hello_if_due(&mut self, fx: &mut Effects) {
        let due = self.exchange.owed
            && self.view.is_settled()
            && (self.work.is_none() || planted!(HelloBeforeTheKernelIsDone))
            && !self.leaving.has_spoken()
            && !self.would_be_late();
        // Who cannot know its configuration says that it is unfit: all would wait for one that says nothing.
        if !due || self.config.is_none() && self.config_why.is_empty() {
            return;
        }
        let Some(hello) = self.hello() else { return };
        let Some(ring) = self.view.ring() else { return };
        self.admitted &= hello.local; // who comes as a joiner is in again when all have let it in
        if !self.admitted && !self.joins_saved && self.is_local() {
            self.save(fx); // also when this daemon ends before that
        }
        self.cut_off &= hello.live.is_live(); // what was unmounted meanwhile is over
        (self.exchange.owed, self.exchange.begins) = (false, false);
        self.exchange.outstanding += 1;
        self.exchange.told = hello.live;
        self.volumes.told.clone_from(&hello.volumes);
        self.link.returning &= !hello.quorate;
        self.settled = (!self.link.returning).then_some(Previous { ring, quorate: hello.quorate });
        self.say(Body::Hello(Box::new(hello)), fx);
    }

    /// What is agreed while a Hello is on its way is not in it, and would be lost when it comes. So another one waits
    /// until the exchange is over, and then for the end of a step, unless the step waits for us. A Hello of an earlier
    /// view counts as well: views may be equal in name, and where corosync holds messages back it is taken for one of
    /// this view.
    fn would_be_late(&self) -> bool {
        let Some(me) = self.member() else { return false };
        let exchange = &self.exchange;
        let Some(agreed) = self.agreed.as_ref().filter(|_| exchange.outstanding == 0) else {
            return exchange.outstanding > 0 || exchange.hellos.contains_key(&me) && !exchange.begins;
        };
        let asked = |step: &Step| step.answers.get(&me) == Some(&None) && exchange.answered < step.round;
        agreed.step.as_ref().is_some_and(|step| !asked(step))
    }

    fn hello(&self) -> Option<Hello> {
        let config = self.config.clone().unwrap_or_default();
        let (started, up) = (self.started.as_ref()?, self.link.up.as_ref()?);
        let (entry, held, live) = (self.own_entry(), self.kernel.held(), self.live());
        // With another entry or other time-outs than we hold, and nothing that uses the old ones, we come as a joiner.
        let changed = entry.as_ref().is_ok_and(|entry| !held.contains(entry)) || self.has_drifted();
        // Cut off in the middle of the admission: somebody may still have to bury what this node was before.
        let local = self.kernel.is_local(up.member.nodeid) && (live.is_live() || self.admitted && !changed);
        Some(Hello {
            incarnation: Incarnation { boot_id: started.boot_id, started_ms: started.started_ms },
            nonce: up.nonce,
            handshake: self.handshake(&config, if local { self.attributes_in_force() } else { self.policy.attributes }),
            identity: match entry {
                Ok(entry) => Identity::Entry(entry),
                Err(refusal) => Identity::Unfit(refusal.to_string()),
            },
            table: self.table.clone(),
            held,
            local,
            quorate: self.view.is_quorate(),
            previous: self.previous,
            live,
            absent: self.missed(up.member),
            release: started.release.clone(),
            incomplete: self.found.conflict.is_some() || self.kernel.unreadable().is_some(),
            cut_off: self.cut_off && live.is_live(),
            volumes: self.volumes_here(),
            unfenced: self.unfenced(),
            died: self.died(),
            begins: self.exchange.begins,
        })
    }

    /// The entry we ask for, or the first reason why we cannot.
    pub(crate) fn own_entry(&self) -> Result<Entry, Refusal> {
        let (Some(config), Some(started), Some(me)) = (&self.config, &self.started, self.member()) else {
            return Err(Refusal::SettingsUnknown(self.config_why.clone()));
        };
        if let Some(why) = &self.policy.mistake {
            return Err(Refusal::SettingsUnknown(why.clone()));
        }
        if let Some(conflict) = &self.found.conflict {
            return Err(Refusal::Unreadable(conflict.clone()));
        }
        if let Some(refusal) = self.kernel.unreadable() {
            return Err(Refusal::TreeUnreadable(refusal.clone()));
        }
        if let Some(tree) = self.kernel.tree().filter(|tree| tree.name != config.cluster_name) {
            return Err(Refusal::OtherCluster { found: tree.name.clone(), wanted: config.cluster_name.clone() });
        }
        identity::entry(config, &self.policy, NodeId(me.nodeid), &started.hostname)
    }

    /// With the attributes that peers will meet: those in the kernel of a member, whatever its settings say by now.
    fn handshake(&self, config: &ClusterConfig, attributes: Attributes) -> Vec<u8> {
        let facts = Facts {
            cluster_name: config.cluster_name.clone(),
            stack: self.kernel.stack.word().to_owned(),
            idle_timeout_ms: attributes.idle_timeout_ms,
            keepalive_delay_ms: attributes.keepalive_delay_ms,
            reconnect_delay_ms: attributes.reconnect_delay_ms,
            dead_threshold: attributes.dead_threshold,
            heartbeat_mode_global: attributes.heartbeat_mode == HeartbeatMode::Global,
            forget: self.policy.forget,
            token_ms: config.token_ms,
            nodelist_hash: nodelist_hash(config),
            protocol: (version::MIN, version::CURRENT),
            fence: self.policy.fence.word().to_owned(),
            locking: self.kernel.stack.locking.filter(|_| !self.kernel.stack.fences_by_disk()),
            features: 0,
        };
        Blocks::produce(&facts).encode()
    }

    /// Tells the others when something here became live, or no longer is.
    pub(crate) fn tell_live(&mut self, fx: &mut Effects) {
        let live = self.live();
        if self.agreed.is_none()
            || self.exchange.outstanding > 0
            || live == self.exchange.told
            || planted!(LiveIsNotTold)
        {
            return;
        }
        self.exchange.told = live;
        self.say(Body::Live(live), fx);
        // What is mounted goes by what the kernel has, and what is not by the configuration.
        if self.is_outdated() || !live.is_live() && self.cut_off {
            self.cut_off &= live.is_live();
            self.exchange.owed = true;
            self.say_hello_if_due(fx);
        }
    }

    /// Whether the configuration gives this node another entry, or other attributes, than its kernel has.
    fn is_outdated(&self) -> bool {
        self.own_entry().is_ok_and(|entry| !self.kernel.holds(&entry)) || self.has_drifted()
    }

    fn has_drifted(&self) -> bool {
        self.kernel.attribute_drift(&self.policy.attributes).is_some()
    }

    /// The first of the established members asks for what the policy wants gone.
    pub(crate) fn propose_removals(&mut self, fx: &mut Effects) {
        if self.may_act().is_err() {
            return;
        }
        let (Some(agreed), Some(me)) = (self.agreed.as_ref(), self.member()) else { return };
        if !agreed.quorate || agreed.step.is_some() || agreed.proposer() != Some(me) {
            return;
        }
        let asked = |entry: &&Entry| {
            agreed.proposals.contains_key(&entry.number) || self.exchange.proposed.contains(&entry.number)
        };
        let entries = agreed.table.entries.values().filter(|entry| !asked(entry));
        let wanted = entries.filter_map(|entry| Some(Proposal { number: entry.number, reason: self.forgets(entry)? }));
        for proposal in wanted.collect::<Vec<_>>() {
            self.exchange.proposed.insert(proposal.number);
            self.say(Body::Proposal(proposal), fx);
        }
    }

    /// Why the policy wants this entry gone, if it does.
    pub(crate) fn forgets(&self, entry: &Entry) -> Option<ProposalReason> {
        let gone = !self.view.in_ring(NodeId(entry.nodeid)) || planted!(PresentIsGone);
        match self.policy.forget {
            _ if !gone => None,
            crate::policy::Forget::Gone => Some(ProposalReason::Gone),
            crate::policy::Forget::Unconfigured if self.is_configured(entry) => None,
            crate::policy::Forget::Unconfigured => Some(ProposalReason::Unconfigured),
        }
    }

    /// Whether corosync's nodelist still has this very node. An address that is not known, for a name server does not
    /// answer, is not another one, nor is a number that waits in the settings.
    pub(crate) fn is_configured(&self, entry: &Entry) -> bool {
        let node = self.config.as_ref().and_then(|config| config.nodes.get(&NodeId(entry.nodeid)));
        node.is_some_and(|node| {
            node.address.as_ref().map_or(true, |address| *address == entry.address)
                && identity::number(&self.policy, NodeId(entry.nodeid)).map_or(true, |number| number == entry.number)
        })
    }

    pub(crate) fn propose_again(&mut self, fx: &mut Effects) {
        let Some(agreed) = self.agreed.as_ref() else { return };
        let kept: BTreeSet<u8> = agreed.kept.keys().copied().filter(|_| !planted!(HeldForEver)).collect();
        let entries = kept.into_iter().filter_map(|number| agreed.table.entries.get(&number).cloned());
        for entry in entries.collect::<Vec<_>>() {
            // As it was asked for: what a person wants is judged otherwise than what a nodelist lacks.
            let asked = self.agreed.as_ref().and_then(|agreed| agreed.proposals.get(&entry.number)).copied();
            let reason = asked.or_else(|| self.forgets(&entry)).unwrap_or(ProposalReason::Unconfigured);
            self.say(Body::Proposal(Proposal { number: entry.number, reason }), fx);
        }
    }
}

fn refused(member: Member, refusal: &Refusal) -> Notice {
    Notice::Refused {
        node: NodeId(member.nodeid),
        what: refusal.to_string(),
        cause: refusal.cause(),
        fix: refusal.fix(),
    }
}

/// A line of the nodelist as it is hashed, mostly.
const NODE_TEXT_LEN: usize = 48;

/// FNV-1a over the nodelist: shown to peers so that a stale nodelist is noticed, decides nothing.
fn nodelist_hash(config: &ClusterConfig) -> u64 {
    let mut text = String::with_capacity(NODE_TEXT_LEN * config.nodes.len());
    for (id, node) in &config.nodes {
        let _a_string_takes_all = writeln!(text, "{id} {:?} {:?}", node.name, node.address);
    }
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Agreed {
    /// The member of a node, if one has said Hello.
    #[must_use]
    pub fn of_node(&self, node: NodeId) -> Option<(&Member, &Hello)> {
        self.hellos.iter().find(|(member, _)| member.nodeid == node.0 && !self.is_second(member))
    }

    /// Whether it is beside its node's agent, and so speaks for nothing there: its kernel may be a model, or its tools none.
    /// Only the volumes it names count all the same.
    pub(crate) fn is_second(&self, member: &Member) -> bool {
        matches!(self.standing.get(member), Some(Standing::Refused(Refusal::SecondAgent { .. })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ConfiguredNode;

    #[test]
    fn a_number_that_waits_in_the_settings_is_no_other_one() {
        let node = ConfiguredNode { name: Some("n300".into()), address: Ok([10, 0, 0, 30].into()) };
        let mut agent = Agent::new();
        agent.config = Some(ClusterConfig { nodes: [(NodeId(300), node)].into(), ..ClusterConfig::default() });
        let (address, port) = ([10, 0, 0, 30].into(), 7777);
        let entry = Entry { nodeid: 300, number: 7, name: "n300".into(), address, port };
        assert_eq!(agent.forgets(&entry), None);
        agent.policy.numbers.insert(NodeId(300), 8);
        assert_eq!(agent.forgets(&entry), Some(ProposalReason::Unconfigured));
    }
}
