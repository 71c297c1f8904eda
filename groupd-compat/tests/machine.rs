//! Fixes that no numbered case covers.

mod cluster;

use cluster::{Cluster, level, name};
use groupd_compat::cpg_message::{Message, Step, Version};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::ids::{ClientId, CpgId, GlobalId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Access, Caller, Compat, Debt, Effect, Effects, Event, Machine, Notice, QuorumReport, Reason, Settings, ViewChange,
    Wait,
};
use groupd_compat::names::{ClientKind, GroupKey};
use groupd_compat::verbs::{Callback, Request, StartKind};

/// One machine, fed by hand.
struct Bench {
    machine: Machine,
    fx: Effects,
}

const CLIENT: ClientId = ClientId(1);
const ALPHA: CpgId = CpgId(1);

fn member(node: u32) -> Member {
    Member { node: NodeId(node), pid: 100 + node }
}

fn view(members: &[u32], left: &[(u32, Reason)], joined: &[(u32, Reason)]) -> ViewChange {
    let change = |list: &[(u32, Reason)]| list.iter().map(|&(node, why)| (member(node), why)).collect();
    ViewChange { members: members.iter().map(|&n| member(n)).collect(), left: change(left), joined: change(joined) }
}

fn alpha() -> GroupKey {
    GroupKey { level: level(1), name: name("alpha") }
}

impl Bench {
    fn new(settings: Settings, nodes: &[u32]) -> Self {
        let mut bench = Bench { machine: Machine::new(settings), fx: Effects::default() };
        bench.feed(Event::Started);
        bench.feed(Event::ViewChanged(CpgId::CONTROL, view(nodes, &[], &[(1, Reason::Join)])));
        bench.quorum(4, nodes);
        bench.ask_for_alpha();
        bench
    }

    fn ask_for_alpha(&mut self) {
        self.feed(Event::ClientCame(CLIENT, Caller { uid: 0, access: Access::Full }));
        self.feed(Event::Asked(CLIENT, Ok(Request::Setup { kind: ClientKind::new(b"test"), level: level(1) })));
        self.feed(Event::Asked(CLIENT, Ok(Request::Join { name: name("alpha") })));
    }

    fn quorum(&mut self, seq: u64, nodes: &[u32]) {
        let (ring, nodes) = (RingId { representative: 1, seq }, nodes.iter().copied().map(NodeId).collect::<Vec<_>>());
        self.feed(Event::QuorumChanged(QuorumReport { quorate: true, ring, nodes: nodes.clone(), left: vec![] }));
        self.feed(Event::RingChanged { ring, nodes });
    }

    fn feed(&mut self, event: Event) -> Vec<Effect> {
        self.machine.handle(Tick(0), event, &mut self.fx);
        self.fx.drain().collect()
    }

    fn step(&mut self, from: u32, step: Step, id: EventId) -> Vec<Effect> {
        let body = Ok(Message::Step { step, key: alpha(), global_id: GlobalId(0x10002), id });
        self.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(from), body })
    }

    fn told(effects: &[Effect]) -> Vec<String> {
        let told = effects.iter().filter_map(|effect| match effect {
            Effect::Tell(_, callback) => Some(cluster::shown_callback(callback)),
            _ => None,
        });
        told.collect()
    }

    fn wait(&self) -> Option<Wait> {
        self.machine.status().groups[0].waits.clone()
    }
}

fn join_of(node: u32, count: usize) -> EventId {
    EventId::new(NodeId(node), count, Cause::Join)
}

#[test]
fn a_wide_node_id_is_reported() {
    let mut machine = Machine::new(Settings::libgroup(NodeId(70_000)));
    let mut fx = Effects::default();
    machine.handle(Tick(0), Event::Started, &mut fx);
    assert_eq!(fx.as_slice()[0], Effect::Notice(Notice::WideNodeId { node: NodeId(70_000) }));
}

#[test]
fn a_dump_is_asked_for_once() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1]);
    assert_eq!(bench.feed(Event::Asked(CLIENT, Ok(Request::Dump))), [Effect::Dump(CLIENT)]);
}

/// Node 1 alone in its group, node 2 about to join or dead.
fn alone_in_alpha() -> Bench {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    assert_eq!(bench.wait(), None);
    bench
}

