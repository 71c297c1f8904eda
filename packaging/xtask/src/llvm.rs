//! The compiler's own llvm-tools, which read what its counters write.

use std::path::PathBuf;
use std::process::Command;

use crate::run::said_by;
use crate::{Error, workspace};

/// One of its programs. No other release's will do.
pub(crate) fn tool(name: &'static str) -> Result<PathBuf, Error> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir"]).current_dir(workspace::root());
    let libraries = PathBuf::from(said_by(rustc)?.trim());
    let path = libraries.with_file_name("bin").join(name);
    if path.exists() { Ok(path) } else { Err(Error::NoLlvmTools { path }) }
}
