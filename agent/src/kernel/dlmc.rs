//! dlm_controld, which lets the recovery of a lockspace wait until ocfs2 of this kernel knows of a death.
//!
//! The abstract stream socket `dlmc_sock`. A message is one header, and so is its answer; numbers in the order of the machine:
//!
//! | at | | |
//! |---|---|---|
//! | 0 | magic, u32 | 0xD13CD13C |
//! | 4 | version, u32 | 0x00010001; the upper half must be equal |
//! | 8 | command, u32 | 7 register, 9 notified |
//! | 12 | option, u32 | |
//! | 16 | length, u32 | 96, of all of it |
//! | 20 | data, i32 | notified: the node; in an answer 0 or a negative errno |
//! | 24 | two unused u32 | |
//! | 32 | lockspace, 64 bytes | the volume's uuid in capital hex, ended by zeros |
//!
//! | command | answers |
//! |---|---|
//! | register | 0; EALREADY; EOPNOTSUPP without enable_fscontrol. It holds until dlm_controld ends, also for lockspaces to come |
//! | notified | 0, also where the node is not in the lockspace; EAGAIN: its failure has not been seen; ESRCH: it never was in it; ENOENT: there is no such lockspace |
//!
//! Source: dlm 4.2, dlm_controld/main.c, cpg.c, dlm_controld.h.

use agent_core::event::KernelRefusal;
use configfs::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use proto::peer::VolumeId;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The name of the socket, as in the abstract namespace.
const SOCKET: &str = "dlmc_sock";
const MAGIC: u32 = 0xD13C_D13C;
const VERSION: u32 = 0x0001_0001;
/// Length of a header.
const LEN: usize = 96;
/// Where the lockspace's name begins.
const NAME_AT: usize = 32;
/// It stops the kernel's lockspaces between two messages, which takes as long as they need.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// corosync tells it of a failure when it tells us; so often and so long it is asked until it has heard that.
const TRIES: u32 = 25;
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Register = 7,
    Notified = 9,
}

/// Whenever a node fails in this lockspace, it waits for us.
pub(super) fn register(volume: VolumeId) -> Result<(), KernelRefusal> {
    match ask(Command::Register, volume, 0) {
        Ok(()) | Err(Errno(errno::ALREADY)) => Ok(()),
        Err(error) => Err(refused("register with", volume, error)),
    }
}

/// Its recovery from the failure of this node may go on.
pub(super) fn notified(volume: VolumeId, node: u32) -> Result<(), KernelRefusal> {
    let node_id = i32::try_from(node).unwrap_or(i32::MAX);
    let mut answer = ask(Command::Notified, volume, node_id);
    for _ in 1..TRIES {
        if answer != Err(Errno(errno::AGAIN)) {
            break;
        }
        std::thread::sleep(TRY_AGAIN);
        answer = ask(Command::Notified, volume, node_id);
    }
    match answer {
        // It knows of nothing that would wait, or it is gone, and its lockspaces stand still until this node is off.
        Ok(()) | Err(Errno(errno::SRCH | errno::NOENT | errno::CONNREFUSED)) => Ok(()),
        Err(error) => Err(refused(&format!("tell that node {node} may be recovered in"), volume, error)),
    }
}

mod errno {
    pub(super) const NOENT: i32 = 2;
    pub(super) const SRCH: i32 = 3;
    pub(super) const IO: i32 = 5;
    pub(super) const AGAIN: i32 = 11;
    pub(super) const PROTO: i32 = 71;
    pub(super) const TIMEDOUT: i32 = 110;
    pub(super) const CONNREFUSED: i32 = 111;
    pub(super) const ALREADY: i32 = 114;
}

fn ask(command: Command, volume: VolumeId, data: i32) -> Result<(), Errno> {
    let answer = exchange(&header(command, volume, data)).map_err(|error| errno_of(&error))?;
    result_of(command, &answer)
}

/// The system's EAGAIN is a time that is over, and not dlm_controld's.
fn errno_of(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        Some(errno::AGAIN) => Errno(errno::TIMEDOUT),
        other => Errno(other.unwrap_or(errno::IO)),
    }
}

/// A full queue of connections is a no, and not a wait without end.
fn exchange(message: &[u8; LEN]) -> io::Result<[u8; LEN]> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(SOCKET.as_bytes())?)?;
    let mut stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(message)?;
    let mut answer = [0; LEN];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn header(command: Command, volume: VolumeId, data: i32) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let words = [MAGIC, VERSION, command as u32, 0, LEN as u32].map(u32::to_ne_bytes);
    for (place, word) in bytes.chunks_exact_mut(4).zip(words.into_iter().chain([data.to_ne_bytes()])) {
        place.copy_from_slice(&word);
    }
    let name = volume.to_string();
    bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name.as_bytes());
    bytes
}

fn result_of(command: Command, answer: &[u8; LEN]) -> Result<(), Errno> {
    let at = |at: usize| answer[at..].first_chunk().copied().unwrap_or_default();
    let word = |place: usize| u32::from_ne_bytes(at(place));
    if word(0) != MAGIC || word(4) >> 16 != VERSION >> 16 || word(8) != command as u32 {
        return Err(Errno(errno::PROTO));
    }
    match i32::from_ne_bytes(at(20)) {
        0.. => Ok(()),
        negative => Err(Errno(negative.wrapping_neg())),
    }
}

fn refused(what: &str, volume: VolumeId, error: Errno) -> KernelRefusal {
    KernelRefusal {
        errno: error.0,
        path: format!("@{SOCKET}"),
        what: format!("{what} dlm_controld (lockspace {volume})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: VolumeId = VolumeId([0xa0; 16]);

    fn answer(command: Command, data: i32) -> [u8; LEN] {
        header(command, VOLUME, data)
    }

    #[test]
    fn a_message_is_laid_out_as_dlm_controld_reads_it() {
        let bytes = header(Command::Notified, VOLUME, 3);
        let words: Vec<u32> =
            bytes[..32].chunks_exact(4).map(|it| u32::from_ne_bytes(it.try_into().unwrap())).collect();
        assert_eq!(words, [0xD13C_D13C, 0x0001_0001, 9, 0, 96, 3, 0, 0]);
        assert_eq!(&bytes[32..64], "A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0".as_bytes());
        assert_eq!(bytes[64..], [0; 32]);
    }

    #[test]
    fn an_answer_is_zero_or_an_errno_of_this_very_command() {
        assert_eq!(result_of(Command::Register, &answer(Command::Register, 0)), Ok(()));
        assert_eq!(result_of(Command::Notified, &answer(Command::Notified, -11)), Err(Errno(11)));
        assert_eq!(result_of(Command::Notified, &answer(Command::Register, 0)), Err(Errno(71)));
        assert_eq!(result_of(Command::Register, &[0; LEN]), Err(Errno(71)));
        assert_eq!(result_of(Command::Register, &answer(Command::Register, i32::MIN)), Err(Errno(i32::MIN)));
    }
}
