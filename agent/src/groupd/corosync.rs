//! Events of cpg-glue → events of the machine. Wraps, never judges.

use super::cpgs::Cpgs;
use cpg_glue::{Call, Code, Event as Glue, Failure, GroupName};
use groupd_compat::cpg_message::Message;
use groupd_compat::ids::{CpgId, Member, NodeId, RingId};
use groupd_compat::machine::{Event, QuorumReport, Reason, ViewChange};
use std::collections::{BTreeMap, BTreeSet};
use tracing::{debug, error, warn};

/// Events of all groups together that may wait for their ring. corosync says the ring in the same breath as the own join, so a
/// handful is much; as many as this, and it does not come. Dropping them would make a group start on what is not so, and giving
/// up the group would leave its members waiting for us: the daemon ends, which all others understand.
const EARLY_MAX: usize = 4096;

/// What has to be remembered between events: libquorum says in two callbacks what the machine takes as one.
#[derive(Debug, Default)]
pub(super) struct Corosync {
    report: Option<QuorumReport>,
    /// Nodes that went with this ring, until its report has said so.
    left: (RingId, Vec<NodeId>),
    /// Groups whose handle has said in which ring it is, and what came of the others before that: corosync says it behind the
    /// own join, and it is needed before.
    ringed: BTreeSet<GroupName>,
    early: BTreeMap<GroupName, Vec<Event>>,
    /// How many those are.
    early_count: usize,
}

/// What one event of the glue means.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// For the machine.
    Event(Event),
    /// For the machine, one after the other.
    Events(Vec<Event>),
    /// This membership cannot be had.
    Refused(CpgId, Failure),
    /// Nothing is held under this name any more.
    Left(GroupName),
    /// An order to kill a node has ended.
    Killed(Result<(), Failure>),
    /// More came early than can be kept ([`EARLY_MAX`]).
    Overwhelmed,
    /// Nothing, or only a line of the log.
    Nothing,
}

impl Corosync {
    pub(super) fn take(&mut self, event: Glue, cpgs: &Cpgs) -> Taken {
        match event {
            Glue::View { group, members, left, joined, .. } => self.in_ring(cpgs, group, |cpg| {
                let members = members.into_iter().map(member).collect();
                Event::ViewChanged(cpg, ViewChange { members, left: changes(left), joined: changes(joined) })
            }),
            Glue::Message { group, from, bytes, .. } => self.in_ring(cpgs, group, |cpg| Event::Delivered {
                cpg,
                from: member(from),
                body: Message::decode(&bytes),
            }),
            Glue::Ring { group, ring, members, .. } => match cpgs.owner(&group) {
                Some(CpgId::CONTROL) => Taken::Event(Event::RingChanged { ring: ring_id(ring), nodes: nodes(members) }),
                Some(cpg) => self.ring(group, Event::GroupRingChanged(cpg, ring_id(ring))),
                None => Taken::Nothing,
            },
            Glue::Quorum { quorate, ring, members, .. } => self.quorum(quorate, ring_id(ring), nodes(members)),
            Glue::Nodelist { ring, left, .. } => self.nodelist(ring_id(ring), nodes(left)),
            Glue::ShutdownAsked { .. } => Taken::Event(Event::ShutdownAsked),
            Glue::Lost { .. } => Taken::Event(Event::CorosyncLost),
            Glue::GroupRefused { why, .. } => refused(why, cpgs),
            Glue::Left { group, .. } => {
                self.ringed.remove(&group);
                self.take_early(&group);
                Taken::Left(group)
            }
            Glue::KillOrdered { result, .. } => Taken::Killed(result),
            Glue::Stuck { call, since_ms, .. } => {
                warn!(%call, since_ms, "corosync does not answer");
                Taken::Nothing
            }
            Glue::Odd { group, oddity, .. } => {
                warn!(%group, ?oddity, "corosync did something odd");
                Taken::Nothing
            }
            Glue::Down { .. }
            | Glue::Up { .. }
            | Glue::Unstuck { .. }
            | Glue::Config { .. }
            | Glue::ConfigUnreadable { .. }
            | Glue::ShutdownAnswered { .. }
            | Glue::Closed { .. } => Taken::Nothing,
        }
    }

