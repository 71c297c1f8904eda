//! The simulated corosync calls its clients back as the real one did: the same callbacks, in the same order on each handle.

#![allow(clippy::unwrap_used, reason = "a test program; what is missing is a failure")]

use cluster_tests::trace::{Heard, Trace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What it does not model, by recording. A line that is no longer true fails the test, too.
const NOT_YET: &[(&str, &str)] = &[
    ("09-simultaneous-join-leave", "five calls within a millisecond: which is first is chance"),
    ("14-flood-while-confchg", "the leaver is killed before its own LEAVE is dispatched"),
    ("21-handle-after-leave", "two leaves within 0.1 ms: which is first is chance"),
    ("22-names-nul", "group names with a NUL are mixed up on a loss of nodes"),
    ("25-finalize-rejoin-race", "a join that overtakes the end of the former handle"),
    ("28-ghost-member", "a node that ends by itself in the middle of its merge"),
    ("31-no-route-between-1-and-2", "links that are not transitive"),
    ("32-oneway-loss-1-to-2", "links that work one way"),
    ("37-calls-while-token-lost", "calls on two nodes before the ring is back: which is first is chance"),
];

fn recordings() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_handle_is_called_back_as_recorded() {
    let (mut same, mut callbacks, mut differ, mut shown) = (0, 0, BTreeSet::new(), String::new());
    for path in recordings() {
        let trace = Trace::read(&path);
        let real = trace.heard();
        match first_difference(&real, &trace.simulated()) {
            None => {
                same += 1;
                callbacks += real.values().map(Vec::len).sum::<usize>();
            }
            Some(difference) => {
                shown += &format!("{}: {difference}\n", name(&path));
                differ.insert(name(&path));
            }
        }
    }
    println!("{same} recordings, {callbacks} callbacks the same; {} not modelled", differ.len());
    let expected: BTreeSet<String> = NOT_YET.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(differ, expected, "\n{shown}");
}

fn first_difference(real: &Heard, simulated: &Heard) -> Option<String> {
    for (listener, real) in real {
        let simulated = simulated.get(listener).map_or(&[][..], Vec::as_slice);
        let place = (0..real.len().max(simulated.len())).find(|place| real.get(*place) != simulated.get(*place));
        if let Some(place) = place {
            let (real, simulated) = (real.get(place), simulated.get(place));
            return Some(format!("{listener:?} callback {place}\n  real      {real:?}\n  simulated {simulated:?}"));
        }
    }
    None
}
