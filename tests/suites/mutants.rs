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
use std::{env, thread};

/// A bug is found so often, by different seeds, and the median is told.
const FINDS: usize = 5;
/// After so many seeds without that many finds, those there are count.
const SEEDS_MAX: u64 = 4_000;

/// The bug, the checkers that must find it, and in at most how many seeds (median).
const TABLE: &[(Bug, &[&str], u64)] = &[
    (Bug::GhostsAreLive, &[], 1),
    (Bug::NoRingFollows, &[], 1),
    (Bug::QuorumOfAnyRing, &[], 1),
    (Bug::MinorityIsQuorate, &[], 1),
    (Bug::MessagesOfAnyRing, &[], 1),
    (Bug::MessagesOfAnyMembers, &[], 1),
    (Bug::LeaveIsClean, &[], 1),
    (Bug::ProcdownIsClean, &[], 1),
    (Bug::AbsentIsForgotten, &[], 1),
    (Bug::AbsentIsNotShared, &[], 1),
    (Bug::AbsentBlocksNothing, &[], 1),
    (Bug::OldViewStands, &[], 1),
    (Bug::LostViewStands, &[], 1),
    (Bug::DeadForEver, &[], 1),
    (Bug::QuorumIsNoNews, &[], 1),
    (Bug::GarbageEndsIt, &[], 1),
    (Bug::DeafIsNotNoticed, &[], 1),
    (Bug::NoSecondTry, &[], 1),
    (Bug::SleepIsNothing, &[], 1),
    (Bug::SecondHelloIsIgnored, &[], 1),
    (Bug::TableIsNotKept, &[], 1),
    (Bug::OddNodesMissProposals, &[], 1),
    (Bug::RoundsAreOne, &[], 1),
    (Bug::AnswersOfAnyRound, &[], 1),
    (Bug::HelloBeforeTheKernelIsDone, &[], 1),
    (Bug::PresentIsGone, &[], 1),
    (Bug::HeldForEver, &[], 1),
    (Bug::LiveIsNotTold, &[], 1),
    (Bug::QuorumIsNotAsked, &[], 1),
    (Bug::OldestTableWins, &[], 1),
    (Bug::TableBeforeKernel, &[], 1),
    (Bug::WhoHasAnEntryIsIn, &[], 1),
    (Bug::TwoAgentsAreIn, &[], 1),
    (Bug::TimeOutsMayDiffer, &[], 1),
    (Bug::JoinerNeedsNobody, &[], 1),
    (Bug::AnswersAreNotAwaited, &[], 1),
    (Bug::FailedIsDone, &[], 1),
    (Bug::HeldIsDone, &[], 1),
    (Bug::NothingIsUndone, &[], 1),
    (Bug::NothingIsRestored, &[], 1),
    (Bug::NobodyVotes, &[], 1),
    (Bug::OwnerIsNotAsked, &[], 1),
    (Bug::LeftoversAreForgotten, &[], 1),
    (Bug::NobodyIsAligned, &[], 1),
    (Bug::UndoTakesTheLiving, &[], 1),
    (Bug::TakenForEver, &[], 1),
    (Bug::VersionsStandStill, &[], 1),
    (Bug::NothingIsDone, &[], 1),
    (Bug::HalfMadeStays, &[], 1),
    (Bug::NotSavedBefore, &[], 1),
    (Bug::SavedTooLate, &[], 1),
    (Bug::LateBatchAnswers, &[], 1),
    (Bug::TheLivingMayGo, &[], 1),
    (Bug::AccountIsLost, &[], 1),
    (Bug::OwnEntryMayGo, &[], 1),
    (Bug::AllEntriesGo, &[], 1),
    (Bug::NothingIsAdopted, &[], 1),
    (Bug::PinsDoNotHold, &[], 1),
    (Bug::ShutdownIsFine, &[], 1),
    (Bug::CanStopIsAYes, &[], 1),
    (Bug::LateMountIsOverlooked, &[], 1),
    (Bug::AnsweredTwice, &[], 1),
    (Bug::WaitersAreForgotten, &[], 1),
    (Bug::SettledIsAGuess, &[], 1),
    (Bug::ReadyIsAGuess, &[], 1),
    (Bug::AnsweredAfterTheEnd, &[], 1),
    (Bug::NoBackOff, &[], 1),
    (Bug::ChanceDecides, &[], 1),
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
            found.push(hunt(*bug, names, SEEDS_MAX));
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
    let table: Vec<_> = TABLE.iter().copied().filter(|(bug, _, _)| chosen(bug)).collect();
    let mut missed = Vec::new();
    println!("{:<28} {:>6} {:>6} {:>6}  found by", "bug", "median", "seeds", "s");
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
        if median.is_none_or(|median| median > *bound) {
            missed.push(format!("{:?} within {bound} seeds by {names:?}: {text}", found.bug));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_bug_is_in_the_table_once_and_in_order() {
    let listed: Vec<Bug> = TABLE.iter().map(|(bug, _, _)| *bug).collect();
    assert_eq!(listed, Bug::ALL);
}