#[test]
fn a_joiner_that_is_dead_already_is_not_begun() {
    let mut bench = alone_in_alpha();
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1], &[(2, Reason::ProcDown)], &[])));
    let late = bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    assert_eq!(Bench::told(&late), Vec::<String>::new());
    assert_eq!(bench.wait(), Some(Wait::Control { node: NodeId(2) }));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[(2, Reason::ProcDown)], &[])));
    assert_eq!(bench.wait(), None);
}

#[test]
fn a_joiner_that_the_control_cpg_shows_late_is_begun_then() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    assert_eq!(bench.wait(), Some(Wait::Control { node: NodeId(2) }));
    let seen = bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 2], &[], &[(2, Reason::Join)])));
    assert_eq!(Bench::told(&seen), ["stop alpha"]);
}

/// B33. A client is quicker than our own join of the control CPG, and so is the ring that it shows first.
#[test]
fn who_joins_before_we_have_seen_ourselves_join_is_not_dropped() {
    let mut bench = Bench { machine: Machine::new(Settings::libgroup(NodeId(1))), fx: Effects::default() };
    bench.feed(Event::Started);
    bench.ask_for_alpha();
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    bench.quorum(4, &[1, 2]);
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 2], &[], &[(1, Reason::Join)])));
    let finished = bench.step(1, Step::Started, join_of(1, 1));
    assert_eq!(Bench::told(&finished), ["finish alpha 1", "stop alpha"]);
}

#[test]
fn a_ring_that_the_control_cpg_is_still_to_show_is_waited_for_by_name() {
    let mut bench = alone_in_alpha();
    bench.feed(Event::GroupRingChanged(ALPHA, RingId { representative: 1, seq: 8 }));
    let held = bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    assert_eq!((Bench::told(&held), bench.wait()), (vec![], Some(Wait::ControlCpg)));
    bench.quorum(8, &[1, 2]);
    assert_eq!(bench.wait(), Some(Wait::Stopped { by: [NodeId(1)].into() }));
}

/// COMPAT, "Open": it could be a daemon whose coming and going the control CPG is still to show (B24).
#[test]
fn the_death_of_a_process_that_never_was_a_daemon_waits_for_the_ring() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[(2, Reason::ProcDown)], &[])));
    assert_eq!(bench.wait(), Some(Wait::Control { node: NodeId(2) }));
    bench.feed(Event::GroupRingChanged(ALPHA, RingId { representative: 1, seq: 8 }));
    bench.quorum(8, &[1]);
    assert_eq!(bench.wait(), None);
}

/// B34. The group shows the end of a process whose corosync begins anew under it, and then our own leave: no ring follows there.
#[test]
fn a_death_before_our_own_leave_waits_for_the_next_ring() {
    let mut bench = alone_in_alpha();
    bench.feed(Event::GroupRingChanged(ALPHA, RingId { representative: 1, seq: 4 }));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    bench.feed(Event::Asked(CLIENT, Ok(Request::StopDone { name: name("alpha") })));
    bench.step(1, Step::Stopped, join_of(2, 2));
    let taken_in = bench.wait();
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[(2, Reason::ProcDown)], &[])));
    bench.feed(Event::ViewChanged(ALPHA, view(&[], &[(1, Reason::Leave)], &[])));
    bench.quorum(4, &[1, 2]);
    assert_eq!(bench.machine.status().groups[0].waits, taken_in, "that ring was shown before");
    bench.quorum(8, &[1, 2]);
    let version = Version { node: NodeId(2), generation: 3, mode: 2, compat: 1, groups: 0 };
    let body = Ok(Message::Version(version));
    let recovers = bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(2), body });
    assert!(Bench::told(&recovers).contains(&"stop alpha".to_owned()), "{recovers:?}");
}

