//! Rules about the code itself. Each violation is told with its place; tighten, never loosen.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file before its tests: about 200 is right, this is the wall.
const FILE_LINES_MAX: usize = 500;
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "agent",
    "cpg-glue",
    "groupd-compat",
    "configfs",
    "proto",
    "tests",
    "packaging",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "x",
    "target",
];
/// Words that say nothing, in the names of types and functions (docs/GLOSSARY.md has those that do).
const EMPTY_WORDS: &[&str] =
    &["fn get_", "fn do_", "fn process_", "Manager", "Helper", "mod util", "mod common", "mod helper"];
/// What the deciding part must not know of.
const IMPURE: &[&str] = &[
    "tokio::",
    "nix::",
    "clap::",
    "std::fs",
    "std::net::Tcp",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant::",
    "HashMap",
    "HashSet",
    "rand::",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// Every file below the top level with one of these endings, build results and generated code apart.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry of the checkout").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && !["target", ".git", "out", "generated"].contains(&name.as_str()) {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no files with {endings:?}");
    found
}

/// The lines of a source file before its own tests, numbered from 1.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a source file");
    let lines = text.lines().map(str::to_owned).enumerate().map(|(at, line)| (at + 1, line));
    lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]\nmod") && line != "#[cfg(test)]").collect()
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["/tests/", "/benches/", "/examples/", "tests.rs"].iter().any(|part| text.contains(part))
}

fn none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n{}", violations.join("\n"));
}

fn lines_with(paths: &[PathBuf], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        for (at, line) in code(path).iter().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}:{at}: {word}", path.display()));
            }
        }
    }
    found
}

#[test]
fn a_file_is_one_topic_and_no_longer_than_the_wall() {
    let shipped = files(&[".rs"]).into_iter().filter(|path| !is_test(path));
    let long = shipped.map(|path| (code(&path).len(), path)).filter(|(lines, _)| *lines > FILE_LINES_MAX);
    none("files past the wall", &long.map(|(lines, path)| format!("{}: {lines}", path.display())).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_lives_in_one_file() {
    let others = files(&[".rs"]).into_iter().filter(|path| !path.ends_with("cpg-glue/src/sys.rs"));
    let others: Vec<PathBuf> = others.filter(|path| !path.ends_with("suites/tidy.rs")).collect();
    none(
        "unsafe outside cpg-glue/src/sys.rs",
        &lines_with(&others, &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]),
    );
}

#[test]
fn the_deciding_part_does_no_io_and_reads_no_clock() {
    let core: Vec<PathBuf> =
        files(&[".rs"]).into_iter().filter(|path| path.starts_with(root().join("agent/core/src"))).collect();
    assert!(core.len() > 15, "the core is somewhere else now");
    none("the core knows too much", &lines_with(&core, IMPURE));
}

#[test]
fn only_the_command_and_tools_print() {
    let may = |path: &PathBuf| {
        let text = path.to_string_lossy();
        is_test(path) || ["/cli/", "/bin/", "packaging/xtask"].iter().any(|part| text.contains(part))
    };
    let libraries: Vec<PathBuf> = files(&[".rs"]).into_iter().filter(|path| !may(path)).collect();
    none("libraries never print", &lines_with(&libraries, &["println!", "eprintln!", "print!(", "eprint!(", "dbg!("]));
}

#[test]
fn names_say_what_a_thing_is() {
    let sources: Vec<PathBuf> = files(&[".rs"]).into_iter().filter(|path| !path.ends_with("suites/tidy.rs")).collect();
    none("empty words", &lines_with(&sources, EMPTY_WORDS));
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("a section of dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    let bare =
        |line: &&str| line.contains('=') && !line.starts_with('#') && !line.contains("path =") && !line.contains('#');
    none("no reason given", &section.lines().filter(bare).map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn the_top_level_is_what_a_newcomer_was_told() {
    let names =
        fs::read_dir(root()).expect("the checkout").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let strange = names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()));
    none("not at the top", &strange.collect::<Vec<_>>());
}

fn beside(document: &Path, name: &str) -> PathBuf {
    document.parent().map_or_else(PathBuf::new, |folder| folder.join(name))
}

#[test]
fn files_named_in_the_documents_exist() {
    let mut missing = Vec::new();
    for path in files(&[".md"]) {
        let text = fs::read_to_string(&path).expect("a document");
        for word in
            text.split('`').skip(1).step_by(2).filter(|word| word.starts_with("docs/") || word.starts_with("tests/"))
        {
            let plain = word.trim_end_matches('/');
            if !plain.contains(['*', ' ', 'N']) && !root().join(plain).exists() && !beside(&path, plain).exists() {
                missing.push(format!("{}: {word}", path.display()));
            }
        }
    }
    none("documents point to nowhere", &missing);
}
