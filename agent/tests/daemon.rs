//! The real o2cpgd on the model, without corosync and without root: settings, control socket, restart, end.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

#[path = "daemon/controld.rs"]
mod controld;

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use agent::replay::replay;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, Condition, LogChange, Request, take_answer};
use tempfile::TempDir;

/// What has not happened by then hangs.
const HANGS_AFTER: Duration = Duration::from_secs(20);
/// How often something that comes without a word is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn command(dir: &Path) -> Command {
    let corosync = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    assert!(!corosync.contains("@cmap"), "a corosync runs here; this test would join its cluster");
    let mut command = Command::new(env!("CARGO_BIN_EXE_o2cpgd"));
    command.arg("--run-dir").arg(dir.join("run")).args(["--backend", "model"]).env_remove("NOTIFY_SOCKET");
    command.arg("--configfs-root").arg(dir.join("configfs")).env_remove("JOURNAL_STREAM").stdin(Stdio::null());
    command
}

fn refused(arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    command(dir.path()).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + HANGS_AFTER;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} has not come");
        std::thread::sleep(LOOK_EVERY);
    }
}

struct Daemon {
    dir: TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Daemon {
        Daemon::start_in(tempfile::tempdir().unwrap(), |_| {})
    }

    fn start_in(dir: TempDir, more: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = command(dir.path());
        more(&mut command);
        Daemon::spawn(dir, command)
    }

    fn spawn(dir: TempDir, command: Command) -> Daemon {
        let log = File::options().append(true).create(true).open(dir.path().join("log")).unwrap();
        Daemon::spawn_saying(dir, command, log.into())
    }

    fn spawn_saying(dir: TempDir, mut command: Command, log: Stdio) -> Daemon {
        let child = command.stderr(log).spawn().unwrap();
        let daemon = Daemon { dir, child };
        until("the control socket", || UnixStream::connect(daemon.socket()).ok());
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/control.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// The directory, with what the daemon has left in it.
    fn end(mut self, signal: Signal) -> (TempDir, Option<i32>) {
        self.signal(signal);
        let status = until("the end", || self.child.try_wait().unwrap());
        (std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()), status.code())
    }

    fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(HANGS_AFTER)).unwrap();
        Client { stream, received: Vec::new() }
    }

    fn ask(&self, ask: Ask) -> Answer {
        self.connect().ask(10_000, ask)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

struct Client {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Client {
    fn ask(&mut self, deadline_ms: u32, ask: Ask) -> Answer {
        self.send(&Request::new(deadline_ms, ask).encode().unwrap());
        self.answer().expect("an answer")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// `None`: the daemon has closed the connection.
    fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = take_answer(&mut self.received).unwrap() {
                return Some(answer);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).expect("the daemon answers or closes") {
                0 => return None,
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

fn refusal(answer: Answer) -> (Kind, String) {
    match answer {
        Answer::Refusal(refusal) => (refusal.kind(), refusal.what),
        other => panic!("no refusal: {other:?}"),
    }
}

fn status(daemon: &Daemon) -> api::Status {
    match daemon.ask(Ask::Status) {
        Answer::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn an_unknown_setting_ends_with_2_and_the_place_and_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("o2cpg.toml");
    fs::write(&file, "# ours\n[o2cb]\ndead_treshold = 31\n").unwrap();
    let output = refused(&["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "o2cpgd: {}:3: unknown setting \"o2cb.dead_treshold\"; did you mean \"o2cb.dead_threshold\"?\n",
        file.display()
    );
    assert_eq!(stderr(&output), expected);
}

#[test]
fn a_named_file_that_is_missing_and_a_bad_value_end_with_2() {
    let output = refused(&["--config", "/nonexistent/o2cpg.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("o2cpgd: reading /nonexistent/o2cpg.toml: No such file"), "{output:?}");
    let output = refused(&["--set", "o2cb.port=65535"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "o2cpgd: command line: o2cb.port is \"65535\", must be a port from 1 to 65534\n");
    let output = refused(&["--log", "cpg_glue=loud"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn check_config_shows_each_value_with_its_origin_and_starts_nothing() {
    let output = refused(&["--check-config", "--set", "o2cb.dead_threshold=61"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("o2cb.dead_threshold = \"61\"  # command line\n"), "{text}");
    assert!(text.contains("o2cb.port = \"7777\"  # default\n"), "{text}");
}

#[test]
fn while_corosync_is_down_status_says_so() {
    let daemon = Daemon::start();
    let status = until("the wait for corosync", || Some(status(&daemon)).filter(|status| !status.waits.is_empty()));
    let agent = status.agent.unwrap();
    assert_eq!((agent.backend.as_str(), agent.state()), ("model", api::agent::State::Waiting));
    assert!(!status.corosync.unwrap().connected);
    assert_eq!(status.waits[0].kind, "corosync");
    let (kind, _) = refusal(daemon.ask(Ask::CpgList));
    assert_eq!(kind, Kind::ClusterUnreachable);
}

#[test]
fn sigterm_ends_it_with_0_and_leaves_no_socket() {
    let daemon = Daemon::start();
    let socket = daemon.socket();
    let (_dir, code) = daemon.end(Signal::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_second_daemon_is_refused_and_the_first_is_not_disturbed() {
    let daemon = Daemon::start();
    let output = command(daemon.dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let pid = daemon.child.id();
    assert!(stderr(&output).contains(&format!("another o2cpgd (pid {pid}) runs")), "{output:?}");
    status(&daemon);
}

#[test]
fn the_socket_of_a_killed_daemon_is_replaced() {
    let (dir, code) = Daemon::start().end(Signal::SIGKILL);
    assert_eq!(code, None);
    assert!(dir.path().join("run/control.sock").exists());
    status(&Daemon::start_in(dir, |_| {}));
}

#[test]
fn garbage_is_refused_and_closed_and_others_are_served() {
    let daemon = Daemon::start();
    let mut other = daemon.connect();
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[3, 0, 0, 0, 0xff, 0xff, 0xff]] {
        let mut client = daemon.connect();
        client.send(garbage);
        assert_eq!(refusal(client.answer().expect("a refusal")).0, Kind::Usage);
        assert!(client.answer().is_none(), "closed");
    }
    let mut silent = daemon.connect();
    silent.send(&[9]);
    assert!(matches!(other.ask(1000, Ask::Status), Answer::Status(_)));
}

#[test]
fn a_deadline_ends_a_question_and_the_next_one_gets_its_own_answer() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    let (kind, what) = refusal(client.ask(50, Ask::Wait(Condition::Quorate)));
    assert_eq!((kind, what.as_str()), (Kind::TimedOut, "no answer within 50 ms"));
    assert!(matches!(client.ask(1000, Ask::CanStop), Answer::CanStop(can_stop) if can_stop.yes));
}

#[test]
fn clients_are_bounded_and_their_seats_come_free_again() {
    let daemon = Daemon::start();
    let waiting: Vec<Client> = (0..80)
        .map(|_| {
            let mut client = daemon.connect();
            // Those above the bound are closed, perhaps before this is written.
            _ = client.stream.write_all(&Request::new(60_000, Ask::Wait(Condition::Quorate)).encode().unwrap());
            client
        })
        .collect();
    let mut turned_away = daemon.connect();
    let (kind, what) = refusal(turned_away.answer().expect("a refusal"));
    assert_eq!((kind, what.contains("no seat left")), (Kind::Failed, true), "{what}");
    assert!(turned_away.answer().is_none(), "closed at once");
    drop(waiting);
    until("an answer", || {
        let mut client = daemon.connect();
        client.stream.write_all(&Request::new(1000, Ask::Status).encode().unwrap()).ok()?;
        client.stream.read(&mut [0; 16]).ok().filter(|count| *count > 0)
    });
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let command = command(dir.path());
    let mut daemon = Daemon::spawn_saying(dir, command, Stdio::piped());
    let change = LogChange { directives: "trace".into(), for_s: None };
    assert!(matches!(daemon.ask(Ask::Log(Some(change))), Answer::Log(_)));
    // More than a pipe and the daemon's own queue take.
    for _ in 0..3000 {
        assert!(matches!(daemon.ask(Ask::Status), Answer::Status(_)));
    }
    daemon.signal(Signal::SIGTERM);
    let mut log = String::new();
    daemon.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("lines of this log were lost here"), "{} lines", log.lines().count());
    assert_eq!(until("the end", || daemon.child.try_wait().unwrap()).code(), Some(0));
}

#[test]
fn a_start_that_fails_ends_although_nobody_reads_why() {
    let daemon = Daemon::start();
    let (unread, mut full) = std::io::pipe().unwrap();
    let len = nix::fcntl::fcntl(&full, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    full.write_all(&vec![b'\n'; usize::try_from(len).unwrap()]).unwrap();
    let mut second = command(daemon.dir.path()).stderr(full).spawn().unwrap();
    let status = until("the end of the second", || second.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    drop(unread);
}

#[test]
fn a_pin_keeps_the_daemon_and_its_end_lets_it_go() {
    let daemon = Daemon::start();
    let pin = |text: &str| Ask::Pin { text: text.into(), node: None };
    assert!(matches!(daemon.ask(pin("backup runs")), Answer::Done(_)));
    daemon.signal(Signal::SIGTERM);
    let pinned = until("the pinned wait", || status(&daemon).waits.into_iter().find(|wait| wait.kind == "pinned"));
    assert!(pinned.text.contains("backup runs"), "{pinned:?}");
    let unpin = Ask::Unpin { text: "backup runs".into(), node: None };
    assert!(matches!(daemon.ask(unpin), Answer::Done(_)));
    let (_dir, code) = daemon.end(Signal::SIGCONT);
    assert_eq!(code, Some(0));
}

#[test]
fn a_mount_pins_as_soon_as_it_is_seen() {
    let daemon = Daemon::start();
    let mountinfo = daemon.dir.path().join("configfs/mountinfo");
    fs::write(&mountinfo, "36 22 98:0 / /srv/data rw - ocfs2 /nonexistent/disk rw\n").unwrap();
    let pins = until("the pin", || Some(status(&daemon).pins).filter(|pins| !pins.is_empty()));
    assert_eq!(pins[0].text, "ocfs2 volume mounted on /srv/data");
}

#[test]
fn config_show_names_the_origin_and_a_hangup_reads_the_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("o2cpg.toml");
    fs::write(&file, "[o2cb]\nport = 7001\n").unwrap();
    let daemon = Daemon::start_in(dir, |command| _ = command.arg("--config").arg(&file));
    let port = || match daemon.ask(Ask::Config) {
        Answer::Config(config) => config.settings.into_iter().find(|it| it.key == "o2cb.port").unwrap(),
        other => panic!("no config: {other:?}"),
    };
    assert_eq!((port().value.as_str(), port().origin), ("7001", format!("{}:2", file.display())));
    fs::write(&file, "\n[o2cb]\nprot = 7002\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the refusal in the log", || daemon.log().contains("did you mean").then_some(()));
    assert_eq!(port().value, "7001");
    fs::write(&file, "\n[o2cb]\nport = 7002\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    until("the new port", || (port().value == "7002").then_some(()));
}

#[test]
fn the_log_level_is_shown_set_and_refused() {
    let daemon = Daemon::start();
    let log = |change: Option<(&str, Option<u32>)>| {
        let change = change.map(|(directives, for_s)| LogChange { directives: directives.into(), for_s });
        daemon.ask(Ask::Log(change))
    };
    let Answer::Log(shown) = log(None) else { panic!("no level") };
    assert_eq!((shown.directives.as_str(), shown.back_in_s), ("info", 0));
    let Answer::Log(shown) = log(Some(("info,cpg_glue=trace", Some(600)))) else { panic!("no level") };
    assert_eq!((shown.directives.as_str(), shown.configured.as_str()), ("info,cpg_glue=trace", "info"));
    assert!((598..=600).contains(&shown.back_in_s), "{shown:?}");
    assert_eq!(refusal(log(Some(("cpg_glue=loud", None)))).0, Kind::Usage);
}

#[test]
fn events_are_listed_and_followed() {
    let daemon = Daemon::start();
    let mut follower = daemon.connect();
    let Answer::Events(first) = follower.ask(1000, Ask::Events { since: 0, all: false, follow: true }) else {
        panic!("no list")
    };
    assert!(first.events.is_empty() && !first.gap);
    daemon.ask(Ask::Pin { text: "maintenance".into(), node: None });
    let pinned = until("the pin", || match follower.answer() {
        Some(Answer::Events(list)) => list.events.into_iter().find(|line| line.kind == "pin_changed"),
        other => panic!("no event: {other:?}"),
    });
    assert_eq!(pinned.json, r#"{"set":true,"text":"maintenance"}"#);
    let Answer::Events(all) = daemon.ask(Ask::Events { since: 0, all: true, follow: false }) else { panic!("no list") };
    assert!(all.events.iter().any(|line| line.id == pinned.id));
}

#[test]
fn a_dump_replays_with_the_same_effects() {
    let daemon = Daemon::start();
    daemon.ask(Ask::Pin { text: "one".into(), node: None });
    status(&daemon);
    let mut client = daemon.connect();
    client.send(&Request::new(5000, Ask::Dump).encode().unwrap());
    let mut recording = Vec::new();
    while let Some(Answer::Dump(part)) = client.answer() {
        recording.extend(part.data);
        if part.last {
            break;
        }
    }
    let report = replay(BufReader::new(recording.as_slice()), &mut |_| {}).unwrap();
    assert!(report.events >= 3 && report.compared >= report.events - 1, "{report:?}");
    assert_eq!(report.differences, vec![]);
    daemon.signal(Signal::SIGUSR1);
    let path = daemon.dir.path().join("run/dump.jsonl");
    until("the dump", || fs::metadata(&path).ok().filter(|found| found.len() > 0));
}

#[test]
fn the_service_manager_gets_status_and_signs_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(HANGS_AFTER)).unwrap();
    // The pid that is watched is the daemon's own (sd_watchdog_enabled(3)).
    let inner = command(dir.path());
    let mut outer = Command::new("sh");
    outer.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    outer.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    let daemon = Daemon::spawn(dir, outer);
    let mut told = String::new();
    while !(told.contains("STATUS=waiting: corosync is not reachable") && told.matches("WATCHDOG=1").count() > 1) {
        let mut chunk = [0; 4096];
        let count = socket.recv(&mut chunk).expect("a word");
        told += &String::from_utf8_lossy(&chunk[..count]);
    }
    assert!(!told.contains("READY=1"), "without corosync it is not ready at once: {told}");
    daemon.end(Signal::SIGTERM);
}

#[test]
fn a_clean_end_takes_the_control_device_back_from_the_service_manager() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let daemon = Daemon::start_in(dir, |command| _ = command.env("NOTIFY_SOCKET", &path));
    let (_dir, code) = daemon.end(Signal::SIGTERM);
    assert_eq!(code, Some(0));
    let mut chunk = [0; 4096];
    let words = std::iter::from_fn(|| socket.recv(&mut chunk).ok().map(|count| chunk[..count].to_vec()));
    let words: Vec<String> = words.map(|word| String::from_utf8(word).unwrap()).collect();
    assert_eq!(words.last().unwrap(), "FDSTOREREMOVE=1\nFDNAME=ocfs2-control\n", "{words:?}");
}

#[test]
fn what_another_program_has_made_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("configfs")).unwrap();
    let tree = r#"{"name":"old","attributes":{"idle_timeout_ms":30000,"keepalive_delay_ms":2000,"reconnect_delay_ms":2000,"fence_method":"reset","dead_threshold":31,"heartbeat_mode":"local"},"nodes":{"4":{"name":"delta","num":4,"address":"10.0.0.4","port":7777,"local":false}},"incomplete":{},"regions":{}}"#;
    fs::write(dir.path().join("configfs/tree.json"), tree).unwrap();
    let daemon = Daemon::start_in(dir, |_| {});
    let verdicts = status(&daemon).adopted;
    let found: Vec<_> = verdicts.iter().map(|it| (it.verdict.as_str(), it.thing.as_str())).collect();
    assert_eq!(found, [("foreign", "cluster old"), ("foreign", "node 4 delta 10.0.0.4:7777")]);
    let (dir, _) = daemon.end(Signal::SIGTERM);
    assert_eq!(fs::read_to_string(dir.path().join("configfs/tree.json")).unwrap(), tree);
}

#[test]
fn a_state_file_that_cannot_be_read_is_a_conflict_not_an_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::write(dir.path().join("run/state.json"), "{").unwrap();
    let daemon = Daemon::start_in(dir, |_| {});
    let verdicts = status(&daemon).adopted;
    assert!(verdicts.iter().any(|it| it.verdict == "conflict" && it.thing == "state file"), "{verdicts:?}");
}
