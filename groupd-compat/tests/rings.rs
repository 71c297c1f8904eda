//! What a group's CPG, the control CPG and quorum show of one change, in whatever order it comes.

mod bench;
mod cluster;

use bench::{ALPHA, Bench, CLIENT, alone_in_alpha, join_of, member, view};
use cluster::name;
use groupd_compat::cpg_message::{Message, Step, Version};
use groupd_compat::ids::{CpgId, NodeId, RingId};
use groupd_compat::machine::{Compat, Effect, Effects, Event, Machine, Reason, Settings, Wait};
use groupd_compat::verbs::Request;

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
