//! What one client is still to be sent, and whether it may go on asking.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use tokio::net::unix::WriteHalf;
use tokio::sync::Notify;

/// Bytes that may wait for a client: one answer about all groups there can be, or 2000 callbacks. Whoever lets more
/// pile up does not read, and is dropped.
pub(super) const WAITING_MAX: usize = 5 << 20;

/// One client's, shared by the server that fills it and the task that empties it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: RefCell<VecDeque<u8>>,
    /// Nothing more is put in; what waits is still sent.
    closing: Cell<bool>,
    /// More than [`WAITING_MAX`] would wait.
    overfull: Cell<bool>,
    /// A group that the client sends to is full: its next frame is not taken.
    held: Cell<bool>,
    news: Notify,
    released: Notify,
}

/// Why writing ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All is sent, and nothing more will be.
    Finished,
    /// The client does not read.
    Overfull,
    /// The connection is gone.
    Broken(io::ErrorKind),
}

impl Outbox {
    /// Puts bytes behind those that wait.
    pub(super) fn push(&self, bytes: &[u8]) {
        self.put(bytes.len(), |waiting| waiting.extend(bytes));
    }

    /// The same for an answer of any length, which becomes what waits if nothing does: a list of all groups is not
    /// copied.
    pub(super) fn push_owned(&self, bytes: Vec<u8>) {
        self.put(bytes.len(), |waiting| {
            if waiting.is_empty() {
                *waiting = bytes.into();
            } else {
                waiting.extend(bytes);
            }
        });
    }

    fn put(&self, len: usize, put: impl FnOnce(&mut VecDeque<u8>)) {
        let mut waiting = self.waiting.borrow_mut();
        if self.closing.get() || self.overfull.get() {
            return;
        }
        if waiting.len() + len > WAITING_MAX {
            self.overfull.set(true);
        } else {
            put(&mut waiting);
        }
        self.news.notify_one();
    }

    /// Nothing more will be put in.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.release();
        self.news.notify_one();
    }

    /// Takes no more frames from this client until it is released.
    pub(super) fn hold(&self) {
        self.held.set(true);
    }

    /// Takes frames again.
    pub(super) fn release(&self) {
        self.held.set(false);
        self.released.notify_one();
    }

    /// Waits while the client is held.
    pub(super) async fn may_ask(&self) {
        while self.held.get() {
            self.released.notified().await;
        }
    }

    /// Sends what waits, and what comes, until there is an end to it.
    pub(super) async fn send(&self, to: &WriteHalf<'_>) -> Ended {
        loop {
            if self.overfull.get() {
                return Ended::Overfull;
            }
            if self.waiting.borrow().is_empty() {
                if self.closing.get() {
                    return Ended::Finished;
                }
                self.news.notified().await;
            } else if let Err(error) = self.send_some(to).await {
                return Ended::Broken(error.kind());
            }
        }
    }

    /// As much as the socket takes. A client that does not read is waited for, but not when it is overfull.
    async fn send_some(&self, to: &WriteHalf<'_>) -> io::Result<()> {
        tokio::select! {
            ready = to.writable() => ready?,
            () = self.news.notified() => return Ok(()),
        }
        let mut waiting = self.waiting.borrow_mut();
        match to.try_write(waiting.as_slices().0) {
            Ok(sent) => drop(waiting.drain(..sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn what_waits_is_sent_before_the_end() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let outbox = Outbox::default();
        let much = vec![7; 1 << 20];
        outbox.push(&much);
        outbox.close();
        outbox.push(b"too late");
        let mut got = vec![0; much.len()];
        let (_, writer) = ours.split();
        let (ended, read) = tokio::join!(outbox.send(&writer), theirs.read_exact(&mut got));
        assert_eq!((ended, read.unwrap()), (Ended::Finished, much.len()));
        assert_eq!(got, much);
    }

    #[tokio::test]
    async fn an_answer_has_its_place_among_the_frames() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let outbox = Outbox::default();
        outbox.push_owned(b"answer ".to_vec());
        outbox.push(b"frame ");
        outbox.push_owned(b"answer".to_vec());
        outbox.close();
        let (_, writer) = ours.split();
        assert_eq!(outbox.send(&writer).await, Ended::Finished);
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer frame answer");
    }

    #[tokio::test]
    async fn conformance_44_a_client_that_does_not_read_is_dropped_at_the_bound() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        let outbox = Outbox::default();
        let (_, writer) = ours.split();
        let fill = async {
            for _ in 0..=WAITING_MAX / 2200 + 300 {
                outbox.push(&[0; 2200]);
                tokio::task::yield_now().await;
            }
        };
        let (ended, ()) = tokio::join!(outbox.send(&writer), fill);
        assert_eq!(ended, Ended::Overfull);
        assert!(outbox.waiting.borrow().len() <= WAITING_MAX);
    }

    #[tokio::test]
    async fn conformance_45_a_client_that_is_gone_ends_the_sending() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let outbox = Outbox::default();
        outbox.push(b"x");
        let (_, writer) = ours.split();
        assert_eq!(outbox.send(&writer).await, Ended::Broken(io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn a_held_client_asks_again_when_released() {
        let outbox = Outbox::default();
        outbox.hold();
        let asked = tokio::time::timeout(std::time::Duration::from_millis(1), outbox.may_ask()).await;
        assert!(asked.is_err());
        outbox.release();
        outbox.may_ask().await;
    }
}
