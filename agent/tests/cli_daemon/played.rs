//! The daemon that a test plays, and the command that asks it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, Request, encode_answer};
use serde_json::Value;
use tempfile::TempDir;

/// A command that has not ended by then hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(20);

/// A socket, and a thread that plays the daemon behind it for each connection.
pub(crate) struct Daemon {
    pub(crate) dir: TempDir,
    pub(crate) asked: Receiver<Request>,
}

impl Daemon {
    /// Takes one request of each connection and lets `play` do the rest.
    pub(crate) fn playing(play: impl Fn(Ask, &mut UnixStream) + Send + 'static) -> Daemon {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(socket(&dir)).unwrap();
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = request(&mut stream);
                let ask = request.ask.clone();
                if sender.send(request).is_err() {
                    return;
                }
                play(ask, &mut stream);
            }
        });
        Daemon { dir, asked }
    }

    pub(crate) fn answering(answer: Answer) -> Daemon {
        Daemon::playing(move |_, stream| send(stream, answer.clone()))
    }

    pub(crate) fn refusing(kind: Kind) -> Daemon {
        let (what, cause, fix) = ("the what".into(), "the cause".into(), "the fix".into());
        Daemon::answering(Answer::Refusal(api::Refusal { kind: kind.into(), what, cause, fix }))
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        o2cpg(&socket(&self.dir), line)
    }

    /// What the command asked.
    pub(crate) fn request(&self) -> Request {
        self.asked.recv_timeout(HANGS_AFTER).unwrap()
    }
}

pub(crate) fn socket(dir: &TempDir) -> PathBuf {
    dir.path().join("control.sock")
}

pub(crate) fn request(stream: &mut UnixStream) -> Request {
    let mut received = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(request) = Request::take(&mut received).unwrap() {
            return request;
        }
        let n = stream.read(&mut chunk).unwrap();
        assert!(n > 0, "the command closed before it asked");
        received.extend(&chunk[..n]);
    }
}

pub(crate) fn send(stream: &mut UnixStream, answer: Answer) {
    // The command may have given up; that is for its own test to judge.
    _ = stream.write_all(&encode_answer(answer).unwrap());
}

/// Holds the connection open until the command ends it.
pub(crate) fn hold(stream: &mut UnixStream) {
    _ = stream.read(&mut [0]);
}

pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", self.stdout))
    }
}

pub(crate) fn command(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_o2cpg"));
    command.args(line.split_whitespace()).env("O2CPG_SOCKET", socket).stdin(Stdio::null());
    command.env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
    command
}

pub(crate) fn o2cpg(socket: &Path, line: &str) -> Ended {
    let started = Instant::now();
    let Output { status, stdout, stderr } = command(socket, line).output().unwrap();
    let took = started.elapsed();
    assert!(took < HANGS_AFTER, "o2cpg {line} took {took:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().expect("ended by itself"), stdout: text(stdout), stderr: text(stderr), took }
}

pub(crate) fn status(health: api::Health) -> Answer {
    let agent = api::Agent { release: "1.0.0".into(), pid: 1, up_ms: 1_000, ..Default::default() };
    let schema = "o2cpg.status/1".into();
    let cluster = "prod".into();
    Answer::Status(api::Status { schema, cluster, agent: Some(agent), health: health.into(), ..Default::default() })
}

pub(crate) fn done(text: &str) -> Answer {
    Answer::Done(api::Done { text: text.into() })
}

pub(crate) fn event(id: u64) -> api::EventLine {
    let time = "2026-11-22T05:14:09.113Z".into();
    api::EventLine { id, time, mono_ms: 7, kind: "node_left".into(), json: r#"{"node":3,"how":"nodedown"}"#.into() }
}
