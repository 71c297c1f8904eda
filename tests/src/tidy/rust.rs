//! Rules about Rust files.

use super::{Project, Source, Violation};
use std::path::Path;

/// Without tests: what is longer has two topics.
const FILE_LINES_MAX: usize = 500;
/// What is longer does two things.
const FUNCTION_LINES_MAX: usize = 70;
/// The only file that may be unsafe.
const UNSAFE_FILE: &str = "cpg-glue/src/sys.rs";
/// What the deciding crate must not know: no I/O, clock, thread, or order that differs between runs.
const WORLD: &[&str] = &[
    "tokio",
    "nix",
    "clap",
    "tracing_subscriber",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "TcpStream",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "async",
    "await",
];
/// Names that say nothing.
const EMPTY_WORDS: &[&str] = &["manager", "helper", "helpers", "util", "utils", "common"];
/// Beginnings that say nothing.
const EMPTY_BEGINNINGS: &[&str] = &["get_", "do_", "process_"];
/// Who may talk to a terminal: the command, programs, and the tools of the project.
const TALKERS: &[&str] =
    &["/src/bin/", "/src/cli/", "/src/cli.rs", "packaging/xtask/", "/build.rs", "/examples/", "/benches/"];
const PRINTS: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!"];

/// Tests apart.
pub fn files_are_short(project: &Project) -> Vec<Violation> {
    let lines = |source: Source| {
        let lines = source.shipped().count();
        let what = format!("{lines} lines without tests, at most {FILE_LINES_MAX}");
        (lines > FILE_LINES_MAX).then(|| Violation::new(&source.path, 0, what))
    };
    project.sources().filter_map(lines).collect()
}

/// From `fn` to the closing brace.
pub fn functions_are_short(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in project.sources() {
        for function in source.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            let what = format!("{} has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.lines);
            found.push(Violation::new(&source.path, function.line, what));
        }
    }
    found
}

/// `expect` says why it holds; `unwrap` says nothing.
pub fn unwrap_is_for_tests(project: &Project) -> Vec<Violation> {
    each_line(project, |_, code| code.contains(".unwrap()").then(|| "unwrap() outside tests".into()))
}

/// Everything else stays on this side.
pub fn unsafe_is_in_one_file(project: &Project) -> Vec<Violation> {
    each_line(project, |path, code| {
        (path != Path::new(UNSAFE_FILE) && words(code).any(|word| word == "unsafe")).then(|| "unsafe code".into())
    })
}

/// They emit tracing events or return values.
pub fn libraries_do_not_print(project: &Project) -> Vec<Violation> {
    let talks = |path: &Path| TALKERS.iter().any(|part| format!("/{}", path.display()).contains(part));
    each_line(project, |path, code| {
        let print = PRINTS.iter().find(|print| code.split_whitespace().any(|word| word.starts_with(**print)))?;
        (!talks(path)).then(|| format!("{print} in a library"))
    })
}

/// `agent/core` decides; what happens and what is done comes and goes as values.
pub fn the_core_knows_no_world(project: &Project) -> Vec<Violation> {
    each_line(project, |path, code| {
        let in_core = path.starts_with("agent/core/src");
        let named = |world: &&&str| match world.contains("::") {
            true => code.contains(**world),
            false => words(code).any(|word| word == **world),
        };
        let world = WORLD.iter().filter(|_| in_core).find(named)?;
        Some(format!("{world} in the core"))
    })
}

/// Items and files are called by what they are.
pub fn items_have_names_of_the_field(project: &Project) -> Vec<Violation> {
    let mut found = each_line(project, |_, code| {
        let name = item_name(code)?;
        says_nothing(&name).then(|| format!("the name {name:?} says nothing"))
    });
    for source in project.sources() {
        let stem = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if says_nothing(&stem) {
            found.push(Violation::new(&source.path, 0, format!("the name {stem:?} says nothing")));
        }
    }
    found
}

fn says_nothing(name: &str) -> bool {
    let split: String = name.chars().flat_map(|c| [c.is_uppercase().then_some('_'), Some(c)]).flatten().collect();
    let lower = split.to_lowercase();
    EMPTY_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || lower.split('_').any(|word| EMPTY_WORDS.contains(&word))
}

fn item_name(code: &str) -> Option<String> {
    let mut words = words(code).skip_while(|word| ["pub", "crate", "super", "async", "const"].contains(word));
    let kinds = ["fn", "struct", "enum", "trait", "mod", "type", "static", "union"];
    let kind = words.next().filter(|word| kinds.contains(word))?;
    words.next().filter(|_| !kind.is_empty()).map(str::to_owned)
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn each_line(project: &Project, rule: impl Fn(&Path, &str) -> Option<String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in project.sources() {
        let broken = source.shipped().filter_map(|(line, code)| Some((line, rule(&source.path, code)?)));
        found.extend(broken.map(|(line, what)| Violation::new(&source.path, line, what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_known_in_every_spelling() {
        for name in ["get_node", "NodeManager", "string_utils", "common", "do_it"] {
            assert!(says_nothing(name), "{name}");
        }
        for name in ["target", "uncommon_words", "domain", "Futile"] {
            assert!(!says_nothing(name), "{name}");
        }
    }

    #[test]
    fn an_item_is_named_by_the_word_after_its_kind() {
        assert_eq!(item_name("    pub(crate) fn get_x() {"), Some("get_x".into()));
        assert_eq!(item_name("let get_x = 1;"), None);
    }
}
