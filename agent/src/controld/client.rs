//! One connection of the ocfs2_controld socket: a question, its answer, the next question. A tool holds on while its
//! mount(2) runs, which may take any time; what it fails to do holds up only itself.

use super::Counter;
use super::device::Lookups;
use super::listen::{Peer, Rights};
use super::message::{BLOCK_LEN, Block, decode, encode};
use crate::desk::Desk;
use agent_core::Event;
use agent_core::ids::ClientId;
use agent_core::mount_client::{MountAnswer, MountAsk};
use nix::errno::Errno;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

/// Messages that a client may send ahead of the answer to the first. Every known tool waits for each answer.
const AHEAD_MAX: usize = 4;
const RECEIVED_MAX: usize = AHEAD_MAX * BLOCK_LEN;
/// A message that has begun is whole by then.
const WHOLE_WITHIN: Duration = Duration::from_secs(10);
/// A client that does not take its answer for so long is closed.
const TAKE_WITHIN: Duration = Duration::from_secs(10);
/// A client that has nothing to hold on to and asks nothing for so long is closed.
const ASK_WITHIN: Duration = Duration::from_secs(300);
/// Questions that cannot be read or are not permitted; a client with more of them is closed.
const MISTAKES_MAX: usize = 16;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it.
    Gone,
    /// It sends without listening.
    Floods,
    /// It holds back the rest of a message, takes no answer, or has nothing to ask.
    Late,
    /// It asks only what it may not, or what nobody understands.
    Mistaken,
    /// The daemon ends.
    Ending,
}

/// The bytes of one client.
struct Inbox {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Inbox {
    fn take(&mut self) -> Option<Block> {
        let block = *self.received.first_chunk()?;
        self.received.drain(..BLOCK_LEN);
        Some(block)
    }

    /// Takes more bytes in. Safe to drop.
    async fn receive(&mut self) -> Result<(), End> {
        loop {
            self.stream.readable().await.map_err(|_| End::Gone)?;
            let mut chunk = [0; RECEIVED_MAX + 1];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(End::Gone),
                Ok(count) if self.received.len() + count > RECEIVED_MAX => return Err(End::Floods),
                Ok(count) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(End::Gone),
            }
        }
    }

    async fn receive_block(&mut self) -> Result<Block, End> {
        loop {
            match self.take() {
                Some(block) => return Ok(block),
                None => self.receive().await?,
            }
        }
    }

    /// Ends when the client does. What it sends meanwhile is kept.
    async fn until_the_end(&mut self) -> End {
        loop {
            if let Err(end) = self.receive().await {
                return end;
            }
        }
    }
}

/// One client, from its first byte to its end.
pub(super) struct Conversation {
    id: ClientId,
    peer: Peer,
    inbox: Inbox,
    answers: mpsc::Receiver<MountAnswer>,
    lookups: Lookups,
    desk: Rc<Desk>,
    mistakes: usize,
    /// The core knows of it.
    is_known: bool,
    /// It has asked to mount: mount(2) may be running, and the connection stands for it.
    holds_on: bool,
}

/// Serves one client.
pub(super) async fn converse(stream: UnixStream, peer: Peer, desk: Rc<Desk>, counter: Rc<Counter>, lookups: Lookups) {
    let id = desk.new_client();
    let answers = counter.open(id);
    let inbox = Inbox { stream, received: Vec::new() };
    let (mistakes, is_known, holds_on) = (0, false, false);
    Conversation { id, peer, inbox, answers, lookups, desk, mistakes, is_known, holds_on }.run().await;
    counter.close(id);
}

impl Conversation {
    async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        debug!(client = self.id.0, pid = self.peer.pid, program = self.peer.program, ?end, "mount tool gone");
        // A tool may say UNMOUNT and leave: what it has said counts, although nobody hears the answer.
        while let Some(block) = self.inbox.take().filter(|_| end == End::Gone) {
            let ask = decode(&block);
            if self.refusal(&ask).is_none() {
                self.pass_on(ask).await;
            }
        }
        if self.is_known {
            self.desk.report(Event::ClientGone(self.id)).await;
        }
    }

    /// One question and its answer.
    async fn turn(&mut self) -> Result<(), End> {
        let ask = decode(&self.next_block().await?);
        let refusal = self.refusal(&ask);
        self.mistakes += usize::from(refusal.is_some() || matches!(ask, MountAsk::Unreadable { .. }));
        let answer = match refusal {
            Some(refusal) => refusal,
            None => {
                self.pass_on(ask.clone()).await;
                self.answer().await?
            }
        };
        debug!(
            client = self.id.0,
            pid = self.peer.pid,
            program = self.peer.program,
            ?ask,
            ?answer,
            "mount tool answered"
        );
        self.send(&answer).await?;
        if self.mistakes > MISTAKES_MAX { Err(End::Mistaken) } else { Ok(()) }
    }

    async fn next_block(&mut self) -> Result<Block, End> {
        if self.inbox.received.is_empty() {
            let first = self.inbox.receive();
            if self.holds_on { first.await? } else { timeout(ASK_WITHIN, first).await.map_err(|_| End::Late)?? }
        }
        timeout(WHOLE_WITHIN, self.inbox.receive_block()).await.map_err(|_| End::Late)?
    }

    /// Mounts are root's; the control group may look; nobody else is listened to.
    fn refusal(&self, ask: &MountAsk) -> Option<MountAnswer> {
        let changes = matches!(ask, MountAsk::Mount { .. } | MountAsk::Result { .. } | MountAsk::Unmount { .. });
        let text = match self.peer.rights {
            Rights::All => return None,
            Rights::Lists if !changes => return None,
            Rights::Lists => "only root may mount and unmount",
            Rights::Nothing => "only root and the group of the setting control.group may ask",
        };
        Some(MountAnswer::Status { errno: Errno::EACCES as i32, text: text.into() })
    }

    async fn pass_on(&mut self, mut ask: MountAsk) {
        if let MountAsk::Mount { device, number, .. } = &mut ask {
            *number = self.lookups.number(device).await;
            self.holds_on = true;
        }
        self.is_known = true;
        self.desk.report(Event::MountAsked(self.id, ask)).await;
    }

    async fn answer(&mut self) -> Result<MountAnswer, End> {
        tokio::select! {
            answer = self.answers.recv() => answer.ok_or(End::Ending),
            end = self.inbox.until_the_end() => Err(end),
        }
    }

    async fn send(&mut self, answer: &MountAnswer) -> Result<(), End> {
        let sent = timeout(TAKE_WITHIN, self.inbox.stream.write_all(&encode(answer))).await;
        sent.map_err(|_| End::Late)?.map_err(|_| End::Gone)
    }
}
