//! What must hold after every step: one function each, and its name is the sentence.
//!
//! docs/RULES.md numbers them; each function names the numbers it stands for. What is checked at the
//! end of a run (replay, liveness, equal ends) is in `nemesis.rs`.

mod daemons;
mod deaths;
mod told;

use self::daemons::{
    a_node_is_said_to_be_ready_only_when_it_is, a_pinned_daemon_stays,
    an_entry_is_erased_only_after_a_vote_that_nothing_held_up, can_stop_says_what_the_kernel_was_seen_to_hold,
    changes_wait_for_kernels_whose_agent_is_gone, every_change_has_a_later_version, every_request_is_answered_once,
    no_member_loses_its_entry, nobody_is_answered_after_it_has_gone, nobody_is_ended_on_old_news, nobody_spins,
    settled_is_said_only_of_a_quiet_agent, what_a_daemon_has_written_stays_its_own_over_a_restart,
    what_is_to_be_written_is_saved_first, whoever_hears_nothing_of_its_own_says_so,
    whoever_is_let_in_has_the_time_outs_of_the_others, whoever_slept_does_nothing_before_it_has_heard_itself,
};
use self::deaths::{
    dlm_controld_is_told_only_what_it_can_take, no_kernel_goes_on_before_it_is_told,
    nobody_is_down_who_may_still_write, nobody_mounts_before_its_own_death_is_handled,
};
use self::told::Told;
use super::agenda::{MS, Micros, SECOND};
use super::cluster::{Cluster, Happening, KernelDeed};
use super::digest::{digest, mix};
use super::recording::Record;
use agent_core::ids::{Member, NodeId, RingId};
use agent_core::notice::Notice;
use agent_core::step::StepKind;
use agent_core::table::{Agreed, Standing};
use agent_core::wait::Wait;
use agent_core::{Agent, Effect, Event};
use configfs::{Entry as Found, Errno, Op};
use proto::peer::{Body, Entry, Live};
use std::collections::{BTreeMap, BTreeSet};

/// A sentence that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {at_ms} ms: {sentence}: {what}", sentence = .sentence.replace('_', " "))]
pub struct Broken {
    /// The function's name.
    pub sentence: &'static str,
    /// In this very case.
    pub what: String,
    /// When.
    pub at_ms: u64,
}

/// What the checkers remember of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The digest of what an agent held after the message of this place in the order, in this ring.
    common: BTreeMap<(u64, RingId), (u32, u64)>,
    goodbyes: BTreeSet<Member>,
    /// Whom a node takes for a ghost although it is there, and since when.
    mistaken: BTreeMap<(u32, Member), Micros>,
    answered: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    /// What each daemon was told.
    told: BTreeMap<u32, Box<Told>>,
}

/// How many places of the order are remembered: members are never further apart.
const COMMON_MAX: usize = 512;
/// A daemon may not know yet what has been mounted for less than this.
const LOOK_TIME: Micros = 100 * MS;
/// A corosync that stands still holds the first word back for so long, by the nemesis.
const MISTAKEN_TIME: Micros = 10 * SECOND;
/// Nor the others, that somebody has mounted.
const NEWS_TIME: Micros = SECOND;

type Outcome = Result<(), String>;
/// Its name, and the function.
type Sentence = (&'static str, fn(&mut Ledger, &Seen<'_>) -> Outcome);

/// One event of an agent and what followed, seen with everything else there is.
struct Seen<'a> {
    cluster: &'a Cluster,
    node: u32,
    record: &'a Record,
    agent: &'a Agent,
    told: &'a Told,
}

macro_rules! sentences {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name as fn(&mut Ledger, &Seen<'_>) -> Outcome)),*] };
}

macro_rules! kernel_sentences {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name as fn(&Cluster, &KernelDeed) -> Outcome)),*] };
}

