//! The checkers are tested: each of these bugs is planted in the core, and a checker with the right name must find it
//! within so many seeds. What none finds is no checker.
//!
//! `cargo test --release -p cluster-tests --features planted --test mutants -- --nocapture` prints how many seeds each
//! took. `MUTANT=name` tries one and shows everything that finds it.

#![allow(clippy::print_stdout, reason = "the table is what the suite is for")]

use agent_core::planted::{Bug, plant};
use cluster_tests::sim::nemesis::Plan;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fmt, panic, thread};

/// A bug is found so often, by different seeds, and the median is told.
const FINDS: usize = if cfg!(debug_assertions) { 1 } else { 3 };
/// After so many seeds without that many finds, those there are count.
const SEEDS_MAX: u64 = if cfg!(debug_assertions) { 300 } else { 20_000 };
/// Without optimisation only those that are found at once are planted.
const BOUND_MAX: u64 = if cfg!(debug_assertions) { 50 } else { 5_000 };

/// The bug, the checkers that must find it, and in at most how many seeds (median).
const TABLE: &[(Bug, &[&str], u64)] = &[
    (Bug::GhostsAreLive, &["nobody_waits_for_a_ghost"], 1500),
    (Bug::NewcomersAreGhosts, &["nobody_who_is_there_is_taken_for_a_ghost"], 200),
    (Bug::QuorumOfAnyRing, &["nothing_is_written_without_quorum"], 50),
    (Bug::MinorityIsQuorate, &["nothing_is_written_without_quorum"], 50),
    (Bug::MessagesOfAnyRing, &["a_message_of_another_view_changes_nothing"], 50),
    (Bug::MessagesOfAnyMembers, &["a_message_of_another_view_changes_nothing"], 50),
    (Bug::LeaveIsClean, &["a_clean_departure_had_a_goodbye", "changes_wait_for_kernels_whose_agent_is_gone"], 1500),
    (Bug::ProcdownIsClean, &["a_clean_departure_had_a_goodbye"], 50),
    (Bug::AbsentIsForgotten, &["changes_wait_for_kernels_whose_agent_is_gone"], 200),
    (Bug::AbsentIsNotShared, &["changes_wait_for_kernels_whose_agent_is_gone"], 200),
    (Bug::AbsentBlocksNothing, &["changes_wait_for_kernels_whose_agent_is_gone"], 200),
    (Bug::OldViewStands, &["agents_of_one_view_hold_the_same"], 50),
    (Bug::DeadForEver, &["nobody_spins"], 1500),
    (Bug::QuorumIsNoNews, &["all_comes_to_rest"], 50),
    (Bug::GarbageEndsIt, &["no_event_stops_the_daemon"], 50),
    (Bug::DeafIsNotNoticed, &["whoever_hears_nothing_of_its_own_says_so"], 1500),
    (Bug::NoSecondTry, &["all_comes_to_rest"], 200),
    (Bug::SecondHelloIsIgnored, &["all_comes_to_rest"], 50),
    (Bug::TableIsNotKept, &["every_change_has_a_later_version"], 50),
    (Bug::OddNodesMissProposals, &["agents_of_one_view_hold_the_same"], 50),
    (Bug::RoundsAreOne, &["all_comes_to_rest"], 50),
    (Bug::HelloBeforeTheKernelIsDone, &["kernels_are_equal_between_changes_or_a_wait_names_the_difference"], 1500),
    (Bug::PresentIsGone, &["all_comes_to_rest"], 50),
    (Bug::HeldForEver, &["all_comes_to_rest"], 1500),
    (Bug::LiveIsNotTold, &["all_comes_to_rest"], 5000),
    (Bug::QuorumIsNotAsked, &["nothing_is_written_without_quorum"], 50),
    (Bug::OldestTableWins, &["every_change_has_a_later_version"], 50),
    (Bug::TableBeforeKernel, &["all_comes_to_rest"], 5000),
    (
        Bug::WhoHasAnEntryIsIn,
        &[
            "a_node_becomes_local_only_when_every_member_has_its_entry",
            "all_comes_to_rest",
            "whoever_is_let_in_has_the_time_outs_of_the_others",
            "nobody_spins",
        ],
        200,
    ),
    (Bug::TwoAgentsAreIn, &["one_agent_of_a_node_is_let_in"], 50),
    (Bug::TimeOutsMayDiffer, &["whoever_is_let_in_has_the_time_outs_of_the_others"], 50),
    (Bug::JoinerNeedsNobody, &["all_comes_to_rest"], 50),
    (Bug::AnswersAreNotAwaited, &["kernels_are_equal_between_changes_or_a_wait_names_the_difference"], 50),
    (
        Bug::FailedIsDone,
        &[
            "kernels_are_equal_between_changes_or_a_wait_names_the_difference",
            "a_node_becomes_local_only_when_every_member_has_its_entry",
        ],
        50,
    ),
    (
        Bug::HeldIsDone,
        &["an_entry_is_erased_only_after_a_vote_that_nothing_held_up", "nobody_removes_the_entry_of_a_live_node"],
        1500,
    ),
    (Bug::NothingIsUndone, &["nobody_spins"], 1500),
    (Bug::NothingIsRestored, &["nobody_spins"], 200),
    (Bug::NobodyVotes, &["an_entry_is_erased_only_after_a_vote_that_nothing_held_up"], 1500),
    (Bug::OwnerIsNotAsked, &["nobody_removes_the_entry_of_a_live_node"], 1500),
    (Bug::LeftoversAreForgotten, &["kernels_are_equal_between_changes_or_a_wait_names_the_difference"], 50),
    (Bug::NobodyIsAligned, &["kernels_are_equal_between_changes_or_a_wait_names_the_difference"], 50),
    (Bug::UndoTakesTheLiving, &["nobody_removes_the_entry_of_a_live_node"], 1500),
    (Bug::VersionsStandStill, &["every_change_has_a_later_version"], 50),
    (Bug::NothingIsDone, &["kernels_are_equal_between_changes_or_a_wait_names_the_difference"], 50),
    (Bug::NotSavedBefore, &["what_is_to_be_written_is_saved_first"], 50),
    (Bug::LateBatchAnswers, &["all_comes_to_rest"], 200),
    (Bug::TheLivingMayGo, &["no_member_loses_its_entry"], 200),
    (
        Bug::AccountIsLost,
        &["all_comes_to_rest", "kernels_are_equal_between_changes_or_a_wait_names_the_difference"],
        50,
    ),
    (Bug::AllEntriesGo, &["entries_leave_a_kernel_only_by_agreement"], 50),
    (Bug::NothingIsAdopted, &["all_comes_to_rest"], 50),
    (Bug::PinsDoNotHold, &["nobody_spins", "a_pinned_daemon_stays"], 50),
    (Bug::ShutdownIsFine, &["a_pinned_daemon_stays"], 50),
    (Bug::CanStopIsAYes, &["can_stop_says_what_the_kernel_was_seen_to_hold"], 200),
    (Bug::LateMountIsOverlooked, &["a_pinned_daemon_stays"], 1500),
    (Bug::AnsweredTwice, &["every_request_is_answered_once"], 50),
    (Bug::WaitersAreForgotten, &["all_comes_to_rest"], 50),
    (Bug::SettledIsAGuess, &["settled_is_said_only_of_a_quiet_agent"], 50),
    (Bug::ReadyIsAGuess, &["a_node_is_said_to_be_ready_only_when_it_is"], 200),
    (Bug::AnsweredAfterTheEnd, &["nobody_is_answered_after_it_has_gone"], 200),
    (Bug::GateStandsOpen, &["nobody_is_down_who_may_still_write"], 1500),
    (Bug::DownIsForgotten, &["all_comes_to_rest"], 200),
    (Bug::TheDlmGoesFirst, &["no_kernel_goes_on_before_it_is_told"], 200),
    (Bug::NothingIsRegistered, &["all_comes_to_rest"], 200),
    (Bug::ToldBeforeItStarted, &["dlm_controld_is_told_only_what_it_can_take"], 2000),
    (Bug::WaitsInVain, &["all_comes_to_rest"], 2000),
    (Bug::NoBackOff, &["nobody_spins"], 50),
    (Bug::ChanceDecides, &["one_seed_gives_one_run", "the_same_events_give_the_same_effects"], 1500),
];

