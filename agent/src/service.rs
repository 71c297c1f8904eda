//! What the service manager is told (sd_notify(3)): READY, a line of status, signs of life.
//!
//! READY comes when the start is over: what was found is adopted, the control socket listens, and this node is in the
//! group, or refused, which a person has to look at. Without corosync there is neither; after [`PATIENCE`] the daemon
//! counts as started nevertheless, because it must not be ended for that: volumes may be mounted.
//!
//! A service manager that does not read is not waited for: what it finds no room for comes again.

use agent_core::ids::Tick;
use proto::control::api::{Status, agent::State};
use sd_notify::NotifyState;
use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tracing::debug;

/// How long READY is held back for corosync.
const PATIENCE: Duration = Duration::from_secs(20);
/// Waits that stand before this node is in the group.
const BEFORE_THE_GROUP: [&str; 6] = ["corosync", "corosync-stuck", "config", "join", "quorum-ring", "hello"];

/// One for the daemon.
pub(crate) struct Service {
    /// Where somebody listens.
    manager: Option<OsString>,
    watchdog: Option<Duration>,
    fed: Cell<Tick>,
    ready: Cell<bool>,
    line: RefCell<String>,
}

impl Service {
    pub(crate) fn new(now: Tick) -> Service {
        // What it keeps for us is not for the programs that we start.
        if let Err(error) = sd_notify::listen_fds_with_names(false) {
            debug!(%error, "what the service manager keeps for us is not as it says");
        }
        let mut usec = 0;
        let watched = sd_notify::watchdog_enabled(false, &mut usec);
        Service {
            manager: std::env::var_os("NOTIFY_SOCKET"),
            watchdog: watched.then(|| Duration::from_micros(usec)),
            fed: Cell::new(now),
            ready: Cell::new(false),
            line: RefCell::new(String::new()),
        }
    }

    /// How long the service manager waits for a sign of life, if it does.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether anybody wants to be told.
    pub(crate) fn listens(&self) -> bool {
        self.manager.is_some()
    }

