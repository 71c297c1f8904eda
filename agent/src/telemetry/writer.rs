//! The thread that writes the log. Whoever reads it (the journal, a pipe, a terminal) may stand still; the daemon must not.
//!
//! Lines wait in a bounded queue. What comes while it is full is lost, and counted: the next line that finds room is the
//! count. At the end of the process the last lines are written, if somebody reads them soon.

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

/// The way in, for any thread.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: Arc<Mutex<Option<SyncSender<Vec<u8>>>>>,
    lost: Arc<AtomicU64>,
    /// What a line of warning begins with.
    warning: &'static str,
}

/// Ends the thread when dropped, after the last line or [`LAST_WITHIN`].
#[derive(Debug)]
pub struct Writer {
    queue: Queue,
    ended: Receiver<()>,
}

/// Starts the thread, which writes each line at once to `out`.
pub(super) fn start(out: impl Write + Send + 'static, warning: &'static str) -> io::Result<(Queue, Writer)> {
    let (sender, lines) = sync_channel::<Vec<u8>>(LINES_MAX);
    let (end, ended) = channel();
    let mut out = out;
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        // A reader that is gone has nobody to be told; whoever comes after it may read again.
        lines.iter().for_each(|line| _ = out.write_all(&line));
        _ = end.send(());
    })?;
    let lines = Arc::new(Mutex::new(Some(sender)));
    let queue = Queue { lines, lost: Arc::default(), warning };
    Ok((queue.clone(), Writer { queue, ended }))
}

impl Queue {
    /// Never waits for the reader.
    pub(super) fn add(&self, line: Vec<u8>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.as_ref() else { return };
        if !self.tell_lost(lines) || matches!(lines.try_send(line), Err(TrySendError::Full(_))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there is nothing to tell any more.
    fn tell_lost(&self, lines: &SyncSender<Vec<u8>>) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == 0 {
            return true;
        }
        let note = format!("{}{lost} lines of this log were lost here: nobody took it\n", self.warning);
        let told = lines.try_send(note.into_bytes()).is_ok();
        if told {
            self.lost.store(0, Ordering::Relaxed);
        }
        told
    }

    fn close(&self) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        _ = lines.map(|lines| self.tell_lost(&lines));
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
}
