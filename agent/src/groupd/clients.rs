//! The client socket: who may connect, how many, and one task for each that cuts its bytes into frames.
//!
//! A client that sends half a frame, floods, never reads or dies costs its own task only. Frames of all go into one
//! bounded queue whose waiting senders are served in turn, so a flood has one place among the others.

use super::outbox::{Ended, Outbox};
use groupd_compat::frame::{FRAME_LEN, Frame, FrameReader};
use groupd_compat::ids::ClientId;
use groupd_compat::machine::{Access, Caller};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::unix::ReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::timeout;
use tracing::{debug, warn};

/// Clients at a time; more wait in the listen queue.
const CLIENTS_MAX: usize = 512;
/// What clients have said and the server has not taken up. Small, so that nobody waits long behind a flood.
const INPUTS_MAX: usize = 64;
/// Frames read at once.
const FRAMES_READ: usize = 8;
/// After an accept that failed (no descriptors left), to give somebody time to close one.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// How long a client that has closed its side may take to read its last answers.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a client did.
#[derive(Debug)]
pub(super) enum Input {
    /// It connected.
    Came(ClientId, Caller),
    /// It sent a frame.
    Asked(ClientId, Frame),
    /// It is gone; its frames came before.
    Gone(ClientId),
}

/// The clients of one server, as it writes to them. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    seats: Rc<RefCell<BTreeMap<ClientId, Seat>>>,
}

/// One client.
#[derive(Debug)]
struct Seat {
    outbox: Rc<Outbox>,
    /// Its process when it connected, for people.
    pid: Option<i32>,
}

/// Accepts for as long as it lives; with it all connections end.
#[derive(Debug)]
pub(super) struct Door(JoinHandle<()>);

/// Who may connect besides root and our own user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readers(pub(super) Option<u32>);

/// Listens on an abstract socket: its name is `@NAME` in tools, without any NUL behind it.
pub(super) fn listen(name: &str) -> io::Result<Rc<UnixListener>> {
    let listener = StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(Rc::new)
}

impl Clients {
    /// Begins to accept. Client ids go on after `last`, so that none is used twice in the life of the process.
    pub(super) fn accept(
        &self,
        listener: Rc<UnixListener>,
        readers: Readers,
        last: Rc<Cell<u64>>,
    ) -> (Door, mpsc::Receiver<Input>) {
        let (said, inputs) = mpsc::channel(INPUTS_MAX);
        let clients = self.clone();
        let door = Door(spawn_local(async move {
            let mut tasks = JoinSet::new();
            loop {
                tokio::select! {
                    _ = tasks.join_next(), if !tasks.is_empty() => {}
                    come = listener.accept(), if tasks.len() < CLIENTS_MAX => match come {
                        Ok((stream, _)) => {
                            if let Some(caller) = caller(&stream, readers) {
                                let client = next(&last);
                                let served = clients.clone().serve(stream, client, caller, said.clone());
                                tasks.spawn_local(served);
                            }
                        }
                        Err(error) => {
                            warn!(%error, "a groupd client cannot be accepted");
                            tokio::time::sleep(ACCEPT_AGAIN).await;
                        }
                    },
                }
            }
        }));
        (door, inputs)
    }

    /// Bytes for a client; nothing if it is gone.
    pub(super) fn send(&self, client: ClientId, bytes: &[u8]) {
        self.with(client, |outbox| outbox.push(bytes));
    }

    /// The same for an answer.
    pub(super) fn answer(&self, client: ClientId, bytes: Vec<u8>) {
        self.with(client, |outbox| outbox.push_owned(bytes));
    }

    /// Closes a connection behind what was sent.
    pub(super) fn close(&self, client: ClientId) {
        self.with(client, Outbox::close);
    }

    /// Takes no frame from this client until [`Clients::release`].
    pub(super) fn hold(&self, client: ClientId) {
        self.with(client, Outbox::hold);
    }

    /// Takes frames again.
    pub(super) fn release(&self, client: ClientId) {
        self.with(client, Outbox::release);
    }

