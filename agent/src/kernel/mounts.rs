//! The ocfs2 mounts with their volume ids.

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
use tracing::debug;

/// Reads mountinfo and remembers the ids of what is mounted: a superblock is read once for each mount of a device.
pub(super) struct Mounts {
    mountinfo: PathBuf,
    ids: BTreeMap<(String, PathBuf), String>,
}

impl Mounts {
    /// The model has no mounts but those that a test writes into its directory, in the form of mountinfo.
    pub(super) fn of(choice: &Choice) -> Mounts {
        let mountinfo = match choice {
            Choice::Kernel(_) => "/proc/self/mountinfo".into(),
            Choice::Model(folder) => folder.join("mountinfo"),
        };
        Mounts { mountinfo, ids: BTreeMap::new() }
    }

    pub(super) fn read(&mut self) -> io::Result<Vec<Mount>> {
        let text = match fs::read(&self.mountinfo) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let found = ocfs2_mounts(&text);
        let known = |key: &(String, PathBuf)| found.iter().any(|mount| key.0 == mount.number && key.1 == mount.device);
        self.ids.retain(|key, _| known(key));
        Ok(found.into_iter().map(|mount| self.with_id(mount)).collect())
    }

    fn with_id(&mut self, mount: Ocfs2Mount) -> Mount {
        let key = (mount.number, mount.device);
        let number = key.0.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if !self.ids.contains_key(&key) {
            match volume_id(&key.1, number) {
                Ok(uuid) => self.ids.extend(uuid.map(|uuid| (key.clone(), uuid))),
                Err(error) => debug!(device = %key.1.display(), %error, "no volume id"),
            }
        }
        let uuid = self.ids.get(&key).cloned();
        Mount { device: key.1.display().to_string(), path: mount.path.display().to_string(), uuid, number }
    }
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
}