impl Ledger {
    /// Checks everything that the step may have broken.
    ///
    /// # Errors
    /// The first broken sentence.
    pub fn check(&mut self, cluster: &Cluster, happening: &Happening) -> Result<(), Broken> {
        let at_ms = cluster.now() / MS;
        let broken = |sentence| move |what| Broken { sentence, what, at_ms };
        match happening {
            Happening::Other | Happening::Planned(_) => Ok(()),
            Happening::Kernel(deed) => {
                let sentences = kernel_sentences![no_operation_is_refused_without_a_cause, no_kernel_dies];
                sentences.into_iter().try_for_each(|(name, check)| check(cluster, deed).map_err(broken(name)))
            }
            Happening::Handled(node) => {
                let (Some(record), Some(agent)) = (cluster.last_record(*node), cluster.agent(*node)) else {
                    return Ok(());
                };
                let sentences = sentences![
                    agents_of_one_view_hold_the_same,
                    one_agent_of_a_node_is_let_in,
                    a_node_becomes_local_only_when_every_member_has_its_entry,
                    kernels_are_equal_between_changes_or_a_wait_names_the_difference,
                    entries_leave_a_kernel_only_by_agreement,
                    nobody_removes_the_entry_of_a_live_node,
                    nothing_is_written_without_quorum,
                    a_message_of_another_view_changes_nothing,
                    nobody_waits_for_a_ghost,
                    nobody_who_is_there_is_taken_for_a_ghost,
                    a_clean_departure_had_a_goodbye,
                    a_pinned_daemon_stays,
                    every_request_is_answered_once,
                    nobody_is_answered_after_it_has_gone,
                    settled_is_said_only_of_a_quiet_agent,
                    a_node_is_said_to_be_ready_only_when_it_is,
                    can_stop_says_what_the_kernel_was_seen_to_hold,
                    no_member_loses_its_entry,
                    an_entry_is_erased_only_after_a_vote_that_nothing_held_up,
                    changes_wait_for_kernels_whose_agent_is_gone,
                    whoever_is_let_in_has_the_time_outs_of_the_others,
                    whoever_slept_does_nothing_before_it_has_heard_itself,
                    nobody_is_ended_on_old_news,
                    whoever_hears_nothing_of_its_own_says_so,
                    every_change_has_a_later_version,
                    what_is_to_be_written_is_saved_first,
                    what_a_daemon_has_written_stays_its_own_over_a_restart,
                    nobody_spins,
                    nobody_is_down_who_may_still_write,
                    nobody_mounts_before_its_own_death_is_handled,
                    no_kernel_goes_on_before_it_is_told,
                    dlm_controld_is_told_only_what_it_can_take,
                ];
                self.hold(cluster, *node, record, agent, &sentences)
            }
        }
    }

    /// The same for a real daemon's recording: what can be said of one agent alone. `cluster` only tells the time.
    ///
    /// # Errors
    /// The first broken sentence.
    pub fn check_recorded(
        &mut self,
        cluster: &Cluster,
        node: u32,
        record: &Record,
        agent: &Agent,
    ) -> Result<(), Broken> {
        let sentences = sentences![
            one_agent_of_a_node_is_let_in,
            entries_leave_a_kernel_only_by_agreement,
            nothing_is_written_without_quorum,
            a_message_of_another_view_changes_nothing,
            nobody_waits_for_a_ghost,
            every_request_is_answered_once,
            nobody_is_answered_after_it_has_gone,
            settled_is_said_only_of_a_quiet_agent,
            can_stop_says_what_the_kernel_was_seen_to_hold,
            no_member_loses_its_entry,
            an_entry_is_erased_only_after_a_vote_that_nothing_held_up,
            whoever_slept_does_nothing_before_it_has_heard_itself,
            nobody_is_ended_on_old_news,
            every_change_has_a_later_version,
            what_is_to_be_written_is_saved_first,
            what_a_daemon_has_written_stays_its_own_over_a_restart,
            nobody_spins,
        ];
        self.hold(cluster, node, record, agent, &sentences)
    }

    fn hold(
        &mut self,
        cluster: &Cluster,
        node: u32,
        record: &Record,
        agent: &Agent,
        sentences: &[Sentence],
    ) -> Result<(), Broken> {
        let mut told = self.told.remove(&node).unwrap_or_default();
        told.take(record, cluster.now());
        let (seen, at_ms) = (Seen { cluster, node, record, agent, told: &told }, cluster.now() / MS);
        let broken = |sentence| move |what| Broken { sentence, what, at_ms };
        let held = sentences.iter().try_for_each(|(name, check)| check(self, &seen).map_err(broken(*name)));
        told.done(record, agent, cluster.now());
        self.told.insert(node, told);
        held
    }
}

