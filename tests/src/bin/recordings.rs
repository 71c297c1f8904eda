//! Judges recordings of real daemons: `NODE=FILE` on each line of standard input, or as words. Ends with 1 if something
//! did not hold that always must.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use cluster_tests::field::judge::Judge;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words = stdin().lock().lines().map_while(Result::ok).collect();
    }
    let mut judge = Judge::default();
    for word in words {
        let Some((node, path)) = word.split_once('=').and_then(|(node, path)| Some((node.parse().ok()?, path))) else {
            eprintln!("recordings: {word:?} is not NODE=FILE");
            return ExitCode::from(2);
        };
        if let Err(error) = judge.take(node, Path::new(path)) {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            println!("{error}{cause}");
            return ExitCode::FAILURE;
        }
    }
    judge.broken.iter().for_each(|broken| println!("{broken}"));
    let Judge { events, lives, compared, .. } = judge;
    println!(
        "{events} events of {lives} lives judged; agents of one view held the same at {compared} places of the order"
    );
    ExitCode::from(u8::from(!judge.broken.is_empty()))
}
