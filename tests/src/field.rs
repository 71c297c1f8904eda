//! Recordings of real daemons (`o2cpg dump`, or a flight recorder's files): read, stepped through the core, judged, told.
//!
//! | module | what |
//! |---|---|
//! | [`judge`] | the checkers' sentences over the recordings of all nodes |
//! | [`story`] | a golden story of what the nodes went through |
//!
//! The lines are those of `agent/src/recorder.rs`; this package does not know that one, as it knows no corosync.

pub mod deeds;
pub mod judge;
pub mod story;

use crate::sim::recording::Record;
use agent_core::ids::Tick;
use agent_core::{Agent, Effects, Event};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that is none, before the last.
    #[error("{path}:{line}: not a line of a recording")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// Events before any snapshot.
    #[error("{path}: there is no snapshot to start from")]
    NoSnapshot {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Snapshot { agent: Box<Agent> },
    Event { tick: Tick, event: Box<Event> },
    Effects {},
}

/// One event of a daemon, what the core wants done about it, and the core after it.
#[derive(Debug)]
pub struct Stepped<'a> {
    /// Event and effects.
    pub record: &'a Record,
    /// After them.
    pub agent: &'a Agent,
    /// The line of the event, from 1.
    pub line: usize,
    /// The first event behind a snapshot: what came before is not in the file.
    pub is_first: bool,
}

/// Steps a recording through the core. `take` is called once for each event; returns how many there were.
///
/// # Errors
/// [`Error`] says which line. A crash cuts the last line of a segment: that one is passed over.
pub fn step(path: &Path, take: &mut dyn FnMut(&Stepped<'_>)) -> Result<u64, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let (mut agent, mut is_first, mut events) = (None, true, 0);
    let mut cut = None;
    for (index, text) in BufReader::new(File::open(path).map_err(failed)?).lines().enumerate() {
        let line = index + 1;
        let parsed = serde_json::from_str(&text.map_err(failed)?);
        if let (Some((line, source)), false) = (cut.take(), matches!(parsed, Ok(Line::Snapshot { .. }))) {
            return Err(Error::Malformed { path: path.to_owned(), line, source });
        }
        match parsed {
            Ok(Line::Snapshot { agent: found }) => (agent, is_first) = (Some(found), true),
            Ok(Line::Event { tick, event }) => {
                let agent = agent.as_mut().ok_or_else(|| Error::NoSnapshot { path: path.to_owned() })?;
                let mut fx = Effects::default();
                agent.handle(tick, (*event).clone(), &mut fx);
                let record = Record { tick, event: *event, effects: fx.drain().collect(), order: None };
                take(&Stepped { record: &record, agent, line, is_first });
                (is_first, events) = (false, events + 1);
            }
            Ok(Line::Effects {}) => {}
            Err(source) => cut = Some((line, source)),
        }
    }
    Ok(events)
}
