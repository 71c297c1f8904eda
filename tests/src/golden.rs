//! Stories on one to five nodes, as files: commands, `----`, and what the nodes then said and did.
//!
//! ```text
//! # What the story is about.
//!
//! boot 1
//! ----
//! n1 < view 1, no quorum
//! ```
//!
//! A block ends at a blank line. After its last command the cluster runs until only timers are left, unless that
//! command was `advance`. `running 1 2 3` boots nodes and tells nothing of it; `nodelist` changes corosync.conf on all
//! nodes, `nodelist-of N` on one. `UPDATE_EXPECT=1` writes what happened into the file; read the difference.

mod options;
mod story;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use self::story::Story;

/// Between the commands and the output of a block.
const SEPARATOR: &str = "----";

/// A story that went otherwise, or cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A command that is none.
    #[error("{path}:{line}: {why}")]
    Command {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Something that must always hold did not.
    #[error("{path}:{line}: {why}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// The last command of the block.
        line: usize,
        /// What did not hold.
        why: String,
    },
    /// Other output.
    #[error("{path} went otherwise; UPDATE_EXPECT=1 takes it over\n{difference}")]
    Otherwise {
        /// Which file.
        path: PathBuf,
        /// Line by line.
        difference: String,
    },
}

/// Runs one file.
///
/// # Errors
/// [`Error`] says where.
pub fn run(path: &Path) -> Result<(), Error> {
    let file = |source| Error::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(file)?;
    let happened = play(path, &text)?;
    if happened == text {
        return Ok(());
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(path, happened).map_err(file);
    }
    Err(Error::Otherwise { path: path.to_owned(), difference: difference(&text, &happened) })
}

/// The file as it would be if everything had gone as it does now.
///
/// # Errors
/// [`Error`] says where: a command that is none, or a sentence that was broken.
pub fn play(path: &Path, text: &str) -> Result<String, Error> {
    let mut story = Story::default();
    let mut out = String::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut last_line = 0;
    while let Some((index, line)) = lines.next() {
        last_line = index + 1;
        let _infallible = writeln!(out, "{line}");
        if line == SEPARATOR {
            story.settle();
            out.push_str(&story.told());
            while lines.next_if(|(_, line)| !line.is_empty()).is_some() {}
        } else if !line.is_empty() && !line.starts_with('#') {
            let command = |why| Error::Command { path: path.to_owned(), line: index + 1, why };
            story.command(line).map_err(command)?;
        }
        story.check().map_err(|why| Error::Broken { path: path.to_owned(), line: index + 1, why })?;
    }
    story.finish().map_err(|why| Error::Broken { path: path.to_owned(), line: last_line, why })?;
    Ok(out)
}

/// Lines of the one that the other lacks, in order.
fn difference(expected: &str, happened: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), happened.lines().collect());
    let mut out = String::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let again = new[j..].iter().position(|line| i < old.len() && *line == old[i]);
        let mark = match again {
            Some(0) | None if i < old.len() => {
                i += 1;
                format!("{i:4} - {}", old[i - 1])
            }
            _ => {
                j += 1;
                format!("{j:4} + {}", new[j - 1])
            }
        };
        let _infallible = writeln!(out, "{mark}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_told_with_its_line() {
        let error = play(Path::new("x.txt"), "# a\n\nbooot 1\n").unwrap_err();
        assert_eq!(error.to_string(), "x.txt:3: no command \"booot\"");
    }

    #[test]
    fn the_difference_names_lines_that_came_and_went() {
        assert_eq!(difference("a\nb\n", "a\nc\n"), "   2 - b\n   2 + c\n");
    }
}