impl Seen<'_> {
    fn batches(&self) -> impl Iterator<Item = &Vec<Op>> {
        self.record.effects.iter().filter_map(|effect| match effect {
            Effect::Kernel(_, ops) => Some(ops),
            _ => None,
        })
    }

    fn ops(&self) -> impl Iterator<Item = &Op> {
        self.batches().flatten()
    }

    fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.record.effects.iter().filter_map(|effect| match effect {
            Effect::Notice(notice) => Some(notice),
            _ => None,
        })
    }

    fn step(&self) -> Option<&StepKind> {
        self.agent.agreed()?.step.as_ref().map(|step| &step.kind)
    }
}

/// S7: at the same place of the agreed order, in the same ring.
fn agents_of_one_view_hold_the_same(ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let (Some(order), Some(ring)) = (seen.record.order, seen.agent.view().ring()) else { return Ok(()) };
    let Some(agreed) = seen.agent.agreed().filter(|_| seen.agent.view().is_open()) else { return Ok(()) };
    let held = agreed_state(agreed);
    let (other, theirs) = *ledger.common.entry((order, ring)).or_insert((seen.node, held));
    if theirs != held {
        return Err(format!("n{} after message {order} in {ring} is not what n{other} held: {agreed:?}", seen.node));
    }
    while ledger.common.len() > COMMON_MAX {
        ledger.common.pop_first();
    }
    Ok(())
}

/// All but the moment at which each has begun the step, and the Hellos, which are what was delivered.
pub(crate) fn agreed_state(agreed: &Agreed) -> u64 {
    let live = |sum, live: Live| mix(sum, u64::from(live.mounts) << 32 | u64::from(live.regions));
    let lives = agreed.hellos.values().fold(0, |sum, hello| live(sum, hello.live));
    let step = agreed.step.as_ref().map(|step| (step.round, &step.kind, &step.answers));
    let held = agreed.held.values().fold(0, |sum, held| mix(sum, entries(held)));
    let now = (step, lives, &agreed.proposals, &agreed.kept, &agreed.refused, &agreed.misaligned);
    let table = (agreed.table.version, entries(&agreed.table.entries));
    digest(&(now, &agreed.standing, &agreed.troubles, table, held, &agreed.absent, agreed.quorate))
}

/// Every name goes with its nodeid, and need not be looked at.
fn entries(entries: &BTreeMap<u8, Entry>) -> u64 {
    entries.values().fold(0, |sum, entry| {
        let place = u64::from(entry.number) << 48 | u64::from(entry.port) << 32 | u64::from(u32::from(entry.address));
        mix(mix(sum, u64::from(entry.nodeid)), place)
    })
}

/// S22.
fn one_agent_of_a_node_is_let_in(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let Some(agreed) = seen.agent.agreed() else { return Ok(()) };
    let members = || agreed.each_established();
    let twice = members().zip(members().skip(1)).find(|(one, next)| one.nodeid == next.nodeid);
    twice.map_or(Ok(()), |both| Err(format!("n{}: {both:?}", seen.node)))
}

/// S11, T2: when the store of `local` is handed to the kernel, the kernel of every established member of the
/// view holds the entry, unless that machine was restarted since, or corosync has parted the two, which an agent that is behind
/// has still to hear.
fn a_node_becomes_local_only_when_every_member_has_its_entry(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let Some(own) = seen.ops().find_map(|op| match op {
        Op::SetLocal { node, .. } => Some(node),
        _ => None,
    }) else {
        return Ok(());
    };
    let Some(agreed) = seen.agent.agreed() else { return Err(format!("n{}: nothing is agreed", seen.node)) };
    let has =
        |node: u32, other: u32| seen.cluster.corosync.ring_of(node).is_some_and(|(_, ring)| ring.contains(&other));
    let is_beside =
        |member: &Member| member.nodeid != seen.node && has(seen.node, member.nodeid) && has(member.nodeid, seen.node);
    for member in agreed.established().into_iter().filter(is_beside) {
        let Some(host) = seen.cluster.hosts.get(&member.nodeid).filter(|host| host.powered) else { continue };
        let wanted = (own.address.as_ipv4(), own.port.as_u16());
        if !host.is_meddled && host.kernel.local().is_some() && host.kernel.table().get(&own.num) != Some(&wanted) {
            return Err(format!("n{} becomes local as {own}, n{} does not have it", seen.node, member.nodeid));
        }
    }
    Ok(())
}

