//! o2cpgd: arguments → settings → run; every way to fail has its exit status.

use agent::args::Args;
use agent::{daemon, settings::Live, telemetry};
use clap::Parser;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use tracing::error;

/// The operator can repair it in the settings.
const SETTINGS: u8 = 2;
/// Anything else.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let args = Args::parse();
    let settings = match args.settings() {
        Ok(settings) => settings,
        Err(error) => return failed(&error, SETTINGS),
    };
    if args.check_config {
        return shown(&settings);
    }
    let (log, writer) = match telemetry::install(&settings.in_force().log_level) {
        Ok(log) => log,
        Err(error) => return failed(&error, FAILED),
    };
    let ended = daemon::run(args.options(), settings, log);
    // Not to stderr: who does not read the log would hold up the end.
    let status = ended.map_or_else(
        |error| {
            error!("{}", line(&error));
            ExitCode::from(FAILED)
        },
        |()| ExitCode::SUCCESS,
    );
    drop(writer);
    status
}

/// Before there is a log.
fn failed(error: &dyn Error, status: u8) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    _ = writeln!(std::io::stderr(), "o2cpgd: {}", line(error));
    ExitCode::from(status)
}

/// What, and every cause.
fn line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

fn shown(settings: &Live) -> ExitCode {
    let mut out = std::io::stdout().lock();
    for setting in settings.show().settings {
        if writeln!(out, "{} = {:?}  # {}", setting.key, setting.value, setting.origin).is_err() {
            return ExitCode::from(FAILED);
        }
    }
    ExitCode::SUCCESS
}
