//! Plays a script of file-system calls on a real tree and prints the outcome of each, one JSON object a line.
//!
//! `cfsprobe SCRIPT ROOT` prints; `cfsprobe --compare RECORDED SCRIPT ROOT` prints only the lines that came out otherwise
//! than recorded, and fails if there are any.
//!
//! Exit status: 0 done, or equal; 1 different; 2 the command line, a file or the script is wrong.

use std::io::Write;
use std::process::ExitCode;

use configfs::transcript::{Entry, Files, Problem, Script, Session, compare, parse_recording};

const USAGE: &str = "usage: cfsprobe [--compare RECORDED] SCRIPT ROOT";

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{USAGE}")]
    Usage,
    #[error("reading {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Script { path: String, source: Problem },
    #[error("writing the result: {0}")]
    Write(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["--compare", recorded, script, root] => check(recorded, script, root),
        [script, root] if !script.starts_with('-') => print(script, root),
        _ => Err(Failure::Usage),
    };
    result.unwrap_or_else(|failure| {
        // Nothing is left to tell it to if standard error is gone too.
        let _ = writeln!(std::io::stderr(), "cfsprobe: {failure}");
        ExitCode::from(2)
    })
}

/// Prints each line as soon as it is known: a call may hang or end the node.
fn print(script: &str, root: &str) -> Result<ExitCode, Failure> {
    play(script, root, |entry| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{entry}")?;
        Ok(out.flush()?)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn check(recorded: &str, script: &str, root: &str) -> Result<ExitCode, Failure> {
    let expected =
        parse_recording(&read(recorded)?).map_err(|source| Failure::Script { path: recorded.to_owned(), source })?;
    let mut got = Vec::new();
    play(script, root, |entry| {
        got.push(entry);
        Ok(())
    })?;
    let differences = compare(&expected, &got);
    let mut out = std::io::stdout().lock();
    for difference in &differences {
        write!(out, "{difference}")?;
    }
    writeln!(out, "{recorded}: {} of {} lines differ", differences.len(), expected.len())?;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn play(path: &str, root: &str, mut each: impl FnMut(Entry) -> Result<(), Failure>) -> Result<(), Failure> {
    let wrong = |source| Failure::Script { path: path.to_owned(), source };
    let script = Script::parse(&read(path)?).map_err(wrong)?;
    let mut files = Files::new(root);
    let mut session = Session::new(&mut files);
    for step in &script.steps {
        each(session.perform(step).map_err(wrong)?)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}
