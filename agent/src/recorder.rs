//! The flight recorder: every event before the core acts on it, and a digest of what the core then wanted.
//!
//! Two files of JSON lines in `recorder/` of the run directory, `a.jsonl` and `b.jsonl`, written in turn. Each begins with
//! a snapshot of the core, so that a replay can start there:
//!
//! ```text
//! {"snapshot":{"schema":"o2cpg.recording/1","release":"0.1.0","segment":4,"tick":81113,"agent":{…}}}
//! {"event":{"tick":81113,"event":{"TimerFired":7}}}
//! {"effects":{"digest":"cbf29ce484222325","count":0}}
//! ```
//!
//! An event is written before the core sees it; the line of its effects goes out with the next event. After a crash the
//! last line may be cut, and the last event may have no effects; the next daemon ends that line. A file that cannot be
//! written is reported once, is as it was before, and goes on with a snapshot as soon as there is room, so that what is on disk
//! always replays.

use agent_core::ids::Tick;
use agent_core::{Agent, Effect, Event};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tracing::{debug, warn};

/// Of the lines.
pub const SCHEMA: &str = "o2cpg.recording/1";

/// One line of a recording.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// Begins a segment: the core before the events that follow.
    Snapshot {
        /// [`SCHEMA`].
        schema: Cow<'a, str>,
        /// Of the daemon that wrote it.
        release: Cow<'a, str>,
        /// Grows by one with each file.
        segment: u64,
        /// When.
        tick: Tick,
        /// The whole state.
        agent: Box<Cow<'a, Agent>>,
    },
    /// What happened.
    Event {
        /// When.
        tick: Tick,
        /// What.
        event: Box<Cow<'a, Event>>,
    },
    /// What the core wanted done about the event before this line.
    Effects {
        /// [`digest`] of them.
        digest: Cow<'a, str>,
        /// How many.
        count: usize,
    },
}

/// FNV-1a of the JSON form, in hexadecimal. Enough to see a difference, not to withstand one made on purpose.
///
/// Source: Fowler, Noll, Vo; 64 bit, offset basis cbf29ce484222325.
#[must_use]
pub fn digest(effects: &[Effect]) -> String {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    serde_json::to_writer(&mut hash, effects).expect("effects have a JSON form and the hash takes every byte");
    format!("{:016x}", hash.0)
}

struct Fnv(u64);

impl Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the two files.
pub(crate) struct Recorder {
    folder: PathBuf,
    segment_bytes_max: u64,
    segment: u64,
    file: Option<File>,
    written: u64,
    /// An event is missing in the file: what follows begins with a snapshot.
    has_gap: bool,
    /// Lines that go out with the next write.
    out: Vec<u8>,
    trouble_told: bool,
}

impl Recorder {
    /// Goes on after the newest file found; that one stays until the next is full.
    pub(crate) fn open(folder: PathBuf, size_bytes: u64) -> io::Result<Recorder> {
        fs::create_dir_all(&folder)?;
        for path in [0, 1].map(|odd| path(&folder, odd)) {
            if let Err(error) = end_last_line(&path) {
                debug!(path = %path.display(), %error, "the last line of this recording is left as it is");
            }
        }
        let segment = [0, 1].into_iter().filter_map(|odd| segment_of(&path(&folder, odd))).max().unwrap_or(0);
        Ok(Recorder {
            folder,
            segment_bytes_max: size_bytes / 2,
            segment,
            file: None,
            written: 0,
            has_gap: false,
            out: Vec::new(),
            trouble_told: false,
        })
    }

    /// Writes an event down. `agent` is the core before it.
    pub(crate) fn before(&mut self, tick: Tick, event: &Event, agent: &Agent) {
        if let Err(error) = self.write_event(tick, event, agent) {
            self.has_gap = true;
            self.out.clear();
            if !std::mem::replace(&mut self.trouble_told, true) {
                warn!(folder = %self.folder.display(), %error, "the flight recorder cannot write; it tries again");
            }
        } else {
            self.has_gap = false;
            self.trouble_told = false;
        }
    }

