//! The run directory: who may look into it, the lock that makes this daemon the only one, and the state file.
//!
//! ```text
//! /run/o2cpg/            0750 root:GROUP
//!     lock               held (flock) while a daemon runs; its pid
//!     control.sock       0660 root:GROUP
//!     state.json         what a restarted daemon must know
//!     recorder/          the flight recorder
//!     dump.jsonl         SIGUSR1: a copy of it
//! ```

use agent_core::saved::Saved;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Group, chown, geteuid};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tracing::warn;

/// May look if nobody else is named, and if it exists: pacemaker makes it.
const GROUP_DEFAULT: &str = "haclient";
const DIR_MODE: u32 = 0o750;
const SOCKET_MODE: u32 = 0o660;
/// How long the threads of a killed daemon may take to end. The lock is held until the last of them has.
const ENDING_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on one of its files.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon runs.
    #[error("another o2cpgd{} runs: it holds {path}", pid.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The lock.
        path: PathBuf,
        /// Its pid, as it wrote it down.
        pid: Option<u32>,
    },
}

/// The directory, held.
pub(crate) struct RunDir {
    path: PathBuf,
    group: Option<Gid>,
    _lock: Flock<File>,
}

impl RunDir {
    /// Makes it if need be and takes the lock.
    pub(crate) fn take(path: &Path, group: Option<&str>) -> Result<RunDir, Error> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { what, path, source }
        };
        let group = find_group(group);
        fs::create_dir_all(path).map_err(failed("making", path))?;
        let lock = lock(&path.join("lock"))?; // before anything is changed under a daemon that runs
        share(path, DIR_MODE, group).map_err(failed("setting the mode of", path))?;
        Ok(RunDir { path: path.to_owned(), group, _lock: lock })
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lets the group use the control socket.
    pub(crate) fn share_socket(&self, socket: &Path) -> Result<(), Error> {
        let failed = |source| Error::Io { what: "setting the mode of", path: socket.to_owned(), source };
        share(socket, SOCKET_MODE, self.group).map_err(failed)
    }

    /// Who besides root may look.
    pub(crate) fn group(&self) -> Option<Gid> {
        self.group
    }

    pub(crate) fn state_file(&self) -> StateFile {
        StateFile::at(&self.path)
    }
}

/// Only root can give a file to another group; a daemon without root serves its own user.
fn share(path: &Path, mode: u32, group: Option<Gid>) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    if let (Some(group), true) = (group, geteuid().is_root()) {
        chown(path, None, Some(group))?;
    }
    Ok(())
}

/// Who may look is not worth a daemon that does not start: the group may come from a directory that is away for the moment.
fn find_group(name: Option<&str>) -> Option<Gid> {
    let found = Group::from_name(name.unwrap_or(GROUP_DEFAULT));
    match (&found, name) {
        (Ok(Some(_)), _) | (_, None) => {}
        (Ok(None), Some(name)) => {
            warn!(name, "there is no such group (control.group): only root may look, until the next start")
        }
        (Err(error), Some(name)) => {
            warn!(name, %error, "the group cannot be looked up (control.group): only root may look, until the next start");
        }
    }
    found.ok().flatten().map(|group| group.gid)
}

/// At once, or when what is left of a killed daemon has ended; not for a daemon that lives.
fn lock(path: &Path) -> Result<Flock<File>, Error> {
    let until = Instant::now() + ENDING_MAX;
    loop {
        match try_lock(path) {
            Err(Error::Held { pid: Some(pid), .. }) if has_ended(pid) && Instant::now() < until => {
                thread::sleep(LOOK_EVERY);
            }
            done => return done,
        }
    }
}

/// Whether a process has, although threads of it may not: its first one is a zombie then.
fn has_ended(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X'])),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn try_lock(path: &Path) -> Result<Flock<File>, Error> {
    let failed = |source| Error::Io { what: "locking", path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Held { path: path.to_owned(), pid: pid(path) },
        errno => failed(errno.into()),
    })?;
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
    Ok(lock)
}

fn pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The state file: read at start, replaced as a whole.
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(crate) fn at(run_dir: &Path) -> StateFile {
        StateFile { path: run_dir.join("state.json") }
    }

    /// What a daemon before us left; the text says why it cannot be used.
    pub(crate) fn read(&self) -> Result<Option<Saved>, String> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let saved: Saved = serde_json::from_slice(&bytes).map_err(|error| self.text(&error))?;
                saved.is_newer().map_or(Ok(Some(saved)), |why| Err(format!("{}: {why}", self.path.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.text(&error)),
        }
    }

    /// Replaces it. /run is in memory, so what counts is that it is whole, not that it is on a disk.
    pub(crate) fn write(&self, saved: &Saved) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let written = serde_json::to_vec(saved).map_err(io::Error::from).and_then(|bytes| fs::write(&new, bytes));
        written.and_then(|()| fs::rename(&new, &self.path)).inspect_err(|error| {
            warn!(path = %self.path.display(), %error, "the state file is not written, so nothing is done in the kernel");
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn text(&self, error: &dyn std::error::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_second_daemon_is_told_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunDir::take(dir.path(), None).unwrap();
        let Err(Error::Held { pid, .. }) = RunDir::take(dir.path(), None) else { panic!("two daemons") };
        assert_eq!(pid, Some(std::process::id()));
        drop(first);
        assert!(RunDir::take(dir.path(), None).is_ok());
    }

    #[test]
    fn a_killed_daemon_has_ended_before_its_parent_asks() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(!has_ended(child.id()) && !has_ended(std::process::id()));
        child.kill().unwrap();
        let until = Instant::now() + ENDING_MAX;
        while !has_ended(child.id()) && Instant::now() < until {
            thread::yield_now();
        }
        assert!(has_ended(child.id()));
        child.wait().unwrap();
        assert!(has_ended(child.id()));
    }

    #[test]
    fn who_is_refused_has_changed_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let _first = RunDir::take(dir.path(), None).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let owner = || fs::metadata(dir.path()).map(|found| (found.mode() & 0o777, found.gid())).unwrap();
        let before = owner();
        assert!(matches!(RunDir::take(dir.path(), Some("daemon")), Err(Error::Held { .. })));
        assert_eq!(owner(), before);
    }

    #[test]
    fn the_state_file_is_replaced_as_a_whole_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = RunDir::take(dir.path(), None).unwrap().state_file();
        assert_eq!(state.read(), Ok(None));
        let saved = Saved { cluster: "lab".into(), ..Saved::default() };
        state.write(&saved).unwrap();
        assert_eq!(state.read(), Ok(Some(saved)));
        assert!(!dir.path().join("state.new").exists());
        fs::write(state.path(), "{").unwrap();
        assert!(state.read().unwrap_err().contains("state.json: "));
    }

    #[test]
    fn an_older_state_file_is_read_and_a_newer_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let state = RunDir::take(dir.path(), None).unwrap().state_file();
        let older = r#"{"boot_id":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"cluster":"lab","table":null,"written":[]}"#;
        fs::write(state.path(), older).unwrap();
        let saved = state.read().unwrap().unwrap();
        assert_eq!((saved.schema, saved.cluster.as_str()), (1, "lab"));
        fs::write(state.path(), older.replace("{\"boot", "{\"schema\":99,\"boot")).unwrap();
        assert!(state.read().unwrap_err().contains("a newer o2cpgd ran here"));
    }

    #[test]
    fn a_group_that_does_not_exist_keeps_no_daemon_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let taken = RunDir::take(dir.path(), Some("no-such-group")).unwrap();
        assert_eq!(taken.group(), None);
    }
}