    /// An event of a group, if it is one of ours; for later if its ring is not known.
    fn in_ring(&mut self, cpgs: &Cpgs, group: GroupName, event: impl FnOnce(CpgId) -> Event) -> Taken {
        match cpgs.owner(&group) {
            None => Taken::Nothing,
            Some(cpg) if cpg == CpgId::CONTROL || self.ringed.contains(&group) => Taken::Event(event(cpg)),
            Some(_) if self.early_count == EARLY_MAX => {
                error!(%group, EARLY_MAX, "corosync does not say in which ring a group is: the daemon ends");
                Taken::Overwhelmed
            }
            Some(cpg) => {
                self.early_count += 1;
                self.early.entry(group).or_default().push(event(cpg));
                Taken::Nothing
            }
        }
    }

    fn take_early(&mut self, group: &GroupName) -> Vec<Event> {
        let early = self.early.remove(group).unwrap_or_default();
        self.early_count -= early.len();
        early
    }

    fn ring(&mut self, group: GroupName, event: Event) -> Taken {
        let early = self.take_early(&group);
        self.ringed.insert(group);
        Taken::Events(std::iter::once(event).chain(early).collect())
    }

    fn quorum(&mut self, quorate: bool, ring: RingId, nodes: Vec<NodeId>) -> Taken {
        let left = if self.left.0 == ring { std::mem::take(&mut self.left.1) } else { Vec::new() };
        let report = QuorumReport { quorate, ring, nodes, left };
        self.report = Some(report.clone());
        Taken::Event(Event::QuorumChanged(report))
    }

    /// Who went is part of the next report of the ring; if that has come already, it comes again.
    fn nodelist(&mut self, ring: RingId, left: Vec<NodeId>) -> Taken {
        match &self.report {
            Some(report) if report.ring == ring && !left.is_empty() => {
                Taken::Event(Event::QuorumChanged(QuorumReport { left, ..report.clone() }))
            }
            _ => {
                self.left = (ring, left);
                Taken::Nothing
            }
        }
    }
}

/// A join that corosync only puts off is tried again by the glue; one that it refuses is over (deviation Q14).
fn refused(why: Failure, cpgs: &Cpgs) -> Taken {
    let is_join = matches!(why.call, Call::CpgInitialize | Call::CpgJoin);
    let cpg = why.group.as_ref().and_then(|group| cpgs.owner(group));
    match cpg {
        Some(cpg) if is_join && why.code != Code::TRY_AGAIN => Taken::Refused(cpg, why),
        _ => {
            debug!(%why, "refused by corosync");
            Taken::Nothing
        }
    }
}

fn member(member: cpg_glue::Member) -> Member {
    Member { node: NodeId(member.nodeid.0), pid: member.pid }
}

fn nodes(list: Vec<cpg_glue::NodeId>) -> Vec<NodeId> {
    list.into_iter().map(|node| NodeId(node.0)).collect()
}

fn ring_id(ring: cpg_glue::RingId) -> RingId {
    RingId { representative: ring.nodeid.0, seq: ring.seq }
}

