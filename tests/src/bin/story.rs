//! From the field to a test: `./x story node2.jsonl [node1.jsonl …] [--until MS] [--last S] [-o FILE]`.
//!
//! The files are what `o2cpg dump -o FILE` wrote on the nodes, the one of interest first. The story ends `MS` after the first
//! event of that one (default: at its end) and begins `S` seconds before (30). Without `-o` it is only printed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use cluster_tests::field::story::{Window, read, tell};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const LAST_S: i64 = 30;

struct Words {
    recordings: Vec<PathBuf>,
    until_ms: Option<i64>,
    last_s: i64,
    output: Option<PathBuf>,
}

fn words() -> Option<Words> {
    let mut found = Words { recordings: vec![], until_ms: None, last_s: LAST_S, output: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--until" => found.until_ms = Some(words.next()?.parse().ok()?),
            "--last" => found.last_s = words.next()?.parse().ok()?,
            "-o" => found.output = Some(words.next()?.into()),
            _ if word.starts_with('-') => return None,
            _ => found.recordings.push(word.into()),
        }
    }
    (!found.recordings.is_empty()).then_some(found)
}

fn main() -> ExitCode {
    let Some(words) = words() else {
        eprintln!("story RECORDING… [--until MS] [--last S] [-o FILE]");
        return ExitCode::from(2);
    };
    let output = words.output.clone().unwrap_or_else(|| "the story".into());
    match told(&words, &output) {
        Ok(is_same) => ExitCode::from(u8::from(!is_same)),
        Err(error) => {
            let mut cause = error.source();
            eprintln!("story: {error}");
            while let Some(inner) = cause {
                eprintln!("  {inner}");
                cause = inner.source();
            }
            ExitCode::from(3)
        }
    }
}

/// Whether the story says what was recorded.
fn told(words: &Words, output: &Path) -> Result<bool, Box<dyn Error>> {
    let window = Window { until_ms: words.until_ms, length_ms: words.last_s * 1000 };
    let told = tell(output, &read(&words.recordings)?, window)?;
    match &words.output {
        Some(path) => std::fs::write(path, &told.text)?,
        None => print!("{}", told.text),
    }
    println!("\n{} lines differ from what was recorded", told.differences.len());
    told.differences.iter().for_each(|line| println!("  {line}"));
    Ok(told.differences.is_empty())
}
