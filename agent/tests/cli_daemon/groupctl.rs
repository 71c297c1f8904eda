//! groupctl against a groupd that the test plays: its end leaves the groups, however it ends.

use crate::played::{HANGS_AFTER, command};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use groupd_compat::frame::{FRAME_LEN, Frame};
use groupd_compat::ids::{EventNr, GlobalId, NodeId};
use groupd_compat::names::GroupName;
use groupd_compat::records::GroupRecord;
use groupd_compat::verbs::{Callback, Query, Request, StartKind};

/// A socket, and threads that play groupd behind it. One client is played to, and what others ask is answered.
struct Groupd {
    name: String,
    /// What the client said; closed when the client has ended its connection.
    asked: Receiver<Request>,
}

impl Groupd {
    fn playing(play: impl Fn(&Request, &mut UnixStream) + Send + 'static) -> Groupd {
        Groupd::with(GroupRecord::default(), play)
    }

    /// Where every group is this one.
    fn with(record: GroupRecord, play: impl Fn(&Request, &mut UnixStream) + Send + 'static) -> Groupd {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("o2cpg-test-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let (sender, asked) = channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            thread::spawn(move || answer(&listener, &record));
            let mut bytes = [0; FRAME_LEN];
            while stream.read_exact(&mut bytes).is_ok() {
                let request = Request::decode(&Frame::from(bytes)).unwrap();
                play(&request, &mut stream);
                sender.send(request).unwrap();
            }
        });
        Groupd { name, asked }
    }

    /// Alone in its cluster: every join succeeds, and so does every leave.
    fn willing() -> Groupd {
        Groupd::playing(|request, stream| match request {
            Request::Join { name } => say(stream, &joined(name)),
            Request::Leave { name } => say(stream, &left(name)),
            _ => {}
        })
    }

    fn command(&self, options: &str, words: &[&str]) -> Command {
        groupctl(&self.name, options, words)
    }

    /// Whether the client left this group before it ended its connection.
    fn was_left(&self, name: &str) -> bool {
        let asked = std::iter::from_fn(|| self.asked.recv_timeout(HANGS_AFTER).ok());
        asked.collect::<Vec<_>>().contains(&Request::Leave { name: group(name) })
    }
}

/// To one question of each connection.
fn answer(listener: &UnixListener, record: &GroupRecord) {
    for stream in listener.incoming() {
        let (mut stream, mut bytes) = (stream.unwrap(), [0; FRAME_LEN]);
        stream.read_exact(&mut bytes).unwrap();
        assert!(matches!(Request::decode(&Frame::from(bytes)), Ok(Request::GetGroup(Query::Group(_)))));
        stream.write_all(&record.encode()).unwrap();
    }
}

fn groupctl(groupd: &str, options: &str, words: &[&str]) -> Command {
    let mut command = command(Path::new("/nonexistent"), &format!("groupctl {options}"));
    command.args(["--groupd-socket", groupd]).args(words);
    command
}

fn group(name: &str) -> GroupName {
    GroupName::new(name.as_bytes()).unwrap()
}

/// In one write, so that the client gets it in one read.
fn say(stream: &mut UnixStream, callbacks: &[Callback]) {
    let frames: Vec<Frame> = callbacks.iter().map(|callback| callback.encode().unwrap()).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.as_bytes().iter().copied()).collect();
    // The client may have ended; that is for the test to judge.
    _ = stream.write_all(&bytes);
}

fn joined(name: &GroupName) -> [Callback; 3] {
    let (name, nr) = (name.clone(), EventNr(1));
    [
        Callback::SetId { name: name.clone(), id: GlobalId(0x10001) },
        Callback::Start { name: name.clone(), nr, kind: StartKind::Joined, members: vec![NodeId(1)] },
        Callback::Finish { name, nr },
    ]
}

fn left(name: &GroupName) -> [Callback; 2] {
    [Callback::Stop { name: name.clone() }, Callback::Terminate { name: name.clone() }]
}

#[test]
fn a_wait_in_vain_leaves_the_groups() {
    let groupd = Groupd::willing();
    let ended = groupd.command("--timeout 300ms", &["join a", "wait stop"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(groupd.was_left("a"));
}

#[test]
fn a_reader_that_has_seen_enough_leaves_the_groups() {
    let (closed, is_closed) = channel();
    let groupd = Groupd::playing(move |request, stream| match request {
        Request::Join { name } => {
            let [setid, rest @ ..] = joined(name);
            say(stream, &[setid]);
            is_closed.recv().unwrap();
            say(stream, &rest);
        }
        Request::Leave { name } => say(stream, &left(name)),
        _ => {}
    });
    let mut command = groupd.command("--auto", &["join a", "wait finish", "wait stop"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "setid a 00010001\n");
    closed.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(groupd.was_left("a"));
}

#[test]
fn a_command_line_without_sense_joins_nothing() {
    for (options, words) in [("", ["join a", "wait finish a", "jion b"]), ("--level 4", ["join a", "join b", "quit"])] {
        // Nobody listens there, and nobody is asked.
        let ended = groupctl("o2cpg-test-nobody", options, &words).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }
}

#[test]
fn a_mistake_in_a_script_leaves_the_groups() {
    let groupd = Groupd::willing();
    let mut command = groupd.command("", &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"join a\nwait finish a\njion b\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    assert!(groupd.was_left("a"));
}

#[test]
fn what_was_said_in_one_breath_is_waited_for_word_by_word() {
    let words = ["join a", "wait setid a", "wait start a", "wait finish a"];
    let ended = Groupd::willing().command("--timeout 5s", &words).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn a_word_is_waited_for_once() {
    let groupd = Groupd::willing();
    let ended = groupd.command("--timeout 300ms", &["join a", "wait finish", "wait finish"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
}

#[test]
fn a_group_of_another_client_is_neither_joined_nor_left() {
    let record = GroupRecord { name: b"a".to_vec(), level: 3, member: true, ..GroupRecord::default() };
    let groupd = Groupd::with(record, |request, stream| {
        if let Request::Leave { name } = request {
            say(stream, &left(name));
        }
    });
    let ended = groupd.command("--timeout 2s", &["join a"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("another client of this node has it"), "{ended:?}");
    assert!(!groupd.was_left("a"));
}

#[test]
fn a_group_is_joined_once() {
    let groupd = Groupd::willing();
    let ended = groupd.command("", &["join a", "wait finish a", "join a"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(groupd.was_left("a"));
}
