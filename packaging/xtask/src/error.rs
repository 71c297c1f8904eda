//! What can go wrong in a task, said once, at the top.

use std::io;
use std::path::PathBuf;

/// A task could not be carried out. A failed test is not an error: it is a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("starting {program}")]
    Start { program: String, source: io::Error },
    #[error("waiting for {program}")]
    Wait { program: String, source: io::Error },
    #[error("{doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{program} failed: {said}")]
    Failed { program: String, said: String },
    #[error("reading what `cargo metadata` printed")]
    Metadata { source: serde_json::Error },
    #[error("`cargo metadata` names no {what}")]
    MetadataLacks { what: &'static str },
    #[error("compiling {}", path.display())]
    Proto { path: PathBuf, source: Box<protox::Error> },
    #[error("reading what llvm-cov printed")]
    Coverage { source: serde_json::Error },
    #[error("there is no {}: rustup component add llvm-tools", path.display())]
    NoLlvmTools { path: PathBuf },
    #[error("no suite is called {name:?}; there are: {known}")]
    UnknownSuite { name: String, known: String },
    #[error("no generated test has {word:?} in its name; there are: {known}")]
    UnknownFuzz { word: String, known: String },
    #[error("no benchmark is called {name:?}; there are: {known}")]
    UnknownBench { name: String, known: String },
}

/// The error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
