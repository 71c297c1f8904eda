//! `./x chaos`: builds the release programs and lets tests/lab/chaos loose on them.

use std::process::ExitCode;

use crate::{Error, lab, workspace};

/// Builds, then plays; exit status 0 only if everything held.
pub(crate) fn run(args: &lab::Words) -> Result<ExitCode, Error> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "--package", "agent", "--package", "cluster-tests", "--bins"]);
    if lab::foreground(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut chaos = lab::script("chaos");
    chaos.arg(workspace::metadata()?.target_dir.join("release")).args(&args.words);
    lab::foreground(chaos)
}
