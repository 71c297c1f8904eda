//! groupd, for init scripts that start it. Everything is in [`agent::groupd::alone`].

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::groupd::alone::main()
}
