//! dlm_controld, which lets the recovery of a lockspace wait until ocfs2 of this kernel knows of a death.
//!
//! Two abstract stream sockets: `dlmc_sock` takes commands, `dlmc_query_sock` answers one question for each connection. A message is
//! one header, and so is its answer, with something behind it for a question; numbers in the order of the machine:
//!
//! | at | | |
//! |---|---|---|
//! | 0 | magic, u32 | 0xD13CD13C |
//! | 4 | version, u32 | 0x00010001; the upper half must be equal |
//! | 8 | command, u32 | as below |
//! | 12 | option, u32 | |
//! | 16 | length, u32 | 96, and what is behind it |
//! | 20 | data, i32 | the node; in an answer 0 or a negative errno |
//! | 24 | two unused u32 | |
//! | 32 | lockspace, 64 bytes | the volume's uuid in capital hex, ended by zeros |
//!
//! | command | | answers |
//! |---|---|---|
//! | 3 | lockspace, a question | ENOENT; at 0 the members of its last change that was completed, i32; at 48 what the next one waits for, i32: 4 is us |
//! | 4 | node, a question | ENOENT; at 4 flags, u32: 1 it is a member, 16 it failed, and we have not said that ocfs2 knows |
//! | 7 | register | 0; EALREADY; EOPNOTSUPP without enable_fscontrol. It holds until dlm_controld ends, also for lockspaces to come |
//! | 8 | unregister | none |
//! | 9 | notified | 0 |
//!
//! **Notified** must not be said while no change of the lockspace is completed, as in a mount that is under way: dlm_controld
//! reads through a null pointer. And it takes no word about a node that failed before it had completed its own join, though it
//! waits for one. In both cases unregistering lets it go on.
//!
//! Source: dlm 4.2, dlm_controld/main.c, cpg.c, dlm_controld.h, libdlmcontrol.h.

use agent_core::event::KernelRefusal;
use configfs::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use proto::peer::VolumeId;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tracing::warn;

const MAGIC: u32 = 0xD13C_D13C;
const VERSION: u32 = 0x0001_0001;
/// Length of a header.
const LEN: usize = 96;
/// Where the lockspace's name begins.
const NAME_AT: usize = 32;
/// What is read of the answer to a question: enough of the longest.
const BODY_LEN: usize = 52;
/// It stops the kernel's lockspaces between two messages, which takes as long as they need.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// corosync tells it of a failure when it tells us; so often and so long it is looked at until it has heard that.
const LOOKS: u32 = 25;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// It has taken a word by then, if it takes it.
const TAKEN_WITHIN: u32 = 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Lockspace = 3,
    Node = 4,
    Register = 7,
    Unregister = 8,
    Notified = 9,
}

impl Command {
    fn socket(self) -> &'static str {
        match self {
            Command::Lockspace | Command::Node => "dlmc_query_sock",
            Command::Register | Command::Unregister | Command::Notified => "dlmc_sock",
        }
    }
}

/// How a lockspace stands to a node that we say is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// A change of it was completed.
    is_started: bool,
    /// Of all that it could wait for, it waits for us.
    waits_for_us: bool,
    /// The node is a member.
    is_member: bool,
    /// The node has failed, and it has had no word.
    is_missed: bool,
}

/// What follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It waits for no word.
    Done,
    /// The failure is not seen, or something else comes first.
    Look,
    /// It takes the word now.
    Tell,
    /// It waits for a word that it does not take.
    Unregister,
}

impl Standing {
    fn next(self, told_before: Option<u32>) -> Next {
        match (self.is_missed, told_before) {
            (false, _) if self.is_member => Next::Look,
            (false, _) => Next::Done,
            (true, None) if self.is_started => Next::Tell,
            (true, None) if self.waits_for_us => Next::Unregister,
            (true, None) => Next::Look,
            (true, Some(looks)) if looks < TAKEN_WITHIN => Next::Look,
            (true, Some(_)) if self.waits_for_us => Next::Unregister,
            (true, Some(_)) => Next::Done, // it has the word, and waits for something else
        }
    }
}

/// Whenever a node fails in this lockspace, it waits for us.
pub(super) fn register(volume: VolumeId) -> Result<(), KernelRefusal> {
    match ask(Command::Register, volume, 0) {
        Ok(_) | Err(Errno::EALREADY) => Ok(()),
        Err(error) => Err(refused("register with", volume, error)),
    }
}

/// Its recovery from the failure of this node may go on.
pub(super) fn notified(volume: VolumeId, node: u32) -> Result<(), KernelRefusal> {
    match let_go_on(volume, i32::try_from(node).unwrap_or(i32::MAX)) {
        // There is no such lockspace, or dlm_controld is gone, and its lockspaces stand still until this node is off.
        Ok(()) | Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(()),
        Err(error) => Err(refused(&format!("tell that node {node} may be recovered in"), volume, error)),
    }
}

