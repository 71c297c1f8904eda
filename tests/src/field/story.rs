//! From the field to a test: the recordings of some nodes become a golden story.
//!
//! The clocks of the nodes are laid on each other by the rings that they were told at about the same time. Of what they were told
//! before the point of interest it is concluded what had been done to them ([`super::deeds`]); that becomes commands with the
//! time between them, the simulator plays them, and its lines are compared with those of the recordings.

use super::deeds::{Deed, concluded, settings};
use super::{Error, step};
use crate::golden;
use crate::lines;
use crate::sim::recording::Record;
use agent_core::Event;
use agent_core::ids::RingId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One thing that a node's daemon was told, on the clock of the first recording.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Milliseconds.
    pub at_ms: i64,
    /// Event and effects.
    pub record: Record,
}

/// What is to be told.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Up to this time of the first recording, ms since its first event; `None`: to its end.
    pub until_ms: Option<i64>,
    /// From so long before.
    pub length_ms: i64,
}

/// A story and how it compares.
#[derive(Debug)]
pub struct Told {
    /// The file's text, output included.
    pub text: String,
    /// Lines that only the recordings or only the story have, by node.
    pub differences: Vec<String>,
}

/// Nobody waits for less than this between two commands: the simulator's corosync has other latencies.
const PAUSE_MIN_MS: i64 = 100;
/// How long the last command may work before the story ends.
const END_MS: i64 = 15_000;
/// Differences that are shown.
const DIFFERENCES_MAX: usize = 40;

/// Reads the recordings, the one of interest first; each says whose it is.
///
/// # Errors
/// [`Error`]: one cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<BTreeMap<u32, Vec<Heard>>, Error> {
    let mut found: BTreeMap<u32, Vec<Heard>> = BTreeMap::new();
    let mut first = None;
    let mut before = None;
    for path in paths {
        let (mut node, mut heard) = (None, Vec::new());
        step(path, &mut |stepped| {
            node = node.or_else(|| stepped.agent.member().map(|member| member.nodeid));
            let at_ms = i64::try_from(stepped.record.tick.0).unwrap_or(i64::MAX);
            heard.push(Heard { at_ms, record: stepped.record.clone() });
        })?;
        // A life that never saw corosync does not know whose it is: that of the file before.
        node = node.or(before);
        found.entry(node.unwrap_or(0)).or_default().extend(heard);
        (first, before) = (first.or(node), node);
    }
    for heard in found.values_mut() {
        heard.sort_by_key(|one| one.at_ms);
        // A dump and a file of the recorder can hold the same.
        let mut known = BTreeSet::new();
        heard.retain(|one| known.insert((one.at_ms, format!("{:?}", one.record.event))));
    }
    lay_clocks(&mut found, first.unwrap_or(0));
    Ok(found)
}

/// Makes the first event of node `first` time 0, and moves the others by what they were told alike.
fn lay_clocks(found: &mut BTreeMap<u32, Vec<Heard>>, first: u32) {
    let Some(first) = found.get(&first).cloned() else { return };
    let start = first.first().map_or(0, |one| one.at_ms);
    let reference = ring_times(&first);
    for heard in found.values_mut() {
        let own = ring_times(heard);
        let mut apart: Vec<i64> =
            own.iter().filter_map(|(ring, at)| reference.get(ring).map(|other| other - at)).collect();
        apart.sort_unstable();
        let by = apart.get(apart.len() / 2).copied().unwrap_or(0);
        heard.iter_mut().for_each(|one| one.at_ms += by - start);
    }
}

/// When each ring was told first.
fn ring_times(heard: &[Heard]) -> BTreeMap<RingId, i64> {
    let mut times = BTreeMap::new();
    for one in heard {
        if let Event::RingChanged { ring, .. } = &one.record.event {
            times.entry(*ring).or_insert(one.at_ms);
        }
    }
    times
}

/// Writes the story and plays it.
///
/// # Errors
/// [`golden::Error`]: a sentence that must always hold is broken, or the cluster does not come to rest. That is a find.
pub fn tell(path: &Path, found: &BTreeMap<u32, Vec<Heard>>, window: Window) -> Result<Told, golden::Error> {
    let end = found.values().flatten().map(|one| one.at_ms).max().unwrap_or(0);
    let until = window.until_ms.unwrap_or(end).min(end);
    let inside = |at: i64| at > until - window.length_ms && at <= until;
    let deeds: Vec<Deed> = concluded(found).into_iter().filter(|(at, _)| inside(*at)).collect();
    let text = golden::play(path, &commands(found, &deeds, until - window.length_ms, until))?;
    let (names, mut said) = (names(found), Vec::new());
    for (node, heard) in found {
        for one in heard.iter().filter(|one| inside(one.at_ms)) {
            said.extend(lines::said(&one.record).into_iter().map(|line| (*node, as_in_a_story(line, &names))));
        }
    }
    let recorded = by_node(said.into_iter());
    let played = by_node(text.lines().flat_map(of_nodes).map(|(node, line)| (node, as_in_a_story(line, &[]))));
    Ok(Told { differences: differences(&recorded, &played), text })
}

