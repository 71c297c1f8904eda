//! One connection to the daemon. Everything ends at the deadline: connecting, writing and reading.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use proto::control::{Ask, ControlError, DEADLINE_MAX_MS, Request, api, api::response::Answer, take_answer};

use super::duration::spoken;
use super::exit::{Exit, Failure};
use crate::desk::DAEMON_ENDS;

/// How much longer than the daemon's deadline we listen, so that its own "timed out" still arrives: it knows more.
const GRACE: Duration = Duration::from_millis(500);
/// Bytes taken from the socket at once.
const CHUNK_LEN: usize = 16 * 1024;

/// What the daemon may answer to one question.
pub trait Answered: Sized {
    /// The answer, if it is of this kind.
    fn of(answer: Answer) -> Option<Self>;
}

macro_rules! answered {
    ($($kind:ident => $of:ty,)*) => {$(
        impl Answered for $of {
            fn of(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$kind(it) => Some(it),
                    _ => None,
                }
            }
        }
    )*};
}
answered! {
    Status => api::Status,
    Plan => api::Plan,
    Done => api::Done,
    CanStop => api::CanStop,
    Events => api::EventList,
    Log => api::Log,
    Config => api::Config,
    Dump => api::DumpPart,
    CpgList => api::CpgList,
    Groups => api::Groups,
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    received: Vec<u8>,
    within: Duration,
    /// `None`: no end, after [`Client::forever`].
    until: Option<Instant>,
}

impl Client {
    /// Connects to the daemon at `path`. `within` bounds this and everything that follows.
    ///
    /// # Errors
    /// Which socket, why not, and what to do about it.
    pub fn connect(path: &Path, within: Duration) -> Result<Client, Failure> {
        let until = Instant::now() + within + GRACE;
        let stream = connected(path, within).map_err(|error| unconnected(path, within, error))?;
        Ok(Client { stream, path: path.to_owned(), received: Vec::new(), within, until: Some(until) })
    }

    /// Asks and takes the answer.
    ///
    /// # Errors
    /// The daemon's refusal, or what went wrong on the way.
    pub fn ask<T: Answered>(&mut self, ask: Ask) -> Result<T, Failure> {
        self.send(ask)?;
        self.answer()?.ok_or_else(|| self.closed())
    }

