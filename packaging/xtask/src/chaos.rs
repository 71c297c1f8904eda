//! `./x chaos`: builds the release programs and lets tests/lab/chaos loose on them.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::run::said_by;
use crate::{Error, lab, workspace};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Programs with the compiler's address sanitizer in them; a finding of it ends the run. Comes before all other words
    #[arg(long)]
    sanitizer: bool,
    #[command(flatten)]
    words: lab::Words,
}

/// Builds, then plays; exit status 0 only if everything held.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "--package", "agent", "--package", "cluster-tests", "--bins"]);
    let mut programs = workspace::metadata()?.target_dir;
    if args.sanitizer {
        programs = programs.join("sanitizer");
        build.arg("--target-dir").arg(&programs);
        programs = programs.join(sanitized(&mut build)?);
    }
    if lab::foreground(build)? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut chaos = lab::script("chaos");
    chaos.arg(programs.join("release")).args(&args.words.words);
    lab::foreground(chaos)
}

/// Has a build sanitized; returns the folder of the target. The sanitizers come with the stable compiler, but it lets only
/// itself use them. The target has to be named: flags would else hold for build scripts too.
fn sanitized(build: &mut Command) -> Result<PathBuf, Error> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "host-tuple"]).current_dir(workspace::root());
    let host = said_by(rustc)?.trim().to_owned();
    build.args(["--target", &host]);
    build.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes");
    Ok(PathBuf::from(host))
}
