//! The glue against real corosync daemons, in namespaces: needs root. `O2CPG_WITHOUT_LAB=1` goes without.
//!
//! No test sleeps to be right: each waits for an event, and gives up after [`SOON`](support::lab::SOON).

mod support;

use std::time::{Duration, Instant};

use cpg_glue::{Call, Code, Config, Event, Loss, Member, NodeId, Reason, STUCK_AFTER, Verdict};
use support::lab::{Lab, Program, corosync_conf};

/// What the loop may be held up at most, on a machine that is busy with other things. A call that blocks or spins in
/// libcpg holds it up for seconds.
const HELD_UP_MAX: Duration = Duration::from_millis(500);

/// Not a test: the program that the tests start on a node. Alone it does nothing.
#[test]
fn node_program() {
    if std::env::var_os("O2CPG_NODE").is_some() {
        support::node::main();
    }
}

// ---- what a test waits for ----------------------------------------------------------------------------------------

fn up(program: &mut Program) -> (u64, Member) {
    program.expect("Up", |event| match event {
        Event::Up { connection, nodeid, pid, .. } => Some((connection.0, Member { nodeid: *nodeid, pid: *pid })),
        _ => None,
    })
}

/// The reasons of the first view of exactly these nodes.
fn view(program: &mut Program, nodes: &[u32]) -> Vec<(u32, Reason)> {
    program.expect(&format!("view of {nodes:?}"), |event| match event {
        Event::View { members, left, joined, .. } => {
            let same = members.iter().map(|member| member.nodeid.0).eq(nodes.iter().copied());
            same.then(|| left.iter().chain(joined).map(|(member, reason)| (member.nodeid.0, *reason)).collect())
        }
        _ => None,
    })
}

fn message(program: &mut Program, text: &str) -> Member {
    program.expect(&format!("message {text:?}"), |event| match event {
        Event::Message { from, bytes, .. } if bytes == text.as_bytes() => Some(*from),
        _ => None,
    })
}

fn lost(program: &mut Program) -> Loss {
    program.expect("Lost", |event| match event {
        Event::Lost { why, .. } => Some(why.clone()),
        _ => None,
    })
}

fn stuck(program: &mut Program) -> Call {
    program.expect("Stuck", |event| match event {
        Event::Stuck { call, since_ms, .. } => {
            assert!(u128::from(*since_ms) >= STUCK_AFTER.as_millis());
            Some(*call)
        }
        _ => None,
    })
}

fn unstuck(program: &mut Program) -> Call {
    program.expect("Unstuck", |event| match event {
        Event::Unstuck { call, .. } => Some(*call),
        _ => None,
    })
}

fn config(program: &mut Program, what: &str, wanted: impl Fn(&Config) -> bool) -> Config {
    program.expect(what, |event| match event {
        Event::Config { config, .. } if wanted(config) => Some(Config::clone(config)),
        _ => None,
    })
}

fn answered(program: &mut Program) -> (Verdict, bool) {
    program.expect("ShutdownAnswered", |event| match event {
        Event::ShutdownAnswered { verdict, by_deadline, result, .. } => {
            assert_eq!(*result, Ok(()));
            Some((*verdict, *by_deadline))
        }
        _ => None,
    })
}

fn closed(program: &mut Program) -> bool {
    program.expect("Closed", |event| match event {
        Event::Closed { clean } => Some(*clean),
        _ => None,
    })
}

fn assert_loop_was_free(program: &mut Program) {
    let late = program.ask("latency", "latency_us")["latency_us"].as_u64().expect("a number");
    assert!(Duration::from_micros(late) < HELD_UP_MAX, "the loop was held up for {late} µs");
}

/// A program in group g on each node, all in one view.
fn programs_in_g(lab: &Lab) -> Vec<Program> {
    let mut programs: Vec<_> = lab.nodes.iter().map(|node| node.program()).collect();
    programs.iter_mut().for_each(|program| program.tell("join g"));
    let all: Vec<u32> = lab.nodes.iter().map(|node| node.nodeid).collect();
    programs.iter_mut().for_each(|program| drop(view(program, &all)));
    programs
}

/// Floods and waits until everything has come back, in order.
fn flood_and_count(program: &mut Program, count: u64, len: usize) {
    program.tell("quiet");
    program.ask(&format!("flood g {count} {len}"), "flooded");
    support::lab::until("the flood is back", || {
        let counted = program.ask("count", "count");
        assert_eq!(counted["out_of_order"], 0, "{counted}");
        counted["count"].as_object().expect("counts").values().any(|n| n.as_u64() == Some(count))
    });
}

