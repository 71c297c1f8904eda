//! A connection to groupd's own socket, so that what it shows and does works against the original too.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use groupd_compat::frame::{Frame, FrameReader};
use groupd_compat::names::GroupKey;
use groupd_compat::records::{GroupRecord, RECORD_LEN};
use groupd_compat::verbs::{Callback, Query, Request};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use super::duration::spoken;
use super::exit::{Exit, Failure};

/// Groups asked for: more than any daemon has.
const RECORDS_MAX: usize = 100_000;
/// Bytes of a dump at most: the ring of lines of an original is 1 MiB, ours has the waits behind it.
const DUMP_MAX: usize = 8 << 20;
/// Bytes taken from the socket at once.
const CHUNK_LEN: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Legacy {
    stream: UnixStream,
    name: String,
    within: Duration,
    frames: FrameReader,
}

impl Legacy {
    /// Connects to the abstract socket `name`. `within` bounds each step.
    pub(super) fn connect(name: &str, within: Duration) -> Result<Legacy, Failure> {
        let stream = connected(name, within).map_err(|errno| unconnected(name, within, errno))?;
        Ok(Legacy { stream, name: name.to_owned(), within, frames: FrameReader::default() })
    }

    /// Sends a command; there is no answer but to a question.
    pub(super) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let frame = request.encode().map_err(|error| Failure::usage(error.to_string(), "shorten it"))?;
        let sent =
            self.stream.set_write_timeout(Some(self.within)).and_then(|()| self.stream.write_all(frame.as_bytes()));
        sent.map_err(|error| self.broken(&error))
    }

    /// Every group. Only on a connection without groups of its own: records are not told from callbacks.
    pub(super) fn groups(&mut self) -> Result<Vec<GroupRecord>, Failure> {
        self.send(&Request::GetGroups { max: RECORDS_MAX as i32 })?;
        let until = Instant::now() + self.within;
        let mut records = Vec::new();
        while records.len() <= RECORDS_MAX {
            match self.record(until)? {
                None => return Ok(records),
                Some(record) => records.push(record),
            }
        }
        Err(Failure::new(Exit::Failed, "groupd's answer does not end", "", STRANGE))
    }

    /// One group, if any client of this node is in it; on such a connection only.
    pub(super) fn group(&mut self, key: GroupKey) -> Result<Option<GroupRecord>, Failure> {
        self.send(&Request::GetGroup(Query::Group(key)))?;
        self.record(Instant::now() + self.within)
    }

    /// `None`: the end of a list, or no such group.
    fn record(&mut self, until: Instant) -> Result<Option<GroupRecord>, Failure> {
        let mut bytes = [0; RECORD_LEN];
        self.read_exact(&mut bytes, until)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let record = GroupRecord::decode(&bytes);
        record.map(Some).map_err(|error| Failure::of("reading groupd's answer", &error, STRANGE))
    }

    /// The daemon's recent past as text. It closes the connection behind it.
    pub(super) fn dump(mut self) -> Result<String, Failure> {
        self.send(&Request::Dump)?;
        let until = Instant::now() + self.within;
        let (mut text, mut chunk) = (Vec::new(), vec![0; CHUNK_LEN]);
        loop {
            match self.read_some(&mut chunk, until)? {
                0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
                read if text.len() + read > DUMP_MAX => {
                    return Err(Failure::new(Exit::Failed, "groupd's dump does not end", "", STRANGE));
                }
                read => text.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// Callbacks that have come, without waiting. Frames that are none are skipped, as libgroup does.
    pub(super) fn callbacks(&mut self) -> Result<Vec<Callback>, Failure> {
        let mut chunk = vec![0; CHUNK_LEN];
        let read = match self.stream.read(&mut chunk) {
            Ok(0) => return Err(self.closed()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Vec::new()),
            Err(error) => return Err(self.broken(&error)),
        };
        let (frames, mut bytes) = (&mut self.frames, &chunk[..read]);
        let whole: Vec<Frame> = std::iter::from_fn(|| frames.next_frame(&mut bytes)).collect();
        Ok(whole.iter().filter_map(|frame| Callback::decode(frame).ok()).collect())
    }

    /// To wait on.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn read_exact(&mut self, bytes: &mut [u8], until: Instant) -> Result<(), Failure> {
        let mut at = 0;
        while at < bytes.len() {
            match self.read_some(&mut bytes[at..], until)? {
                0 => return Err(self.closed()),
                read => at += read,
            }
        }
        Ok(())
    }

    /// What has come, at least a byte; 0 at the end.
    fn read_some(&mut self, bytes: &mut [u8], until: Instant) -> Result<usize, Failure> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.silent());
            }
            match self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(bytes)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(|error| self.broken(&error)),
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.silent(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => self.closed(),
            _ => Failure::of(format!("talking to groupd on @{}", self.name), error, STRANGE),
        }
    }

    /// A question that a daemon of cluster 2 does not know is not answered either.
    fn silent(&self) -> Failure {
        let within = spoken(u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX));
        let what = format!("groupd on @{} did not answer within {within}", self.name);
        Failure::new(Exit::TimedOut, what, "it is stuck, or another client blocks the original", "o2cpg cpg list")
    }

    fn closed(&self) -> Failure {
        let what = format!("groupd on @{} closed the connection", self.name);
        let cause = "it is for root only (and for queries the control group), or it has just ended";
        Failure::new(Exit::NotPermitted, what, cause, "try again as root")
    }
}

const STRANGE: &str = "is it groupd that listens there? see --groupd-socket";

/// A full listen queue makes connect(2) wait as long as SO_SNDTIMEO says.
fn connected(name: &str, within: Duration) -> Result<UnixStream, Errno> {
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(ms / 1000, ms % 1000 * 1000))?;
    connect(fd.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok(fd.into())
}

fn unconnected(name: &str, within: Duration, errno: Errno) -> Failure {
    let fix = "start groupd, or set legacy.groupd for o2cpgd; o2cpg groups shows what o2cpgd itself works in";
    match errno {
        Errno::ECONNREFUSED => {
            Failure::new(Exit::NotRunning, format!("nobody listens on @{name}"), "groupd does not run here", fix)
        }
        Errno::EAGAIN => {
            let within = spoken(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
            let what = format!("groupd did not take the connection on @{name} within {within}");
            Failure::new(Exit::TimedOut, what, "it is stuck, or another client blocks the original", "o2cpg cpg list")
        }
        Errno::ENAMETOOLONG => Failure::usage(format!("@{name} is too long for a socket's name"), "107 bytes at most"),
        errno => Failure::of(format!("connecting to @{name}"), &io::Error::from(errno), STRANGE),
    }
}