/// S11. A member whose kernel was given nothing to do, in an agreed quorate view without a step.
fn kernels_are_equal_between_changes_or_a_wait_names_the_difference(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let (Some(agreed), Some(me)) = (seen.agent.agreed(), seen.agent.member()) else { return Ok(()) };
    let Some(host) = seen.cluster.hosts.get(&seen.node) else { return Ok(()) };
    let idle = host.daemon.as_ref().is_some_and(|daemon| daemon.jobs.is_empty());
    let is_in = agreed.standing.get(&me) == Some(&Standing::Established);
    if !idle || !is_in || !agreed.quorate || host.is_meddled || host.kernel.tree().is_err() {
        return Ok(());
    }
    let wanted = agreed.table.entries.values().map(|entry| (entry.number, (entry.address, entry.port)));
    let found = host.kernel.entries().map(|(number, at)| (number.as_u8(), at));
    if wanted.eq(found) || !seen.agent.is_quiet() {
        return Ok(());
    }
    Err(format!("n{} is quiet, its kernel has {:?}, agreed is {:?}", seen.node, host.kernel.table(), agreed.table))
}

/// S10, T3: what the agreed table holds goes only in the step that erases it, unless the same batch makes it again.
fn entries_leave_a_kernel_only_by_agreement(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let table = seen.agent.agreed().map(|agreed| &agreed.table).or(seen.agent.table());
    for node in seen.ops().filter_map(removed) {
        let entries = table.iter().flat_map(|table| table.entries.values());
        let agreed = entries.into_iter().find(|entry| entry.name == node.name.as_str() && is_at(entry, node));
        let erased = match seen.step() {
            Some(StepKind::Erase { entry } | StepKind::Vote { entry, .. }) => Some(entry),
            _ => None,
        };
        let again = |op: &Op| matches!(op, Op::MakeNode { node: name, .. } if *name == node.name);
        if agreed.is_some() && agreed != erased && !seen.ops().any(again) {
            return Err(format!("n{} removes {node} in step {:?}", seen.node, seen.step()));
        }
    }
    Ok(())
}

fn removed(op: &Op) -> Option<&configfs::Node> {
    match op {
        Op::RemoveNode { entry: Found::Complete(node), .. } => Some(node),
        _ => None,
    }
}

fn is_at(entry: &Entry, node: &configfs::Node) -> bool {
    entry.number == node.num.as_u8() && entry.address == node.address.as_ipv4() && entry.port == node.port.as_u16()
}

/// S10: not while its node is in the ring and has the volume mounted with it. A joiner that takes a table
/// in which it is no more only follows what was agreed while that node was away.
fn nobody_removes_the_entry_of_a_live_node(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    for node in seen.ops().filter_map(removed) {
        let mounted = seen.cluster.hosts.values().find(|host| host.kernel.mounted_as() == Some(node.num));
        let Some(host) = mounted else { continue };
        let known = host.mounted_since + NEWS_TIME < seen.cluster.now();
        let same = host.kernel.table().get(&node.num) == Some(&(node.address.as_ipv4(), node.port.as_u16()));
        let decides = host.node == seen.node || matches!(seen.step(), Some(StepKind::Erase { .. }));
        if decides && known && same && seen.agent.view().in_ring(NodeId(host.node)) {
            return Err(format!("n{} removes {node}, which n{} has mounted with", seen.node, host.node));
        }
    }
    Ok(())
}

/// S5, S26: neither in a minority, nor before quorum has spoken about the ring, nor without corosync.
fn nothing_is_written_without_quorum(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match seen.ops().next() {
        Some(op) if !seen.told.is_quorate() => Err(format!("n{}: {op}", seen.node)),
        Some(_) | None => Ok(()),
    }
}

