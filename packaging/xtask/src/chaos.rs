//! `./x chaos`: builds the release programs and lets tests/lab/chaos loose on them.

use std::process::ExitCode;

use crate::{Error, lab, workspace};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What tests/lab/chaos is to do: `--minutes M --seed S --kind ns|uml --nodes N`; `--help` lists all
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Builds, then plays; exit status 0 only if everything held.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "--package", "agent", "--package", "cluster-tests", "--bins"]);
    if lab::foreground(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut chaos = lab::script("chaos");
    chaos.arg(workspace::metadata()?.target_dir.join("release")).args(&args.words);
    lab::foreground(chaos)
}
