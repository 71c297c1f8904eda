//! The recent past as text, for `dump`: what the original keeps in its ring of debug lines.

use groupd_compat::names::GroupKey;
use std::collections::VecDeque;
use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes kept, as in the original; older lines go first.
const BYTES_MAX: usize = 1 << 20;
/// Longest line, its newline included.
const LINE_MAX: usize = 255;

/// Lines of the form `UNIXTIME TEXT` or `UNIXTIME LEVEL:NAME TEXT`, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Journal {
    /// Something that is about no group.
    pub(super) fn say(&mut self, text: impl Display) {
        self.push(format!("{} {text}", now()));
    }

    /// Something about a group.
    pub(super) fn say_of(&mut self, group: &GroupKey, text: impl Display) {
        self.push(format!("{} {group} {text}", now()));
    }

    fn push(&mut self, mut line: String) {
        let end = (0..LINE_MAX.min(line.len() + 1)).rev().find(|&at| line.is_char_boundary(at));
        line.truncate(end.unwrap_or(0));
        line.push('\n');
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// All of it.
    pub(super) fn text(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.bytes()).collect()
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_when_it_is_full() {
        let mut journal = Journal::default();
        for number in 0..20_000 {
            journal.say(format_args!("{number:>100}"));
        }
        let text = String::from_utf8(journal.text()).unwrap();
        assert!(text.len() <= BYTES_MAX && text.len() > BYTES_MAX - LINE_MAX);
        assert!(text.ends_with("19999\n") && !text.contains(" 0\n"));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut journal = Journal::default();
        journal.say("ä".repeat(300));
        let text = String::from_utf8(journal.text()).unwrap();
        assert!(text.len() <= LINE_MAX && text.ends_with("ä\n"));
    }
}