/// S6: it may be counted, nothing else follows from it. Only our own Hello that comes back lets one of this view go, and so does a
/// name of this ring that shows a ghost: that is another view (found by ns 24, where somebody had joined since).
fn a_message_of_another_view_changes_nothing(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let Event::Delivered { from, body: Ok(message) } = &seen.record.event else { return Ok(()) };
    if seen.told.is_of_view {
        return Ok(());
    }
    let own_hello = from.nodeid == seen.node && matches!(message.body, Body::Hello(_));
    let shows_ghost = seen.told.ghosts_changed;
    let acts = |effect: &&Effect| match effect {
        Effect::Multicast(said) if own_hello || shows_ghost => !matches!(said.body, Body::Hello(_)),
        Effect::Save(saved) if own_hello || shows_ghost => !saved.joins, // before the Hello of a joiner
        Effect::Multicast(_) | Effect::Kernel(..) | Effect::Save(_) => true,
        Effect::Notice(notice) => matches!(notice, Notice::Table { .. } | Notice::Step { .. } | Notice::View { .. }),
        _ => false,
    };
    match seen.record.effects.iter().find(acts) {
        Some(effect) => {
            Err(format!("n{}: {:?} of {from} in {:?} gave {effect:?}", seen.node, message.body, message.view))
        }
        None => Ok(()),
    }
}

/// S8.
fn nobody_waits_for_a_ghost(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    for standing in seen.agent.waits() {
        let (Wait::Hello { from } | Wait::Answers { from, .. }) = &standing.wait else {
            continue;
        };
        if let Some(ghost) = from.iter().find(|member| seen.told.is_ghost(**member)) {
            return Err(format!("n{}: {}, {ghost} is a ghost", seen.node, standing.wait));
        }
    }
    Ok(())
}

/// S8. Who is out of the ring may be alive; of who is in it, its own corosync knows best. It may have come to be after others
/// have called it a ghost: then its first word, or that of somebody who began anew, puts it right (decision 10).
fn nobody_who_is_there_is_taken_for_a_ghost(ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let (view, now) = (seen.agent.view(), seen.cluster.now());
    let is_there = |ghost: &Member| view.in_ring(NodeId(ghost.nodeid)) && seen.cluster.corosync.lists_its_own(*ghost);
    let taken: BTreeSet<Member> = view.ghosts().into_iter().filter(is_there).collect();
    ledger.mistaken.retain(|(node, ghost), _| *node != seen.node || taken.contains(ghost));
    for ghost in taken {
        let since = *ledger.mistaken.entry((seen.node, ghost)).or_insert(now);
        // Who was announced here in this ring is none, whatever others say.
        if now > since + MISTAKEN_TIME || seen.told.was_announced(ghost) {
            return Err(format!("n{}: {ghost} for {} ms", seen.node, (now - since) / MS));
        }
    }
    Ok(())
}

/// S4: PROCDOWN is never counted as clean, nor a LEAVE without the word.
fn a_clean_departure_had_a_goodbye(ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let said =
        |effect: &Effect| matches!(effect, Effect::Multicast(message) if matches!(message.body, Body::Goodbye(_)));
    if seen.record.effects.iter().any(said) {
        ledger.goodbyes.extend(seen.agent.member());
    }
    let Event::ViewChanged(change) = &seen.record.event else { return Ok(()) };
    for notice in seen.notices() {
        let Notice::NodeLeft { node, how } = notice else { continue };
        let of_node = |member: &Member| member.nodeid == node.0;
        let said = change.left.iter().any(|(member, _)| of_node(member) && ledger.goodbyes.contains(member));
        if how == "left" && !said {
            return Err(format!("n{} says that node {node} left: {:?}", seen.node, change.left));
        }
    }
    Ok(())
}

/// S15, S17: with nobody else writing, only "in use" can be new to us: nothing is made, stored or removed twice.
fn no_operation_is_refused_without_a_cause(_cluster: &Cluster, deed: &KernelDeed) -> Outcome {
    match &deed.result {
        Err(refusal) if !deed.tampered && refusal.errno != Errno::EBUSY.0 => Err(format!("n{}: {refusal}", deed.node)),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// A real kernel dies of it: 0 is never stored to `local`.
fn no_kernel_dies(cluster: &Cluster, deed: &KernelDeed) -> Outcome {
    let died = cluster.hosts.get(&deed.node).is_some_and(|host| host.kernel.has_died());
    if died { Err(format!("n{}: {}", deed.node, deed.op)) } else { Ok(()) }
}