    fn write_event(&mut self, tick: Tick, event: &Event, agent: &Agent) -> io::Result<()> {
        if self.file.is_none() || self.written >= self.segment_bytes_max {
            self.begin_segment()?;
            self.add_snapshot(tick, agent)?;
        } else if self.has_gap {
            self.add_snapshot(tick, agent)?;
        }
        self.add(&Line::Event { tick, event: Box::new(Cow::Borrowed(event)) })?;
        self.flush()
    }

    /// Notes what came of the last event.
    pub(crate) fn after(&mut self, effects: &[Effect]) {
        if self.file.is_some() && !self.has_gap {
            let line = Line::Effects { digest: digest(effects).into(), count: effects.len() };
            if self.add(&line).is_err() {
                self.file = None;
            }
        }
    }

    /// Of the other file nothing is left; the one that is full stays until this one is.
    fn begin_segment(&mut self) -> io::Result<()> {
        self.flush()?;
        let path = path(&self.folder, self.segment + 1);
        // A new file rather than an empty one: who dumps the old one goes on reading it.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.file = Some(File::options().append(true).create_new(true).open(path)?);
        self.segment += 1;
        self.written = 0;
        Ok(())
    }

    fn add_snapshot(&mut self, tick: Tick, agent: &Agent) -> io::Result<()> {
        self.add(&Line::Snapshot {
            schema: SCHEMA.into(),
            release: env!("CARGO_PKG_VERSION").into(),
            segment: self.segment,
            tick,
            agent: Box::new(Cow::Borrowed(agent)),
        })
    }

    fn add(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_mut() {
            if let Err(error) = file.write_all(&self.out) {
                // Half a line would spoil what comes behind it.
                if file.set_len(self.written).is_err() {
                    self.file = None;
                }
                return Err(error);
            }
            self.written += self.out.len() as u64;
        }
        self.out.clear();
        Ok(())
    }

    /// The files as they are, older first, to be read without holding up the recording.
    pub(crate) fn files(&mut self) -> io::Result<Vec<File>> {
        _ = self.flush(); // what finds no room is no reason to keep back what is there
        let mut found: Vec<(u64, PathBuf)> = [0, 1]
            .into_iter()
            .map(|odd| path(&self.folder, odd))
            .filter_map(|path| Some((segment_of(&path)?, path)))
            .collect();
        found.sort();
        found.into_iter().map(|(_, path)| File::open(path)).collect()
    }
}

fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(if segment % 2 == 0 { "a.jsonl" } else { "b.jsonl" })
}

