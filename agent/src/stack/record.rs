//! /run/o2cpg/stack.json: what was really started on this machine since the boot, which need not be what is configured
//! by now. `o2cpg stack offline` takes back this, and nothing else.

use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Below the root.
const FILE: &str = "run/o2cpg/stack.json";
/// Of its directory, if there is none yet; the daemon gives it to its group.
const DIR_MODE: u32 = 0o750;

/// What was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The label as it was chosen last.
    pub label: String,
    /// Who chose it: `o2cpgd` or `o2cpg stack set`.
    pub by: String,
    /// Modules that were loaded for it, in this order. configfs and dlm are not among them: others use them too.
    pub loaded: Vec<String>,
}

impl Record {
    /// What was loaded before stays loaded.
    pub(super) fn after(self, before: Option<Record>) -> Record {
        let mut loaded = before.map_or_else(Vec::new, |before| before.loaded);
        let more: Vec<String> = self.loaded.into_iter().filter(|module| !loaded.contains(module)).collect();
        loaded.extend(more);
        Record { loaded, ..self }
    }
}

/// One that cannot be read is none: it only says what may be taken back.
pub(super) fn read(root: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(root.join(FILE)).ok()?).ok()
}

/// Replaces it as a whole; the error names the file.
pub(super) fn write(root: &Path, record: &Record) -> Result<(), (PathBuf, io::Error)> {
    let path = root.join(FILE);
    let new = path.with_extension("new");
    let folder = path.parent().expect("a constant with a folder");
    let written = DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(folder)
        .and_then(|()| fs::write(&new, serde_json::to_vec(record)?))
        .and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| (path, error))
}

pub(super) fn remove(root: &Path) -> Result<(), (PathBuf, io::Error)> {
    let path = root.join(FILE);
    fs::remove_file(&path).map_err(|error| (path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: &str, loaded: &[&str]) -> Record {
        let loaded = loaded.iter().map(|module| (*module).to_owned()).collect();
        Record { label: label.into(), by: "o2cpgd".into(), loaded }
    }

    #[test]
    fn what_was_loaded_before_stays_in_the_record() {
        let before = record("o2cb", &["ocfs2", "ocfs2_stack_o2cb"]);
        let after = record("pcmk", &["ocfs2", "ocfs2_stack_user"]).after(Some(before));
        assert_eq!(after, record("pcmk", &["ocfs2", "ocfs2_stack_o2cb", "ocfs2_stack_user"]));
    }

    #[test]
    fn a_record_is_read_back_and_a_broken_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        write(dir.path(), &record("cman", &["ocfs2"])).unwrap();
        assert_eq!(read(dir.path()), Some(record("cman", &["ocfs2"])));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(read(dir.path()), None);
        remove(dir.path()).unwrap();
        assert!(remove(dir.path()).is_err());
    }
}
