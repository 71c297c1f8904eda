//! `o2cpg replay`: a dump through the deciding part, event by event.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use super::exit::{Exit, Failure, judged};
use super::output::Format;
use super::text::{BAD, FAINT, counted, escaped, styled};
use super::{Session, render};
use crate::replay::{Difference, Error, Report, Step, replay};

/// Longest recording in bytes; the daemon's own is far below.
const RECORDING_LEN_MAX: u64 = 256 * 1024 * 1024;

/// One event in JSON.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    line: usize,
    tick: u64,
    same: Option<bool>,
    event: &'a agent_core::Event,
    effects: &'a [agent_core::Effect],
}

/// What came of it all, in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    schema: &'static str,
    snapshots: u64,
    events: u64,
    compared: u64,
    cut: u64,
    differences: Vec<Differs<'a>>,
}

#[derive(Serialize)]
struct Differs<'a> {
    line: usize,
    tick: u64,
    recorded: &'a str,
    replayed: &'a str,
}

impl Session {
    /// Ends with 0 only if every effect was the recorded one.
    pub(super) fn replay(&self, file: &Path, until: Option<u64>) -> Result<Exit, Failure> {
        let recording = recording(file, until).map_err(|error| unreadable(file, &error))?;
        let mut teller =
            Teller { session: self, last: recording.events, told: 0, status: String::new(), trouble: None };
        let report = replay(recording.bytes.as_slice(), &mut |step| teller.tell(step));
        let report = report.map_err(|error| unplayable(file, &error))?;
        let exit = if report.differences.is_empty() { Exit::Ok } else { Exit::Failed };
        let printed = teller.trouble.map_or(Ok(()), Err).and_then(|()| match self.output.format {
            Format::Text => self.output.text(&(teller.status + &text(&report))),
            _ => self.output.answer(&summary(&report), |_| String::new()),
        });
        judged(printed, exit)
    }
}

/// The part of a recording that is wanted.
struct Recording {
    bytes: Vec<u8>,
    events: u64,
}

/// Up to and with the effects of event `until`.
fn recording(file: &Path, until: Option<u64>) -> std::io::Result<Recording> {
    let mut reader = BufReader::new(File::open(file)?).take(RECORDING_LEN_MAX);
    let mut recording = Recording { bytes: Vec::new(), events: 0 };
    loop {
        let from = recording.bytes.len();
        if reader.read_until(b'\n', &mut recording.bytes)? == 0 {
            return Ok(recording);
        }
        if recording.bytes[from..].starts_with(br#"{"event":"#) {
            if until.is_some_and(|until| recording.events >= until) {
                recording.bytes.truncate(from);
                return Ok(recording);
            }
            recording.events += 1;
        }
    }
}

/// Prints each step as far as -v asks for it, and keeps the status after the last.
struct Teller<'a> {
    session: &'a Session,
    last: u64,
    told: u64,
    status: String,
    trouble: Option<Failure>,
}

impl Teller<'_> {
    fn tell(&mut self, step: &Step<'_>) {
        self.told += 1;
        let output = &self.session.output;
        let (verbose, width) = (self.session.global.verbose, output.width);
        if self.told == self.last && output.format == Format::Text {
            self.status = render::status(&step.agent.status(), verbose, width) + "\n";
        }
        if self.trouble.is_some() {
            return;
        }
        let told = match output.format {
            Format::Jsonl => output.document_line(&document(step)),
            Format::Text if verbose > 0 => output.text(&story(step, if verbose > 1 { usize::MAX } else { width })),
            Format::Text | Format::Json => Ok(()),
        };
        self.trouble = told.err();
    }
}

fn document<'a>(step: &Step<'a>) -> Document<'a> {
    let (event, effects) = (step.event, step.effects);
    Document { schema: "o2cpg.step/1", line: step.line, tick: step.tick.0, same: step.same, event, effects }
}

/// The event and its effects, a line each.
fn story(step: &Step<'_>, width: usize) -> String {
    let differs = if step.same == Some(false) { styled(BAD, "  DIFFERS") } else { String::new() };
    let event = cut(&format!("{:>9}  {}", step.tick.0, json(step.event)), width);
    let effects = step.effects.iter().map(|effect| {
        let effect = cut(&format!("         > {}", json(effect)), width);
        styled(FAINT, &effect) + "\n"
    });
    format!("{}{differs}\n{}", escaped(&event), effects.collect::<String>())
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width.saturating_sub(1)) {
        Some((at, last)) if at + last.len_utf8() < text.len() => format!("{}…", &text[..at]),
        _ => text.to_owned(),
    }
}

fn text(report: &Report) -> String {
    let events = usize::try_from(report.events).unwrap_or(usize::MAX);
    let mut out = format!("{} replayed, {} compared with the recording: ", counted(events, "event"), report.compared);
    match report.differences.len() {
        0 => out.push_str("no difference\n"),
        n => out.push_str(&format!("{}\n", styled(BAD, &counted(n, "difference")))),
    }
    for difference in &report.differences {
        let (line, tick) = (difference.line, difference.tick.0);
        out.push_str(&format!("  line {line}, tick {tick}: other effects than recorded\n"));
    }
    out
}

fn summary(report: &Report) -> Summary<'_> {
    Summary {
        schema: "o2cpg.replay/1",
        snapshots: report.snapshots,
        events: report.events,
        compared: report.compared,
        cut: report.cut,
        differences: report.differences.iter().map(differs).collect(),
    }
}

fn differs(difference: &Difference) -> Differs<'_> {
    Differs {
        line: difference.line,
        tick: difference.tick.0,
        recorded: &difference.recorded,
        replayed: &difference.replayed,
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    let what = format!("reading the recording {}", file.display());
    let failure = Failure::of(what, error, "o2cpg dump -o FILE makes one");
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
    Failure { exit, ..failure }
}

fn unplayable(file: &Path, error: &Error) -> Failure {
    Failure::of(format!("replaying {}", file.display()), error, "a recording is what o2cpg dump -o FILE writes")
}
