//! For the bench: the time from a callback of libcpg until the core has decided and its effects are handed over.
//!
//! Off unless `--test-latency FILE` asks for it. A line of the file is `view NS`, `ring NS` or `message NS`.

use agent_core::Event;
use cpg_glue::Probe;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;
use tracing::warn;

/// Samples kept; a bench asks for some thousand.
const SAMPLES_MAX: usize = 200_000;
/// Callbacks that may wait for the loop: as many as the glue holds events, and those of other groups.
const STAMPS_MAX: usize = 4096;

thread_local! {
    /// Callbacks run on the thread of the loop, in the order in which their events come.
    static STAMPS: RefCell<VecDeque<(Probe, Instant)>> = const { RefCell::new(VecDeque::new()) };
}

/// The glue calls this first in each callback.
pub(crate) fn stamp(probe: Probe) {
    STAMPS.with_borrow_mut(|stamps| {
        if stamps.len() < STAMPS_MAX {
            stamps.push_back((probe, Instant::now()));
        }
    });
}

/// Collects.
pub(crate) struct Latency {
    path: PathBuf,
    samples: Vec<(Probe, u128)>,
}

impl Latency {
    pub(crate) fn new(path: PathBuf) -> Latency {
        Latency { path, samples: Vec::new() }
    }

    /// Which callback an event came from.
    pub(crate) fn source(event: &Event) -> Option<Probe> {
        match event {
            Event::ViewChanged(_) => Some(Probe::View),
            Event::RingChanged { .. } => Some(Probe::Ring),
            Event::Delivered { .. } => Some(Probe::Message),
            _ => None,
        }
    }

    /// The effects of an event that came from this callback are handed over.
    pub(crate) fn handed_over(&mut self, source: Probe) {
        let found = STAMPS.with_borrow_mut(|stamps| {
            while let Some((probe, at)) = stamps.pop_front() {
                if probe == source {
                    return Some(at);
                }
            }
            None
        });
        if let Some(at) = found.filter(|_| self.samples.len() < SAMPLES_MAX) {
            self.samples.push((source, at.elapsed().as_nanos()));
        }
    }
}

impl Drop for Latency {
    fn drop(&mut self) {
        let mut text = String::new();
        for (probe, ns) in &self.samples {
            let word = match probe {
                Probe::View => "view",
                Probe::Ring => "ring",
                Probe::Message => "message",
            };
            _ = writeln!(text, "{word} {ns}");
        }
        if let Err(error) = std::fs::write(&self.path, text) {
            warn!(path = %self.path.display(), %error, "the latencies are not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_its_own_callback() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("latency");
        let mut latency = Latency::new(path.clone());
        stamp(Probe::View);
        stamp(Probe::Ring);
        stamp(Probe::Message);
        latency.handed_over(Probe::Ring);
        latency.handed_over(Probe::Message);
        latency.handed_over(Probe::View);
        drop(latency);
        let text = std::fs::read_to_string(path).unwrap();
        let words: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(words, ["ring", "message"]);
    }
}
