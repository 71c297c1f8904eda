//! The command against a daemon that the test plays: exit codes, deadlines, and everything a daemon can do wrong.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use agent_core::ids::Tick;
use nix::sys::socket::{Backlog, listen};
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, Condition, LogChange, Request, encode_answer};
use serde_json::Value;
use tempfile::TempDir;

/// A command that has not ended by then hangs.
const HANGS_AFTER: Duration = Duration::from_secs(20);

/// A socket, and a thread that plays the daemon behind it for each connection.
struct Daemon {
    dir: TempDir,
    asked: Receiver<Request>,
}

impl Daemon {
    /// Takes one request of each connection and lets `play` do the rest.
    fn playing(play: impl Fn(Ask, &mut UnixStream) + Send + 'static) -> Daemon {
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

    fn answering(answer: Answer) -> Daemon {
        Daemon::playing(move |_, stream| send(stream, answer.clone()))
    }

    fn refusing(kind: Kind) -> Daemon {
        let (what, cause, fix) = ("the what".into(), "the cause".into(), "the fix".into());
        Daemon::answering(Answer::Refusal(api::Refusal { kind: kind.into(), what, cause, fix }))
    }

    fn run(&self, line: &str) -> Ended {
        o2cpg(&socket(&self.dir), line)
    }

    /// What the command asked.
    fn request(&self) -> Request {
        self.asked.recv_timeout(HANGS_AFTER).unwrap()
    }
}

fn socket(dir: &TempDir) -> PathBuf {
    dir.path().join("control.sock")
}

fn request(stream: &mut UnixStream) -> Request {
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

fn send(stream: &mut UnixStream, answer: Answer) {
    // The command may have given up; that is for its own test to judge.
    _ = stream.write_all(&encode_answer(answer).unwrap());
}

/// Holds the connection open until the command ends it.
fn hold(stream: &mut UnixStream) {
    _ = stream.read(&mut [0]);
}

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
    took: Duration,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", self.stdout))
    }
}

fn command(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_o2cpg"));
    command.args(line.split_whitespace()).env("O2CPG_SOCKET", socket).stdin(Stdio::null());
    command.env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
    command
}