/// B35. Our corosync stood still: the others went and are back in one ring, and quorum never spoke of the one in between.
#[test]
fn who_was_away_alone_ends_and_kills_nobody_else() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2, 3]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    for node in [2, 3] {
        let members: Vec<u32> = (1..=node).collect();
        bench.feed(Event::ViewChanged(ALPHA, view(&members, &[], &[(node, Reason::Join)])));
        bench.feed(Event::Asked(CLIENT, Ok(Request::StopDone { name: name("alpha") })));
        members
            .iter()
            .take(members.len() - 1)
            .for_each(|by| _ = bench.step(*by, Step::Stopped, join_of(node, members.len())));
        members.iter().for_each(|by| _ = bench.step(*by, Step::Started, join_of(node, members.len())));
    }
    assert_eq!(bench.wait(), None);
    let (down, up) = ([(2, Reason::NodeDown), (3, Reason::NodeDown)], [(2, Reason::NodeUp), (3, Reason::NodeUp)]);
    let mut seen = Vec::new();
    for cpg in [ALPHA, CpgId::CONTROL] {
        seen.extend(bench.feed(Event::ViewChanged(cpg, view(&[1], &down, &[]))));
        seen.extend(bench.feed(Event::ViewChanged(cpg, view(&[1, 2, 3], &[], &up))));
    }
    let ring = RingId { representative: 1, seq: 8 };
    seen.extend(bench.feed(Event::GroupRingChanged(ALPHA, ring)));
    seen.extend(bench.feed(Event::RingChanged { ring, nodes: vec![NodeId(1), NodeId(2), NodeId(3)] }));
    let killed: Vec<u32> =
        seen.iter().filter_map(|it| if let Effect::Kill(node, _) = it { Some(node.0) } else { None }).collect();
    assert_eq!(killed, [1], "{seen:?}");
    assert!(seen.iter().any(|effect| matches!(effect, Effect::Exit(_))), "{seen:?}");
}

#[test]
fn steps_of_a_replaced_change_do_not_come_back() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2, 3]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    let stop_done = || Event::Asked(CLIENT, Ok(Request::StopDone { name: name("alpha") }));
    // Node 2 joins, is taken in, and dies before it starts. Its own STARTED comes after its failure was seen.
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    bench.feed(stop_done());
    bench.step(1, Step::Stopped, join_of(2, 2));
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 3], &[(2, Reason::NodeDown)], &[])));
    let fail = EventId::new(NodeId(2), 1, Cause::Fail);
    let late = bench.step(1, Step::Started, join_of(2, 2));
    assert_eq!(late, [Effect::Notice(Notice::Late { group: alpha(), from: NodeId(1) })]);
    bench.feed(stop_done());
    bench.step(1, Step::Stopped, fail);
    bench.quorum(8, &[1, 3]);
    bench.step(1, Step::Started, fail);
    assert_eq!(bench.wait(), None);
    // Node 2 joins again: the same id, and nobody has started it yet.
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 2, 3], &[], &[(2, Reason::Join)])));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    bench.feed(stop_done());
    bench.step(1, Step::Stopped, join_of(2, 2));
    assert_eq!(bench.wait(), Some(Wait::Started { by: [NodeId(1), NodeId(2)].into() }));
}

#[test]
fn steps_of_another_process_are_not_believed() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(1, Reason::Join)])));
    let step = Message::Step { step: Step::Stopped, key: alpha(), global_id: GlobalId(9), id: join_of(1, 2) };
    let liar = Member { node: NodeId(2), pid: 4711 };
    let forged = bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: liar, body: Ok(step.clone()) });
    assert_eq!(forged, [Effect::Notice(Notice::Forged { from: liar })]);
    let elsewhere = bench.feed(Event::Delivered { cpg: ALPHA, from: member(2), body: Ok(step) });
    assert_eq!(elsewhere, [Effect::Notice(Notice::Forged { from: member(2) })]);
    assert_eq!(bench.wait(), Some(Wait::Stopped { by: [NodeId(2)].into() }));
    assert!(!Bench::told(&bench.step(2, Step::Stopped, join_of(1, 2))).is_empty());
}

#[test]
fn a_join_while_pending_is_not_lost() {
    let mut bench = Bench::new(Settings { compat: Compat::Detect, ..Settings::libgroup(NodeId(1)) }, &[1, 2]);
    let early = bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    assert_eq!(early, []);
    let version = Version { node: NodeId(2), generation: 3, mode: 2, compat: 1, groups: 0 };
    let body = Ok(Message::Version(version));
    let decided = bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(2), body });
    assert_eq!(Bench::told(&decided), ["setid alpha 65537", "start alpha 1 2 1 1"]);
}