// ---- life in a group ----------------------------------------------------------------------------------------------

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

// ---- corosync goes, stops, comes back -----------------------------------------------------------------------------

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

// ---- floods -------------------------------------------------------------------------------------------------------

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

// ---- cfg and cmap -------------------------------------------------------------------------------------------------

#[test]
fn the_shutdown_question_is_vetoed_by_no_and_by_silence_and_allowed_by_yes() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    let ask = |lab: &Lab, program: &mut Program| {
        let tool = lab.nodes[0].spawn(&["corosync-cfgtool", "-H"]);
        program.expect("ShutdownAsked", |event| matches!(event, Event::ShutdownAsked { .. }).then_some(()));
        tool
    };
    let tool = ask(&lab, &mut program);
    program.tell("answer no");
    assert_eq!(answered(&mut program), (Verdict::No, false));
    assert!(tool.wait_with_output().unwrap().status.success(), "the tool says so even for a veto");

    let tool = ask(&lab, &mut program);
    assert_eq!(answered(&mut program), (Verdict::No, true));
    tool.wait_with_output().unwrap();
    let late = program.ask("answer yes", "refused");
    assert_eq!(late["refused"], "no shutdown question is open");
    program.tell("send g alive");
    message(&mut program, "alive");

    let tool = ask(&lab, &mut program);
    program.tell("answer yes");
    lost(&mut program);
    lab.nodes[0].wait_for_end();
    tool.wait_with_output().unwrap();
}

#[test]
fn kill_node_ends_its_corosync_and_an_unknown_node_is_refused() {
    let Some(mut lab) = Lab::up(3) else { return };
    let mut programs = programs_in_g(&lab);
    let order = |program: &mut Program, nodeid: u32| {
        program.tell(&format!("kill {nodeid}"));
        program.expect("KillOrdered", |event| match event {
            Event::KillOrdered { nodeid: node, result } if node.0 == nodeid => Some(result.clone()),
            _ => None,
        })
    };
    let unknown = order(&mut programs[0], 99).unwrap_err();
    assert_eq!((unknown.call, unknown.code.name()), (Call::CfgKillNode, "NOT_EXIST"));
    assert_eq!(order(&mut programs[0], 3), Ok(()));
    lab.nodes[2].wait_for_end();
    lost(&mut programs[2]);
    assert_eq!(view(&mut programs[0], &[1, 2]), [(3, Reason::NodeDown)]);
}

#[test]
fn a_reload_and_a_key_set_at_run_time_are_told_whole() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program();
    let first = config(&mut program, "the first config", |_| true);
    assert_eq!((first.cluster_name.as_str(), first.token_ms, first.consensus_ms), ("glue", 1000, 1200));
    assert_eq!(first.nodes[&NodeId(1)].addresses[&0], "10.77.0.1");
    assert!(first.own.is_empty());

    let conf = corosync_conf(2, "  stack: o2cb\n  node {\n    a_name_longer_than_fifteen_bytes: yes\n  }\n");
    lab.nodes[0].configure(&conf.replace("token: 1000", "token: 1500"));
    assert!(lab.nodes[0].run(&["corosync-cfgtool", "-R"]).status.success());
    let second = config(&mut program, "the reloaded config", |config| config.token_ms == 1500);
    assert_eq!(second.nodes.len(), 2, "never half a reload");
    assert_eq!(second.own["stack"], "o2cb");
    assert_eq!(second.own["node.a_name_longer_than_fifteen_bytes"], "yes");

    assert!(lab.nodes[0].run(&["corosync-cmapctl", "-s", "o2cpg.stack", "str", "user"]).status.success());
    config(&mut program, "the new key", |config| config.own["stack"] == "user");
    assert!(lab.nodes[0].run(&["corosync-cmapctl", "-d", "o2cpg.stack"]).status.success());
    config(&mut program, "the deleted key", |config| !config.own.contains_key("stack"));
}

// ---- many groups, spares, shortage ---------------------------------------------------------------------------------

/// Time of the processor that an idle program may need in [`QUIET`].
const IDLE_CPU_MAX: Duration = Duration::from_millis(100);
/// Over how long it is measured.
const QUIET: Duration = Duration::from_secs(1);

fn joined(program: &mut Program, group: &str) {
    program.expect(&format!("view of {group}"), |event| match event {
        Event::View { group: seen, .. } => (seen.as_bytes() == group.as_bytes()).then_some(()),
        _ => None,
    });
}

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
