//! The two abstract sockets of old: who listens on them, who connects, and how many at a time.
//!
//! An abstract name has no file and so no mode: what the kernel says of the peer is the only door.

use crate::sockets::{ACCEPT_AGAIN, Seats};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::unistd::Gid;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_local;
use tracing::{debug, warn};

/// Why one of the sockets is not ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody listens there.
    #[error("{holder} listens on the abstract socket {name} already; stop it, or set legacy.controld = \"off\"")]
    Taken {
        /// The socket.
        name: String,
        /// Who, as far as the kernel tells.
        holder: String,
    },
    /// A system call.
    #[error("listening on the abstract socket {name}")]
    Io {
        /// The socket.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Root, and the user that the daemon runs as.
    All,
    /// Members of the control group.
    Lists,
    /// Anybody else.
    Nothing,
}

/// Who connected.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// 0: a process that cannot be seen from here.
    pub(super) pid: i32,
    /// Its program, for people; it may be gone already.
    pub(super) program: String,
    pub(super) rights: Rights,
}

/// Places at one socket.
pub(super) struct Places {
    /// Connections at a time. The last of them are kept for root.
    pub(super) all: usize,
    /// Connections of others.
    pub(super) others: usize,
}

/// Takes the name. It ends at its last letter: the tools do not send a NUL behind it.
pub(super) fn bind(name: &str) -> Result<UnixListener, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::Taken { name: name.to_owned(), holder: holder(name) },
        _ => Error::Io { name: name.to_owned(), source },
    };
    let address = SocketAddr::from_abstract_name(name).map_err(failed)?;
    let listener = StdListener::bind_addr(&address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    UnixListener::from_std(listener).map_err(failed)
}

/// Serves everybody that there is a place for, each in a task of its own.
pub(super) fn serve<S>(
    listener: UnixListener,
    places: &Places,
    lookers: Option<Gid>,
    visit: impl Fn(UnixStream, Peer) -> S + 'static,
) where
    S: Future<Output = ()> + 'static,
{
    let (all, others) = (Seats::of(places.all), Seats::of(places.others));
    spawn_local(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "a mount tool cannot be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Some(peer) = peer(&stream, lookers) else { continue };
            let is_root = peer.rights == Rights::All;
            let seats = (all.take(), if is_root { None } else { Some(others.take()) });
            let (Some(seat), None | Some(Some(_))) = (seats.0, &seats.1) else {
                debug!(pid = peer.pid, program = peer.program, "too many mount tools at a time");
                continue;
            };
            let visit = visit(stream, peer);
            spawn_local(async move {
                let _seats = (seat, seats.1);
                visit.await;
            });
        }
    });
}

fn peer(stream: &UnixStream, lookers: Option<Gid>) -> Option<Peer> {
    let peer = stream.peer_cred().map_err(|error| debug!(%error, "a mount tool without credentials")).ok()?;
    let pid = peer.pid().unwrap_or(0);
    let rights = match lookers {
        _ if peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw() => Rights::All,
        Some(group) if peer.gid() == group.as_raw() || is_in_group(pid, peer.uid(), group) => Rights::Lists,
        Some(_) | None => Rights::Nothing,
    };
    Some(Peer { pid, program: program(pid), rights })
}

/// Whether that process is a member by one of its supplementary groups, which the socket does not tell.
fn is_in_group(pid: i32, uid: u32, group: Gid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let has = |list: Option<&str>, wanted: u32| {
        list.is_some_and(|list| list.split_ascii_whitespace().any(|one| one.parse() == Ok(wanted)))
    };
    has(line("Uid:"), uid) && has(line("Groups:"), group.as_raw())
}

fn program(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| "a program".to_owned(), |name| name.trim().escape_debug().to_string())
}

/// Who listens there: the kernel tells whoever connects.
fn holder(name: &str) -> String {
    let pid = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
        connect(probe.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).ok()?).ok()?;
        Some(getsockopt(&probe, PeerCredentials).ok()?.pid()).filter(|pid| *pid != 0)
    };
    pid().map_or_else(|| "another program".to_owned(), |pid| format!("{} (pid {pid})", program(pid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::runtime;

    fn within<T>(work: impl FnOnce() -> T) -> T {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        work()
    }

    #[test]
    fn a_name_that_is_taken_is_refused_with_who_has_it() {
        let name = format!("o2cpg-test-listen-{}", std::process::id());
        within(|| {
            let first = bind(&name).unwrap();
            let refused = bind(&name).expect_err("two listeners");
            let text = refused.to_string();
            assert!(matches!(refused, Error::Taken { .. }), "{text}");
            assert!(text.contains(&format!("(pid {})", std::process::id())) && text.contains(&name), "{text}");
            drop(first);
            bind(&name).expect("nothing stays of an abstract name");
        });
    }

    #[test]
    fn the_name_ends_with_its_last_letter() {
        let name = format!("o2cpg-test-name-{}", std::process::id());
        within(|| {
            let _listener = bind(&name).unwrap();
            let connect = |name: &str| {
                std::os::unix::net::UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap())
            };
            connect(&name).unwrap();
            let with_nul = connect(&format!("{name}\0")).expect_err("another name");
            assert_eq!(with_nul.kind(), ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    fn supplementary_groups_are_those_of_the_process() {
        let (pid, uid) = (std::process::id().cast_signed(), nix::unistd::geteuid().as_raw());
        let groups = nix::unistd::getgroups().unwrap();
        assert!(groups.iter().all(|group| is_in_group(pid, uid, *group)));
        assert!(!is_in_group(pid, uid, Gid::from_raw(3_999_999_999)));
        assert!(!is_in_group(0, uid, Gid::from_raw(0)) && !is_in_group(pid, 3_999_999_999, Gid::from_raw(0)));
    }
}
