//! Rules about the tree: what lies where, and what depends on what.

use super::{Project, Violation};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Everything that may lie at the top.
const TOP: &[&str] = &[
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
    "x",
    ".ci",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
    ".cargo",
    ".gitignore",
    ".gitattributes",
];
/// What may be missing at the top.
const OPTIONAL: &[&str] = &[".gitattributes"];
/// Files that are no modules of another.
const ROOTS: &[&str] = &["lib", "main", "build", "mod"];

/// Nothing more, nothing less.
pub fn the_top_level_is_the_list(project: &Project) -> Vec<Violation> {
    let first = |path: &PathBuf| path.iter().next().map(|name| name.to_string_lossy().into_owned());
    let found: BTreeSet<String> = project.files.keys().filter_map(first).collect();
    let listed = |name: &&String| TOP.contains(&name.as_str());
    let more = found.iter().filter(|name| !listed(name)).map(|name| (name.as_str(), "does not belong at the top"));
    let missing = TOP.iter().filter(|name| !found.contains(**name) && !OPTIONAL.contains(name));
    let missing = missing.map(|name| (*name, "is missing at the top"));
    more.chain(missing).map(|(name, what)| Violation::new(Path::new(name), 0, what)).collect()
}

/// `name = …  # why` in the workspace's list; our own crates need none.
pub fn every_dependency_has_a_reason(project: &Project) -> Vec<Violation> {
    let path = Path::new("Cargo.toml");
    let text = project.files.get(path).map_or("", String::as_str);
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        }
        let is_entry = inside && line.contains('=') && !line.starts_with('#') && !line.contains("path =");
        let reason = line.rsplit_once("# ").map_or("", |(_, reason)| reason.trim());
        if is_entry && reason.len() < 5 {
            found.push(Violation::new(path, index + 1, format!("no reason: {line}")));
        }
    }
    found
}

/// One version of everything, in one place.
pub fn members_take_versions_from_the_workspace(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in project.files("Cargo.toml").filter(|(path, _)| path.components().count() > 1) {
        let mut inside = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            }
            let entry = inside && line.contains('=') && !line.starts_with('#') && !line.starts_with('[');
            if entry && !line.contains("workspace = true") {
                found.push(Violation::new(path, index + 1, "not from the workspace"));
            }
        }
    }
    found
}

/// No file that nobody compiles.
pub fn every_source_file_is_a_module(project: &Project) -> Vec<Violation> {
    let is_root = |path: &&Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
        ROOTS.contains(&stem.as_ref())
            || ["bin", "tests", "suites", "benches", "examples", "fuzz_targets"].iter().any(|dir| parent == *dir)
    };
    let modules = project.files(".rs").map(|(path, _)| path).filter(|path| !is_root(path));
    let dead = modules.filter(|path| !is_named(project, path));
    dead.map(|path| Violation::new(path, 0, "no module names this file")).collect()
}

fn is_named(project: &Project, path: &Path) -> bool {
    let (Some(stem), Some(dir)) = (path.file_stem().map(|stem| stem.to_string_lossy()), path.parent()) else {
        return true;
    };
    let beside = project.files(".rs").filter(|(other, _)| other.parent() == Some(dir) && *other != path);
    let above = project.files(".rs").filter(|(other, _)| other.with_extension("") == dir);
    let (item, by_path) = (format!("mod {stem};"), format!("{stem}.rs\""));
    beside.chain(above).any(|(_, text)| text.contains(&item) || text.contains(&by_path))
}
