//! groupd's service for programs that speak libgroup, next to daemons that may be the original: sockets and corosync
//! around the machine of `groupd-compat`.
//!
//! ```text
//! @groupd_socket ─ clients, outbox ─┐
//! corosync ─ cpg-glue ─ corosync.rs ┼─ server.rs: event → machine → perform ─ hands.rs ─┬─ cpg-glue, through cpgs.rs
//! signals, timer ───────────────────┘                                                  ├─ clients
//!                                                                                      └─ log, journal
//! ```
//!
//! It has a connection to corosync of its own, and runs on the thread that owns it: beside o2cpgd's loop
//! (`legacy.groupd`), or alone as the program `groupd` ([`alone`]). One life lasts as long as that connection; with it
//! all clients are dropped, because everything they were told belonged to it.

pub mod alone;
mod clients;
mod corosync;
mod cpgs;
mod hands;
mod journal;
mod levels;
mod lock_file;
mod outbox;
mod server;
mod wait_text;
mod waits;

pub(crate) use wait_text::Told;
pub(crate) use waits::WaitLine;

use agent_core::legacy::{LegacyRecovery, LegacyWait};
use clients::Readers;
use cpg_glue::Failure;
use groupd_compat::ids::CpgId;
use groupd_compat::machine::{Compat, Exit, Machine, OnClientDeath};
use levels::Levels;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group};
use server::{Order, Server, connect};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

/// The abstract name of the client socket.
pub const SOCKET: &str = "groupd_socket";
/// How long a silent daemon is waited for before it counts as an old one (`-w`).
pub const WAIT_MS: u64 = 5000;
/// How long all must be undecided before libcpg is proposed (`-d`).
pub const DELAY_MS: u64 = 2000;
/// Between two lives that ended by themselves.
const NEXT_LIFE: Duration = Duration::from_secs(1);

/// How long an end in good order may take: corosync's own bound and a little more.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// How it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Abstract name of the client socket.
    pub socket: String,
    /// groupd_compat.
    pub compat: Compat,
    /// [`WAIT_MS`].
    pub wait_ms: u64,
    /// [`DELAY_MS`].
    pub delay_ms: u64,
    /// What becomes of a dead client's groups.
    pub on_client_death: OnClientDeath,
    /// Who besides root may query.
    pub readers: Option<Gid>,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its socket: `EADDRINUSE` is another groupd.
    #[error("listening on the abstract socket @{name}")]
    Socket {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// corosync does not answer.
    #[error("no connection to corosync within {} s", alone::PATIENCE.as_secs())]
    Unconnected {
        /// The first call that failed.
        source: Option<Failure>,
    },
}

/// What outlasts one life.
struct Place {
    listener: Rc<UnixListener>,
    last_client: Rc<Cell<u64>>,
    /// There has been a life before.
    served: Cell<bool>,
    /// Where anybody wants to know.
    ears: Option<Ears>,
    told: Cell<(usize, CpgId)>,
    levels: RefCell<Levels>,
    waits: RefCell<Vec<LegacyWait>>,
}

/// Who is told what goes on in the service.
pub(crate) struct Ears {
    /// The groups of clients, whenever they change.
    pub(crate) groups: Box<dyn Fn(Vec<String>)>,
    /// Deaths that the service has seen, and what still recovers from them.
    pub(crate) recovery: Box<dyn Fn(LegacyRecovery)>,
    /// Groups that have stood still for too long, whenever one more does or one less.
    pub(crate) waits: Box<dyn Fn(Vec<LegacyWait>)>,
}

impl Place {
    fn take(name: &str, ears: Option<Ears>) -> Result<Place, Error> {
        let listener = clients::listen(name).map_err(|source| Error::Socket { name: name.to_owned(), source })?;
        let told = Cell::new((0, CpgId::CONTROL));
        Ok(Place {
            listener,
            last_client: Rc::default(),
            served: Cell::default(),
            ears,
            told,
            levels: RefCell::default(),
            waits: RefCell::default(),
        })
    }

    /// Says which groups there are and how far lower levels have recovered, if that has changed.
    fn tell(&self, machine: &Machine) {
        let Some(ears) = &self.ears else { return };
        let census = machine.census();
        if self.told.replace(census) != census {
            (ears.groups)(machine.keys().map(ToString::to_string).collect());
        }
        if let Some(word) = self.levels.borrow_mut().news(machine) {
            (ears.recovery)(word);
        }
    }

    /// Says which groups have stood still for too long, if that has changed.
    fn tell_waits(&self, long: Vec<LegacyWait>) {
        if let Some(ears) = self.ears.as_ref().filter(|_| *self.waits.borrow() != long) {
            (ears.waits)(long.clone());
            self.waits.replace(long);
        }
    }

    /// There are none any more.
    fn clear(&self) {
        self.tell_waits(Vec::new());
        if let (Some(ears), 1..) = (&self.ears, self.told.replace((0, CpgId::CONTROL)).0) {
            (ears.groups)(Vec::new());
        }
        self.levels.take();
    }
}

/// The server beside another loop of the same thread.
pub(crate) struct Service {
    orders: mpsc::Sender<Order>,
    lives: JoinHandle<()>,
}

/// Listens at once, and serves whenever corosync is there.
pub(crate) fn serve(options: Options, ears: Ears) -> Result<Service, Error> {
    more_descriptors();
    let place = Place::take(&options.socket, Some(ears))?;
    let (orders, taken) = mpsc::channel(1);
    Ok(Service { orders, lives: spawn_local(lives(options, place, taken)) })
}

impl Service {
    /// Ends it in good order. One that has got a group in this very moment is ended all the same, and the other nodes see
    /// that it died.
    pub(crate) async fn stop(mut self) {
        let in_good_order = async {
            _ = self.orders.send(Order::Stop).await;
            (&mut self.lives).await
        };
        match timeout(STOP_WITHIN, in_good_order).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "the groupd service has ended before"),
            Err(_) => {
                error!("the groupd service does not end, and is ended");
                self.lives.abort();
            }
        }
    }
}

async fn lives(options: Options, place: Place, mut orders: mpsc::Receiver<Order>) {
    loop {
        let connected = tokio::select! {
            connected = connect(None) => connected,
            _ = orders.recv() => return,
        };
        let Ok((glue, reports, me)) = connected else { return };
        let exit = Server::new(&options, &place, glue, reports, me).run(&mut orders).await;
        place.clear();
        match exit {
            Exit::Asked => return,
            Exit::CorosyncLost => info!("groupd's clients are dropped: corosync is gone"),
            Exit::MergedWithoutQuorum => warn!("groupd's clients are dropped: others went on while we had no quorum"),
            Exit::Overwhelmed => error!("groupd's clients are dropped: more changes at once than can be kept"),
        }
        tokio::time::sleep(NEXT_LIFE).await;
    }
}

/// Each group costs a descriptor, each client one; the soft limit of 1024 is for programs that use select.
fn more_descriptors() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!(%error, "the limit of descriptors stays");
    }
}

/// The group that may look, by its name; nobody if it does not exist.
fn group(name: &str) -> Option<Gid> {
    Group::from_name(name).ok().flatten().map(|group| group.gid)
}

impl Options {
    fn readers(&self) -> Readers {
        Readers(self.readers.map(Gid::as_raw))
    }
}
