//! What the benchmarks have in common: the lab, commands, and how a figure is judged.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The lab of this name (tests/lab).
pub(crate) struct Lab(pub(crate) &'static str);

impl Lab {
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        run(Command::new(workspace().join("tests/lab/lab")).args(words).env("LAB_NAME", self.0))
    }
}

/// What it printed; the error has everything that a failed command said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let done = command.output()?;
    if done.status.success() {
        return Ok(String::from_utf8(done.stdout)?);
    }
    Err(format!("{command:?}: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr)).into())
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
