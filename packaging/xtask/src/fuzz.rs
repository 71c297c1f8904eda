//! `./x fuzz`: goes on with the generated input of the suites, for minutes or hours, each time with other seeds.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::Error;
use crate::run::{self, End, said_by};
use crate::workspace::{self, Metadata, TestProgram};

/// The test programs that read `FUZZ_FACTOR`: package, `[[test]]`.
const PROGRAMS: [(&str, &str); 2] = [("groupd-compat", "fuzz"), ("cluster-tests", "decoders")];
/// How many times the cases of `./x test` one run has: seconds to minutes.
const FACTOR: u64 = 500;
/// A run that takes longer hangs.
const RUN_MAX: Duration = Duration::from_secs(30 * 60);
/// How much of what a failed run printed is shown.
const TAIL_LINES: usize = 40;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Minutes of one processor for each test
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Only the tests with one of these in their names
    names: Vec<String>,
}

/// Plays one test after the other; ends at the first finding.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let metadata = workspace::metadata()?;
    let logs = run::log_folder(&metadata.target_dir)?;
    let mut tests = Vec::new();
    for program in built(&metadata)? {
        tests.extend(names(&program)?.into_iter().map(|name| (program.clone(), name)));
    }
    for word in &args.names {
        if !tests.iter().any(|(_, name)| name.contains(word)) {
            let known = tests.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownFuzz { word: word.clone(), known });
        }
    }
    let is_wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|word| name.contains(word));
    for (program, name) in tests.into_iter().filter(|(_, name)| is_wanted(name)) {
        if !held(&program, &name, Duration::from_secs(60 * args.minutes), &logs)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn built(metadata: &Metadata) -> Result<Vec<TestProgram>, Error> {
    let mut build = workspace::cargo();
    build.args(["test", "--release", "--no-run", "--locked", "--message-format", "json-render-diagnostics"]);
    for (package, target) in PROGRAMS {
        build.args(["--package", package, "--test", target]);
    }
    Ok(workspace::test_programs(&said_by(build)?, metadata))
}

/// The tests that a program has.
fn names(program: &TestProgram) -> Result<Vec<String>, Error> {
    let mut list = program.command();
    list.args(["--list", "--format", "terse"]);
    Ok(said_by(list)?.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// Runs a test again and again until it has used its time.
fn held(program: &TestProgram, name: &str, time: Duration, logs: &Path) -> Result<bool, Error> {
    let log = logs.join(format!("fuzz-{}.log", name.replace("::", "-")));
    run::clear(&log)?;
    let before = used();
    let (mut runs, mut end) = (0, End::Success);
    while end == End::Success && used() - before < time {
        let mut command = program.command();
        command.args(["--exact", name, "--nocapture"]).env("FUZZ_FACTOR", FACTOR.to_string());
        end = run::to_file(command, &log, RUN_MAX)?;
        runs += 1;
    }
    let verdict = match end {
        End::Success => "ok",
        End::Failure => "FAILED",
        End::OverTime => "HANGS",
    };
    let minutes = (used() - before).as_secs_f64() / 60.0;
    println!("{verdict:<8}{name:<70} {minutes:>6.1} min  {} times the cases of ./x test", runs * FACTOR);
    if end != End::Success {
        println!("--- from {}\n{}\n---", log.display(), run::tail(&run::text(&log), TAIL_LINES));
    }
    Ok(end == End::Success)
}

/// Processor time of all that has run and ended.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a process may ask about its own children");
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Duration::from_secs_f64(seconds(usage.user_time()) + seconds(usage.system_time()))
}