struct Found {
    bug: Bug,
    /// Seeds from one find to the next.
    gaps: Vec<u64>,
    by: BTreeMap<&'static str, u64>,
    seeds: u64,
    seconds: f64,
}

impl Found {
    fn median(&self) -> Option<u64> {
        let mut gaps = self.gaps.clone();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = self.median().map_or("never".to_owned(), |median| median.to_string());
        let Found { bug, seeds, seconds, by, .. } = self;
        write!(f, "{:<28} {median:>6} {seeds:>6} {seconds:>6.2}  {by:?}", format!("{bug:?}"))
    }
}

/// Runs seeds with the bug in place until named checkers have found it often enough.
fn hunt(bug: Bug, names: &[&str], seeds_max: u64) -> Found {
    let start = Instant::now();
    let mut found = Found { bug, gaps: Vec::new(), by: BTreeMap::new(), seeds: 0, seconds: 0.0 };
    let mut last = 0;
    plant(Some(bug));
    while found.gaps.len() < FINDS && found.seeds < seeds_max {
        found.seeds += 1;
        let plan = Plan::of(found.seeds);
        let run = if names.iter().any(|name| PROVED.contains(name)) { plan.prove() } else { plan.run() };
        let Err(failure) = run else { continue };
        *found.by.entry(failure.sentence()).or_default() += 1;
        if names.is_empty() || names.contains(&failure.sentence()) {
            found.gaps.push(found.seeds - last);
            last = found.seeds;
        }
    }
    plant(None);
    found.seconds = start.elapsed().as_secs_f64();
    found
}

