//! corosync goes, stops, comes back.

use crate::support;
use crate::support::lab::Lab;
use crate::waiting::{assert_loop_was_free, closed, lost, message, programs_in_g, stuck, unstuck, up, view};
use cpg_glue::{Call, Event, Loss, Reason};
use std::time::{Duration, Instant};

#[test]
fn a_corosync_that_is_not_up_yet_is_waited_for() {
    let Some(mut lab) = Lab::off(1) else { return };
    let mut program = lab.nodes[0].program();
    program.tell("join g");
    program.expect("Down", |event| matches!(event, Event::Down { .. }).then_some(()));
    lab.nodes[0].start();
    assert_eq!(up(&mut program).0, 1);
    view(&mut program, &[1]);
    let downs = program.seen(|event| matches!(event, Event::Down { .. }).then_some(()));
    assert_eq!(downs.len(), 1, "told once an outage");
}

#[test]
fn a_killed_corosync_is_lost_at_once_and_its_groups_are_joined_again() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    let killed = Instant::now();
    lab.nodes[0].signal("KILL");
    assert!(matches!(lost(&mut program), Loss::Corosync(_)));
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    let refused = program.ask("send g nobody", "refused");
    assert_eq!(refused["refused"], "no connection to corosync");
    lab.nodes[0].start();
    assert_eq!(up(&mut program).0, 2, "a new incarnation");
    assert_eq!(view(&mut program, &[1]), [(1, Reason::Join)]);
    program.tell("send g back");
    message(&mut program, "back");
    let stale = program.seen(|event| match event {
        Event::Message { connection, bytes, .. } => Some((connection.0, bytes.clone())),
        _ => None,
    });
    assert_eq!(stale, [(2, b"back".to_vec())]);
}

#[test]
fn a_corosync_stopped_while_we_connect_is_stuck_and_the_loop_goes_on() {
    let Some(mut lab) = Lab::up(1) else { return };
    lab.nodes[0].signal("STOP");
    let mut program = lab.nodes[0].program();
    program.tell("join g");
    assert_eq!(stuck(&mut program), Call::QuorumInitialize);
    assert_loop_was_free(&mut program);
    lab.nodes[0].signal("CONT");
    assert_eq!(unstuck(&mut program), Call::QuorumInitialize);
    up(&mut program);
    view(&mut program, &[1]);
}

#[test]
fn a_corosync_stopped_while_we_join_and_send_holds_nothing_up_and_loses_nothing() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    lab.nodes[0].signal("STOP");
    program.tell("join late");
    // libqb would spin in the call after some 280 of these.
    program.tell("quiet");
    program.ask("flood g 1000 100", "flooded");
    assert_eq!(stuck(&mut program), Call::CpgInitialize);
    let state = program.ask("state g", "state");
    assert!(state["state"]["waiting"].as_u64() > Some(0), "corosync does not read: {state}");
    assert!(state["state"]["oldest_ms"].as_u64() > Some(500), "the ring is deaf: {state}");
    assert_loop_was_free(&mut program);
    lab.nodes[0].signal("CONT");
    assert_eq!(unstuck(&mut program), Call::CpgInitialize);
    view(&mut program, &[1]);
    support::lab::until("all are back", || {
        let counted = program.ask("count", "count");
        assert_eq!(counted["out_of_order"], 0, "{counted}");
        counted["count"]["1"] == 1000
    });
}

#[test]
fn a_corosync_killed_while_a_call_hangs_leaves_nothing_behind() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    lab.nodes[0].signal("STOP");
    program.tell("leave g");
    assert_eq!(stuck(&mut program), Call::CpgLeave);
    lab.nodes[0].signal("KILL");
    lost(&mut program);
    assert_loop_was_free(&mut program);
    program.tell("join g");
    lab.nodes[0].start();
    assert_eq!(up(&mut program).0, 2);
    view(&mut program, &[1]);
    program.tell("close");
    assert!(closed(&mut program));
}

#[test]
fn close_does_not_wait_for_a_stopped_corosync() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    lab.nodes[0].signal("STOP");
    program.tell("close");
    assert!(!closed(&mut program), "not clean");
    assert!(program.end(), "the program ends while corosync still stands");
}

#[test]
fn a_panic_in_a_callback_costs_one_connection() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    program.tell("oops");
    program.tell("send g bad");
    assert_eq!(lost(&mut program), Loss::CallbackPanicked(Call::CpgDispatch));
    assert_eq!(up(&mut program).0, 2);
    view(&mut program, &[1]);
    program.tell("send g good");
    message(&mut program, "good");
}