fn o2cpg(socket: &Path, line: &str) -> Ended {
    let started = Instant::now();
    let Output { status, stdout, stderr } = command(socket, line).output().unwrap();
    let took = started.elapsed();
    assert!(took < HANGS_AFTER, "o2cpg {line} took {took:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().expect("ended by itself"), stdout: text(stdout), stderr: text(stderr), took }
}

fn status(health: api::Health) -> Answer {
    let agent = api::Agent { release: "1.0.0".into(), pid: 1, up_ms: 1_000, ..Default::default() };
    let schema = "o2cpg.status/1".into();
    let cluster = "prod".into();
    Answer::Status(api::Status { schema, cluster, agent: Some(agent), health: health.into(), ..Default::default() })
}

fn done(text: &str) -> Answer {
    Answer::Done(api::Done { text: text.into() })
}

fn event(id: u64) -> api::EventLine {
    let time = "2026-11-22T05:14:09.113Z".into();
    api::EventLine { id, time, mono_ms: 7, kind: "node_left".into(), json: r#"{"node":3,"how":"nodedown"}"#.into() }
}

#[test]
fn every_refusal_ends_with_its_code_and_three_parts() {
    let kinds = [
        (Kind::Failed, 1),
        (Kind::Usage, 2),
        (Kind::NotPermitted, 4),
        (Kind::Refused, 5),
        (Kind::TimedOut, 6),
        (Kind::NotFound, 7),
        (Kind::ClusterUnreachable, 8),
    ];
    for (kind, code) in kinds {
        let ended = Daemon::refusing(kind).run("nodes");
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{kind:?}");
        assert_eq!(ended.stderr, "o2cpg: the what\n  cause  the cause\n  fix    the fix\n");
    }
}

#[test]
fn a_refusal_is_a_document_for_those_who_read_documents() {
    let ended = Daemon::refusing(Kind::NotPermitted).run("unpin backup -o json");
    let refusal = ended.json();
    assert_eq!(refusal["schema"], "o2cpg.refusal/1");
    assert_eq!(refusal["kind"], "not_permitted");
    assert_eq!(refusal["fix"], "the fix");
    assert!(ended.stderr.contains("the what"));
    let quiet = Daemon::refusing(Kind::Refused).run("unpin backup -o jsonl -q");
    assert_eq!((quiet.code, quiet.json()["kind"].as_str()), (5, Some("refused")));
}

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
fn a_command_line_without_sense_is_usage() {
    let dir = TempDir::new().unwrap();
    for line in [
        "nonsense",
        "status --timeout 5",
        "status --timeout 0s",
        "status -o xml",
        "wait --for node-gone",
        "wait --for ready charlie",
        "wait --for peace",
        "forget charlie",
        "forget charlie --yes-i-am-sure=bravo",
        "groups --local",
        "log set debug --for 1ms",
        "events --since 1 --all",
    ] {
        assert_eq!(o2cpg(&socket(&dir), line).code, 2, "{line}");
    }
}

#[test]
fn without_a_command_it_is_status() {
    let daemon = Daemon::answering(status(api::Health::Ok));
    let ended = daemon.run("");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("cluster  prod"), "{}", ended.stdout);
    assert_eq!(daemon.request().ask, Ask::Status);
}

#[test]
fn status_succeeds_whenever_it_could_be_read_and_check_judges() {
    for (health, code) in
        [(api::Health::Ok, 0), (api::Health::Warn, 1), (api::Health::Crit, 2), (api::Health::Unspecified, 3)]
    {
        let daemon = Daemon::answering(status(health));
        assert_eq!(daemon.run("status").code, 0);
        assert_eq!(daemon.run("status --check").code, code);
    }
    assert_eq!(Daemon::refusing(Kind::ClusterUnreachable).run("status --check").code, 3);
}

#[test]
fn can_stop_answers_with_its_code() {
    let answer = |yes| Answer::CanStop(api::CanStop { schema: "o2cpg.can-stop/1".into(), yes, ..Default::default() });
    assert_eq!(Daemon::answering(answer(true)).run("can-stop").code, 0);
    let no = Daemon::answering(answer(false)).run("can-stop -o json");
    assert_eq!((no.code, no.json()["yes"].as_bool()), (5, Some(false)));
}

#[test]
fn what_is_asked_is_what_was_said() {
    let daemon = Daemon::answering(done("as you like"));
    let node = |name: &str| Some(name.to_owned());
    let pairs = [
        ("pin backup", Ask::Pin { text: "backup".into(), node: None }),
        ("unpin backup --node 2", Ask::Unpin { text: "backup".into(), node: node("2") }),
        ("forget charlie --yes-i-am-sure charlie", Ask::Forget { node: "charlie".into() }),
        ("wait --for settled", Ask::Wait(Condition::Settled)),
        ("wait --for node-gone charlie", Ask::Wait(Condition::NodeGone("charlie".into()))),
    ];
    for (line, ask) in pairs {
        let ended = daemon.run(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "as you like\n"), "{line}: {}", ended.stderr);
        assert_eq!(daemon.request().ask, ask);
    }
    let json = daemon.run("pin backup -o json").json();
    assert_eq!((json["schema"].as_str(), json["text"].as_str()), (Some("o2cpg.done/1"), Some("as you like")));
    assert_eq!(daemon.run("-q pin backup").stdout, "");
}

#[test]
fn the_daemon_is_told_the_deadline() {
    let daemon = Daemon::answering(done("ready"));
    daemon.run("wait --for ready");
    assert_eq!(daemon.request().deadline_ms, 60_000);
    daemon.run("wait --for ready --timeout 1500ms");
    assert_eq!(daemon.request().deadline_ms, 1_500);
    daemon.run("pin x");
    assert_eq!(daemon.request().deadline_ms, 5_000);
}