fn let_go_on(volume: VolumeId, node: i32) -> Result<(), Errno> {
    let mut told_before = None;
    for _ in 0..LOOKS {
        told_before = told_before.map(|looks| looks + 1);
        match standing(volume, node)?.next(told_before) {
            Next::Done => return Ok(()),
            Next::Look => std::thread::sleep(LOOK_AGAIN),
            Next::Tell => {
                ask(Command::Notified, volume, node)?;
                told_before = Some(0);
            }
            Next::Unregister => {
                warn!(%volume, node, "dlm_controld takes no word of this failure; until the next mount it waits for none");
                return tell(Command::Unregister, volume, 0).map(drop).map_err(|error| errno_of(&error));
            }
        }
    }
    Err(Errno::EAGAIN)
}

fn standing(volume: VolumeId, node: i32) -> Result<Standing, Errno> {
    let (lockspace, flags) = (ask(Command::Lockspace, volume, 0)?, ask(Command::Node, volume, node)?);
    Ok(standing_of(&lockspace, &flags))
}

fn standing_of(lockspace: &[u8], node: &[u8]) -> Standing {
    let (completed, waits_for, flags) = (number(lockspace, 0), number(lockspace, 48), number(node, 4));
    Standing {
        is_started: completed > 0,
        waits_for_us: waits_for == 4,
        is_member: flags & 1 != 0,
        is_missed: flags & 16 != 0,
    }
}

/// What is behind the header of the answer; nothing, if that is one.
fn ask(command: Command, volume: VolumeId, data: i32) -> Result<Vec<u8>, Errno> {
    let exchange = || {
        let mut stream = tell(command, volume, data)?;
        let mut answer = [0; LEN];
        stream.read_exact(&mut answer)?;
        let mut body = Vec::new();
        if command.socket() != Command::Register.socket() {
            stream.take(BODY_LEN as u64).read_to_end(&mut body)?;
        }
        Ok((answer, body))
    };
    let (answer, body) = exchange().map_err(|error: io::Error| errno_of(&error))?;
    result_of(command, &answer).map(|()| body)
}

/// The system's EAGAIN is a time that is over, and not dlm_controld's.
fn errno_of(error: &io::Error) -> Errno {
    match Errno::of(error) {
        Errno::EAGAIN => Errno::ETIMEDOUT,
        other => other,
    }
}

/// A full queue of connections is a no, and not a wait without end.
fn tell(command: Command, volume: VolumeId, data: i32) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new_abstract(command.socket().as_bytes())?)?;
    let mut stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&header(command, volume, data))?;
    Ok(stream)
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

/// 0 where there is none.
fn number(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| i32::from_ne_bytes(*word))
}

fn result_of(command: Command, answer: &[u8; LEN]) -> Result<(), Errno> {
    let word = |at: usize| u32::from_ne_bytes(number(answer, at).to_ne_bytes());
    if word(0) != MAGIC || word(4) >> 16 != VERSION >> 16 || word(8) != command as u32 {
        return Err(Errno::EPROTO);
    }
    match number(answer, 20) {
        0.. => Ok(()),
        negative => Err(Errno(negative.wrapping_neg())),
    }
}

fn refused(what: &str, volume: VolumeId, error: Errno) -> KernelRefusal {
    let path = format!("@{}", Command::Register.socket());
    KernelRefusal { errno: error.0, path, what: format!("{what} dlm_controld (lockspace {volume})") }
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

    fn stands(is_started: bool, waits_for_us: bool, is_member: bool, is_missed: bool) -> Standing {
        Standing { is_started, waits_for_us, is_member, is_missed }
    }

    #[test]
    fn a_failure_is_told_once_it_is_seen_and_the_lockspace_has_started() {
        assert_eq!(stands(true, false, true, false).next(None), Next::Look, "not seen");
        assert_eq!(stands(true, true, false, true).next(None), Next::Tell);
        assert_eq!(stands(true, true, false, true).next(Some(1)), Next::Look, "it is about to take it");
        assert_eq!(stands(true, false, false, false).next(Some(1)), Next::Done);
        assert_eq!(stands(true, false, false, true).next(Some(TAKEN_WITHIN)), Next::Done, "it waits for a fence");
        assert_eq!(stands(true, false, false, false).next(None), Next::Done, "it never failed here");
    }

    #[test]
    fn a_lockspace_that_has_not_started_is_told_nothing() {
        assert_eq!(stands(false, false, true, false).next(None), Next::Look);
        assert_eq!(stands(false, false, false, true).next(None), Next::Look, "something else comes first");
        assert_eq!(stands(false, true, false, true).next(None), Next::Unregister);
    }

    #[test]
    fn who_failed_in_its_own_join_is_waited_for_in_vain() {
        assert_eq!(stands(true, true, false, true).next(Some(TAKEN_WITHIN)), Next::Unregister);
    }

    #[test]
    fn the_answers_to_questions_are_read_where_they_are() {
        let mut lockspace = [0; BODY_LEN];
        lockspace[0..4].copy_from_slice(&3i32.to_ne_bytes());
        lockspace[48..52].copy_from_slice(&4i32.to_ne_bytes());
        let node = [3i32, 1 + 16].map(i32::to_ne_bytes).concat();
        assert_eq!(standing_of(&lockspace, &node), stands(true, true, true, true));
        assert_eq!(standing_of(&[], &[]), stands(false, false, false, false));
    }
}
