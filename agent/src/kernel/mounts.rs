//! The ocfs2 mounts with their volume ids.
//!
//! The id is read from the disk, which may not answer: so it is read on a thread of its own, one for each device, and for a
//! moment only is it waited for. A mount whose id is not known yet is told without one, and with it at a later look.

use super::Choice;
use crate::mountinfo::{Ocfs2Mount, ocfs2_mounts};
use crate::superblock;
use agent_core::event::Mount;
use nix::sys::stat::{major, minor};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tracing::{debug, warn};

/// How long a look waits for a disk.
const DISK_MAX: Duration = Duration::from_millis(500);

/// Number and path of a device.
type Key = (String, PathBuf);
/// The id in the superblock; `None` if there is no ocfs2.
type Answer = io::Result<Option<String>>;

/// Reads mountinfo and remembers the ids of what is mounted: a superblock is read once for each mount of a device.
pub(super) struct Mounts {
    mountinfo: PathBuf,
    ids: BTreeMap<Key, String>,
    /// Disks that have not answered yet.
    asked: BTreeMap<Key, Receiver<Answer>>,
}

impl Mounts {
    /// The model has no mounts but those that a test writes into its directory, in the form of mountinfo.
    pub(super) fn of(choice: &Choice) -> Mounts {
        let mountinfo = match choice {
            Choice::Kernel(_) => "/proc/self/mountinfo".into(),
            Choice::Model(folder) => folder.join("mountinfo"),
        };
        Mounts { mountinfo, ids: BTreeMap::new(), asked: BTreeMap::new() }
    }

    pub(super) fn read(&mut self) -> io::Result<Vec<Mount>> {
        let text = match fs::read(&self.mountinfo) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let found = ocfs2_mounts(&text);
        let known = |key: &Key| found.iter().any(|mount| key.0 == mount.number && key.1 == mount.device);
        self.ids.retain(|key, _| known(key));
        self.asked.retain(|key, _| known(key));
        Ok(found.into_iter().map(|mount| self.with_id(mount)).collect())
    }

    fn with_id(&mut self, mount: Ocfs2Mount) -> Mount {
        let key = (mount.number, mount.device);
        let number = key.0.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if !self.ids.contains_key(&key) {
            match self.ask(&key, number) {
                Some(Ok(uuid)) => self.ids.extend(uuid.map(|uuid| (key.clone(), uuid))),
                Some(Err(error)) => debug!(device = %key.1.display(), %error, "no volume id"),
                None => {}
            }
        }
        let uuid = self.ids.get(&key).cloned();
        Mount { device: key.1.display().to_string(), path: mount.path.display().to_string(), uuid, number }
    }

    /// `None` while the disk does not answer.
    fn ask(&mut self, key: &Key, number: Option<(u64, u64)>) -> Option<Answer> {
        let (answer, wait) = match self.asked.remove(key) {
            Some(answer) => (answer, Duration::ZERO),
            None => match start_reading(&key.1, number) {
                Ok(answer) => (answer, DISK_MAX),
                Err(error) => return Some(Err(error)),
            },
        };
        match answer.recv_timeout(wait) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => Some(Err(io::Error::other("its reader has ended"))),
            Err(RecvTimeoutError::Timeout) => {
                if wait > Duration::ZERO {
                    warn!(device = %key.1.display(), "the disk does not answer: which volume is mounted there is asked with each look");
                }
                self.asked.insert(key.clone(), answer);
                None
            }
        }
    }
}

fn start_reading(path: &Path, number: Option<(u64, u64)>) -> io::Result<Receiver<Answer>> {
    let (sender, answer) = mpsc::sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().name("o2cpgd-disk".into()).spawn(move || {
        let _nobody_waits = sender.send(volume_id(&path, number));
    })?;
    Ok(answer)
}

/// The path may lead to another disk by now: a device that has not the number of the mount is not asked.
fn volume_id(path: &Path, number: Option<(u64, u64)>) -> io::Result<Option<String>> {
    let device = File::open(path)?;
    let found = device.metadata()?;
    let has = (major(found.rdev()), minor(found.rdev()));
    if found.file_type().is_block_device() && number.is_some_and(|number| has != number) {
        return Err(io::Error::other(format!("it has number {}:{} by now", has.0, has.1)));
    }
    superblock::uuid(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_come_and_go_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut mounts = Mounts::of(&Choice::Model(dir.path().to_owned()));
        assert_eq!(mounts.read().unwrap(), vec![]);
        let line = "36 22 98:0 / /mnt rw - ocfs2 /nonexistent/disk rw\n";
        fs::write(dir.path().join("mountinfo"), line).unwrap();
        let found = mounts.read().unwrap();
        assert_eq!(
            found,
            [Mount { device: "/nonexistent/disk".into(), path: "/mnt".into(), uuid: None, number: Some((98, 0)) }]
        );
        fs::write(dir.path().join("mountinfo"), "").unwrap();
        assert!(mounts.read().unwrap().is_empty() && mounts.ids.is_empty());
    }
    /// A FIFO that nobody writes to cannot be opened, as a disk that hangs cannot be read.
    #[test]
    fn a_disk_that_does_not_answer_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        nix::unistd::mkfifo(&disk, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut mounts = Mounts::of(&Choice::Model(dir.path().to_owned()));
        let line = format!("36 22 98:0 / /mnt rw - ocfs2 {} rw\n", disk.display());
        fs::write(dir.path().join("mountinfo"), line).unwrap();
        for _look in 0..3 {
            assert_eq!(mounts.read().unwrap()[0].uuid, None);
            assert_eq!(mounts.asked.len(), 1, "one thread a disk");
        }
        fs::write(dir.path().join("mountinfo"), "").unwrap();
        assert!(mounts.read().unwrap().is_empty() && mounts.asked.is_empty());
        drop(fs::OpenOptions::new().write(true).open(&disk).unwrap()); // the reader goes on, and ends
    }
}
