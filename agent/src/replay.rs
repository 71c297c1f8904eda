//! Steps a recording through the core again and compares what it wants with what it wanted then (rule S27).

use crate::recorder::{Line, digest};
use agent_core::ids::Tick;
use agent_core::{Agent, Effect, Effects, Event};
use std::io::{self, BufRead};

/// What came of a replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Where the replay began, and began again: one for each segment.
    pub snapshots: u64,
    /// Events handled.
    pub events: u64,
    /// Events of which the recording says what the core wanted.
    pub compared: u64,
    /// Where it wants something else. Empty: the replay gave the same effects.
    pub differences: Vec<Difference>,
    /// Lines that end in the middle, as a crash leaves them.
    pub cut: u64,
}

/// One event that has other effects than it had.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the event in the recording, from 1.
    pub line: usize,
    /// When it happened.
    pub tick: Tick,
    /// Digest in the recording.
    pub recorded: String,
    /// Digest of the replay.
    pub replayed: String,
}

/// One event and what came of it.
#[derive(Debug)]
pub struct Step<'a> {
    /// Line of the event in the recording, from 1.
    pub line: usize,
    /// When it happened.
    pub tick: Tick,
    /// What happened.
    pub event: &'a Event,
    /// What the core wants done, in order.
    pub effects: &'a [Effect],
    /// The core after it.
    pub agent: &'a Agent,
    /// Whether the effects are those of the recording; `None` where it does not say.
    pub same: Option<bool>,
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("reading the recording at line {line}")]
    Read {
        /// From 1.
        line: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A line in the middle is not of a recording.
    #[error("line {line} is not a line of a recording")]
    Malformed {
        /// From 1.
        line: usize,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// There is nothing to start from.
    #[error("the recording has no snapshot to start from")]
    NoSnapshot,
}

/// Replays a whole recording, `step` being called once for each event.
///
/// # Errors
/// [`Error::Malformed`] for a line that cannot be read, except where a crash leaves such lines: at the end of a segment.
pub fn replay(recording: impl BufRead, step: &mut dyn FnMut(&Step<'_>)) -> Result<Report, Error> {
    let mut replay = Replay { report: Report::default(), agent: None, handled: None, broken: None, step };
    for (index, line) in recording.lines().enumerate() {
        let line_no = index + 1;
        let text = line.map_err(|source| Error::Read { line: line_no, source })?;
        replay.take(line_no, &text)?;
    }
    replay.end()
}

struct Replay<'a> {
    report: Report,
    agent: Option<Agent>,
    handled: Option<Handled>,
    /// A line that could not be read: fine if a segment ends there.
    broken: Option<(usize, serde_json::Error)>,
    step: &'a mut dyn FnMut(&Step<'_>),
}

struct Handled {
    line: usize,
    tick: Tick,
    event: Event,
    effects: Effects,
}

impl Replay<'_> {
    fn take(&mut self, line: usize, text: &str) -> Result<(), Error> {
        let parsed = serde_json::from_str::<Line<'_>>(text);
        if let (Some((line, source)), false) = (self.broken.take(), matches!(parsed, Ok(Line::Snapshot { .. }))) {
            return Err(Error::Malformed { line, source });
        }
        match parsed {
            Ok(Line::Snapshot { agent, .. }) => {
                self.tell(None);
                self.report.snapshots += 1;
                self.agent = Some(agent.into_owned());
            }
            Ok(Line::Event { tick, event }) => self.handle(line, tick, event.into_owned())?,
            Ok(Line::Effects { digest, .. }) => self.tell(Some(&digest)),
            Err(source) => {
                self.report.cut += 1;
                self.broken = Some((line, source));
            }
        }
        Ok(())
    }

    fn handle(&mut self, line: usize, tick: Tick, event: Event) -> Result<(), Error> {
        self.tell(None);
        let agent = self.agent.as_mut().ok_or(Error::NoSnapshot)?;
        let mut effects = Effects::default();
        agent.handle(tick, event.clone(), &mut effects);
        self.report.events += 1;
        self.handled = Some(Handled { line, tick, event, effects });
        Ok(())
    }

    /// Tells of the event handled last, now that it is known whether the recording says anything about it.
    fn tell(&mut self, recorded: Option<&str>) {
        let (Some(handled), Some(agent)) = (self.handled.take(), &self.agent) else { return };
        let Handled { line, tick, event, effects } = handled;
        let replayed = digest(effects.as_slice());
        if let Some(recorded) = recorded {
            self.report.compared += 1;
            if recorded != replayed {
                let difference = Difference { line, tick, recorded: recorded.to_owned(), replayed: replayed.clone() };
                self.report.differences.push(difference);
            }
        }
        let same = recorded.map(|recorded| recorded == replayed);
        (self.step)(&Step { line, tick, event: &event, effects: effects.as_slice(), agent, same });
    }

    fn end(mut self) -> Result<Report, Error> {
        self.tell(None);
        if self.report.snapshots == 0 {
            return Err(Error::NoSnapshot);
        }
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn line(line: &Line<'_>) -> String {
        serde_json::to_string(line).unwrap() + "\n"
    }

    fn snapshot() -> String {
        let agent = Box::new(Cow::Owned(Agent::new()));
        line(&Line::Snapshot { schema: "s".into(), release: "r".into(), segment: 1, tick: Tick(0), agent })
    }

    fn event(tick: u64) -> String {
        line(&Line::Event { tick: Tick(tick), event: Box::new(Cow::Owned(Event::ShutdownAsked)) })
    }

    fn run(text: &str) -> Result<Report, Error> {
        replay(text.as_bytes(), &mut |_| {})
    }

    #[test]
    fn a_difference_names_the_line_of_the_event() {
        let wrong = line(&Line::Effects { digest: "0000000000000000".into(), count: 1 });
        let report = run(&(snapshot() + &event(5) + &wrong + &event(6))).unwrap();
        assert_eq!((report.events, report.compared, report.differences.len()), (2, 1, 1));
        assert_eq!((report.differences[0].line, report.differences[0].tick), (2, Tick(5)));
    }

    #[test]
    fn a_cut_line_is_fine_at_the_end_of_a_segment_only() {
        let cut = &event(7)[..20];
        assert_eq!(run(&(snapshot() + &event(5) + cut)).unwrap().cut, 1);
        let two = snapshot() + &event(5) + cut + "\n" + &snapshot() + &event(6);
        assert_eq!(run(&two).unwrap().events, 2);
        let middle = snapshot() + cut + "\n" + &event(6);
        assert!(matches!(run(&middle), Err(Error::Malformed { line: 2, .. })));
    }

    #[test]
    fn without_a_snapshot_there_is_nothing_to_start_from() {
        assert!(matches!(run(""), Err(Error::NoSnapshot)));
        assert!(matches!(run(&event(1)), Err(Error::NoSnapshot)));
    }

    #[test]
    fn each_event_is_told_once_with_its_effects() {
        let mut told = Vec::new();
        let text = snapshot() + &event(5) + &event(6);
        replay(text.as_bytes(), &mut |step| told.push((step.tick.0, step.effects.is_empty(), step.same))).unwrap();
        assert_eq!(told.iter().map(|(tick, ..)| *tick).collect::<Vec<_>>(), [5, 6]);
        assert!(told.iter().all(|(_, none, same)| !none && same.is_none()));
    }
}
