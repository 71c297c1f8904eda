//! How many tests ran, read from what the runners print.

use std::ops::AddAssign;

/// Tests that passed, failed, and were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// Sums every closing line in `text`: cargo test's
    /// (`test result: ok. 3 passed; 0 failed; 1 ignored; …`) and the lab's (`3 passed, 0 failed, 1 skipped`).
    pub(crate) fn of(text: &str) -> Self {
        let mut sum = Self::default();
        text.lines().filter_map(closing_line).for_each(|tally| sum += tally);
        sum
    }

    pub(crate) fn ran(self) -> u32 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The line that closes a run, and that machines read.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

fn closing_line(line: &str) -> Option<Tally> {
    let line = line.trim();
    match line.strip_prefix("test result: ") {
        Some(rest) => counts(rest.split_once(". ")?.1.split("; ")),
        None => counts(line.split(", ")),
    }
}

/// `None` unless every part is a number and a word, and `passed` and `failed` are among them.
fn counts<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Tally> {
    let (mut passed, mut failed, mut skipped) = (None, None, 0);
    for part in parts {
        let (number, word) = part.split_once(' ')?;
        match word {
            "passed" => passed = Some(number.parse().ok()?),
            "failed" => failed = Some(number.parse().ok()?),
            "skipped" | "ignored" => skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(Tally { passed: passed?, failed: failed?, skipped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_test_binaries_are_summed() {
        let text = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(Tally::of(text), Tally { passed: 4, failed: 2, skipped: 1 });
    }

    #[test]
    fn the_labs_closing_line_is_read() {
        assert_eq!(
            Tally::of("ok 01 up (3.1 s)\n7 passed, 1 failed, 2 skipped\n"),
            Tally { passed: 7, failed: 1, skipped: 2 }
        );
    }

    #[test]
    fn a_sentence_about_passing_is_not_a_count() {
        assert_eq!(Tally::of("all passed, none failed\n3 passed\n"), Tally::default());
    }

    #[test]
    fn what_is_displayed_is_read_back() {
        let tally = Tally { passed: 2, failed: 1, skipped: 4 };
        assert_eq!(Tally::of(&tally.to_string()), tally);
    }
}
