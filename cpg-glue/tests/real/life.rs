//! Life in a group.

use crate::support::lab::Lab;
use crate::waiting::{assert_loop_was_free, closed, message, programs_in_g, up, view};
use cpg_glue::{Event, NodeId, Reason};

#[test]
fn views_rings_and_messages_reach_all_three_nodes() {
    let Some(lab) = Lab::up(3) else { return };
    let mut programs = programs_in_g(&lab);
    programs[1].tell("send g hello");
    let senders: Vec<_> = programs.iter_mut().map(|program| message(program, "hello")).collect();
    assert!(senders.iter().all(|from| from.nodeid == NodeId(2) && *from == senders[0]), "{senders:?}");
    for program in &programs {
        let rings = program.seen(|event| match event {
            Event::Ring { ring, members, .. } => Some((*ring, members.clone())),
            _ => None,
        });
        let quorum = program.seen(|event| match event {
            Event::Quorum { quorate: true, ring, members, .. } => Some((*ring, members.clone())),
            _ => None,
        });
        assert_eq!(rings.last(), quorum.last(), "a fresh handle hears its ring, and it is the quorum's");
        assert_eq!(rings.last().unwrap().1, [NodeId(1), NodeId(2), NodeId(3)]);
    }
}

#[test]
fn a_leave_ends_with_our_own_view_and_a_new_join_is_a_new_handle() {
    let Some(lab) = Lab::up(2) else { return };
    let mut programs = programs_in_g(&lab);
    // Twice at once: the leave and the join that follows it are not netted out.
    programs[1].tell("leave g");
    programs[1].tell("join g");
    assert_eq!(view(&mut programs[0], &[1]), [(2, Reason::Leave)]);
    assert_eq!(view(&mut programs[0], &[1, 2]), [(2, Reason::Join)]);
    assert_eq!(view(&mut programs[1], &[1]), [(2, Reason::Leave)]);
    programs[1].expect("Left", |event| matches!(event, Event::Left { .. }).then_some(()));
    assert_eq!(view(&mut programs[1], &[1, 2]), [(2, Reason::Join)]);
    programs[1].tell("send g again");
    message(&mut programs[0], "again");
    // A leave at some point before the own JOIN view: it waits for that, and nothing spins.
    for _ in 0..20 {
        programs[1].tell("join h");
        programs[1].tell("leave h");
        programs[1].expect("Left h", |event| {
            matches!(event, Event::Left { group, .. } if group.as_bytes() == b"h").then_some(())
        });
    }
    assert_loop_was_free(&mut programs[1]);
}

#[test]
fn close_leaves_every_group_and_ends_the_program() {
    let Some(lab) = Lab::up(2) else { return };
    let mut programs = programs_in_g(&lab);
    let mut leaver = programs.pop().unwrap();
    leaver.tell("close");
    assert!(closed(&mut leaver), "clean");
    assert!(leaver.end());
    assert_eq!(view(&mut programs[0], &[1]), [(2, Reason::Leave)]);
}

#[test]
fn a_foreign_name_with_a_trailing_nul_stays_another_group() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    program.ask("foreign g", "foreign");
    program.tell("send g ours");
    message(&mut program, "ours");
    let texts = program.seen(|event| match event {
        Event::Message { bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(texts, [b"ours"], "nothing of the other group");
    let seen = program.ask("inspect 5000", "inspect");
    let names: Vec<_> = seen["inspect"]["groups"].as_array().unwrap().iter().map(|entry| entry[0].clone()).collect();
    assert!(names.contains(&serde_json::json!(b"g")) && names.contains(&serde_json::json!(b"g\0")), "{seen}");
}

#[test]
fn a_query_has_a_deadline_of_its_own() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program();
    up(&mut program);
    let seen = program.ask("inspect 5000", "inspect");
    assert_eq!(seen["inspect"]["config"]["cluster_name"], "glue");
    assert_eq!(seen["inspect"]["quorum"]["quorate"], true);
    lab.nodes[0].signal("STOP");
    let silent = program.ask("inspect 300", "inspect");
    assert!(silent["inspect"].as_str().unwrap().contains("within 300 ms"), "{silent}");
    lab.nodes[0].signal("CONT");
}
