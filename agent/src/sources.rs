//! Small tasks that each watch one thing and put what they see into the queue: signals, the mount table, configfs.

use crate::inputs::Input;
use crate::kernel::{Kernel, Watch};
use agent_core::Event;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tracing::{debug, warn};

/// A batch of ours raises some twenty events in configfs: the first is a look, and the rest together are one more.
const SETTLE: Duration = Duration::from_millis(50);

/// Bytes of one uevent. Source: linux include/linux/kobject.h, UEVENT_BUFFER_SIZE is 2048, and a header of a path.
const UEVENT_LEN_MAX: usize = 8192;
/// Multicast group of what the kernel itself says; 2 is udev's.
const UEVENTS_OF_THE_KERNEL: u32 = 1;
/// In every uevent of a lockspace.
const DLM_PATH: &[u8] = b"/kernel/dlm/";

/// SIGTERM and SIGINT ask the daemon to end, SIGHUP to read its file again, SIGUSR1 calls `dump`.
pub(crate) fn signals(queue: &mpsc::Sender<Input>, dump: impl Fn() + 'static) -> io::Result<()> {
    for (kind, by) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")] {
        on_signal(signal(kind)?, queue.clone(), move || Input::Event(Event::StopAsked { by: by.into() }));
    }
    on_signal(signal(SignalKind::hangup())?, queue.clone(), || Input::ReadSettings);
    let mut usr1 = signal(SignalKind::user_defined1())?;
    spawn_local(async move {
        while usr1.recv().await.is_some() {
            dump();
        }
    });
    Ok(())
}

fn on_signal(mut signal: Signal, queue: mpsc::Sender<Input>, input: impl Fn() -> Input + 'static) {
    spawn_local(async move {
        while signal.recv().await.is_some() {
            if queue.send(input()).await.is_err() {
                return;
            }
        }
    });
}

/// What is called with news of which only the newest count.
pub(crate) fn newest<T>(queue: &mpsc::Sender<Input>, event: fn(T) -> Event) -> impl Fn(T) + 'static
where
    T: Clone + Default + 'static,
{
    let (news, mut newest) = watch::channel(T::default());
    let queue = queue.clone();
    spawn_local(async move {
        while newest.changed().await.is_ok() {
            let value = newest.borrow_and_update().clone();
            if queue.send(Input::Event(event(value))).await.is_err() {
                return;
            }
        }
    });
    move |value| _ = news.send_replace(value)
}

/// The kernel raises POLLPRI on an open mountinfo when the mount table has changed (proc(5)).
pub(crate) fn mount_table(kernel: Kernel) {
    let file = File::open("/proc/self/mountinfo");
    match file.and_then(|file| watched(file, Interest::PRIORITY | Interest::ERROR)) {
        Ok(file) => drop(spawn_local(async move {
            while let Ok(mut ready) = file.ready(Interest::PRIORITY | Interest::ERROR).await {
                ready.clear_ready();
                kernel.look(false);
            }
        })),
        Err(error) => warn!(%error, "the mount table is not watched, only looked at now and then"),
    }
}

/// Others write into configfs too.
pub(crate) fn configfs(watch: Watch, kernel: Kernel) {
    match watched(watch, Interest::READABLE) {
        Ok(watch) => drop(spawn_local(async move {
            while let Ok(mut ready) = watch.readable().await {
                ready.clear_ready();
                watch.get_ref().drain();
                kernel.look(false);
                tokio::time::sleep(SETTLE).await;
            }
        })),
        Err(error) => debug!(%error, "configfs is not watched"),
    }
}

/// The kernel's DLM tells of each lockspace that comes or goes, in a line `ACTION@/kernel/dlm/NAME` (netlink(7),
/// NETLINK_KOBJECT_UEVENT, group 1). Nobody has to ask it anything.
pub(crate) fn lockspaces(kernel: Kernel) {
    match device_events().and_then(|socket| watched(socket, Interest::READABLE)) {
        Ok(socket) => drop(spawn_local(async move {
            while let Ok(mut ready) = socket.readable().await {
                let is_due = take_all(|event| recv(socket.as_raw_fd(), event, MsgFlags::MSG_DONTWAIT));
                ready.clear_ready();
                if is_due {
                    kernel.look(false);
                }
            }
        })),
        Err(error) => debug!(%error, "lockspaces are not watched, only looked at now and then"),
    }
}

/// Takes every event that waits; whether one of them may be of a lockspace.
fn take_all(mut receive: impl FnMut(&mut [u8]) -> nix::Result<usize>) -> bool {
    let mut event = [0; UEVENT_LEN_MAX];
    let mut is_due = false;
    loop {
        match receive(&mut event) {
            Ok(len) => is_due |= event[..len].windows(DLM_PATH.len()).any(|part| part == DLM_PATH),
            // Some were dropped because there were too many, and those before them wait still. Readiness comes only with
            // the first event of an empty queue, so none may stay.
            Err(Errno::ENOBUFS | Errno::EINTR) => is_due = true,
            Err(_) => return is_due,
        }
    }
}

fn device_events() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, UEVENTS_OF_THE_KERNEL))?;
    Ok(socket)
}

/// Takes the descriptor over; it stays open as long as it is watched.
#[expect(deprecated, reason = "its successor is unsafe for types that give their descriptor away; ours do not")]
fn watched<T: AsRawFd>(source: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(source, interest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_means_a_look_and_what_waits_behind_it_is_taken() {
        let takes = |answers: &[nix::Result<&[u8]>]| {
            let mut answers = answers.iter();
            let is_due = take_all(|event| {
                let bytes = (*answers.next().unwrap_or(&Err(Errno::EAGAIN)))?;
                event[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            });
            (is_due, answers.len())
        };
        let (dlm, other) = (b"add@/kernel/dlm/A0\0".as_slice(), b"add@/kernel/slab/x\0".as_slice());
        assert_eq!(takes(&[Ok(other), Ok(other)]), (false, 0));
        assert_eq!(takes(&[Ok(other), Ok(dlm)]), (true, 0));
        assert_eq!(takes(&[Ok(other), Err(Errno::ENOBUFS), Ok(other), Err(Errno::EINTR), Ok(other)]), (true, 0));
        assert_eq!(takes(&[Err(Errno::EBADF), Ok(dlm)]), (false, 1));
    }
}