    /// A sign of life. Called by the loop that does the work, so a loop that hangs gives none.
    pub(crate) fn feed_watchdog(&self, now: Tick) {
        let Some(within) = self.watchdog else { return };
        let third = u64::try_from(within.as_millis() / 3).unwrap_or(u64::MAX);
        if now.since(self.fed.get()) >= third.saturating_sub(1) {
            self.fed.set(now);
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// Tells what is new.
    pub(crate) fn tell(&self, status: &Status) {
        let line = line(status);
        if *self.line.borrow() != line && self.send(&[NotifyState::Status(&line)]) {
            *self.line.borrow_mut() = line;
        }
        if start_is_over(status) {
            self.ready();
        }
    }

    /// Whether it is told.
    fn ready(&self) -> bool {
        if !self.ready.get() {
            self.ready.set(self.send(&[NotifyState::Ready]));
        }
        self.ready.get()
    }

    /// Adoption is done and the control socket listens; the rest must not take for ever.
    pub(crate) fn lose_patience_later(self: &Rc<Self>) {
        let service = self.clone();
        spawn_local(async move {
            loop {
                tokio::time::sleep(PATIENCE).await;
                if service.ready() {
                    return;
                }
            }
        });
    }

    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// A descriptor that it keeps under this name is needed no more.
    pub(crate) fn give_up(&self, name: &str) {
        self.send(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }

    /// Whether it need not be said again: it was taken, or there is nobody to take it.
    fn send(&self, words: &[NotifyState<'_>]) -> bool {
        let Some(manager) = &self.manager else { return true };
        let message: String = words.iter().map(|word| format!("{word}\n")).collect();
        let sent = send(manager, message.as_bytes());
        if let Err(error) = &sent {
            debug!(%error, message, "the service manager does not listen");
        }
        !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// One message, or none where its queue is full. An address with `@` is abstract (sd_notify(3)).
fn send(manager: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(manager)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address).map(drop)
}

fn state(status: &Status) -> State {
    status.agent.as_ref().map_or(State::Starting, proto::control::api::Agent::state)
}

fn start_is_over(status: &Status) -> bool {
    let before_the_group = status.waits.iter().any(|wait| BEFORE_THE_GROUP.contains(&wait.kind.as_str()));
    match state(status) {
        State::Unspecified | State::Starting => false,
        State::Ready | State::Refused | State::Leaving => true,
        State::Waiting | State::Joining => !before_the_group,
    }
}

/// `ready: 3/3 nodes, table 4, pinned by 2 mounts`; `waiting: quorum: 1 of 3 nodes are here`.
fn line(status: &Status) -> String {
    let first_wait = status.waits.first().map(|wait| wait.text.as_str());
    match state(status) {
        State::Unspecified | State::Starting => "starting".into(),
        State::Leaving => "leaving".into(),
        State::Refused => {
            let first = status.troubles.first().map_or("", |trouble| trouble.what.as_str());
            format!("refused: {first}")
        }
        State::Waiting | State::Joining => format!("waiting: {}", first_wait.unwrap_or("the other members")),
        State::Ready => ready_line(status, first_wait),
    }
}

fn ready_line(status: &Status, first_wait: Option<&str>) -> String {
    let ready = status.nodes.iter().filter(|node| node.standing == "ready").count();
    let step = status.table.as_ref().map_or(0, |table| table.step);
    let mut line = format!("ready: {ready}/{} nodes, table {step}", status.nodes.len());
    let pins = status.pins.iter().filter(|pin| pin.node.is_empty());
    match (pins.clone().count(), pins.filter(|pin| pin.kind == "mounted").count()) {
        (0, _) => {}
        (all, mounts) if all == mounts => line += &format!(", pinned by {mounts} mounts"),
        (all, _) => line += &format!(", pinned by {all}"),
    }
    if let Some(wait) = first_wait {
        line += &format!("; waiting: {wait}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::control::api;

    fn status(state: State, waits: &[(&str, &str)]) -> Status {
        let wait = |(kind, text): &(&str, &str)| api::Wait {
            kind: (*kind).into(),
            text: (*text).into(),
            ..api::Wait::default()
        };
        let agent = Some(api::Agent { state: state.into(), ..api::Agent::default() });
        Status { agent, waits: waits.iter().map(wait).collect(), ..Status::default() }
    }

    #[test]
    fn a_ready_node_says_how_many_are_and_what_pins_it() {
        let node = |standing: &str| api::Node { standing: standing.into(), ..api::Node::default() };
        let pin = |kind: &str| api::Pin { kind: kind.into(), ..api::Pin::default() };
        let mut status = status(State::Ready, &[]);
        status.nodes = vec![node("ready"), node("ready"), node("gone")];
        status.table = Some(api::Table { step: 4, ..api::Table::default() });
        assert_eq!(line(&status), "ready: 2/3 nodes, table 4");
        status.pins = vec![pin("mounted"), pin("mounted")];
        assert_eq!(line(&status), "ready: 2/3 nodes, table 4, pinned by 2 mounts");
        status.pins.push(pin("token"));
        assert_eq!(line(&status), "ready: 2/3 nodes, table 4, pinned by 3");
    }

    #[test]
    fn a_node_in_the_group_has_started_even_without_quorum() {
        let waiting = status(State::Waiting, &[("quorum", "quorum: 1 of 3 nodes are here")]);
        assert!(start_is_over(&waiting));
        assert_eq!(line(&waiting), "waiting: quorum: 1 of 3 nodes are here");
    }

    #[test]
    fn without_corosync_the_start_is_not_over_but_with_a_refusal_it_is() {
        assert!(!start_is_over(&status(State::Waiting, &[("corosync", "corosync is not reachable: x")])));
        assert!(start_is_over(&status(State::Refused, &[])));
    }

    #[test]
    fn a_service_manager_that_does_not_read_is_not_waited_for_and_told_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("o2cpg-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}").into()),
        ];
        for (socket, address) in sockets {
            let service = Service {
                manager: Some(address),
                watchdog: None,
                fed: Cell::new(Tick(0)),
                ready: Cell::new(false),
                line: RefCell::default(),
            };
            // net.unix.max_dgram_qlen says how many; this many never fit into its receive buffer.
            assert!((0..1_000_000).any(|_| !service.send(&[NotifyState::Watchdog])));
            service.tell(&status(State::Refused, &[]));
            assert!(!service.ready.get() && service.line.borrow().is_empty());
            (0..2).for_each(|_| _ = socket.recv(&mut [0; 64]).unwrap());
            service.tell(&status(State::Refused, &[]));
            assert_eq!((service.ready.get(), service.line.borrow().as_str()), (true, "refused: "));
        }
    }
}
