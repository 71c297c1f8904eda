//! The control socket: listening, who may connect, and how many.

use crate::client::Conversation;
use crate::desk::{Desk, no};
use crate::run_dir::{self, RunDir};
use proto::control::api::refusal::Kind;
use proto::control::encode_answer;
use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_local;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Connections at a time. The last of them are kept for root: whoever may only look cannot lock the operator out.
const CLIENTS_MAX: usize = 64;
/// Connections of others than root.
const OTHERS_MAX: usize = 48;
/// After an accept that failed (no descriptors left), to give somebody time to close one.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// Between two lines of the log about clients that are turned away.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody answers on it.
    #[error("another daemon listens on {0}")]
    Taken(PathBuf),
    /// A system call.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its mode.
    #[error(transparent)]
    Mode(#[from] run_dir::Error),
}

/// Listens, and serves each client in a task of its own.
pub(crate) fn listen(path: &Path, run_dir: &RunDir, desk: &Rc<Desk>) -> Result<(), Error> {
    remove_stale(path)?;
    let failed = |source| Error::Io { what: "listening on", path: path.to_owned(), source };
    let listener = UnixListener::bind(path).map_err(failed)?;
    run_dir.share_socket(path)?;
    info!(socket = %path.display(), "control socket");
    spawn_local(accept(listener, desk.clone()));
    Ok(())
}

/// A daemon that was killed leaves its socket behind; nobody answers on it.
fn remove_stale(path: &Path) -> Result<(), Error> {
    match StdStream::connect(path) {
        Ok(_) => Err(Error::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let failed = |source| Error::Io { what: "removing the stale socket", path: path.to_owned(), source };
            std::fs::remove_file(path).map_err(failed)
        }
        Err(_) => Ok(()),
    }
}

async fn accept(listener: UnixListener, desk: Rc<Desk>) {
    let (all, others) = (Seats::of(CLIENTS_MAX), Seats::of(OTHERS_MAX));
    let mut told: Option<Instant> = None;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a client cannot be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Some(is_root) = is_root(&stream) else { continue };
        let seats = (all.take(), if is_root { None } else { Some(others.take()) });
        let (Some(seat), None | Some(Some(_))) = (seats.0, &seats.1) else {
            turn_away(stream);
            if told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
                told = Some(Instant::now());
                warn!(
                    all = CLIENTS_MAX,
                    of_others_than_root = OTHERS_MAX,
                    "clients are turned away: all seats are taken"
                );
            }
            continue;
        };
        let conversation = Conversation::new(stream, is_root, desk.clone());
        spawn_local(async move {
            let _seats = (seat, seats.1);
            conversation.run().await;
        });
    }
}

/// The client learns why. Its socket is new, so there is room for one answer; the runtime does not know that yet.
fn turn_away(stream: UnixStream) {
    let what =
        format!("o2cpgd serves {CLIENTS_MAX} connections, {OTHERS_MAX} of others than root, and has no seat left");
    let fix = "ss -xp shows who; end some, or ask as root";
    let refusal = encode_answer(no(Kind::Failed, &what, "programs keep their connections open", fix));
    let sent = refusal.map(|frame| stream.into_std().and_then(|mut stream| stream.write_all(&frame)));
    debug!(?sent, "a client is turned away");
}

/// The kernel's word on who connected. A daemon that does not run as root serves its own user like root.
fn is_root(stream: &UnixStream) -> Option<bool> {
    let peer = stream.peer_cred().map_err(|error| debug!(%error, "a client without credentials")).ok()?;
    debug!(uid = peer.uid(), pid = peer.pid(), "client");
    Some(peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}

/// A number of seats.
#[derive(Clone)]
pub(crate) struct Seats(Rc<Cell<usize>>);

/// A seat taken; free again when dropped.
pub(crate) struct Seat(Rc<Cell<usize>>);

impl Seats {
    pub(crate) fn of(number: usize) -> Seats {
        Seats(Rc::new(Cell::new(number)))
    }

    pub(crate) fn take(&self) -> Option<Seat> {
        let left = self.0.get().checked_sub(1)?;
        self.0.set(left);
        Some(Seat(self.0.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener as StdListener;

    #[test]
    fn a_seat_is_free_again_when_its_client_is_gone() {
        let seats = Seats::of(1);
        let seat = seats.take();
        assert!(seat.is_some() && seats.take().is_none());
        drop(seat);
        assert!(seats.take().is_some());
    }

    #[test]
    fn a_stale_socket_goes_and_a_live_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let live = StdListener::bind(&path).unwrap();
        assert!(matches!(remove_stale(&path), Err(Error::Taken(_))));
        drop(live);
        assert!(path.exists());
        remove_stale(&path).unwrap();
        assert!(!path.exists());
        remove_stale(&path).unwrap();
    }
}
