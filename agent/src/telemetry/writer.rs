//! The thread that writes the log. Whoever reads it (the journal, a pipe, a terminal) may stand still; the daemon must not.
//!
//! Lines wait in a bounded queue. What comes while it is full is lost, and counted, and so is what cannot be written: the
//! next line that finds room is the count. At the end of the process the last lines are written, if somebody reads them soon,
//! and what is still to be counted comes last.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that wait for the reader: seconds of `trace`, days of `info`.
const LINES_MAX: usize = 4096;
/// At the end they are waited for so long.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// What waits: a line of the log, or the count of those that were lost.
struct Line {
    text: Vec<u8>,
    /// Lines that are lost with it.
    stands_for: u64,
}

/// The way in, for any thread.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: Arc<Mutex<Option<SyncSender<Line>>>>,
    lost: Arc<AtomicU64>,
    /// What a line of warning begins with.
    warning: &'static str,
}

/// Ends the thread when dropped, after the last line or a second.
#[derive(Debug)]
pub struct Writer {
    queue: Queue,
    ended: Receiver<()>,
}

/// Starts the thread, which writes each line at once to `out`.
pub(super) fn start(out: impl Write + Send + 'static, warning: &'static str) -> io::Result<(Queue, Writer)> {
    let (sender, lines) = sync_channel(LINES_MAX);
    let (end, ended) = channel();
    let lost = Arc::<AtomicU64>::default();
    let queue = Queue { lines: Arc::new(Mutex::new(Some(sender))), lost: lost.clone(), warning };
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        write(out, &lines, &lost, warning);
        _ = end.send(());
    })?;
    Ok((queue.clone(), Writer { queue, ended }))
}

/// A reader that is gone has nobody to be told; whoever comes after it may read again, and learns what it missed.
fn write(mut out: impl Write, lines: &Receiver<Line>, lost: &AtomicU64, warning: &str) {
    for line in lines {
        if out.write_all(&line.text).is_err() {
            lost.fetch_add(line.stands_for, Ordering::Relaxed);
        }
    }
    let still_lost = lost.load(Ordering::Relaxed);
    if still_lost > 0 {
        _ = out.write_all(&count(still_lost, warning).text);
    }
}

/// The line that stands for those that were lost.
fn count(lost: u64, warning: &str) -> Line {
    let text = format!("{warning}{lost} lines of this log were lost here: nobody took it\n");
    Line { text: text.into_bytes(), stands_for: lost }
}

impl Queue {
    /// Never waits for the reader.
    pub(super) fn add(&self, text: Vec<u8>) {
        let line = Line { text, stands_for: 1 };
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.as_ref() else { return };
        if !self.tell_lost(lines) || matches!(lines.try_send(line), Err(TrySendError::Full(_))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there is nothing to tell any more.
    fn tell_lost(&self, lines: &SyncSender<Line>) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == 0 {
            return true;
        }
        let told = lines.try_send(count(lost, self.warning)).is_ok();
        if told {
            self.lost.fetch_sub(lost, Ordering::Relaxed);
        }
        told
    }

    fn close(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        // Where nobody reads, the thread ends with the process.
        _ = self.ended.recv_timeout(LAST_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Sender;

    /// Takes a line for each word it is given, and keeps it.
    struct Reader {
        go: Receiver<()>,
        read: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            self.read.send(String::from_utf8_lossy(bytes).into_owned()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader() -> (Reader, Sender<()>, Receiver<String>) {
        let ((to, go), (read, from)) = (channel(), channel());
        (Reader { go, read }, to, from)
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_and_learns_what_it_missed() {
        let (reader, go, read) = reader();
        let (queue, writer) = start(reader, "<4>").unwrap();
        // The thread may have one of them in its hands already.
        (0..LINES_MAX + 10).for_each(|number| queue.add(format!("{number}\n").into_bytes()));
        (0..LINES_MAX + 10).for_each(|_| _ = go.send(()));
        let first = read.recv().unwrap();
        let lines: Vec<String> = read.iter().take(LINES_MAX - 1).collect();
        assert_eq!((first.as_str(), lines.last().is_some()), ("0\n", true));
        queue.add(b"after\n".to_vec());
        (0..3).for_each(|_| _ = go.send(()));
        let rest: Vec<String> = read.iter().take_while(|line| line != "after\n").collect();
        let note = rest.last().unwrap();
        assert!(
            note == "<4>10 lines of this log were lost here: nobody took it\n" || note.starts_with("<4>9 "),
            "{note}"
        );
        drop(writer);
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (reader, go, read) = reader();
        let (queue, writer) = start(reader, "").unwrap();
        queue.add(b"one\n".to_vec());
        queue.add(b"two\n".to_vec());
        (0..2).for_each(|_| go.send(()).unwrap());
        drop(writer);
        assert_eq!(read.try_iter().collect::<Vec<_>>(), ["one\n", "two\n"]);
        queue.add(b"nobody writes any more\n".to_vec());
    }

    #[test]
    fn what_was_lost_is_told_at_the_end_although_the_queue_was_full() {
        let (reader, go, read) = reader();
        let (queue, writer) = start(reader, "").unwrap();
        (0..LINES_MAX + 10).for_each(|number| queue.add(format!("{number}\n").into_bytes()));
        (0..LINES_MAX + 10).for_each(|_| _ = go.send(()));
        drop(writer);
        let last = read.iter().last().unwrap();
        assert!(last.contains(" lines of this log were lost here"), "{last}");
    }

    /// Refuses the first line.
    struct Full {
        refused: bool,
        read: Sender<String>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.refused, true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.read.send(String::from_utf8_lossy(bytes).into_owned()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_told() {
        let (read, from) = channel();
        let (queue, writer) = start(Full { refused: false, read }, "").unwrap();
        queue.add(b"one\n".to_vec());
        drop(writer);
        assert_eq!(from.iter().collect::<String>(), "1 lines of this log were lost here: nobody took it\n");
    }
}
