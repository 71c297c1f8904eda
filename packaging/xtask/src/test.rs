//! `./x test`: plays the suites, says one line about each as it ends, and closes with the counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::machine::{self, Need};
use crate::run::{self, End};
use crate::suites::{self, Run, Suite};
use crate::tally::Tally;
use crate::workspace::{self, Metadata, TestProgram};
use crate::{Error, lab};

/// How much of a failed command's output is shown; the rest is in the suite's log.
const TAIL_LINES: usize = 40;
/// Scenarios mostly wait for time-outs: two labs at once keep the two cores busy that the time limit is meant for.
const LABS_AT_ONCE: &str = "2";
/// What the whole run may take on 2 cores. Over it, the summary says so.
const WHOLE_RUN: Duration = Duration::from_secs(20 * 60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the suites that need root, namespaces or User Mode Linux; the summary counts them
    #[arg(long)]
    without_lab: bool,
    /// Show what each suite proves, and run nothing
    #[arg(long)]
    list: bool,
    /// Only these suites
    suites: Vec<String>,
}

/// Runs the suites; success only if nothing failed.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let suites = suites::chosen(&args.suites)?;
    if args.list {
        suites.iter().for_each(|suite| println!("{:<12} {}", suite.name, suite.proves));
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let mut session = Session::start(args.without_lab)?;
    let outcomes = suites.into_iter().map(|suite| session.play(suite)).collect::<Result<Vec<_>, Error>>()?;
    let is_good = outcomes.iter().all(|outcome| outcome.verdict != Verdict::Failed);
    let room = if is_good { None } else { machine::short_of_room(&session.metadata.target_dir) };
    room.iter().for_each(|hint| println!("{hint}"));
    summary(&outcomes, started.elapsed());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotRun,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::NotRun => "not run",
        })
    }
}

#[derive(Debug)]
struct Outcome {
    suite: &'static str,
    verdict: Verdict,
    tally: Tally,
    /// Why it failed or was not run.
    reason: Option<String>,
    /// The ends of what its failed commands printed.
    excerpt: String,
}

impl Outcome {
    fn refused(suite: &Suite, reason: String) -> Self {
        Self::unplayed(suite, Verdict::Failed, Tally::FAILED, reason)
    }

    fn not_run(suite: &Suite, reason: String) -> Self {
        Self::unplayed(suite, Verdict::NotRun, Tally::SKIPPED, reason)
    }

    fn unplayed(suite: &Suite, verdict: Verdict, tally: Tally, reason: String) -> Self {
        Self { suite: suite.name, verdict, tally, reason: Some(reason), excerpt: String::new() }
    }
}

/// One run of `./x test`.
struct Session {
    metadata: Metadata,
    logs: PathBuf,
    /// Set once the suite `build` has succeeded.
    programs: Option<Vec<TestProgram>>,
    without_lab: bool,
    /// What the machine lacks for each need asked about so far.
    lacks: BTreeMap<Need, Option<String>>,
}

impl Session {
    fn start(without_lab: bool) -> Result<Self, Error> {
        let metadata = workspace::metadata()?;
        let logs = run::log_folder(&metadata.target_dir)?;
        machine::short_of_room(&metadata.target_dir).iter().for_each(|hint| println!("{hint}"));
        Ok(Self { metadata, logs, programs: None, without_lab, lacks: BTreeMap::new() })
    }

    /// Runs one suite and prints its line.
    fn play(&mut self, suite: &Suite) -> Result<Outcome, Error> {
        let started = Instant::now();
        let log = self.logs.join(suite.name).with_extension("log");
        run::clear(&log)?;
        let outcome = match self.hindrance(suite)? {
            Some(outcome) => outcome,
            None => self.execute(suite, &log)?,
        };
        let seconds = started.elapsed().as_secs_f64();
        let reason = outcome.reason.as_deref().map(|reason| format!("  ({reason})")).unwrap_or_default();
        println!("{:<8}{:<12}{seconds:>7.1} s  {}{reason}", outcome.verdict, outcome.suite, outcome.tally);
        if !outcome.excerpt.is_empty() {
            println!("--- from {}\n{}\n---", log.display(), outcome.excerpt);
        }
        Ok(outcome)
    }

    /// Why a suite cannot be run here. What cannot run is failed, unless a person chose to go without: then it
    /// is not run. Under CI nobody chooses.
    fn hindrance(&mut self, suite: &Suite) -> Result<Option<Outcome>, Error> {
        let is_ci = is_ci();
        if suite.needs != Need::Nothing && self.without_lab && !is_ci {
            return Ok(Some(Outcome::not_run(suite, "--without-lab".into())));
        }
        if let Some(lack) = self.lack(suite.needs)? {
            let hint = if is_ci { "" } else { "; --without-lab leaves such suites out" };
            return Ok(Some(Outcome::refused(suite, format!("{lack}{hint}"))));
        }
        if suite.needs_build() && self.programs.is_none() {
            return Ok(Some(Outcome::refused(suite, "nothing to run: the build failed".into())));
        }
        Ok(None)
    }

    fn lack(&mut self, need: Need) -> Result<Option<String>, Error> {
        if let Some(known) = self.lacks.get(&need) {
            return Ok(known.clone());
        }
        let lack = machine::lack(need)?;
        self.lacks.insert(need, lack.clone());
        Ok(lack)
    }

