//! Small worlds, every interleaving: who may become local, and how an entry goes.

#![allow(clippy::print_stdout, reason = "how much was searched")]

use cluster_tests::explore::{Budget, Searched, World};
use std::time::Instant;

const NOTHING: Budget = Budget { refusals: 0, deaths: 0 };
const A_REFUSAL: Budget = Budget { refusals: 1, deaths: 0 };
const A_DEATH: Budget = Budget { refusals: 0, deaths: 1 };

fn search(name: &str, world: World) -> Searched {
    let start = Instant::now();
    let searched = world.search().unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    let Searched { states, ends, depth } = searched;
    println!("{name}: {states} states, {ends} ends, depth {depth}, {:.1} s", start.elapsed().as_secs_f64());
    searched
}

#[test]
fn three_nodes_join() {
    assert_eq!(World::booted(3, NOTHING).ended().outcome(), (3, 3));
    assert!(search("three nodes join", World::booted(3, NOTHING)).states > 1_000);
}

#[test]
#[cfg(not(debug_assertions))]
fn three_nodes_join_and_a_kernel_refuses() {
    search("three nodes join, a kernel refuses", World::booted(3, A_REFUSAL));
}

#[test]
#[cfg(feature = "planted")]
fn a_planted_bug_is_found() {
    use agent_core::planted::{Bug, plant};
    for bug in [Bug::AnswersAreNotAwaited, Bug::JoinerNeedsNobody, Bug::OddNodesMissProposals] {
        plant(Some(bug));
        let found =
            [World::booted(3, NOTHING), World::bereaved(3, NOTHING)].into_iter().any(|world| world.search().is_err());
        plant(None);
        assert!(found, "{bug:?}");
    }
}

#[test]
fn two_nodes_join_and_a_kernel_refuses_or_a_daemon_dies() {
    search("two nodes join, a kernel refuses", World::booted(2, A_REFUSAL));
    search("two nodes join, a daemon dies", World::booted(2, A_DEATH));
}

#[test]
fn an_entry_is_removed() {
    assert_eq!(World::bereaved(3, NOTHING).ended().outcome(), (2, 2));
    search("of three nodes one is removed", World::bereaved(3, NOTHING));
    search("of three nodes one is removed, a kernel refuses", World::bereaved(3, A_REFUSAL));
    search("of three nodes one is removed, a daemon dies", World::bereaved(3, A_DEATH));
}
