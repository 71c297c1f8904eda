//! What the command does without a daemon.

use crate::played::{command, o2cpg, socket};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use agent_core::ids::Tick;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn without_a_daemon_it_says_which_socket_why_and_what_to_do() {
    let dir = TempDir::new().unwrap();
    let never = o2cpg(&socket(&dir), "status");
    assert_eq!(never.code, 3);
    assert!(never.stderr.contains("there is no socket"), "{}", never.stderr);
    drop(UnixListener::bind(socket(&dir)).unwrap());
    let died = o2cpg(&socket(&dir), "status -o json");
    assert_eq!(died.code, 3);
    assert_eq!(died.json()["kind"], "not_running");
    for words in ["nobody listens on", "control.sock", "systemctl start o2cpgd", "status --local"] {
        assert!(died.stderr.contains(words), "{words}: {}", died.stderr);
    }
}

#[test]
fn local_status_needs_no_daemon() {
    let dir = TempDir::new().unwrap();
    let ended = o2cpg(&socket(&dir), "status --local -o json --timeout 2s");
    assert_eq!((ended.code, ended.json()["schema"].as_str()), (0, Some("o2cpg.status/1")), "{}", ended.stderr);
    assert_eq!(ended.json()["agent"], Value::Null);
}

#[test]
fn a_recording_is_replayed_and_judged() {
    use agent::recorder::Line;
    use std::borrow::Cow;
    let dir = TempDir::new().unwrap();
    let line = |line: &Line<'_>| serde_json::to_string(line).unwrap() + "\n";
    let agent = Box::new(Cow::Owned(agent_core::Agent::new()));
    let snapshot =
        Line::Snapshot { schema: "o2cpg.recording/1".into(), release: "1".into(), segment: 1, tick: Tick(0), agent };
    let event = Line::Event { tick: Tick(5), event: Box::new(Cow::Owned(agent_core::Event::ShutdownAsked)) };
    let wrong = Line::Effects { digest: "0000000000000000".into(), count: 1 };
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    fs::write(&good, [line(&snapshot), line(&event), line(&event)].concat()).unwrap();
    fs::write(&bad, [line(&snapshot), line(&event), line(&wrong)].concat()).unwrap();
    let run = |options: &str, file: &Path| o2cpg(&socket(&dir), &format!("replay {} {options}", file.display()));

    let ended = run("", &good);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("2 events replayed"), "{}", ended.stdout);
    assert!(run("--until 1", &good).stdout.contains("1 event replayed"));
    assert!(run("-v", &good).stdout.contains("ShutdownAsked"));
    assert_eq!(run("-o jsonl", &good).stdout.lines().count(), 3);
    let differs = run("-o json", &bad);
    assert_eq!((differs.code, differs.json()["differences"][0]["line"].as_u64()), (1, Some(2)));
    assert_eq!(run("", &dir.path().join("none")).code, 7);
    for options in ["", "-v", "-o json"] {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let mut unread = command(&socket(&dir), &format!("replay {} {options}", bad.display()));
        assert_eq!(unread.stdout(OwnedFd::from(writer)).status().unwrap().code(), Some(1), "{options}");
    }
}

#[test]
fn manual_pages_and_completions_are_made() {
    let dir = TempDir::new().unwrap();
    let pages = dir.path().join("man");
    assert_eq!(o2cpg(&socket(&dir), &format!("man {}", pages.display())).code, 0);
    let page = fs::read_to_string(pages.join("o2cpg.8")).unwrap();
    assert!(page.contains("Exit codes"), "{page}");
    assert!(pages.join("o2cpg-log-set.8").exists());
    for shell in ["bash", "zsh", "fish"] {
        assert!(o2cpg(&socket(&dir), &format!("completions {shell}")).stdout.contains("node-gone"), "{shell}");
    }
}
