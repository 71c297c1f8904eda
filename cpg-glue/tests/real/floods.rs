//! Floods, and in which order groups are read.

use crate::support;
use crate::support::lab::Lab;
use crate::waiting::{assert_loop_was_free, flood_and_count, joined, message, programs_in_g, up};
use cpg_glue::{Event, Reason};

#[test]
fn a_broken_ring_delays_messages_and_keeps_their_order() {
    let Some(mut lab) = Lab::up(3) else { return };
    let mut programs = programs_in_g(&lab);
    lab.nodes[2].signal("STOP");
    // 19 MB: corosync takes 3 MB of it, then says TRY_AGAIN until the ring is formed without node 3.
    flood_and_count(&mut programs[0], 300, 65536);
    assert_loop_was_free(&mut programs[0]);
    let downs = programs[0].seen(|event| match event {
        Event::View { left, .. } => left.iter().any(|(_, reason)| *reason == Reason::NodeDown).then_some(()),
        _ => None,
    });
    assert_eq!(downs.len(), 1, "the view came in the middle of the flood");
    lab.nodes[2].signal("CONT");
}

#[test]
fn two_floods_at_once_lose_nothing() {
    let Some(lab) = Lab::up(2) else { return };
    let mut programs = programs_in_g(&lab);
    for program in &mut programs {
        program.tell("quiet");
        program.ask("count", "count"); // its answer says that it is quiet
    }
    programs[1].tell("flood g 20000 100");
    flood_and_count(&mut programs[0], 20000, 100);
    support::lab::until("both have both", || {
        programs.iter_mut().all(|program| {
            let counted = program.ask("count", "count");
            assert_eq!(counted["out_of_order"], 0, "{counted}");
            counted["count"]["1"] == 20000 && counted["count"]["2"] == 20000
        })
    });
}

#[test]
fn a_daemon_that_does_not_read_loses_nothing() {
    let Some(lab) = Lab::up(2) else { return };
    let mut programs = programs_in_g(&lab);
    for program in &mut programs {
        program.tell("quiet");
    }
    programs[0].tell("hold");
    programs[0].ask("count", "count"); // its answer says that the hold is obeyed
    // More than the channel holds; node 2 sees them all while node 1 does not read.
    flood_and_count(&mut programs[1], 5000, 100);
    let counted = programs[0].ask("count", "count");
    assert_eq!(counted["count"], serde_json::json!({}));
    programs[0].tell("go");
    support::lab::until("node 1 has caught up", || {
        let counted = programs[0].ask("count", "count");
        assert_eq!(counted["out_of_order"], 0, "{counted}");
        counted["count"]["2"] == 5000
    });
}

#[test]
fn the_group_that_is_told_last_is_never_ahead_of_another() {
    const ROUNDS: usize = 40;
    let Some(lab) = Lab::up(1) else { return };
    let node = &lab.nodes[0];
    let (mut reader, mut writer) = (node.program_after("export A_IS_TOLD_LAST=1"), node.program());
    let (_, me) = up(&mut reader);
    for group in ["a", "z"] {
        for program in [&mut writer, &mut reader] {
            program.tell(&format!("join {group}"));
            joined(program, group);
        }
    }
    // One half of it waits in both rings when the reader goes on.
    reader.signal(node, me.pid, "STOP");
    for round in 0..ROUNDS {
        for group in ["z", "a"] {
            let text = format!("{group}{round}");
            writer.tell(&format!("send {group} {text}"));
            message(&mut writer, &text);
        }
        if round == ROUNDS / 2 {
            reader.signal(node, me.pid, "CONT");
        }
    }
    message(&mut reader, &format!("a{}", ROUNDS - 1));
    let told = reader.seen(|event| match event {
        Event::Message { bytes, .. } => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    });
    for round in 0..ROUNDS {
        let at = |group: &str| told.iter().position(|text| *text == format!("{group}{round}"));
        assert!(at("z").is_some() && at("z") < at("a"), "{told:?}");
    }
}

/// It is held while the calls thread joins others, and its bell rings then; found by chaos: it was never read again.
#[test]
fn the_group_that_is_told_last_is_read_on_after_joins() {
    const ROUNDS: usize = 60;
    let Some(lab) = Lab::up(1) else { return };
    let node = &lab.nodes[0];
    let (mut reader, mut writer) = (node.program_after("export A_IS_TOLD_LAST=1"), node.program());
    up(&mut reader);
    for program in [&mut writer, &mut reader] {
        program.tell("join a");
        joined(program, "a");
    }
    for round in 0..ROUNDS {
        reader.tell(&format!("join g{round}"));
        for half in 0..2 {
            writer.tell(&format!("send a {round}.{half}"));
        }
    }
    message(&mut reader, &format!("{}.1", ROUNDS - 1));
}

/// What is held of it is told before the group's end, and before the end of all.
#[test]
fn the_group_that_is_told_last_ends_behind_what_was_held_of_it() {
    const ROUNDS: usize = 10;
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program_after("export A_IS_TOLD_LAST=1");
    let (_, me) = up(&mut program);
    for _ in 0..ROUNDS {
        program.tell("join a");
        joined(&mut program, "a");
        program.tell("leave a");
        program.expect("Left a", |event| matches!(event, Event::Left { .. }).then_some(()));
    }
    program.tell("join a");
    joined(&mut program, "a");
    program.tell("close");
    program.expect("Closed", |event| matches!(event, Event::Closed { clean: true }).then_some(()));
    let ends = program.seen(|event| match event {
        Event::View { left, .. } => left.contains(&(me, Reason::Leave)).then_some("view"),
        Event::Left { .. } => Some("left"),
        _ => None,
    });
    assert_eq!(ends, ["view", "left"].repeat(ROUNDS + 1));
}
