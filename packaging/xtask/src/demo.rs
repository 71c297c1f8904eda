//! `./x demo`: builds the release programs and plays tests/lab/demo with them.

use std::process::ExitCode;

use crate::{Error, lab, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster running afterwards (`LAB_NAME=demo ./x lab status`, `… down`)
    #[arg(long)]
    keep: bool,
}

/// Builds, then plays; exit status 0 only if every step of the demo was checked.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "--package", "agent", "--bins"]);
    if lab::foreground(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut demo = lab::script("demo");
    demo.arg(workspace::metadata()?.target_dir.join("release"));
    if args.keep {
        demo.arg("--keep");
    }
    lab::foreground(demo)
}
