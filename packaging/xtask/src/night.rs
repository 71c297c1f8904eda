//! `./x night`: lives of the simulated cluster by the million, played by a runner that was built for it.
//!
//! It is built twice: with counters, which play for a moment, and by what these counted. Lives take a seventh less time then.
//! Where the compiler's llvm-tools are missing it is built once.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::run::said_by;
use crate::{Error, lab, llvm, workspace};

/// What the counted runner plays: as long as it takes to go everywhere often.
const LESSON: [&str; 3] = ["--brief", "--seeds", "6000"];

/// Builds the runner and plays; the words are its own.
pub(crate) fn run(args: &lab::Words) -> Result<ExitCode, Error> {
    let folder = workspace::metadata()?.target_dir.join("night");
    let program = match llvm::tool("llvm-profdata") {
        Ok(merge) => learned(&folder, &merge)?,
        Err(missing) => {
            println!("slower than it could be: {missing}");
            built(&folder.join("plain"), "")?
        }
    };
    let mut night = Command::new(program);
    night.args(&args.words);
    lab::foreground(night)
}

fn learned(folder: &Path, merge: &Path) -> Result<PathBuf, Error> {
    let (counts, learned) = (folder.join("counts"), folder.join("learned.profdata"));
    match fs::remove_dir_all(&counts) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(Error::File { doing: "removing", path: counts, source });
        }
        Ok(()) | Err(_) => {}
    }
    let counting = built(&folder.join("counting"), &format!("-Cprofile-generate={}", counts.display()))?;
    let start = |source| Error::Start { program: counting.display().to_string(), source };
    // A seed that fails has been counted all the same, and fails again in the night.
    Command::new(&counting).args(LESSON).output().map_err(start)?;
    let mut merge = Command::new(merge);
    merge.args(["merge", "-o"]).args([&learned, &counts]);
    said_by(merge)?;
    built(&folder.join("learned"), &format!("-Cprofile-use={}", learned.display()))
}

fn built(folder: &Path, flags: &str) -> Result<PathBuf, Error> {
    let mut build = workspace::cargo();
    build.args([
        "build",
        "--locked",
        "--quiet",
        "--profile",
        "nightly",
        "--package",
        "cluster-tests",
        "--bin",
        "nightly",
    ]);
    build.arg("--target-dir").arg(folder).env("RUSTFLAGS", flags);
    said_by(build)?;
    Ok(folder.join("nightly/nightly"))
}