/// What a group's CPG shows while the mode is pending counts as if it came when the mode is known: a join behind a ring stays
/// behind it (B21).
#[test]
fn a_ring_while_pending_is_not_lost() {
    let mut bench = Bench::new(Settings { compat: Compat::Detect, ..Settings::libgroup(NodeId(1)) }, &[1, 2]);
    assert_eq!(bench.wait(), Some(Wait::Mode));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.feed(Event::GroupRingChanged(ALPHA, RingId { representative: 1, seq: 8 }));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    let version = Version { node: NodeId(2), generation: 3, mode: 2, compat: 1, groups: 0 };
    let body = Ok(Message::Version(version));
    bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(2), body });
    let started = bench.step(1, Step::Started, join_of(1, 1));
    assert_eq!((Bench::told(&started), bench.wait()), (vec!["finish alpha 1".to_owned()], Some(Wait::ControlCpg)));
    let ring = RingId { representative: 1, seq: 8 };
    let due = bench.feed(Event::RingChanged { ring, nodes: vec![NodeId(1), NodeId(2)] });
    assert_eq!(Bench::told(&due), ["stop alpha"]);
}

/// In the mode that serves nobody nothing is waited for: its groups are only occupied (K14).
#[test]
fn a_placeholder_waits_for_nothing() {
    let mut bench = Bench::new(Settings { compat: Compat::Libcpg, ..Settings::libgroup(NodeId(1)) }, &[1]);
    assert_eq!((bench.wait(), bench.machine.standstills().count()), (None, 0));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    assert_eq!(bench.wait(), None);
}

#[test]
fn a_standstill_names_the_client_that_owes_the_answer() {
    let mut bench = alone_in_alpha();
    assert_eq!(bench.machine.standstills().count(), 0);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(2, Reason::Join)])));
    let owed = |bench: &Bench| {
        let found: Vec<_> = bench.machine.standstills().map(|it| (it.key.clone(), it.wait, it.owed)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let debt = |verb| Some(Debt { client: Some(CLIENT), verb });
    let by = [NodeId(1)].into();
    assert_eq!(owed(&bench), (alpha(), Wait::Stopped { by }, debt("stop_done")));
    bench.feed(Event::Asked(CLIENT, Ok(Request::StopDone { name: name("alpha") })));
    assert_eq!(owed(&bench), (alpha(), Wait::Stopped { by: [NodeId(1)].into() }, None));
    bench.step(1, Step::Stopped, join_of(2, 2));
    let by = [NodeId(1), NodeId(2)].into();
    assert_eq!(owed(&bench), (alpha(), Wait::Started { by }, debt("start_done")));
    bench.feed(Event::ClientGone(CLIENT));
    assert_eq!(owed(&bench).2, Some(Debt { client: None, verb: "start_done" }));
}

#[test]
fn a_leave_that_corosync_does_not_show_is_waited_for_by_name() {
    let mut bench = alone_in_alpha();
    bench.feed(Event::Asked(CLIENT, Ok(Request::Leave { name: name("alpha") })));
    assert_eq!(bench.wait(), Some(Wait::OwnLeave));
}

/// A failure that waits behind a join hurries it: what is missing is still the word of those who live.
#[test]
fn a_join_behind_which_a_failure_waits_names_who_is_not_stopped() {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2, 3]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2], &[], &[(1, Reason::Join)])));
    bench.step(2, Step::Stopped, join_of(1, 2));
    bench.step(1, Step::Started, join_of(1, 2));
    bench.step(2, Step::Started, join_of(1, 2));
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2, 3], &[], &[(3, Reason::Join)])));
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 2], &[(3, Reason::NodeDown)], &[])));
    assert_eq!(bench.wait(), Some(Wait::Stopped { by: [NodeId(1), NodeId(2)].into() }));
}

/// Node 1 finds nodes 2 and 3 when it joins, and 3 dies before anybody was stopped for it.
fn found_three() -> Bench {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2, 3]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1, 2, 3], &[], &[(1, Reason::Join)])));
    bench.feed(Event::ViewChanged(CpgId::CONTROL, view(&[1, 2], &[(3, Reason::NodeDown)], &[])));
    bench.quorum(8, &[1, 2]);
    assert_eq!(bench.wait(), Some(Wait::Survivors { node: NodeId(3) }));
    bench
}

#[test]
fn a_joiner_learns_who_never_was_a_member() {
    let mut bench = found_three();
    assert_eq!(Bench::told(&bench.step(2, Step::Stopped, join_of(1, 3))), Vec::<String>::new());
    let started = bench.step(2, Step::Started, join_of(1, 3));
    assert_eq!(Bench::told(&started), ["setid alpha 65538", "start alpha 1 2 2 1 2"]);
}

