//! Fixes that no numbered case covers.

mod bench;
mod cluster;

use bench::{ALPHA, Bench, CLIENT, alone_in_alpha, alpha, join_of, member, view};
use cluster::{Cluster, level, name};
use groupd_compat::cpg_message::{Message, Step, Version};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::ids::{CpgId, GlobalId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Compat, Debt, Effect, Effects, Event, Machine, Notice, Reason, Settings, ViewChange, Wait,
};
use groupd_compat::verbs::{Callback, Request, StartKind};

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
