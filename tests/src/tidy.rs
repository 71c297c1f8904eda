//! Rules about the code itself (CONTRIBUTING, "How it is written"). Each function is a rule; it returns every place that breaks it.

mod docs;
mod rust;
mod source;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::{fmt, fs};

pub use self::docs::{
    documents_link_to_what_exists, documents_name_what_exists, no_text_names_a_path_of_some_machine,
    no_text_names_a_section_of_another_document, rules_are_listed_with_who_sees_to_them,
};
pub use self::rust::{
    files_are_short, functions_are_short, items_have_names_of_the_field, libraries_do_not_print,
    the_core_knows_no_world, unsafe_is_in_one_file, unwrap_is_for_tests,
};
pub use self::source::Source;
pub use self::tree::{
    every_dependency_has_a_reason, every_source_file_is_a_module, members_take_versions_from_the_workspace,
    the_top_level_is_the_list,
};

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Relative to the root.
    pub path: PathBuf,
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl Violation {
    fn new(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Violation { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// The checkout.
#[derive(Debug, Default)]
pub struct Project {
    /// Text of each file; nothing where it is not text.
    files: BTreeMap<PathBuf, String>,
}

/// Directories that hold nothing of ours, at any depth.
const NOT_OURS: &[&str] = &["target", ".git", "__pycache__", "out"];

impl Project {
    /// Every file below the root.
    #[must_use]
    pub fn open(root: &Path) -> Self {
        let mut project = Project::default();
        project.collect(root, root);
        project
    }

    fn collect(&mut self, root: &Path, dir: &Path) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                self.collect(root, &path);
            } else if let (true, Ok(relative)) = (path.is_file(), path.strip_prefix(root)) {
                self.files.insert(relative.to_owned(), fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }

    /// Files whose path ends so.
    fn files(&self, ending: &str) -> impl Iterator<Item = (&Path, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_path(), text.as_str()));
        files.filter(move |(path, _)| path.to_string_lossy().ends_with(ending))
    }

    /// Whether there is a file or a directory of that name, seen from the root or from beside a file.
    fn has(&self, name: &Path) -> bool {
        let wanted = normal(name);
        self.files.contains_key(&wanted) || self.files.keys().any(|path| path.starts_with(&wanted))
    }

    /// Our Rust, without what is generated.
    fn sources(&self) -> impl Iterator<Item = Source> {
        let ours = self.files(".rs").filter(|(path, _)| !path.iter().any(|part| part == "generated"));
        let all: Vec<Source> = ours.map(|(path, text)| Source::parse(path, text)).collect();
        let for_tests: BTreeSet<PathBuf> = all.iter().flat_map(Source::test_modules).collect();
        all.into_iter().map(move |source| if for_tests.contains(&source.path) { source.as_test() } else { source })
    }
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = normal.pop(),
            Component::Normal(name) => normal.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> Project {
        Project { files: files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect() }
    }

    fn broken(rule: fn(&Project) -> Vec<Violation>, files: &[(&str, &str)]) -> Vec<String> {
        rule(&project(files)).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn every_rule_about_rust_finds_what_breaks_it() {
        let long = "fn long() {\n".to_owned() + &"\n".repeat(600) + "}\n";
        assert_eq!(broken(files_are_short, &[("a/src/x.rs", &long)]).len(), 1);
        assert_eq!(broken(functions_are_short, &[("a/src/x.rs", &long)]).len(), 1);
        let file = |text| [("a/src/x.rs", text)];
        assert_eq!(broken(unwrap_is_for_tests, &file("let a = b.unwrap();")), ["a/src/x.rs:1: unwrap() outside tests"]);
        assert_eq!(broken(unsafe_is_in_one_file, &file("\nunsafe { x() }")), ["a/src/x.rs:2: unsafe code"]);
        assert_eq!(broken(libraries_do_not_print, &file("println!(1);")).len(), 1);
        assert_eq!(broken(items_have_names_of_the_field, &file("pub fn get_x() {}")).len(), 1);
        assert_eq!(broken(the_core_knows_no_world, &[("agent/core/src/x.rs", "use std::fs;")]).len(), 1);
        assert_eq!(broken(the_core_knows_no_world, &file("use std::fs;")).len(), 0);
    }

    #[test]
    fn what_is_for_tests_only_may_unwrap() {
        let files = [("a/src/lib.rs", "#[cfg(test)]\nmod sample;\n"), ("a/src/sample.rs", "let a = b.unwrap();")];
        assert!(broken(unwrap_is_for_tests, &files).is_empty());
    }

    #[test]
    fn every_rule_about_texts_finds_what_breaks_it() {
        let links = [("docs/a.md", "[b](b.md) [c](../c/d.md) `docs/e.md`"), ("c/d.md", "")];
        assert_eq!(broken(documents_link_to_what_exists, &links), ["docs/a.md:1: link to b.md, which is not there"]);
        assert_eq!(broken(documents_name_what_exists, &links), ["docs/a.md:1: names docs/e.md, which is not there"]);
        let path = ["see /wor", "k/main"].concat();
        assert_eq!(broken(no_text_names_a_path_of_some_machine, &[("a.md", &path)]).len(), 1);
    }

    #[test]
    fn every_rule_about_the_tree_finds_what_breaks_it() {
        let found = broken(the_top_level_is_the_list, &[("notes.txt", ""), ("Cargo.toml", "")]);
        assert!(found.contains(&"notes.txt:0: does not belong at the top".to_owned()));
        assert!(found.contains(&"README.md:0: is missing at the top".to_owned()));
        let manifest = "[workspace.dependencies]\na = \"1\"  # because of b\nc = \"2\"\n";
        assert_eq!(
            broken(every_dependency_has_a_reason, &[("Cargo.toml", manifest)]),
            ["Cargo.toml:3: no reason: c = \"2\""]
        );
        let member = [("a/Cargo.toml", "[dependencies]\nx = \"1\"\ny.workspace = true\n")];
        assert_eq!(
            broken(members_take_versions_from_the_workspace, &member),
            ["a/Cargo.toml:2: not from the workspace"]
        );
        let dead = [("a/src/lib.rs", "mod used;"), ("a/src/used.rs", ""), ("a/src/dead.rs", "")];
        assert_eq!(broken(every_source_file_is_a_module, &dead), ["a/src/dead.rs:0: no module names this file"]);
    }
}
