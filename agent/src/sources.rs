//! Small tasks that each watch one thing and put what they see into the queue: signals, the mount table, configfs.

use crate::inputs::Input;
use crate::kernel::{Kernel, Watch};
use agent_core::Event;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tracing::{debug, warn};

/// A batch of ours raises some twenty events in configfs; they are one look.
const SETTLE: Duration = Duration::from_millis(50);

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

/// What is called with the groups of the legacy service's clients; only the newest list counts.
pub(crate) fn legacy_groups(queue: mpsc::Sender<Input>) -> impl Fn(Vec<String>) + 'static {
    let (news, mut newest) = watch::channel(Vec::new());
    spawn_local(async move {
        while newest.changed().await.is_ok() {
            let groups = newest.borrow_and_update().clone();
            if queue.send(Input::Event(Event::LegacyGroups(groups))).await.is_err() {
                return;
            }
        }
    });
    move |groups| _ = news.send_replace(groups)
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
                tokio::time::sleep(SETTLE).await;
                ready.clear_ready();
                watch.get_ref().drain();
                kernel.look(false);
            }
        })),
        Err(error) => debug!(%error, "configfs is not watched"),
    }
}

/// Takes the descriptor over; it stays open as long as it is watched.
#[expect(deprecated, reason = "its successor is unsafe for types that give their descriptor away; ours do not")]
fn watched<T: AsRawFd>(source: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(source, interest)
}
