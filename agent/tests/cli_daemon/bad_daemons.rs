//! Everything a daemon can do wrong.

use crate::played::{Daemon, done, hold, o2cpg, send, socket, status};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::encode_answer;
use tempfile::TempDir;

#[test]
fn a_daemon_that_never_answers_is_left_at_the_deadline() {
    let ended = Daemon::playing(|_, stream| hold(stream)).run("status --timeout 200ms");
    assert_eq!(ended.code, 6);
    assert!(ended.stderr.contains("did not answer within 0.2s"), "{}", ended.stderr);
    assert!(ended.took >= Duration::from_millis(200));
}

#[test]
fn half_an_answer_does_not_prolong_the_deadline() {
    let trickle = |_, stream: &mut UnixStream| {
        let frame = encode_answer(status(api::Health::Ok)).unwrap();
        for byte in &frame[..frame.len() - 1] {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
        hold(stream);
    };
    assert_eq!(Daemon::playing(trickle).run("status --timeout 200ms").code, 6);
}

#[test]
fn a_full_queue_of_clients_is_left_at_the_deadline() {
    let dir = TempDir::new().unwrap();
    let listener = UnixListener::bind(socket(&dir)).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(socket(&dir)).unwrap();
    let ended = o2cpg(&socket(&dir), "status --timeout 200ms");
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(ended.stderr.contains("did not take the connection"), "{}", ended.stderr);
    drop(listener);
}

#[test]
fn garbage_is_a_failure_that_says_so() {
    let garbage: [&[u8]; 4] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xff; 64], b"\x02\0\0\0\xff\xff", b"\0\0\0\0"];
    for bytes in garbage {
        let ended = Daemon::playing(move |_, stream| stream.write_all(bytes).unwrap()).run("status");
        assert_eq!(ended.code, 1, "{bytes:?}");
        assert!(ended.stderr.contains("cannot be read"), "{bytes:?}: {}", ended.stderr);
    }
}

#[test]
fn an_answer_to_another_question_is_a_failure() {
    let ended = Daemon::answering(done("hello")).run("status");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("cannot be read"), "{}", ended.stderr);
}

#[test]
fn a_connection_that_closes_early_is_a_failure() {
    let nothing = Daemon::playing(|_, _| {}).run("status");
    let half = Daemon::playing(|_, stream| {
        let frame = encode_answer(status(api::Health::Ok)).unwrap();
        stream.write_all(&frame[..frame.len() / 2]).unwrap();
    });
    for ended in [nothing, half.run("status")] {
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains("without a complete answer"), "{}", ended.stderr);
    }
}

#[test]
fn a_wait_outlives_a_daemon_that_is_started_again() {
    let ending = api::Refusal { kind: Kind::Failed.into(), what: "the daemon is ending".into(), ..Default::default() };
    for last_words in [None, Some(Answer::Refusal(ending))] {
        let is_second = AtomicBool::new(false);
        let daemon = Daemon::playing(move |_, stream| match &last_words {
            _ if is_second.swap(true, Ordering::Relaxed) => send(stream, done("ready")),
            Some(words) => send(stream, words.clone()),
            None => {}
        });
        let ended = daemon.run("wait --for ready");
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "ready\n"), "{}", ended.stderr);
    }
    // Whoever tries again where no daemon is tries again here.
    let ended = Daemon::playing(|_, _| {}).run("wait --for ready --timeout 300ms");
    assert_eq!(ended.code, 3, "{}", ended.stderr);
}