#[test]
fn a_joiner_learns_who_was_a_member() {
    let mut bench = found_three();
    bench.step(2, Step::Stopped, join_of(1, 3));
    let recovering = bench.step(2, Step::Recover, EventId::new(NodeId(3), 2, Cause::Fail));
    assert_eq!(Bench::told(&recovering), ["setid alpha 65538", "start alpha 1 2 3 1 2 3", "stop alpha"]);
}

#[test]
fn a_joiner_is_taken_in_after_the_recovery() {
    let mut bench = found_three();
    bench.step(2, Step::Stopped, EventId::new(NodeId(3), 2, Cause::Fail));
    assert_eq!(bench.wait(), Some(Wait::Stopped { by: [NodeId(2)].into() }));
    let taken_in = bench.step(2, Step::Stopped, join_of(1, 3));
    assert_eq!(Bench::told(&taken_in), ["setid alpha 65538", "start alpha 1 2 2 1 2"]);
}

/// Events handled by three nodes while so many groups recover: the number must grow with the groups, not with
/// a power of them. Time is not measured; a machine that looks at all groups for each message would show in
/// the time of this test.
fn effects_of_recovery(groups: usize) -> usize {
    let mut cluster = Cluster::new(3);
    for group in 0..groups {
        for node in 1..=3 {
            cluster.join(node, (group % 3) as i64, &format!("g{group}"));
        }
    }
    cluster.settle();
    cluster.log.clear();
    cluster.crash(3);
    cluster.settle();
    let finished = |callback: &&Callback| matches!(callback, Callback::Finish { .. });
    let failures = |callback: &&Callback| matches!(callback, Callback::Start { kind: StartKind::Failed, .. });
    for at in 0..3 {
        let told = cluster.told_to(1, at);
        assert!(matches!(told.last(), Some(Callback::Finish { .. })));
        let starts = told.iter().filter(|callback| failures(callback)).count();
        assert_eq!(starts, (groups + 2 - at as usize) / 3);
        assert!(told.iter().filter(finished).count() >= starts);
    }
    cluster.log.len()
}

#[test]
fn recovery_of_many_groups_is_linear() {
    let (few, many) = (effects_of_recovery(30), effects_of_recovery(300));
    // Per group and survivor: stop, STOPPED, start, STARTED, finish; and one line for the crash.
    assert_eq!((few, many), (30 * 10 + 1, 300 * 10 + 1));
}

#[test]
fn what_has_not_recovered_below_a_level_is_known() {
    let mut cluster = Cluster::new(3);
    for (at, group) in [(0, "fence"), (1, "lock"), (2, "fs")] {
        (1..=3).for_each(|node| cluster.join(node, at, group));
    }
    cluster.settle();
    cluster.manual(1, 0);
    let before = cluster.daemons[&1].machine.ours().ring();
    cluster.crash(3);
    cluster.settle();
    let open = |cluster: &Cluster| {
        let machine = cluster.daemons[&1].machine.ours();
        let counts: Vec<_> = machine.unrecovered(level(2)).collect();
        let last = machine.last_unrecovered(NodeId(3), level(2)).map(ToString::to_string);
        (machine.ring() != before, counts, last)
    };
    assert_eq!(open(&cluster), (true, vec![(NodeId(3), 2)], Some("1:lock".to_owned())));
    cluster.stop_done(1, 0, "fence");
    cluster.settle();
    cluster.start_done(1, 0, "fence");
    cluster.settle();
    assert_eq!(open(&cluster), (true, vec![], None));
}

/// A version as every daemon says it when somebody joins, from this process of a node.
fn version_of(from: Member) -> Event {
    let version = Version { node: from.node, generation: 3, mode: 2, compat: 1, groups: 0 };
    Event::Delivered { cpg: CpgId::CONTROL, from, body: Ok(Message::Version(version)) }
}

/// Another process of node 2 is in the control CPG beside its daemon.
const BESIDE: Member = Member { node: NodeId(2), pid: 4711 };

fn with_another_beside_2() -> Bench {
    let mut bench = alone_in_alpha();
    let (mut members, joined) = (view(&[1, 2], &[], &[]).members, vec![(BESIDE, Reason::Join)]);
    members.push(BESIDE);
    bench.feed(Event::ViewChanged(CpgId::CONTROL, ViewChange { members, left: vec![], joined }));
    bench
}

