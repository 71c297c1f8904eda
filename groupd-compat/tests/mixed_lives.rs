//! Seeded lives of clusters in which some nodes run the original (`original/`), and of the same plans with originals only.
//!
//! * In quiet lives (whoever dies does it alone, and is back before anything else happens) all ends well, and no client and no CPG
//!   can tell which nodes are ours: every frame and every message is the same, in the same order on each node.
//! * In any other no sentence is broken on our nodes, no more lives end badly and no more start wrongly on originals
//!   than among originals, and each group that hangs does so over a known defect of an original.
//!
//! `SEED=7 SEEDS=1` tells one life; `SEEDS=100000` searches.

#![allow(clippy::disallowed_methods, reason = "a test, and which seeds it runs is asked of the environment")]
#![allow(clippy::print_stdout, reason = "it measures: `--nocapture` shows the figures")]

mod cluster;
mod life;

use life::{HANG, Life, Originals, Plan, SPLIT, World};
use std::collections::{BTreeMap, BTreeSet};

/// In each `cargo test`.
const SEEDS: u64 = 600;

/// How lives of one kind end.
#[derive(Default)]
struct Ends {
    lives: u64,
    /// In the end somebody waits for ever, or members disagree.
    bad: u64,
    /// A start on an original that should not have been.
    misstarts: u64,
    /// Lives that do over each row of docs/COMPAT.md; one life may over several.
    over: BTreeMap<&'static str, u64>,
}

fn asked(word: &str, otherwise: u64) -> u64 {
    std::env::var(word).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = asked("SEED", 1);
    first..first + asked("SEEDS", SEEDS)
}

/// Lives one life. What is wrong with it, on our nodes or because nobody knows why it hangs, ends the test.
fn live(seed: u64, world: World, ends: &mut Ends) -> Life {
    let mut life = Life::new(seed, world);
    let lived = life.live();
    ends.lives += 1;
    ends.misstarts += u64::from(!life.misstarts.is_empty());
    let Err(why) = lived else { return life };
    let blame = life.blame();
    let known = why.starts_with(HANG) && blame.values().all(|rows| !rows.is_empty());
    let known = known || (why.starts_with(SPLIT) && life.has_merged());
    let originals = &life.cluster.originals;
    assert!(known, "SEED={seed} {world:?}, originals {originals:?}: {why}\n{blame:?}\n{}", life.cluster.log.join("\n"));
    ends.bad += 1;
    for row in blame.into_values().flatten().collect::<BTreeSet<_>>() {
        assert!(
            include_str!("../../docs/COMPAT.md").contains(&format!("| {row} |")),
            "{row} is not a row of docs/COMPAT.md"
        );
        *ends.over.entry(row).or_default() += 1;
    }
    life
}

fn live_all(plan: Plan, originals: Originals) -> Ends {
    let mut ends = Ends::default();
    seeds().for_each(|seed| _ = live(seed, World::of(plan, originals), &mut ends));
    let Ends { lives, bad, misstarts, over } = &ends;
    println!(
        "{plan:?}, originals {originals:?}: of {lives} lives {bad} end badly, {misstarts} start wrongly; over {over:?}"
    );
    ends
}

#[test]
fn in_quiet_lives_nobody_can_tell_which_nodes_are_ours() {
    for seed in seeds() {
        let mut ends = Ends::default();
        let lives = [Originals::None, Originals::Some, Originals::All]
            .map(|originals| live(seed, World::of(Plan::Quiet, originals), &mut ends));
        assert_eq!((ends.bad, ends.misstarts), (0, 0), "SEED={seed}");
        let [ours, mixed, originals] = lives.map(|life| life.cluster);
        assert_eq!(mixed.log, ours.log, "SEED={seed}, originals {:?}", mixed.originals);
        assert_eq!(originals.log, ours.log, "SEED={seed}");
    }
}

#[test]
fn beside_us_originals_are_never_worse_off() {
    for plan in [Plan::Deaths, Plan::Any] {
        let (mixed, originals) = (live_all(plan, Originals::Some), live_all(plan, Originals::All));
        assert!(mixed.bad <= originals.bad && mixed.misstarts <= originals.misstarts, "{plan:?}");
    }
}
