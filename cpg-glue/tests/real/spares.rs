//! Many groups, spare connections, shortage.

use crate::support;
use crate::support::lab::{Lab, Program};
use crate::waiting::{closed, joined, lost, message, stuck, up, view};
use cpg_glue::{Call, Code, Event, NodeId, Reason};
use std::time::Duration;

/// Time of the processor that an idle program may need in [`QUIET`].
const IDLE_CPU_MAX: Duration = Duration::from_millis(100);
/// Over how long it is measured.
const QUIET: Duration = Duration::from_secs(1);

fn number(program: &mut Program, question: &str, name: &str) -> u64 {
    program.ask(question, name)[name].as_u64().expect("a number")
}

/// Waits until it has so many descriptors.
fn open(program: &mut Program, wanted: u64) {
    support::lab::until(&format!("{wanted} descriptors"), || number(program, "open", "open") == wanted);
}

#[test]
fn two_hundred_groups_cost_nothing_while_nothing_happens() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program();
    up(&mut program);
    let groups: Vec<String> = (0..200).map(|number| format!("g{number}")).collect();
    groups.iter().for_each(|group| program.tell(&format!("join {group}")));
    support::lab::until("all are joined", || {
        number(&mut program, "cpu", "cpu_us");
        program.seen(|event| matches!(event, Event::View { .. }).then_some(())).len() == groups.len()
    });
    let before = number(&mut program, "cpu", "cpu_us");
    std::thread::sleep(QUIET); // what is measured, not what is waited for
    let spent = Duration::from_micros(number(&mut program, "cpu", "cpu_us") - before);
    assert!(spent < IDLE_CPU_MAX, "{spent:?} of {QUIET:?}");
    program.tell("send g77 hello");
    message(&mut program, "hello");
}

#[test]
fn a_spare_is_opened_when_it_is_quiet_used_by_the_next_join_and_made_again() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program_after("export SPARES=1");
    up(&mut program);
    let first = number(&mut program, "open", "open");
    open(&mut program, first + 1);
    program.tell("join g");
    assert_eq!(view(&mut program, &[1]), [(1, Reason::Join)]);
    program.tell("send g hello");
    assert_eq!(message(&mut program, "hello").nodeid, NodeId(1));
    open(&mut program, first + 2);
    // A join that finds a spare needs no new connection: a corosync that is stopped holds up the join itself.
    lab.nodes[0].signal("STOP");
    program.tell("join late");
    assert_eq!(stuck(&mut program), Call::CpgJoin);
    lab.nodes[0].signal("CONT");
    joined(&mut program, "late");
    program.tell("close");
    assert!(closed(&mut program));
}

#[test]
fn a_spare_of_a_dead_corosync_is_thrown_away() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program_after("export SPARES=2");
    up(&mut program);
    let first = number(&mut program, "open", "open");
    open(&mut program, first + 2);
    lab.nodes[0].signal("KILL");
    lost(&mut program);
    program.tell("join g");
    lab.nodes[0].start();
    assert_eq!(up(&mut program).0, 2);
    assert_eq!(view(&mut program, &[1]), [(1, Reason::Join)]);
    open(&mut program, first + 3);
    assert!(program.seen(|event| matches!(event, Event::GroupRefused { .. }).then_some(())).is_empty());
}

#[test]
fn a_spare_knows_its_ring_and_nothing_else_of_the_time_before_its_group() {
    let Some(mut lab) = Lab::up(2) else { return };
    let mut program = lab.nodes[0].program_after("export SPARES=1");
    up(&mut program);
    let first = number(&mut program, "open", "open");
    open(&mut program, first + 1);
    lab.nodes[1].signal("KILL");
    program.expect("node 2 is gone", |event| match event {
        Event::Quorum { members, .. } => (members.len() == 1).then_some(()),
        _ => None,
    });
    program.tell("join g");
    view(&mut program, &[1]);
    let up_to_view = program.seen(|event| match event {
        Event::Ring { members, .. } => Some(format!("ring of {}", members.len())),
        Event::View { .. } => Some("view".to_owned()),
        Event::Odd { .. } => Some("odd".to_owned()),
        _ => None,
    });
    assert_eq!(up_to_view, ["ring of 1", "view"]);
}

#[test]
fn without_descriptors_the_failure_says_so() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program_after("ulimit -n 40");
    up(&mut program);
    (0..40).for_each(|number| program.tell(&format!("join g{number}")));
    let why = program.expect("a refusal", |event| match event {
        Event::GroupRefused { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!((why.call, why.code), (Call::CpgInitialize, Code::NO_DESCRIPTORS), "{why}");
    program.tell("send g0 hello");
    message(&mut program, "hello");
}