/// Reasons that corosync does not define name nothing that happened.
fn changes(list: Vec<(cpg_glue::Member, cpg_glue::Reason)>) -> Vec<(Member, Reason)> {
    let known = |(who, why)| {
        let reason = match why {
            cpg_glue::Reason::Join => Reason::Join,
            cpg_glue::Reason::Leave => Reason::Leave,
            cpg_glue::Reason::NodeDown => Reason::NodeDown,
            cpg_glue::Reason::NodeUp => Reason::NodeUp,
            cpg_glue::Reason::ProcDown => Reason::ProcDown,
            cpg_glue::Reason::Unknown(_) => return None,
        };
        Some((member(who), reason))
    };
    list.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpg_glue::Connection;

    const C: Connection = Connection(1);
    const RING: cpg_glue::RingId = cpg_glue::RingId { nodeid: cpg_glue::NodeId(1), seq: 8 };

    fn name(bytes: &[u8]) -> GroupName {
        GroupName::foreign(bytes).unwrap()
    }

    fn cpgs() -> Cpgs {
        let mut cpgs = Cpgs::default();
        cpgs.join(CpgId::CONTROL, &name(b"groupd\0"));
        cpgs.join(CpgId(1), &name(b"1_a\0"));
        cpgs
    }

    fn quorum() -> Glue {
        Glue::Quorum { connection: C, quorate: true, ring: RING, members: vec![cpg_glue::NodeId(1)] }
    }

    fn nodelist(left: &[u32]) -> Glue {
        let left = left.iter().copied().map(cpg_glue::NodeId).collect();
        Glue::Nodelist { connection: C, ring: RING, members: vec![], joined: vec![], left }
    }

    fn left_of(taken: Taken) -> Vec<NodeId> {
        let Taken::Event(Event::QuorumChanged(report)) = taken else { panic!("{taken:?}") };
        assert!(report.quorate && report.nodes == [NodeId(1)]);
        report.left
    }

    #[test]
    fn who_went_is_part_of_the_report_of_the_ring_whichever_comes_first() {
        let mut corosync = Corosync::default();
        assert_eq!(corosync.take(nodelist(&[2]), &cpgs()), Taken::Nothing);
        assert_eq!(left_of(corosync.take(quorum(), &cpgs())), [NodeId(2)]);
        assert!(left_of(corosync.take(quorum(), &cpgs())).is_empty());

        let mut corosync = Corosync::default();
        assert!(left_of(corosync.take(quorum(), &cpgs())).is_empty());
        assert_eq!(left_of(corosync.take(nodelist(&[2]), &cpgs())), [NodeId(2)]);
    }

    #[test]
    fn the_ring_in_which_we_joined_comes_before_the_join() {
        let ring = |group: &[u8]| Glue::Ring { connection: C, group: name(group), ring: RING, members: vec![] };
        let join = || {
            let me = cpg_glue::Member { nodeid: cpg_glue::NodeId(1), pid: 7 };
            let joined = vec![(me, cpg_glue::Reason::Join)];
            Glue::View { connection: C, group: name(b"1_a\0"), members: vec![me], left: vec![], joined }
        };
        let (mut corosync, cpgs) = (Corosync::default(), cpgs());
        assert_eq!(corosync.take(join(), &cpgs), Taken::Nothing);
        let Taken::Events(events) = corosync.take(ring(b"1_a\0"), &cpgs) else { panic!("nothing comes") };
        assert!(matches!(events[..], [Event::GroupRingChanged(CpgId(1), _), Event::ViewChanged(CpgId(1), _)]));
        assert!(matches!(corosync.take(join(), &cpgs), Taken::Event(Event::ViewChanged(CpgId(1), _))));
        assert!(matches!(corosync.take(ring(b"groupd\0"), &cpgs), Taken::Event(Event::RingChanged { .. })));
        corosync.take(Glue::Left { connection: C, group: name(b"1_a\0") }, &cpgs);
        assert_eq!(corosync.take(join(), &cpgs), Taken::Nothing);
    }

    #[test]
    fn what_comes_before_its_ring_is_bounded_and_more_ends_the_daemon() {
        let (mut corosync, cpgs) = (Corosync::default(), cpgs());
        let from = cpg_glue::Member { nodeid: cpg_glue::NodeId(2), pid: 9 };
        let message = || Glue::Message { connection: C, group: name(b"1_a\0"), from, bytes: vec![1] };
        let ring = || Glue::Ring { connection: C, group: name(b"1_a\0"), ring: RING, members: vec![] };
        let is_kept =
            |corosync: &mut Corosync| (0..EARLY_MAX).all(|_| corosync.take(message(), &cpgs) == Taken::Nothing);
        assert!(is_kept(&mut corosync));
        assert_eq!(corosync.take(message(), &cpgs), Taken::Overwhelmed);
        // What is left or comes through makes room.
        corosync.take(Glue::Left { connection: C, group: name(b"1_a\0") }, &cpgs);
        assert!(is_kept(&mut corosync));
        let Taken::Events(events) = corosync.take(ring(), &cpgs) else { panic!("nothing comes") };
        assert_eq!((events.len(), corosync.early_count), (EARLY_MAX + 1, 0));
    }

    #[test]
    fn bytes_that_are_no_message_are_an_event() {
        let from = cpg_glue::Member { nodeid: cpg_glue::NodeId(2), pid: 9 };
        let message = Glue::Message { connection: C, group: name(b"groupd\0"), from, bytes: vec![1, 2, 3] };
        let taken = Corosync::default().take(message, &cpgs());
        assert!(matches!(taken, Taken::Event(Event::Delivered { cpg: CpgId::CONTROL, body: Err(_), .. })));
    }

    #[test]
    fn a_join_that_is_put_off_is_not_refused() {
        let refusal = |code| Glue::GroupRefused {
            connection: C,
            why: Failure { call: Call::CpgJoin, group: Some(name(b"1_a\0")), code },
        };
        let (mut corosync, cpgs) = (Corosync::default(), cpgs());
        assert_eq!(corosync.take(refusal(Code::TRY_AGAIN), &cpgs), Taken::Nothing);
        assert!(matches!(corosync.take(refusal(Code(18)), &cpgs), Taken::Refused(CpgId(1), _)));
    }
}