    /// The server knows that it is gone.
    pub(super) fn forget(&self, client: ClientId) {
        if let Some(seat) = self.seats.borrow_mut().remove(&client) {
            seat.outbox.close();
        }
    }

    /// Which process it is.
    pub(super) fn pid(&self, client: ClientId) -> Option<i32> {
        self.seats.borrow().get(&client)?.pid
    }

    fn with(&self, client: ClientId, act: impl FnOnce(&Outbox)) {
        if let Some(seat) = self.seats.borrow().get(&client) {
            act(&seat.outbox);
        }
    }

    async fn serve(self, mut stream: UnixStream, client: ClientId, caller: Caller, said: mpsc::Sender<Input>) {
        let outbox = Rc::new(Outbox::default());
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        self.seats.borrow_mut().insert(client, Seat { outbox: outbox.clone(), pid });
        if said.send(Input::Came(client, caller)).await.is_err() {
            return;
        }
        let (reader, writer) = stream.split();
        let ended = tokio::select! {
            ended = outbox.send(&writer) => Some(ended),
            () = hear(&reader, client, &outbox, &said) => None,
        };
        match &ended {
            Some(Ended::Overfull) => warn!(%client, "a groupd client does not read, and is dropped"),
            ended => debug!(%client, ?ended, "groupd client gone"),
        }
        if said.send(Input::Gone(client)).await.is_ok() && ended.is_none() {
            // Its last questions are answered first: `forget` closes the outbox, and that ends the sending.
            _ = timeout(FAREWELL, outbox.send(&writer)).await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn next(last: &Cell<u64>) -> ClientId {
    last.set(last.get() + 1);
    ClientId(last.get())
}

/// Hands over frames until the client ends. Half a frame stays here, and is dropped with its client.
async fn hear(from: &ReadHalf<'_>, client: ClientId, outbox: &Outbox, said: &mpsc::Sender<Input>) {
    let (mut frames, mut buffer) = (FrameReader::default(), vec![0; FRAMES_READ * FRAME_LEN]);
    loop {
        outbox.may_ask().await;
        if from.readable().await.is_err() {
            return;
        }
        let mut bytes = match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        while let Some(frame) = frames.next_frame(&mut bytes) {
            outbox.may_ask().await;
            if said.send(Input::Asked(client, frame)).await.is_err() {
                return;
            }
        }
    }
}

fn caller(stream: &UnixStream, readers: Readers) -> Option<Caller> {
    let peer = stream.peer_cred().map_err(|error| debug!(%error, "a groupd client without credentials")).ok()?;
    let access = access(peer.uid(), peer.gid(), nix::unistd::geteuid().as_raw(), readers);
    debug!(uid = peer.uid(), pid = peer.pid(), ?access, "groupd client");
    Some(Caller { uid: peer.uid(), access: access? })
}

/// An abstract socket has no mode: the kernel's word on who connects is the only door. The group that counts is the one
/// the client runs as, because only that one comes with the connection.
fn access(uid: u32, gid: u32, me: u32, Readers(readers): Readers) -> Option<Access> {
    if uid == 0 || uid == me { Some(Access::Full) } else { (readers == Some(gid)).then_some(Access::Queries) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    fn frame(text: &str) -> [u8; FRAME_LEN] {
        *Frame::new(text.as_bytes(), b"").unwrap().as_bytes()
    }

    /// A door of its own for each test, and clients that come through it.
    struct House {
        name: String,
        clients: Clients,
        inputs: mpsc::Receiver<Input>,
        _door: Door,
    }

    impl House {
        fn new(test: &str) -> House {
            let name = format!("groupd-{test}-{}", std::process::id());
            let (clients, listener) = (Clients::default(), listen(&name).unwrap());
            let (door, inputs) = clients.accept(listener, Readers(None), Rc::default());
            House { name, clients, inputs, _door: door }
        }

        async fn connect(&mut self) -> (ClientId, UnixStream) {
            let address = SocketAddr::from_abstract_name(&self.name).unwrap();
            let stream = std::os::unix::net::UnixStream::connect_addr(&address).unwrap();
            stream.set_nonblocking(true).unwrap();
            let Some(Input::Came(client, _)) = self.inputs.recv().await else { panic!("nobody came") };
            (client, UnixStream::from_std(stream).unwrap())
        }

        async fn asked(&mut self) -> (ClientId, String) {
            match self.inputs.recv().await {
                Some(Input::Asked(client, frame)) => (client, String::from_utf8(frame.text().to_vec()).unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn half_a_frame_delays_nobody_and_counts_when_it_is_whole() {
        LocalSet::new()
            .run_until(async {
                let mut house = House::new("half");
                let (slow, mut half) = house.connect().await;
                half.write_all(&frame("join a")[..100]).await.unwrap();
                let (quick, mut whole) = house.connect().await;
                whole.write_all(&frame("join b")).await.unwrap();
                assert_eq!(house.asked().await, (quick, "join b".into()));
                half.write_all(&frame("join a")[100..]).await.unwrap();
                assert_eq!(house.asked().await, (slow, "join a".into()));
            })
            .await;
    }

    #[tokio::test]
    async fn all_frames_of_a_client_that_closes_come_before_its_end() {
        LocalSet::new()
            .run_until(async {
                let mut house = House::new("close");
                let (client, mut stream) = house.connect().await;
                stream.write_all(&[frame("one"), frame("two"), frame("three")].concat()).await.unwrap();
                drop(stream);
                for text in ["one", "two", "three"] {
                    assert_eq!(house.asked().await, (client, text.into()));
                }
                assert!(matches!(house.inputs.recv().await, Some(Input::Gone(gone)) if gone == client));
            })
            .await;
    }

    #[tokio::test]
    async fn a_client_that_has_closed_its_side_still_reads_its_answer() {
        LocalSet::new()
            .run_until(async {
                let mut house = House::new("farewell");
                let (client, mut stream) = house.connect().await;
                stream.write_all(&frame("get_version")).await.unwrap();
                stream.shutdown().await.unwrap();
                house.asked().await;
                assert!(matches!(house.inputs.recv().await, Some(Input::Gone(_))));
                house.clients.send(client, b"answer");
                house.clients.forget(client);
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, b"answer");
            })
            .await;
    }

    #[tokio::test]
    async fn a_flood_has_one_place_among_the_others() {
        LocalSet::new()
            .run_until(async {
                let mut house = House::new("flood");
                let (flood, mut stream) = house.connect().await;
                let flooding = spawn_local(async move { while stream.write_all(&frame("flood")).await.is_ok() {} });
                for _ in 0..200 {
                    assert_eq!(house.asked().await.0, flood);
                }
                let (quiet, mut other) = {
                    let address = SocketAddr::from_abstract_name(&house.name).unwrap();
                    let stream = std::os::unix::net::UnixStream::connect_addr(&address).unwrap();
                    stream.set_nonblocking(true).unwrap();
                    (ClientId(flood.0 + 1), UnixStream::from_std(stream).unwrap())
                };
                other.write_all(&frame("quiet")).await.unwrap();
                let mut before = 0;
                loop {
                    match house.inputs.recv().await {
                        Some(Input::Asked(client, _)) if client == quiet => break,
                        Some(Input::Asked(..)) => before += 1,
                        _ => {}
                    }
                    assert!(before < 10 * INPUTS_MAX, "{before} frames of the flood went first");
                }
                flooding.abort();
            })
            .await;
    }

    #[test]
    fn root_and_our_own_user_may_all_a_group_may_look_others_nothing() {
        let readers = Readers(Some(113));
        assert_eq!(access(0, 5, 0, readers), Some(Access::Full));
        assert_eq!(access(1000, 5, 1000, readers), Some(Access::Full));
        assert_eq!(access(1001, 113, 0, readers), Some(Access::Queries));
        assert_eq!(access(1001, 5, 0, readers), None);
        assert_eq!(access(1001, 5, 0, Readers(None)), None);
    }
}