#[test]
fn a_daemon_that_speaks_keeps_its_place() {
    let mut bench = with_another_beside_2();
    assert_eq!(bench.feed(version_of(member(2))), []);
    let forged = [Effect::Notice(Notice::Forged { from: BESIDE })];
    assert_eq!(bench.feed(version_of(BESIDE)), forged);
    let members = [member(1), member(2), BESIDE, member(3)].to_vec();
    let joined = vec![(member(3), Reason::Join)];
    bench.feed(Event::ViewChanged(CpgId::CONTROL, ViewChange { members, left: vec![], joined }));
    assert_eq!(bench.feed(version_of(BESIDE)), forged, "also when it is the first to speak in a later view");
}

#[test]
fn a_silent_daemon_is_a_ghost_when_another_of_its_node_speaks() {
    let mut bench = with_another_beside_2();
    let id = join_of(2, 2);
    let step = Message::Step { step: Step::Stopped, key: alpha(), global_id: GlobalId(0), id };
    let early = bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: BESIDE, body: Ok(step) });
    assert_eq!(early, [Effect::Notice(Notice::Forged { from: BESIDE })], "no step before a version");
    assert_eq!(bench.feed(version_of(BESIDE)), [Effect::Notice(Notice::Ghost { ghost: member(2) })]);
    assert_eq!(bench.feed(version_of(BESIDE)), []);
    assert_eq!(bench.feed(version_of(member(2))), [Effect::Notice(Notice::Forged { from: member(2) })]);
}

#[test]
fn a_daemon_outside_the_ring_is_a_ghost() {
    let mut bench = alone_in_alpha();
    assert_eq!(bench.machine.status().daemons, [NodeId(1), NodeId(2)]);
    let ring = RingId { representative: 1, seq: 8 };
    let told = bench.feed(Event::RingChanged { ring, nodes: vec![NodeId(1)] });
    assert_eq!(told, [Effect::Notice(Notice::Ghost { ghost: member(2) })]);
    assert_eq!(bench.machine.status().daemons, [NodeId(1)]);
}

/// A machine that begins anew in its process, beside a daemon on node 2 that says nothing, asked to join.
fn anew_beside_a_silent_daemon(compat: Compat) -> Bench {
    Bench::new(Settings { again: true, compat, ..Settings::libgroup(NodeId(1)) }, &[1, 2])
}

fn timer(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::SetTimer(ms) => Some(*ms),
        _ => None,
    })
}

/// Fires when it was set to, and each time as it is set again, until a group is joined. Returns when that was.
fn rings_until_joined(bench: &mut Bench, mut at: u64) -> u64 {
    for _ in 0..8 {
        bench.machine.handle(Tick(at), Event::TimerFired, &mut bench.fx);
        let effects: Vec<Effect> = bench.fx.drain().collect();
        if effects.iter().any(|effect| matches!(effect, Effect::JoinCpg(ALPHA, _))) {
            return at;
        }
        at += timer(&effects).expect("nothing will ever ring again");
    }
    panic!("not joined");
}

#[test]
fn a_silent_daemon_is_waited_for_no_longer_than_an_old_one() {
    let mut bench = anew_beside_a_silent_daemon(Compat::Libgroup);
    assert_eq!(bench.wait(), Some(Wait::ToBeKnown { by: [NodeId(2)].into() }));
    assert_eq!(rings_until_joined(&mut bench, 5000), 5000);
}

#[test]
fn a_timer_that_rings_early_is_set_again() {
    let mut bench = anew_beside_a_silent_daemon(Compat::Libgroup);
    assert_eq!(rings_until_joined(&mut bench, 2000), 5000);
}

#[test]
fn who_is_to_be_known_has_joined_first() {
    let mut bench = Bench {
        machine: Machine::new(Settings { again: true, ..Settings::libgroup(NodeId(1)) }),
        fx: Effects::default(),
    };
    bench.feed(Event::Started);
    bench.quorum(4, &[1, 2]);
    bench.ask_for_alpha();
    assert_eq!(bench.wait(), Some(Wait::OwnJoin));
}

/// The mode has a timer of its own, and is found by what another daemon says before that rings.
#[test]
fn a_mode_that_is_found_leaves_the_other_wait_its_timer() {
    let mut bench = anew_beside_a_silent_daemon(Compat::Detect);
    let version = Version { node: NodeId(1), generation: 3, mode: 2, compat: 2, groups: 0 };
    bench.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(1), body: Ok(Message::Version(version)) });
    assert_eq!(bench.wait(), Some(Wait::ToBeKnown { by: [NodeId(2)].into() }));
    assert_eq!(rings_until_joined(&mut bench, 2000), 5000);
}
