//! A Rust file as the rules see it: code without comments and texts, and which of its lines are tests.

use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub struct Source {
    /// Relative to the root.
    pub path: PathBuf,
    /// Code of each line; comments, texts and characters are blanks.
    pub code: Vec<String>,
    /// Lines of `#[cfg(test)]` items; all of a file of tests.
    pub is_test: Vec<bool>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of `fn`, from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl Source {
    /// Takes a file apart.
    #[must_use]
    pub fn parse(path: &Path, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let is_test = test_lines(&code, is_test_file(path));
        Source { path: path.to_owned(), code, is_test }
    }

    /// Files of modules that exist for tests only: `#[cfg(test)] mod x;`.
    #[must_use]
    pub fn test_modules(&self) -> Vec<PathBuf> {
        let marked = self.code.windows(2).filter(|two| two[0].contains("#[cfg(test)]"));
        let names = marked.filter_map(|two| two[1].trim().strip_prefix("mod ")?.strip_suffix(';'));
        let stem = self.path.file_stem().unwrap_or_default();
        let dir = match stem.to_str() {
            Some("lib" | "main" | "mod") => self.path.parent().map(Path::to_owned).unwrap_or_default(),
            _ => self.path.with_extension(""),
        };
        names.map(|name| dir.join(format!("{name}.rs"))).collect()
    }

    /// The same file as one of tests.
    #[must_use]
    pub fn as_test(mut self) -> Self {
        self.is_test.fill(true);
        self
    }

    /// Lines that are not tests, numbered from 1.
    pub fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.is_test).enumerate();
        lines.filter(|(_, (_, test))| !**test).map(|(index, (line, _))| (index + 1, line.as_str()))
    }

    /// Functions that are not tests.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let starts = self.shipped().filter_map(|(line, code)| Some((line, function_name(code)?)));
        let function = |(line, name): (usize, String)| {
            let end = self.closing_line(line - 1)?;
            Some(Function { name, line, lines: end + 2 - line })
        };
        starts.filter_map(function).collect()
    }

    /// Index of the line with the brace that closes the first one opened from here on; `None` if a `;` comes first.
    fn closing_line(&self, from: usize) -> Option<usize> {
        closing(&self.code, from)
    }
}

fn closing(code: &[String], from: usize) -> Option<usize> {
    let (mut depth, mut nested) = (0_usize, 0_usize);
    for (index, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '(' | '[' if depth == 0 => nested += 1,
                ')' | ']' if depth == 0 => nested = nested.saturating_sub(1),
                ';' if depth == 0 && nested == 0 => return None,
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// The name after a `fn` that begins an item.
fn function_name(code: &str) -> Option<String> {
    let (before, after) = code.split_once("fn ")?;
    let words = ["pub", "const", "async", "extern", "default"];
    let is_item = before.split_whitespace().all(|word| words.contains(&word) || word.starts_with("pub("));
    let visible = before.trim_start().starts_with("pub(");
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    ((is_item || visible) && !name.is_empty()).then_some(name)
}

fn is_test_file(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem == "tests" || stem.ends_with("_tests") || text.contains("/tests/") || text.starts_with("tests/suites/")
}

fn test_lines(code: &[String], all: bool) -> Vec<bool> {
    let mut is_test = vec![all; code.len()];
    for (index, line) in code.iter().enumerate() {
        if line.contains("#[cfg(test)]") {
            let end = closing(code, index + 1).unwrap_or(index + 1).min(code.len() - 1);
            is_test[index..=end].fill(true);
        }
    }
    is_test
}

/// What a reader of characters is in.
enum In {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    RawText(usize),
}

/// The same text, line for line, with comments, texts and characters as blanks.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut state, mut i) = (String::with_capacity(text.len()), In::Code, 0);
    while i < chars.len() {
        let (taken, keep) = step(&chars[i..], &mut state);
        for c in &chars[i..(i + taken).min(chars.len())] {
            out.push(if keep || *c == '\n' { *c } else { ' ' });
        }
        i += taken;
    }
    out
}

/// How many characters belong together, and whether they are code.
fn step(rest: &[char], state: &mut In) -> (usize, bool) {
    let next = |n: usize| rest.get(n).copied().unwrap_or('\0');
    match state {
        In::Code => return in_code(rest, state),
        In::LineComment if next(0) == '\n' => *state = In::Code,
        In::LineComment => {}
        In::BlockComment(depth) => match (next(0), next(1), *depth) {
            ('*', '/', 1) => {
                *state = In::Code;
                return (2, false);
            }
            ('*', '/', _) => {
                *depth -= 1;
                return (2, false);
            }
            ('/', '*', _) => {
                *depth += 1;
                return (2, false);
            }
            _ => {}
        },
        In::Text => match next(0) {
            '\\' => return (2, false),
            '"' => *state = In::Code,
            _ => {}
        },
        In::RawText(hashes) => {
            if next(0) == '"' && (1..=*hashes).all(|n| next(n) == '#') {
                let taken = 1 + *hashes;
                *state = In::Code;
                return (taken, false);
            }
        }
    }
    (1, false)
}

fn in_code(rest: &[char], state: &mut In) -> (usize, bool) {
    let next = |n: usize| rest.get(n).copied().unwrap_or('\0');
    match (next(0), next(1)) {
        ('/', '/') => *state = In::LineComment,
        ('/', '*') => *state = In::BlockComment(1),
        ('"', _) => *state = In::Text,
        ('r', '"' | '#') => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) != '"' {
                return (1, true);
            }
            *state = In::RawText(hashes);
            return (2 + hashes, false);
        }
        ('\'', '\\') => return (rest[2..].iter().skip(1).position(|c| *c == '\'').map_or(1, |n| n + 4), false),
        ('\'', _) if next(2) == '\'' => return (3, false),
        _ => return (1, true),
    }
    (if matches!(state, In::BlockComment(_)) { 2 } else { 1 }, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::parse(Path::new("a/src/x.rs"), text)
    }

    #[test]
    fn comments_texts_and_characters_are_not_code() {
        let found = source("let a = \"{ // \"; // }\nlet b = '{'; /* { /* } */ */ let c = r#\"}\"#;\nlet d: &'a str;");
        assert_eq!(found.code[0].trim(), "let a =        ;");
        assert!(!found.code[1].contains(['{', '}']));
        assert!(found.code[2].contains("'a str"));
    }

    #[test]
    fn a_function_is_measured_to_its_closing_brace() {
        let found = source("trait T { fn f(&self, x: [u8; 2]); }\n\npub(crate) fn long(\n) {\n    if x {\n    }\n}\n");
        let functions = found.functions();
        assert_eq!(functions, [Function { name: "long".into(), line: 3, lines: 5 }]);
    }

    #[test]
    fn what_is_for_tests_only_is_told_apart() {
        let found = source("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        let names: Vec<String> = found.functions().into_iter().map(|function| function.name).collect();
        assert_eq!(names, ["a", "c"]);
    }
}
