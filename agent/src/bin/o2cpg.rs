//! The command. Everything is in [`agent::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::cli::main()
}
