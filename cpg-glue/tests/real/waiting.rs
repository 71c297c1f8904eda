//! What a test waits for.

use crate::support;
use crate::support::lab::{Lab, Program};
use cpg_glue::{Call, Config, Event, Loss, Member, Reason, STUCK_AFTER, Verdict};
use std::time::Duration;

/// What the loop may be held up at most, on a machine that is busy with other things. A call that blocks or spins in
/// libcpg holds it up for seconds.
const HELD_UP_MAX: Duration = Duration::from_millis(500);

pub(crate) fn up(program: &mut Program) -> (u64, Member) {
    program.expect("Up", |event| match event {
        Event::Up { connection, nodeid, pid, .. } => Some((connection.0, Member { nodeid: *nodeid, pid: *pid })),
        _ => None,
    })
}

/// The reasons of the first view of exactly these nodes.
pub(crate) fn view(program: &mut Program, nodes: &[u32]) -> Vec<(u32, Reason)> {
    program.expect(&format!("view of {nodes:?}"), |event| match event {
        Event::View { members, left, joined, .. } => {
            let same = members.iter().map(|member| member.nodeid.0).eq(nodes.iter().copied());
            same.then(|| left.iter().chain(joined).map(|(member, reason)| (member.nodeid.0, *reason)).collect())
        }
        _ => None,
    })
}

/// Any view of this group.
pub(crate) fn joined(program: &mut Program, group: &str) {
    program.expect(&format!("view of {group}"), |event| match event {
        Event::View { group: seen, .. } => (seen.as_bytes() == group.as_bytes()).then_some(()),
        _ => None,
    });
}

pub(crate) fn message(program: &mut Program, text: &str) -> Member {
    program.expect(&format!("message {text:?}"), |event| match event {
        Event::Message { from, bytes, .. } if bytes == text.as_bytes() => Some(*from),
        _ => None,
    })
}

pub(crate) fn lost(program: &mut Program) -> Loss {
    program.expect("Lost", |event| match event {
        Event::Lost { why, .. } => Some(why.clone()),
        _ => None,
    })
}

pub(crate) fn stuck(program: &mut Program) -> Call {
    program.expect("Stuck", |event| match event {
        Event::Stuck { call, since_ms, .. } => {
            assert!(u128::from(*since_ms) >= STUCK_AFTER.as_millis());
            Some(*call)
        }
        _ => None,
    })
}

pub(crate) fn unstuck(program: &mut Program) -> Call {
    program.expect("Unstuck", |event| match event {
        Event::Unstuck { call, .. } => Some(*call),
        _ => None,
    })
}

pub(crate) fn config(program: &mut Program, what: &str, wanted: impl Fn(&Config) -> bool) -> Config {
    program.expect(what, |event| match event {
        Event::Config { config, .. } if wanted(config) => Some(Config::clone(config)),
        _ => None,
    })
}

pub(crate) fn answered(program: &mut Program) -> (Verdict, bool) {
    program.expect("ShutdownAnswered", |event| match event {
        Event::ShutdownAnswered { verdict, by_deadline, result, .. } => {
            assert_eq!(*result, Ok(()));
            Some((*verdict, *by_deadline))
        }
        _ => None,
    })
}

pub(crate) fn closed(program: &mut Program) -> bool {
    program.expect("Closed", |event| match event {
        Event::Closed { clean } => Some(*clean),
        _ => None,
    })
}

pub(crate) fn assert_loop_was_free(program: &mut Program) {
    let late = program.ask("latency", "latency_us")["latency_us"].as_u64().expect("a number");
    assert!(Duration::from_micros(late) < HELD_UP_MAX, "the loop was held up for {late} µs");
}

/// A program in group g on each node, all in one view.
pub(crate) fn programs_in_g(lab: &Lab) -> Vec<Program> {
    let mut programs: Vec<_> = lab.nodes.iter().map(|node| node.program()).collect();
    programs.iter_mut().for_each(|program| program.tell("join g"));
    let all: Vec<u32> = lab.nodes.iter().map(|node| node.nodeid).collect();
    programs.iter_mut().for_each(|program| drop(view(program, &all)));
    programs
}

/// Floods and waits until everything has come back, in order.
pub(crate) fn flood_and_count(program: &mut Program, count: u64, len: usize) {
    program.tell("quiet");
    program.ask(&format!("flood g {count} {len}"), "flooded");
    support::lab::until("the flood is back", || {
        let counted = program.ask("count", "count");
        assert_eq!(counted["out_of_order"], 0, "{counted}");
        counted["count"].as_object().expect("counts").values().any(|n| n.as_u64() == Some(count))
    });
}
