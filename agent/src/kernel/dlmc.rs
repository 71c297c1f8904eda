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
//! | 4 | node, a question | ENOENT, also where it has not heard of the node; at 4 flags, u32: 1 it is a member, 16 it failed, and we have not said that ocfs2 knows |
//! | 7 | register | 0; EALREADY; EOPNOTSUPP without enable_fscontrol. It holds until dlm_controld ends, also for lockspaces to come |
//! | 8 | unregister | none |
//! | 9 | notified | 0 |
//!
//! **Notified** must not be said while no change of the lockspace is completed, as in a mount that is under way: dlm_controld
//! reads through a null pointer. And it takes no word about a node that failed before it had completed its own join, though it
//! waits for one. What follows from that is decided by the core (`agent_core::words`); here is only said what it says.
//!
//! Source: dlm 4.2, dlm_controld/main.c, cpg.c, dlm_controld.h, libdlmcontrol.h.

use agent_core::event::{KernelRefusal, Lockspace};
use agent_core::ids::NodeId;
use configfs::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

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

/// Whenever a node fails in this lockspace, it waits for us.
pub(super) fn register(volume: VolumeId) -> Result<(), KernelRefusal> {
    match ask(Command::Register, volume, 0) {
        Ok(_) | Err(Errno::EALREADY) => Ok(()),
        Err(error) => Err(refused("register with", volume, error)),
    }
}

/// Its recovery from the failure of this node may go on.
pub(super) fn notified(volume: VolumeId, node: u32) -> Result<(), KernelRefusal> {
    let told = nodeid(node).and_then(|node| ask(Command::Notified, volume, node));
    nobody_there(told)
        .map_err(|error| refused(&format!("tell that node {node} may be recovered in"), volume, error))?;
    Ok(())
}

/// It goes on without us, whatever fails, until it is registered anew.
pub(super) fn unregister(volume: VolumeId) -> Result<(), KernelRefusal> {
    let told = tell(Command::Unregister, volume, 0).map(drop).map_err(|error| errno_of(&error));
    nobody_there(told).map_err(|error| refused("unregister from", volume, error))?;
    Ok(())
}

/// How a lockspace stands to a node, or why that is not known.
type Standing = Result<Option<Lockspace>, KernelRefusal>;

/// How these lockspaces stand to this node.
pub(super) fn look(volumes: BTreeSet<VolumeId>, node: NodeId) -> Vec<(VolumeId, Standing)> {
    look_with(volumes, node, |volume| look_at(volume, node))
}

/// Who has been silent to one question is not asked the next: each costs [`ANSWER_WITHIN`], in which nothing else is done.
fn look_with(
    volumes: BTreeSet<VolumeId>,
    node: NodeId,
    look_at: impl Fn(VolumeId) -> Result<Lockspace, Errno>,
) -> Vec<(VolumeId, Standing)> {
    let mut is_silent = false;
    let mut standing = |volume| {
        let found = if is_silent { Err(Errno::ETIMEDOUT) } else { look_at(volume) };
        is_silent |= found == Err(Errno::ETIMEDOUT);
        nobody_there(found).map_err(|error| refused(&format!("ask about node {node}"), volume, error))
    };
    volumes.into_iter().map(|volume| (volume, standing(volume))).collect()
}

fn look_at(volume: VolumeId, node: NodeId) -> Result<Lockspace, Errno> {
    let lockspace = ask(Command::Lockspace, volume, 0)?;
    let node = nobody_there(ask(Command::Node, volume, nodeid(node.0)?))?; // it may have heard of no node yet
    Ok(standing(&lockspace, &node.unwrap_or_default()))
}

fn nodeid(node: u32) -> Result<i32, Errno> {
    i32::try_from(node).map_err(|_| Errno::ERANGE)
}

/// There is no such lockspace, or dlm_controld is gone, and its lockspaces stand still until this node is off.
fn nobody_there<T>(answer: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match answer {
        Ok(it) => Ok(Some(it)),
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(error) => Err(error),
    }
}

fn standing(lockspace: &[u8], node: &[u8]) -> Lockspace {
    let (completed, waits_for, flags) = (number(lockspace, 0), number(lockspace, 48), number(node, 4));
    Lockspace {
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

    #[test]
    fn where_nobody_is_there_is_nothing_to_say() {
        assert_eq!(nobody_there(Ok(1)), Ok(Some(1)));
        assert_eq!(nobody_there::<()>(Err(Errno::ENOENT)), Ok(None));
        assert_eq!(nobody_there::<()>(Err(Errno::ECONNREFUSED)), Ok(None));
        assert_eq!(nobody_there::<()>(Err(Errno::ETIMEDOUT)), Err(Errno::ETIMEDOUT));
        assert_eq!(nodeid(u32::MAX), Err(Errno::ERANGE));
    }

    #[test]
    fn who_is_silent_is_asked_once_for_all_volumes() {
        let volumes: BTreeSet<VolumeId> = (1..=3).map(|byte| VolumeId([byte; 16])).collect();
        let asked = std::cell::Cell::new(0);
        let look = |answer: Result<Lockspace, Errno>| {
            asked.set(0);
            look_with(volumes.clone(), NodeId(3), |_| {
                asked.set(asked.get() + 1);
                answer
            })
        };
        let seen = look(Err(Errno::ETIMEDOUT));
        assert_eq!((asked.get(), seen.len()), (1, 3));
        assert!(seen.iter().all(|(volume, standing)| {
            let refusal = standing.as_ref().unwrap_err();
            refusal.errno == 110 && refusal.what.contains(&volume.to_string())
        }));
        assert!(look(Err(Errno::ENOENT)).iter().all(|(_, standing)| standing == &Ok(None)));
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn the_answers_to_questions_are_read_where_they_are() {
        let mut lockspace = [0; BODY_LEN];
        lockspace[0..4].copy_from_slice(&3i32.to_ne_bytes());
        lockspace[48..52].copy_from_slice(&4i32.to_ne_bytes());
        let node = [3i32, 1 + 16].map(i32::to_ne_bytes).concat();
        let all = Lockspace { is_started: true, waits_for_us: true, is_member: true, is_missed: true };
        assert_eq!(standing(&lockspace, &node), all);
        assert_eq!(standing(&[], &[]), Lockspace::default());
    }
}