    /// As [`Client::ask`], for who would as well ask the next daemon: one that ends instead of answering is one that does not
    /// run.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_while_there<T: Answered>(&mut self, ask: Ask) -> Result<T, Failure> {
        self.send(ask)?;
        match self.answer() {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Failure { exit: Exit::NotRunning, ..self.closed() }),
            Err(failure) if failure.what == DAEMON_ENDS => Err(Failure { exit: Exit::NotRunning, ..failure }),
            Err(failure) => Err(failure),
        }
    }

    /// Asks only; [`Client::answer`] takes what comes.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn send(&mut self, ask: Ask) -> Result<(), Failure> {
        let ms = u32::try_from(self.within.as_millis()).unwrap_or(DEADLINE_MAX_MS);
        let frame =
            Request::new(ms, ask).encode().map_err(|error| Failure::usage(error.to_string(), "o2cpg --help"))?;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?)).map_err(|error| self.broken(&error))?;
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(self.timed_out()),
                // It may have said why before it closed.
                Err(error) if is_closed(&error) => return Ok(()),
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    /// The next answer; `None` when the daemon closed the connection instead.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn answer<T: Answered>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            match take_answer(&mut self.received).map_err(|error| self.unreadable(&error))? {
                Some(Answer::Refusal(refusal)) => return Err(refusal.into()),
                Some(answer) => return T::of(answer).map(Some).ok_or_else(|| self.beside_the_point()),
                None if self.receive()? => {}
                None if self.received.is_empty() => return Ok(None),
                None => return Err(self.closed()),
            }
        }
    }

    /// The deadline begins anew: the next part of an answer.
    pub fn again(&mut self) {
        self.until = Some(Instant::now() + self.within + GRACE);
    }

    /// From here on answers may take as long as they like: a stream that follows.
    pub fn forever(&mut self) {
        self.until = None;
    }

    /// Takes what is there. `false` at the end of the stream.
    fn receive(&mut self) -> Result<bool, Failure> {
        let mut chunk = [0; CHUNK_LEN];
        loop {
            let patience = self.until.map(|_| self.left()).transpose()?;
            self.stream.set_read_timeout(patience).map_err(|error| self.broken(&error))?;
            match self.stream.read(&mut chunk) {
                Ok(n) => {
                    self.received.extend(&chunk[..n]);
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(self.timed_out()),
                Err(error) if is_closed(&error) => return Ok(false),
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    fn left(&self) -> Result<Duration, Failure> {
        let left = self.until.map_or(self.within, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(self.timed_out()) } else { Ok(left) }
    }

    fn timed_out(&self) -> Failure {
        let what = format!("o2cpgd did not answer within {}", text(self.within));
        let cause = "the daemon is stopped or stuck; the kernel goes on without it";
        Failure::new(Exit::TimedOut, what, cause, LOOK)
    }

    /// The connection ended before the answer was complete.
    #[must_use]
    pub fn closed(&self) -> Failure {
        let what = format!("o2cpgd closed the connection on {} without a complete answer", self.path.display());
        Failure::new(Exit::Failed, what, "the daemon ended just now, or does not talk to this user", LOOK)
    }

    fn unreadable(&self, error: &ControlError) -> Failure {
        let what = format!("the answer on {} cannot be read: {error}", self.path.display());
        let cause = "another program listens there, or the daemon is of a release that this command does not know";
        Failure::new(Exit::Failed, what, cause, "check --socket and O2CPG_SOCKET; compare o2cpg and o2cpgd --version")
    }

    fn beside_the_point(&self) -> Failure {
        self.unreadable(&ControlError::Unknown)
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::of(format!("talking to o2cpgd on {}", self.path.display()), error, LOOK)
    }
}

const LOOK: &str = "systemctl status o2cpgd; journalctl -u o2cpgd -n 30; without it: o2cpg status --local";

/// connect(2) to a Unix socket waits for room in the listener's queue for as long as SO_SNDTIMEO says, and then fails
/// with EAGAIN; std has no way to set that before.
///
/// Source: linux net/unix/af_unix.c, unix_stream_connect.
fn connected(path: &Path, within: Duration) -> Result<UnixStream, Errno> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(ms / 1000, ms % 1000 * 1000))?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

fn unconnected(path: &Path, within: Duration, errno: Errno) -> Failure {
    let socket = path.display();
    let (exit, what, cause) = match errno {
        Errno::ENOENT => (
            Exit::NotRunning,
            format!("o2cpgd is not running: there is no socket {socket}"),
            "it was never started here, or was stopped, or listens elsewhere (--socket)",
        ),
        Errno::ECONNREFUSED => (
            Exit::NotRunning,
            format!("o2cpgd is not running: nobody listens on {socket}"),
            "it ended without removing its socket: killed or crashed",
        ),
        Errno::EACCES | Errno::EPERM => (
            Exit::NotPermitted,
            format!("no permission to use {socket}"),
            "it is for root and for the group that owns it",
        ),
        Errno::EAGAIN => (
            Exit::TimedOut,
            format!("o2cpgd did not take the connection on {socket} within {}", text(within)),
            "its queue of clients is full: the daemon is stopped or stuck",
        ),
        Errno::ENAMETOOLONG => (Exit::Usage, format!("{socket} is too long for a socket's path"), "107 bytes at most"),
        _ => return Failure::of(format!("connecting to {socket}"), &io::Error::from(errno), LOOK),
    };
    let fix = match exit {
        Exit::NotRunning => {
            "systemctl start o2cpgd; until then the kernel goes on with what it has, and o2cpg status --local shows that"
        }
        Exit::NotPermitted => "sudo o2cpg …, or join that group: ls -l shows it",
        Exit::Usage => "check --socket and O2CPG_SOCKET",
        _ => LOOK,
    };
    Failure::new(exit, what, cause, fix)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn text(duration: Duration) -> String {
    spoken(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(errno: Errno) -> Exit {
        unconnected(Path::new("/run/x.sock"), Duration::from_secs(5), errno).exit
    }

    #[test]
    fn each_way_not_to_connect_has_its_exit_code() {
        assert_eq!(exit(Errno::ENOENT), Exit::NotRunning);
        assert_eq!(exit(Errno::ECONNREFUSED), Exit::NotRunning);
        assert_eq!(exit(Errno::EACCES), Exit::NotPermitted);
        assert_eq!(exit(Errno::EAGAIN), Exit::TimedOut);
        assert_eq!(exit(Errno::ENAMETOOLONG), Exit::Usage);
        assert_eq!(exit(Errno::EPROTOTYPE), Exit::Failed);
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_said_to_be() {
        let path = PathBuf::from(format!("/{}", "x".repeat(200)));
        assert_eq!(Client::connect(&path, Duration::from_secs(1)).unwrap_err().exit, Exit::Usage);
    }
}