#[test]
fn log_set_says_for_how_long() {
    let log = api::Log { directives: "debug".into(), configured: "info".into(), back_in_s: 600 };
    let daemon = Daemon::answering(Answer::Log(log));
    let ended = daemon.run("log set debug --for 10m -o json");
    assert_eq!((ended.code, ended.json()["schema"].as_str()), (0, Some("o2cpg.log/1")));
    assert_eq!(daemon.request().ask, Ask::Log(Some(LogChange { directives: "debug".into(), for_s: Some(600) })));
}

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
fn a_wait_that_ends_in_vain_says_what_is_waited_for() {
    let wait = api::Wait { text: "quorum: 1 of 3 nodes are here".into(), ..Default::default() };
    let waiting = api::Status { waits: vec![wait], ..Default::default() };
    let refusal = api::Refusal { kind: Kind::TimedOut.into(), what: "too late".into(), ..Default::default() };
    let ended = Daemon::playing(move |ask, stream| match ask {
        Ask::Status => send(stream, Answer::Status(waiting.clone())),
        _ => send(stream, Answer::Refusal(refusal.clone())),
    })
    .run("wait --for quorate");
    assert_eq!(ended.code, 6);
    assert!(ended.stderr.contains("still not quorate"), "{}", ended.stderr);
    assert!(ended.stderr.contains("quorum: 1 of 3 nodes are here"), "{}", ended.stderr);
}

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
fn a_dump_that_is_refused_or_breaks_off_is_a_failure() {
    let daemon = Daemon::refusing(Kind::NotPermitted);
    let file = daemon.dir.path().join("dump.jsonl");
    assert_eq!(daemon.run(&format!("dump -o {}", file.display())).code, 4);
    assert!(!file.exists());
    let part = Answer::Dump(api::DumpPart { data: b"{}\n".to_vec(), last: false });
    assert_eq!(Daemon::answering(part).run("dump").code, 1);
}

#[test]
fn cpg_list_looks_as_cpgtool_does() {
    let member = api::CpgMember { nodeid: 1, pid: 2291, address: "10.0.0.11".into(), ghost: false };
    let groups = vec![api::CpgGroup { name: b"o2cpg".to_vec(), members: vec![member] }];
    let daemon = Daemon::answering(Answer::CpgList(api::CpgList { schema: "o2cpg.cpg/1".into(), groups }));
    let expected = "Group Name\t       PID\t   Node ID\no2cpg\n\t\t      2291\t         1 (10.0.0.11)\n";
    assert_eq!(daemon.run("cpg list").stdout, expected);
    assert_eq!(daemon.run("cpg list -d,").stdout, "GRP_NAME,PID,NODEID\no2cpg,2291,1\n");
    assert_eq!(daemon.run("cpg list -o json").json()["schema"], "o2cpg.cpg/1");
}

#[test]
fn every_answer_has_a_schema_in_json() {
    let pairs = [
        ("nodes", status(api::Health::Ok), "o2cpg.nodes/1"),
        ("status", status(api::Health::Ok), "o2cpg.status/1"),
        ("plan", Answer::Plan(api::Plan { schema: "o2cpg.plan/1".into(), ..Default::default() }), "o2cpg.plan/1"),
        (
            "groups",
            Answer::Groups(api::Groups { schema: "o2cpg.groups/1".into(), ..Default::default() }),
            "o2cpg.groups/1",
        ),
        (
            "config show",
            Answer::Config(api::Config { schema: "o2cpg.config/1".into(), ..Default::default() }),
            "o2cpg.config/1",
        ),
        ("log get", Answer::Log(api::Log::default()), "o2cpg.log/1"),
    ];
    for (line, answer, schema) in pairs {
        let ended = Daemon::answering(answer).run(&format!("{line} -o json"));
        assert_eq!((ended.code, ended.json()["schema"].as_str()), (0, Some(schema)), "{line}");
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let daemon = Daemon::answering(status(api::Health::Crit));
    assert!(!daemon.run("status").stdout.contains('\x1b'));
    assert!(daemon.run("status --color always").stdout.contains('\x1b'));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (closed, is_closed) = channel();
    let daemon = Daemon::playing(move |_, stream| {
        is_closed.recv().unwrap();
        send(stream, status(api::Health::Ok));
    });
    let mut command = command(&socket(&daemon.dir), "status");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    closed.send(()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
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