    fn execute(&mut self, suite: &Suite, log: &Path) -> Result<Outcome, Error> {
        let deadline = Instant::now() + Duration::from_secs(suite.limit_s);
        let (mut end, mut printed, mut excerpts) = (End::Success, String::new(), Vec::new());
        for command in self.commands(suite) {
            let left = deadline.saturating_duration_since(Instant::now());
            let one = run::to_file(command, log, left)?;
            let before = std::mem::replace(&mut printed, run::text(log)).len();
            if one != End::Success {
                excerpts.push(run::tail(printed.get(before..).unwrap_or(&printed), TAIL_LINES));
            }
            end = end.max(one);
        }
        if matches!(suite.run, Run::Build) && end == End::Success {
            self.programs = Some(workspace::test_programs(&printed, &self.metadata));
        }
        let counted = suite.is_counted().then(|| Tally::of(&printed));
        let (tally, reason) = judge(end, counted, suite.limit_s);
        if tally.ran() == 0 {
            return Ok(Outcome::refused(suite, "no test ran".into()));
        }
        let verdict = if tally.failed == 0 { Verdict::Passed } else { Verdict::Failed };
        Ok(Outcome { suite: suite.name, verdict, tally, reason, excerpt: excerpts.join("\n") })
    }

    /// What has to be run for a suite, in order.
    fn commands(&self, suite: &Suite) -> Vec<Command> {
        match suite.run {
            Run::Build => [workspace::BUILD_TESTS, workspace::BUILD_PROGRAMS].map(cargo).into(),
            Run::Cargo(words) => vec![cargo(words)],
            Run::Codegen => vec![cargo(&["xtask", "codegen", "--check"])],
            Run::Scenarios(name) => {
                let mut command = lab::script("run");
                command.args(["--suite", name, "--jobs", LABS_AT_ONCE, "--programs"]);
                command.arg(self.metadata.target_dir.join("debug"));
                vec![command]
            }
            Run::Unit => self.programs_where(|program| !program.is_integration),
            Run::Target(package, target) => self.programs_where(|program| program.is_target(package, target)),
            Run::OtherTargets => self.programs_where(|program| program.is_integration && !has_own_line(program)),
        }
    }

    fn programs_where(&self, wanted: impl Fn(&TestProgram) -> bool) -> Vec<Command> {
        let programs = self.programs.iter().flatten();
        programs.filter(|program| wanted(program)).map(TestProgram::command).collect()
    }
}

/// Warnings of rustdoc are errors, as those of clippy. Nobody compiles again on a checkout of CI: what the next
/// compilation would go by is not kept.
fn cargo(words: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(words).env("RUSTDOCFLAGS", "-D warnings");
    if is_ci() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

fn has_own_line(program: &TestProgram) -> bool {
    let names = |run| matches!(run, Run::Target(package, target) if program.is_target(package, target));
    suites::SUITES.iter().any(|suite| names(suite.run))
}

/// The counts of one command and why it counts as failed. A runner that dies without a count has one failure;
/// a command that counts nothing is itself the test.
fn judge(end: End, counted: Option<Tally>, limit_s: u64) -> (Tally, Option<String>) {
    let is_silent = counted.is_some_and(|tally| tally.failed == 0);
    let mut tally = counted.unwrap_or(if end == End::Success { Tally::PASSED } else { Tally::FAILED });
    if end != End::Success && is_silent {
        tally += Tally::FAILED;
    }
    let reason = match end {
        End::Success => None,
        End::Failure if is_silent => Some("ended with an error and no failed test".into()),
        End::Failure => None,
        End::OverTime => Some(format!("no end within {limit_s} s")),
    };
    (tally, reason)
}

/// The last line is for machines: it stands alone and counts tests.
fn summary(outcomes: &[Outcome], took: Duration) {
    let mut total = Tally::default();
    let mut of = BTreeMap::from([("ok", 0), ("FAILED", 0), ("not run", 0)]);
    for outcome in outcomes {
        total += outcome.tally;
        *of.entry(match outcome.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::NotRun => "not run",
        })
        .or_default() += 1;
    }
    println!();
    for outcome in outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed) {
        println!("{:<8}{}  {}", outcome.verdict, outcome.suite, outcome.reason.as_deref().unwrap_or_default());
    }
    let seconds = took.as_secs();
    println!("{} suites ok, {} failed, {} not run, in {seconds} s", of["ok"], of["FAILED"], of["not run"]);
    if took > WHOLE_RUN {
        println!("the run took longer than the {} s it may take", WHOLE_RUN.as_secs());
    }
    println!("{total}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_that_dies_without_a_failed_test_is_one_failure() {
        let counted = Tally { passed: 3, ..Tally::default() };
        let (tally, reason) = judge(End::Failure, Some(counted), 1);
        assert_eq!(tally, Tally { passed: 3, failed: 1, skipped: 0 });
        assert!(reason.is_some());
    }

    #[test]
    fn failed_tests_are_counted_once() {
        let counted = Tally { passed: 3, failed: 2, skipped: 0 };
        assert_eq!(judge(End::Failure, Some(counted), 1), (counted, None));
    }

    #[test]
    fn a_command_without_counts_is_itself_the_test() {
        assert_eq!(judge(End::Success, None, 1).0, Tally::PASSED);
        assert_eq!(judge(End::OverTime, None, 7), (Tally::FAILED, Some("no end within 7 s".into())));
    }

    #[test]
    fn a_target_with_its_own_line_is_not_run_twice() {
        let program = |target: &str| TestProgram::integration("cluster-tests", target);
        assert!(has_own_line(&program("wire")));
        assert!(!has_own_line(&program("another")));
    }
}
