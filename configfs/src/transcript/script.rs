//! The text of a script: one operation a line, words quoted as in a shell, `#` starts a comment line.

use std::fmt;

/// What is wrong with a script, and in which line; lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Problem {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its line in the script.
    pub line: usize,
    /// Operation and arguments; escapes in data are not resolved yet.
    pub words: Vec<String>,
}

/// A list of operations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// In order.
    pub steps: Vec<Step>,
}

impl Script {
    /// Splits the text into operations.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let words = words(line).map_err(|reason| Problem { line: number, reason: reason.to_string() })?;
            steps.push(Step { line: number, words });
        }
        Ok(Self { steps })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unclosed(char);

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not closed", self.0)
    }
}

/// POSIX quoting: nothing is special in single quotes, in double quotes a backslash before `"` and `\` alone.
fn words(line: &str) -> Result<Vec<String>, Unclosed> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut chars, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(Unclosed('\\'))?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Unclosed> {
    loop {
        match chars.next().ok_or(Unclosed(quote))? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => match chars.next().ok_or(Unclosed(quote))? {
                c @ ('"' | '\\') => word.push(c),
                c => word.extend(['\\', c]),
            },
            c => word.push(c),
        }
    }
}

/// Resolves `\n`, `\t`, `\r`, `\\`, `\"`, `\'`, `\0` and other octal numbers, and `\xNN`; anything else stays.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, used) = if *first == b'\\' { escape(tail) } else { (Some(*first), 0) };
        bytes.push(byte.unwrap_or(b'\\'));
        rest = &tail[used..];
    }
    bytes
}

/// The byte after a backslash and how many characters name it; none if it is no escape.
fn escape(tail: &[u8]) -> (Option<u8>, usize) {
    match tail {
        [b'n', ..] => (Some(b'\n'), 1),
        [b't', ..] => (Some(b'\t'), 1),
        [b'r', ..] => (Some(b'\r'), 1),
        [c @ (b'\\' | b'"' | b'\''), ..] => (Some(*c), 1),
        [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (Some(number(&tail[1..3], 16)), 3)
        }
        [b'0'..=b'7', ..] => {
            let len = tail.iter().take(3).take_while(|c| matches!(c, b'0'..=b'7')).count();
            (Some(number(&tail[..len], 8)), len)
        }
        _ => (None, 0),
    }
}

fn number(digits: &[u8], base: u32) -> u8 {
    let value =
        digits.iter().filter_map(|c| char::from(*c).to_digit(base)).fold(0, |value, digit| value * base + digit);
    (value & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(line: &str) -> Vec<String> {
        Script::parse(line).unwrap().steps.remove(0).words
    }

    #[test]
    fn escapes_in_double_quotes_are_left_for_the_operation() {
        assert_eq!(first(r#"write a/b "1\n""#), ["write", "a/b", r"1\n"]);
        assert_eq!(first(r#"mkdir "with space" ''"#), ["mkdir", "with space", ""]);
    }

    #[test]
    fn comments_and_empty_lines_are_no_steps_but_count_as_lines() {
        let script = Script::parse("# one\n\nls .\n").unwrap();
        assert_eq!(script.steps, [Step { line: 3, words: vec!["ls".to_owned(), ".".to_owned()] }]);
    }

    #[test]
    fn an_open_quote_names_its_line() {
        let problem = Script::parse("ls .\nwrite a \"b").unwrap_err();
        assert_eq!(problem.to_string(), "line 2: \" is not closed");
    }

    #[test]
    fn escapes_become_bytes() {
        assert_eq!(unescape(r"1\n2"), b"1\n2");
        assert_eq!(unescape(r"29000\0junk"), b"29000\0junk");
        assert_eq!(unescape(r"\x41\101\\\q"), b"AA\\\\q");
    }
}