/// A daemon that was killed may have left half a line; in a dump the next file comes right behind it.
fn end_last_line(path: &Path) -> io::Result<()> {
    let mut file = File::options().read(true).append(true).open(path)?;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// The number of the segment in a file; `None` if there is none or it does not begin with a snapshot.
fn segment_of(path: &Path) -> Option<u64> {
    let mut first = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut first).ok()?;
    match serde_json::from_str(&first).ok()? {
        Line::Snapshot { segment, .. } => Some(segment),
        Line::Event { .. } | Line::Effects { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::replay;
    use agent_core::Effects;
    use agent_core::ids::TimerToken;
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    fn play(recorder: &mut Recorder, core: &mut Agent, ticks: std::ops::Range<u64>) {
        for tick in ticks {
            let event = Event::CorosyncLost { why: format!("reason {tick}") };
            let mut fx = Effects::default();
            recorder.before(Tick(tick), &event, core);
            core.handle(Tick(tick), event, &mut fx);
            recorder.after(fx.as_slice());
        }
    }

    fn text(recorder: &mut Recorder) -> String {
        let mut text = String::new();
        for mut file in recorder.files().unwrap() {
            file.read_to_string(&mut text).unwrap();
        }
        text
    }

    #[test]
    fn what_was_recorded_replays_with_the_same_effects() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(dir.path().join("recorder"), 1 << 20).unwrap();
        play(&mut recorder, &mut Agent::new(), 0..20);
        let report = replay(text(&mut recorder).as_bytes(), &mut |_| {}).unwrap();
        assert_eq!((report.snapshots, report.events, report.compared), (1, 20, 20));
        assert_eq!(report.differences, vec![]);
    }

    #[test]
    fn the_size_is_bounded_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let size = 64 * 1024;
        let mut recorder = Recorder::open(dir.path().to_owned(), size).unwrap();
        play(&mut recorder, &mut Agent::new(), 0..3000);
        let text = text(&mut recorder);
        assert!((text.len() as u64) < size + 16 * 1024, "{}", text.len());
        assert!(text.contains("reason 2999") && !text.contains("reason 1 "));
        let report = replay(text.as_bytes(), &mut |_| {}).unwrap();
        assert!(report.snapshots == 2 && report.differences.is_empty());
    }

    #[test]
    fn a_new_daemon_keeps_the_last_file_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        for life in 0..3 {
            let mut recorder = Recorder::open(dir.path().to_owned(), 1 << 20).unwrap();
            play(&mut recorder, &mut Agent::new(), life * 10..life * 10 + 2);
        }
        let mut recorder = Recorder::open(dir.path().to_owned(), 1 << 20).unwrap();
        let text = text(&mut recorder);
        assert!(!text.contains("reason 0\"") && text.contains("reason 10\"") && text.contains("reason 20\""));
    }

    #[test]
    fn a_line_that_was_cut_is_not_joined_with_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let mut core = Agent::new();
        play(&mut Recorder::open(dir.path().to_owned(), 1 << 20).unwrap(), &mut core, 0..2);
        let file = File::options().append(true).open(path(dir.path(), 1)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 5).unwrap();
        let mut recorder = Recorder::open(dir.path().to_owned(), 1 << 20).unwrap();
        play(&mut recorder, &mut core, 2..4);
        let report = replay(text(&mut recorder).as_bytes(), &mut |_| {}).unwrap();
        assert_eq!((report.snapshots, report.events, report.cut), (2, 3, 1));
    }

    #[test]
    fn while_there_is_no_room_nothing_is_lost_of_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut core = Agent::new();
        play(&mut Recorder::open(dir.path().to_owned(), 1 << 20).unwrap(), &mut core, 0..2);
        let mut recorder = Recorder::open(dir.path().to_owned(), 1 << 20).unwrap();
        play(&mut recorder, &mut core, 2..4);
        // Takes nothing, and half a line is in it already.
        let full = File::from(memfd_create("full", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        full.set_len(recorder.written + 5).unwrap();
        fcntl(&full, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        let room = recorder.file.replace(full);
        play(&mut recorder, &mut core, 4..8);
        let full = std::mem::replace(&mut recorder.file, room).unwrap();
        assert_eq!(full.metadata().unwrap().len(), recorder.written);
        play(&mut recorder, &mut core, 8..10);
        let text = text(&mut recorder);
        assert!(text.contains("reason 0\"") && text.contains("reason 2\""), "both files are still there");
        let report = replay(text.as_bytes(), &mut |_| {}).unwrap();
        assert_eq!((report.snapshots, report.events, report.differences), (3, 6, vec![]));
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody_and_recording_goes_on_later() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("recorder");
        let mut recorder = Recorder::open(folder.clone(), 1 << 20).unwrap();
        fs::remove_dir(&folder).unwrap();
        let mut core = Agent::new();
        play(&mut recorder, &mut core, 0..2);
        fs::create_dir(&folder).unwrap();
        play(&mut recorder, &mut core, 2..4);
        let report = replay(text(&mut recorder).as_bytes(), &mut |_| {}).unwrap();
        assert_eq!((report.snapshots, report.events, report.differences.len()), (1, 2, 0));
    }

    #[test]
    fn a_snapshot_of_a_release_without_levels_is_read() {
        let mut old = serde_json::to_value(Agent::new()).unwrap();
        assert!(old.as_object_mut().unwrap().remove("legacy_recovery").is_some());
        assert!(old["waits"].as_object_mut().unwrap().remove("legacy").is_some());
        assert_eq!(serde_json::from_value::<Agent>(old).unwrap(), Agent::new());
    }

    #[test]
    fn different_effects_have_different_digests() {
        assert_eq!(digest(&[]), digest(&[]));
        assert_ne!(digest(&[]), digest(&[Effect::LookAtKernel]));
        assert_ne!(digest(&[Effect::SetTimer(TimerToken(1), 5)]), digest(&[Effect::SetTimer(TimerToken(1), 6)]));
    }
}
