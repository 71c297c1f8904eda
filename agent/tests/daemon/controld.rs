//! The sockets of ocfs2_controld and o2cb_controld. Each test has names of its own in the one space of abstract names.

use super::*;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

const BLOCK_LEN: usize = 256;
const UUID: &str = "0E57961B81934696B7AAE6D0080D6F29";

static TESTS: AtomicU32 = AtomicU32::new(0);

fn new_prefix() -> String {
    format!("o2cpg-test-{}-{}-", std::process::id(), TESTS.fetch_add(1, Ordering::Relaxed))
}

/// A daemon that has both sockets.
struct Old {
    daemon: Daemon,
    prefix: String,
}

impl Old {
    fn start() -> Old {
        let prefix = new_prefix();
        let with_both = |command: &mut Command| _ = command.args(["--test-controld", &prefix]);
        Old { daemon: Daemon::start_in(tempfile::tempdir().unwrap(), with_both), prefix }
    }

    fn tool(&self) -> Tool {
        Tool(connect(&format!("{}ocfs2_controld_sock", self.prefix)).expect("it listens"))
    }

    /// What the daemon has recorded; so little that it is all in one file.
    fn recording(&self) -> String {
        let folder = self.daemon.dir.path().join("run/recorder");
        fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    /// The recorded events of clients, one line each.
    fn recorded(&self) -> Vec<String> {
        let of_clients = |line: &&str| line.contains("MountAsked") || line.contains("ClientGone");
        self.recording().lines().filter(of_clients).map(str::to_owned).collect()
    }

    fn can_stop(&self) -> api::CanStop {
        match self.daemon.ask(Ask::CanStop) {
            Answer::CanStop(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }
}

fn connect(name: &str) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.set_read_timeout(Some(HANGS_AFTER))?;
    Ok(stream)
}

struct Tool(UnixStream);

impl Tool {
    fn say(&mut self, text: &str) {
        let mut block = [0; BLOCK_LEN];
        block[..text.len()].copy_from_slice(text.as_bytes());
        self.0.write_all(&block).unwrap();
    }

    /// `None`: closed.
    fn hear(&mut self) -> Option<String> {
        let mut block = [0; BLOCK_LEN];
        match self.0.read_exact(&mut block) {
            Ok(()) => Some(String::from_utf8(block.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => None,
        }
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear().expect("an answer")
    }
}

#[test]
fn a_tool_is_answered_in_blocks_as_often_as_it_asks() {
    let old = Old::start();
    let mut tool = old.tool();
    for ask in [format!("MOUNT ocfs2 {UUID} lab /dev/null ocfs2"), "MOUNT ocfs2".into(), "NONSENSE".into()] {
        let answer = tool.ask(&ask);
        let errno: Option<i32> = answer.strip_prefix("STATUS ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        assert!(errno.is_some_and(|errno| errno > 0), "{ask}: {answer}");
    }
}

#[test]
fn the_device_is_looked_up_before_the_core_is_asked() {
    let old = Old::start();
    for (device, why) in [("/dev/null", "not a block device"), ("/nonexistent", "No such file"), ("sdb", "absolute")] {
        old.tool().ask(&format!("MOUNT ocfs2 {UUID} lab {device} ocfs2"));
        let asked = old.recorded().into_iter().rfind(|line| line.contains("MountAsked")).expect("recorded");
        assert!(asked.contains("\"Err\"") && asked.contains(why), "{asked}");
    }
}

#[test]
fn what_was_said_before_the_end_counts_and_the_end_comes_last() {
    let old = Old::start();
    let mut tool = old.tool();
    tool.say("DUMP");
    tool.say(&format!("UNMOUNT ocfs2 {UUID} ocfs2"));
    tool.say("LISTCLUSTERS");
    tool.0.write_all(b"MOUNT ocfs2 half").unwrap();
    tool.0.shutdown(Shutdown::Both).unwrap();
    let recorded =
        until("the end", || Some(old.recorded()).filter(|it| it.iter().any(|one| one.contains("ClientGone"))));
    let order = ["Dump", "Unmount", "ListClusters", "ClientGone"];
    assert_eq!(recorded.len(), order.len(), "{recorded:?}");
    for (line, part) in recorded.iter().zip(order) {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn who_floods_makes_only_mistakes_or_stays_away_is_closed_and_nobody_else_waits() {
    let old = Old::start();
    let mut other = old.tool();
    let mut flood = old.tool();
    flood.0.write_all(&[b'A'; 5 * BLOCK_LEN]).unwrap();
    assert_eq!(flood.hear(), None);
    let mut mistaken = old.tool();
    let answers = std::iter::from_fn(|| {
        _ = mistaken.0.write_all(&[b'A'; BLOCK_LEN]);
        mistaken.hear()
    });
    assert_eq!(answers.count(), 17);
    let mut half = old.tool();
    half.0.write_all(&[b'A'; BLOCK_LEN - 1]).unwrap();
    assert!(other.ask("DUMP").starts_with(char::is_uppercase));
    assert_eq!(half.hear(), None, "half a message is waited for ten seconds");
    assert_eq!(status(&old.daemon).agent.unwrap().state(), api::agent::State::Waiting);
}

#[test]
fn who_holds_on_to_the_node_tree_pins_the_daemon_until_it_lets_go() {
    let old = Old::start();
    let name = format!("{}o2cb_controld_sock", old.prefix);
    let (first, second) = (connect(&name).unwrap(), connect(&name).unwrap());
    let held = until("two pins", || Some(old.can_stop()).filter(|answer| answer.pins.len() == 2));
    let who = format!("(pid {}) holds on to {name}", std::process::id());
    assert!(!held.yes && held.pins.iter().all(|pin| pin.text.contains(&who)), "{held:?}");
    drop(first);
    until("one pin", || (old.can_stop().pins.len() == 1).then_some(()));
    (&second).write_all(b"x").unwrap();
    until("none: nothing is said there", || old.can_stop().yes.then_some(()));
    assert_eq!((&second).read(&mut [0]).unwrap(), 0);
}

#[test]
fn no_client_of_any_socket_has_the_id_of_another() {
    let old = Old::start();
    let mut tools = [old.tool(), old.tool()];
    for turn in 0..4 {
        tools[turn % 2].ask("DUMP");
        status(&old.daemon);
    }
    let text = old.recording();
    let ids = |word: &str| -> Vec<u64> {
        let start = format!("{{\"{word}\":[");
        text.split(&start).skip(1).map(|part| part.split(',').next().unwrap().parse().unwrap()).collect()
    };
    let (mut asked, mut mount_asked) = (ids("Asked"), ids("MountAsked"));
    assert!(asked.len() >= 4 && mount_asked.len() == 4, "{asked:?} {mount_asked:?}");
    mount_asked.sort_unstable();
    mount_asked.dedup();
    assert_eq!(mount_asked.len(), 2, "one id for each connection");
    let all = asked.len() + mount_asked.len();
    asked.extend(mount_asked);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), all);
}

#[test]
fn a_second_daemon_is_told_who_has_the_sockets() {
    let old = Old::start();
    let output = refused(&["--test-controld", &old.prefix]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let pid = old.daemon.child.id();
    assert!(text.contains(&format!("o2cpgd (pid {pid}) listens on the abstract socket {}", old.prefix)), "{text}");
    assert!(text.contains("legacy.controld"), "{text}");
    old.tool().ask("DUMP");
}

#[test]
fn they_are_opened_only_where_they_make_sense() {
    let prefix = new_prefix();
    let name = format!("{prefix}ocfs2_controld_sock");
    let off = |command: &mut Command| {
        command.args(["--test-controld", &prefix, "--set", "legacy.controld=off"]);
    };
    let _daemon = Daemon::start_in(tempfile::tempdir().unwrap(), off);
    connect(&name).expect_err("switched off");
    let output = refused(&["--set", "legacy.controld=maybe"]);
    assert_eq!(output.status.code(), Some(2));
    let _model = Daemon::start();
    let names = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!names.lines().any(|line| line.ends_with(" @ocfs2_controld_sock")), "a model has no volumes");
}
