//! The real groupd without corosync: how it ends.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use nix::fcntl::{FcntlArg, fcntl};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What has not happened by then hangs.
const HANGS_AFTER: Duration = Duration::from_secs(20);
/// How often something that comes without a word is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

fn groupd(lock_file: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groupd"));
    command.args(["-D", "--lock-file", lock_file]).stdin(Stdio::null());
    command
}

#[test]
fn in_the_foreground_the_log_says_why_it_ends() {
    let output = groupd("/nonexistent/groupd.pid").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("/nonexistent/groupd.pid").count(), 1, "{said}");
}

#[test]
fn a_start_that_fails_ends_although_nobody_reads_why() {
    let (unread, mut full) = std::io::pipe().unwrap();
    let len = fcntl(&full, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    full.write_all(&vec![b'\n'; usize::try_from(len).unwrap()]).unwrap();
    let mut groupd = groupd("/nonexistent/groupd.pid").stderr(full).spawn().unwrap();
    let end = Instant::now() + HANGS_AFTER;
    let status = loop {
        if let Some(status) = groupd.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it still runs");
        std::thread::sleep(LOOK_EVERY);
    };
    assert_eq!(status.code(), Some(1));
    drop(unread);
}
