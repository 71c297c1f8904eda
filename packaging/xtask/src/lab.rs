//! `./x lab …`: passes its words to tests/lab/lab.

use std::process::{Command, ExitCode};

use crate::{Error, workspace};

/// The words of a command that another program reads.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Words {
    /// Passed on as they are; `--help` lists what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// Runs the lab in the foreground; its exit status is ours.
pub(crate) fn run(args: &Words) -> Result<ExitCode, Error> {
    let mut command = script("lab");
    command.args(&args.words);
    foreground(command)
}

/// A program of tests/lab, by its file name.
pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new(workspace::root().join("tests/lab").join(name));
    command.current_dir(workspace::root());
    command
}

/// Runs a command on the caller's terminal and hands its exit status on.
pub(crate) fn foreground(mut command: Command) -> Result<ExitCode, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| Error::Start { program, source })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
