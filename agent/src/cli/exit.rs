//! How the command ends: an exit code that scripts can rely on, and three sentences for people.

use std::error::Error;
use std::io;

use proto::control::api;
use serde::Serialize;

/// Exit codes; the numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The command line makes no sense. clap uses the same number.
    Usage = 2,
    /// No daemon to ask.
    NotRunning = 3,
    /// Not allowed for this user.
    NotPermitted = 4,
    /// Refused for a reason: in use, pinned, unsafe.
    Refused = 5,
    /// Not within the deadline.
    TimedOut = 6,
    /// No such node, pin, file.
    NotFound = 7,
    /// corosync is down.
    ClusterUnreachable = 8,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Shown below every help text and on the manual page.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 daemon not running, 4 not permitted, 5 refused (in use, pinned, unsafe), \
6 timed out, 7 not found, 8 cluster unreachable (corosync down).";

/// Why the command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The exit code, as a word in JSON.
    #[serde(rename = "kind")]
    pub exit: Exit,
    /// What failed, on what.
    pub what: String,
    /// Why, likely.
    pub cause: String,
    /// What to do next.
    pub fix: String,
}

impl Failure {
    /// All three parts; an empty one is not shown.
    pub fn new(exit: Exit, what: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), cause: cause.into(), fix: fix.into() }
    }

    /// The command line makes no sense in a way that clap cannot see.
    pub fn usage(what: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, what, "", fix)
    }

    /// `what` failed; the cause is the error with all its sources.
    pub fn of(what: impl Into<String>, error: &dyn Error, fix: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, what, chain(error), fix)
    }

    /// Standard output could not be written. Who closes a pipe early (`| head`) has seen enough: no failure.
    pub fn of_output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Ok, "", "", ""),
            _ => Failure::of("writing to standard output", error, ""),
        }
    }
}

/// The code of a command whose exit code is its answer: it is the same whether anybody read the text to its end or not.
pub(super) fn judged<T>(printed: Result<(), Failure>, code: T) -> Result<T, Failure> {
    match printed {
        Err(failure) if failure.exit != Exit::Ok => Err(failure),
        _ => Ok(code),
    }
}

impl From<api::Refusal> for Failure {
    fn from(refusal: api::Refusal) -> Failure {
        use api::refusal::Kind;
        let exit = match refusal.kind() {
            Kind::Usage => Exit::Usage,
            Kind::NotPermitted => Exit::NotPermitted,
            Kind::Refused => Exit::Refused,
            Kind::TimedOut => Exit::TimedOut,
            Kind::NotFound => Exit::NotFound,
            Kind::ClusterUnreachable => Exit::ClusterUnreachable,
            Kind::Failed | Kind::Unspecified => Exit::Failed,
        };
        Failure { exit, what: refusal.what, cause: refusal.cause, fix: refusal.fix }
    }
}

/// An error and its sources on one line. A source that its parent quotes already is not said twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_refusal_has_the_exit_code_of_its_number() {
        for number in [1, 2, 4, 5, 6, 7, 8] {
            let refusal = api::Refusal { kind: number, ..Default::default() };
            assert_eq!(i32::from(Failure::from(refusal).exit.code()), number);
        }
    }

    #[test]
    fn a_kind_of_a_newer_daemon_is_a_plain_failure() {
        let refusal = api::Refusal { kind: 99, what: "x".into(), ..Default::default() };
        assert_eq!(Failure::from(refusal), Failure::new(Exit::Failed, "x", "", ""));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::of_output(&io::ErrorKind::BrokenPipe.into()).exit, Exit::Ok);
        assert_eq!(Failure::of_output(&io::ErrorKind::StorageFull.into()).exit, Exit::Failed);
    }
}