/// The story without its output.
fn commands(found: &BTreeMap<u32, Vec<Heard>>, deeds: &[Deed], from: i64, until: i64) -> String {
    let nodes: BTreeSet<u32> =
        found.values().flatten().flat_map(|one| in_ring(&one.record)).chain(found.keys().copied()).collect();
    let count = nodes.last().copied().unwrap_or(1);
    let everybody = (1..=count).map(|node| node.to_string()).collect::<Vec<_>>().join(" ");
    let told = found.keys().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let mut out = format!("# Concluded from recordings of node {told}; say here what the story is about.\n\n");
    let _infallible = writeln!(out, "nodes {count}\n");
    let first = found.values().find_map(|heard| policy(heard, from));
    for node in 1..=count {
        let own = found.get(&node).and_then(|heard| policy(heard, from));
        let words = own.or_else(|| first.clone()).map(|words| format!("config {node} {words}\n"));
        out.push_str(&words.unwrap_or_default());
    }
    let _infallible = writeln!(out, "running {everybody}\n----\n");
    let mounted: Vec<String> = found
        .iter()
        .filter(|(_, heard)| is_mounted(heard.iter().take_while(|one| one.at_ms <= from)))
        .map(|(node, _)| node.to_string())
        .collect();
    if !mounted.is_empty() {
        let _infallible = writeln!(out, "mount {}\n----\n", mounted.join(" "));
    }
    for (index, (at, command)) in deeds.iter().enumerate() {
        let next = deeds.get(index + 1).map_or(until.max(at + END_MS), |(next, _)| *next);
        let pause = next - at;
        if pause < PAUSE_MIN_MS {
            let _infallible = writeln!(out, "{command}");
        } else {
            let _infallible = writeln!(out, "{command}\nadvance {pause}ms\n----\n");
        }
    }
    out + "status\n----\n"
}

/// The settings at this time: those of the last start before it, or else of the first.
fn policy(heard: &[Heard], at_ms: i64) -> Option<String> {
    let starts = heard.iter().filter_map(|one| match &one.record.event {
        Event::Started(started) => Some((one.at_ms, settings(&started.policy))),
        _ => None,
    });
    let starts: Vec<(i64, String)> = starts.collect();
    starts.iter().rev().find(|(at, _)| *at <= at_ms).or(starts.first()).map(|(_, words)| words.clone())
}

fn in_ring(record: &Record) -> Vec<u32> {
    match &record.event {
        Event::RingChanged { nodes, .. } => nodes.iter().map(|node| node.0).collect(),
        _ => Vec::new(),
    }
}

fn is_mounted<'a>(heard: impl Iterator<Item = &'a Heard>) -> bool {
    let mounts = heard.filter_map(|one| match &one.record.event {
        Event::Started(started) => started.kernel.mounts.as_ref().map(|mounts| !mounts.is_empty()),
        Event::KernelSeen(view) => view.mounts.as_ref().map(|mounts| !mounts.is_empty()),
        _ => None,
    });
    mounts.last().unwrap_or(false)
}

/// `n1 n2 < text` → (1, `< text`), (2, `< text`).
fn of_nodes(line: &str) -> Vec<(u32, String)> {
    let mut rest = line;
    let mut nodes = Vec::new();
    while let Some((word, more)) = rest.split_once(' ') {
        let Some(node) = word.strip_prefix('n').and_then(|number| number.parse().ok()) else { break };
        nodes.push(node);
        rest = more;
    }
    let is_said = ["< ", "> ", ". "].iter().any(|mark| rest.starts_with(mark));
    nodes.into_iter().filter(|_| is_said).map(|node| (node, rest.to_owned())).collect()
}

/// Names and addresses of the field, each with that of a story.
fn names(found: &BTreeMap<u32, Vec<Heard>>) -> Vec<(String, String)> {
    let mut names = BTreeMap::new();
    for one in found.values().flatten() {
        let Event::ConfigChanged(config) = &one.record.event else { continue };
        for (node, configured) in &config.nodes {
            names.extend(configured.name.clone().map(|name| (name, format!("n{node}"))));
            names.extend(configured.address.as_ref().ok().map(|at| (at.to_string(), format!("10.0.0.{node}"))));
        }
    }
    // Longer ones first: node1 is a part of node10.
    let mut names: Vec<(String, String)> = names.into_iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names
}

/// A line as a story would have it: its names, and nothing that a machine calls in its own way.
fn as_in_a_story(mut line: String, names: &[(String, String)]) -> String {
    for (name, of_story) in names {
        line = line.replace(name, of_story);
    }
    let ends = ["< corosync lost", "< mounted", "< asked to end by"];
    match ends.iter().find(|end| line.starts_with(**end)) {
        Some(end) => (*end).to_owned(),
        None => line,
    }
}

/// How often each node says each thing that does not depend on the clock.
fn by_node(said: impl Iterator<Item = (u32, String)>) -> BTreeMap<(u32, String), i64> {
    let mut counts = BTreeMap::new();
    let timed = [". waits", ". waited", "< stood still", "> +", "> answer"];
    for (node, line) in said.filter(|(_, line)| !timed.iter().any(|start| line.starts_with(start))) {
        *counts.entry((node, line)).or_insert(0) += 1;
    }
    counts
}

fn differences(recorded: &BTreeMap<(u32, String), i64>, played: &BTreeMap<(u32, String), i64>) -> Vec<String> {
    let all: BTreeSet<&(u32, String)> = recorded.keys().chain(played.keys()).collect();
    let mut found = Vec::new();
    for key in all {
        let (then, now) = (recorded.get(key).copied().unwrap_or(0), played.get(key).copied().unwrap_or(0));
        if (then == 0) != (now == 0) {
            let whose = if now == 0 { "only recorded" } else { "only in the story" };
            found.push(format!("n{} {}   ({whose}, {} times)", key.0, key.1, then.max(now)));
        }
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_two_nodes_is_said_by_both() {
        let said = vec![(1, "< view 1 2".to_owned()), (2, "< view 1 2".to_owned())];
        assert_eq!(of_nodes("n1 n2 < view 1 2"), said);
        assert!(of_nodes("n1: ready, ok").is_empty() && of_nodes("crash-daemon 1").is_empty());
    }
}
