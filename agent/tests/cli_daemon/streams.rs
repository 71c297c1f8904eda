//! Answers that go on: events, dumps, watch.

use crate::played::{Daemon, HANGS_AFTER, command, event, send, socket, status};
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use proto::control::Ask;
use proto::control::api::{self, refusal::Kind, response::Answer};
use serde_json::Value;

#[test]
fn events_are_lines_or_documents() {
    let list = api::EventList { events: vec![event(121), event(122)], gap: true };
    let daemon = Daemon::answering(Answer::Events(list));
    let text = daemon.run("events");
    assert_eq!(daemon.request().ask, Ask::Events { since: 0, all: true, follow: false });
    assert_eq!(text.stdout.lines().count(), 2);
    assert!(text.stdout.starts_with("2026-11-22T05:14:09.113Z  node_left          how=nodedown node=3\n"));
    assert!(text.stderr.contains("no longer held"));
    let lines = daemon.run("events --since 120 -o jsonl");
    let documents: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        documents.iter().map(|event| event["kind"].as_str().unwrap()).collect::<Vec<_>>(),
        ["gap", "node_left", "node_left"]
    );
    assert_eq!((documents[1]["id"].as_u64(), documents[1]["node"].as_u64()), (Some(121), Some(3)));
    let json = daemon.run("events -o json").json();
    assert_eq!((json["schema"].as_str(), json["events"][1]["id"].as_u64()), (Some("o2cpg.events/1"), Some(122)));
}

#[test]
fn following_goes_on_past_the_deadline_until_the_daemon_ends() {
    let daemon = Daemon::playing(|_, stream| {
        send(stream, Answer::Events(api::EventList::default()));
        // Longer than the deadline and its grace: this is what following is for.
        thread::sleep(Duration::from_millis(900));
        send(stream, Answer::Events(api::EventList { events: vec![event(7)], gap: false }));
    });
    let ended = daemon.run("events -f --timeout 100ms -o jsonl");
    assert_eq!(daemon.request().ask, Ask::Events { since: 0, all: false, follow: true });
    let first = ended.stdout.lines().next().unwrap();
    assert_eq!(serde_json::from_str::<Value>(first).unwrap()["id"], 7);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("closed the stream"), "{}", ended.stderr);
}

#[test]
fn a_dump_is_what_the_daemon_sent() {
    let part = |data: &[u8], last| Answer::Dump(api::DumpPart { data: data.into(), last });
    let daemon = Daemon::playing(move |_, stream| {
        send(stream, part(b"{\"a\":1}\n{\"b\"", false));
        send(stream, part(b":2}\n", false));
        send(stream, part(b"", true));
    });
    assert_eq!(daemon.run("dump").stdout, "{\"a\":1}\n{\"b\":2}\n");
    let file = daemon.dir.path().join("dump.jsonl");
    let ended = daemon.run(&format!("dump -o {}", file.display()));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert!(ended.stderr.starts_with("2 lines"), "{}", ended.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"{\"a\":1}\n{\"b\":2}\n");
}

#[test]
fn a_dump_that_is_read_late_does_not_hold_up_the_daemon() {
    /// More than the pipe and both sockets hold.
    const PART_LEN: usize = 1 << 20;
    let (sent, is_sent) = channel();
    let daemon = Daemon::playing(move |_, stream| {
        for last in [false, false, true] {
            send(stream, Answer::Dump(api::DumpPart { data: vec![b'\n'; PART_LEN], last }));
        }
        sent.send(()).unwrap();
    });
    let mut child = command(&socket(&daemon.dir), "dump").stdout(Stdio::piped()).spawn().unwrap();
    is_sent.recv_timeout(HANGS_AFTER).unwrap();
    let mut dump = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut dump).unwrap();
    assert_eq!((child.wait().unwrap().code(), dump.len()), (Some(0), 3 * PART_LEN));
}

#[test]
fn the_deadline_of_a_dump_is_that_of_each_part() {
    let daemon = Daemon::playing(|_, stream| {
        for last in [false, false, true] {
            // Two of them are longer than the deadline and its grace.
            thread::sleep(Duration::from_millis(900));
            send(stream, Answer::Dump(api::DumpPart { data: b"{}\n".to_vec(), last }));
        }
    });
    let ended = daemon.run("dump --timeout 1s");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "{}\n{}\n{}\n"), "{}", ended.stderr);
}

#[test]
fn a_dump_that_is_refused_or_breaks_off_is_a_failure() {
    let daemon = Daemon::refusing(Kind::NotPermitted);
    let file = daemon.dir.path().join("dump.jsonl");
    assert_eq!(daemon.run(&format!("dump -o {}", file.display())).code, 4);
    assert!(!file.exists());
    let part = Answer::Dump(api::DumpPart { data: b"{}\n".to_vec(), last: false });
    assert_eq!(Daemon::answering(part).run("dump").code, 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    assert_eq!(unread("status", status(api::Health::Ok)), (Some(0), String::new()));
}

#[test]
fn a_code_that_is_the_answer_is_the_same_for_a_reader_that_has_seen_enough() {
    let no = Answer::CanStop(api::CanStop { schema: "o2cpg.can-stop/1".into(), ..Default::default() });
    assert_eq!(unread("can-stop", no), (Some(5), String::new()));
    assert_eq!(unread("status --check", status(api::Health::Ok)), (Some(0), String::new()));
    assert_eq!(unread("status --check", status(api::Health::Warn)), (Some(1), String::new()));
    assert_eq!(unread("status --check", status(api::Health::Crit)), (Some(2), String::new()));
}

/// Code and standard error of a command that gets this answer when its standard output is closed already.
fn unread(line: &str, answer: Answer) -> (Option<i32>, String) {
    let (closed, is_closed) = channel();
    let daemon = Daemon::playing(move |_, stream| {
        is_closed.recv().unwrap();
        send(stream, answer.clone());
    });
    let mut command = command(&socket(&daemon.dir), line);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    closed.send(()).unwrap();
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn watch_shows_changes_once_and_outlives_the_daemon() {
    let daemon = Daemon::answering(status(api::Health::Ok));
    let line = "watch --interval 10ms -o jsonl";
    let mut child = command(&socket(&daemon.dir), line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..3 {
        daemon.request();
    }
    fs::remove_file(socket(&daemon.dir)).unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let kinds: Vec<String> = std::io::BufRead::lines(stdout)
        .take(2)
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["schema"].as_str().unwrap().to_owned())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(kinds, ["o2cpg.status/1", "o2cpg.refusal/1"]);
}
