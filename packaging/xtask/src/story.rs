//! `./x story`: recordings from the field become a golden story.

use std::process::ExitCode;

use crate::{Error, lab, workspace};

/// Builds and runs it; files are taken from the top of the checkout.
pub(crate) fn run(args: &lab::Words) -> Result<ExitCode, Error> {
    let mut story = workspace::cargo();
    story.args(["run", "--quiet", "--locked", "--package", "cluster-tests", "--bin", "story", "--"]).args(&args.words);
    lab::foreground(story)
}
