//! `./x story`: recordings from the field become a golden story.

use std::process::ExitCode;

use crate::{Error, lab, workspace};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `RECORDING… [--until MS] [--last S] [-o tests/golden/NN-what-happened.txt]`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Builds and runs it; files are taken from where the caller is.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut story = workspace::cargo();
    story.args(["run", "--quiet", "--locked", "--package", "cluster-tests", "--bin", "story", "--"]).args(&args.words);
    lab::foreground(story)
}
