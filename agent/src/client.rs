//! One connection of the control socket: a question, its answer, the next question. What one client does or fails to do
//! holds up only itself.

use crate::desk::{Desk, no};
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, ControlError, LENGTH_LEN, REQUEST_LEN_MAX, Request, encode_answer};
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

/// Bytes held of a client that asks faster than it is answered.
const RECEIVED_MAX: usize = LENGTH_LEN + REQUEST_LEN_MAX;
/// A client that does not take its answer for so long is closed.
const TAKE_WITHIN: Duration = Duration::from_secs(10);
/// A client that asks nothing for so long is closed.
const ASK_WITHIN: Duration = Duration::from_secs(300);
/// Bytes of the recording in one answer.
const DUMP_PART_LEN: usize = 256 * 1024;

/// The end of a connection.
#[derive(Debug)]
enum End {
    /// The client closed it, or does not take its answers.
    Gone,
    /// It cannot be understood any further.
    Garbage,
}

pub(crate) struct Conversation {
    stream: UnixStream,
    received: Vec<u8>,
    is_root: bool,
    desk: Rc<Desk>,
}

impl Conversation {
    pub(crate) fn new(stream: UnixStream, is_root: bool, desk: Rc<Desk>) -> Conversation {
        Conversation { stream, received: Vec::new(), is_root, desk }
    }

    pub(crate) async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        debug!(?end, "client gone");
    }

    /// One question and its answer.
    async fn turn(&mut self) -> Result<(), End> {
        match timeout(ASK_WITHIN, self.request()).await.map_err(|_| End::Gone)?? {
            Ok(request) => self.serve(request).await,
            Err(error) => {
                let is_garbage = matches!(error, ControlError::TooLong { .. } | ControlError::Malformed { .. });
                self.send(no(Kind::Usage, &error.to_string(), "", "use the o2cpg of the same release")).await?;
                if is_garbage { Err(End::Garbage) } else { Ok(()) }
            }
        }
    }

    async fn request(&mut self) -> Result<Result<Request, ControlError>, End> {
        loop {
            match Request::take(&mut self.received) {
                Ok(Some(request)) => return Ok(Ok(request)),
                Ok(None) => self.receive().await?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Takes more bytes in. Safe to drop.
    async fn receive(&mut self) -> Result<(), End> {
        loop {
            self.stream.readable().await.map_err(|_| End::Gone)?;
            let mut chunk = [0; 4096];
            let room = chunk.len().min(RECEIVED_MAX.saturating_sub(self.received.len()));
            match self.stream.try_read(&mut chunk[..room]) {
                Ok(0) => return Err(End::Gone),
                Ok(count) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(End::Gone),
            }
        }
    }

    /// Ends when the client has closed the connection. What it sends meanwhile is kept, up to a bound.
    async fn hung_up(&mut self) -> End {
        while self.received.len() < RECEIVED_MAX {
            if let Err(end) = self.receive().await {
                return end;
            }
        }
        std::future::pending().await
    }

    async fn serve(&mut self, request: Request) -> Result<(), End> {
        if !self.is_root && !only_looks(&request.ask) {
            let what = "only root may change anything or take a dump";
            return self.send(no(Kind::NotPermitted, what, "this user may look only", "run it as root")).await;
        }
        let within = Duration::from_millis(u64::from(request.deadline_ms));
        match request.ask {
            Ask::Config => self.send(self.desk.config()).await,
            Ask::Log(change) => self.send(self.desk.log(change)).await,
            Ask::Events { since, all, follow } => self.events(since, all, follow).await,
            Ask::Dump => self.dump().await,
            Ask::CpgList => {
                let answer = self.desk.cpg_lists.ask(within).await;
                self.send(answer).await
            }
            ask @ (Ask::Status
            | Ask::Plan
            | Ask::Wait(_)
            | Ask::CanStop
            | Ask::Pin { .. }
            | Ask::Unpin { .. }
            | Ask::Groups
            | Ask::Forget { .. }
            | Ask::AckDead { .. }) => self.ask_core(ask, within).await,
        }
    }

    async fn ask_core(&mut self, ask: Ask, within: Duration) -> Result<(), End> {
        let until = Instant::now() + within;
        let mut question = self.desk.ask(ask).await;
        let answered = tokio::select! {
            answered = timeout_at(until, question.answer()) => Ok(answered),
            end = self.hung_up() => Err(end),
        };
        match answered {
            Ok(Ok(answer)) => self.send(answer).await,
            Ok(Err(_)) => {
                question.take_back().await;
                let what = format!("no answer within {} ms", within.as_millis());
                self.send(no(Kind::TimedOut, &what, "it is still waited for", "o2cpg status")).await
            }
            Err(end) => {
                question.take_back().await;
                Err(end)
            }
        }
    }

    /// The first answer holds what is there; each later one what has come since.
    async fn events(&mut self, since: u64, all: bool, follow: bool) -> Result<(), End> {
        let desk = self.desk.clone();
        let mut seen = if all {
            0
        } else if since > 0 {
            since
        } else {
            desk.events.last()
        };
        let mut list = desk.events.after(seen);
        loop {
            seen = list.events.last().map_or_else(|| desk.events.last(), |line| line.id);
            self.send(Answer::Events(list)).await?;
            if !follow {
                return Ok(());
            }
            list = tokio::select! {
                list = desk.events.next_after(seen) => list,
                end = self.hung_up() => return Err(end),
            };
        }
    }

    async fn dump(&mut self) -> Result<(), End> {
        let files = match self.desk.recording() {
            Ok(files) => files,
            Err(error) => return self.send(no(Kind::Failed, "reading the recording", &error.to_string(), "")).await,
        };
        for mut file in files {
            loop {
                let data = match part(&mut file) {
                    Ok(data) if data.is_empty() => break,
                    Ok(data) => data,
                    Err(error) => {
                        return self.send(no(Kind::Failed, "reading the recording", &error.to_string(), "")).await;
                    }
                };
                self.send(Answer::Dump(api::DumpPart { data, last: false })).await?;
            }
        }
        self.send(Answer::Dump(api::DumpPart { data: Vec::new(), last: true })).await
    }

    async fn send(&mut self, answer: Answer) -> Result<(), End> {
        let frame = encode_answer(answer).or_else(|error| {
            encode_answer(no(Kind::Failed, "the answer is too large", &error.to_string(), "ask for less"))
        });
        let frame = frame.map_err(|_| End::Garbage)?;
        match timeout(TAKE_WITHIN, self.stream.write_all(&frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

/// The next bytes of a file; the files are in /run, which is memory.
fn part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    file.take(DUMP_PART_LEN as u64).read_to_end(&mut data)?;
    Ok(data)
}

fn only_looks(ask: &Ask) -> bool {
    match ask {
        Ask::Status
        | Ask::Plan
        | Ask::Wait(_)
        | Ask::CanStop
        | Ask::Events { .. }
        | Ask::Log(None)
        | Ask::Config
        | Ask::CpgList
        | Ask::Groups => true,
        Ask::Pin { .. }
        | Ask::Unpin { .. }
        | Ask::Log(Some(_))
        | Ask::Dump
        | Ask::Forget { .. }
        | Ask::AckDead { .. } => false,
    }
}