/// What only replay finds.
const PROVED: &[&str] = &["the_same_events_give_the_same_effects", "one_seed_gives_one_run"];

fn hunt_all(table: &[(Bug, &[&str], u64)]) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut found = Vec::new();
        while let Some((bug, names, _)) = table.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = hunt(*bug, names, SEEDS_MAX);
            println!("{one}");
            found.push(one);
        }
        found
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<Found> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().expect("a run that panics is a failure of the run"))
            .collect()
    });
    all.sort_by_key(|found| found.bug);
    all
}

#[test]
fn every_planted_bug_is_found_by_the_checker_with_its_name() {
    let one = env::var("MUTANT").ok();
    let chosen = |bug: &Bug| one.as_ref().is_none_or(|name| *name == format!("{bug:?}"));
    let table: Vec<_> = TABLE.iter().copied().filter(|(bug, _, bound)| chosen(bug) && *bound <= BOUND_MAX).collect();
    let mut missed = Vec::new();
    println!("{:<28} {:>6} {:>6} {:>6}  found by", "bug", "median", "seeds", "s");
    panic::set_hook(Box::new(|_| ()));
    for (found, (_, names, bound)) in hunt_all(&table).iter().zip(&table) {
        let median = found.median();
        let text = median.map_or("never".to_owned(), |median| median.to_string());
        println!(
            "{:<28} {text:>6} {:>6} {:>6.2}  {:?}",
            format!("{:?}", found.bug),
            found.seeds,
            found.seconds,
            found.by
        );
        let bound = if cfg!(debug_assertions) { SEEDS_MAX } else { *bound };
        if median.is_none_or(|median| median > bound) {
            missed.push(format!("{:?} within {bound} seeds by {names:?}: {found}", found.bug));
        }
    }
    let _ours = panic::take_hook();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_bug_is_in_the_table_once_and_in_order() {
    let listed: Vec<Bug> = TABLE.iter().map(|(bug, _, _)| *bug).collect();
    assert_eq!(listed, Bug::ALL);
}
