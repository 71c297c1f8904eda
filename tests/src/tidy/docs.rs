//! Rules about texts.

use super::{Project, Violation};
use std::path::Path;

/// Endings of files that people read or programs run.
const TEXTS: &[&str] =
    &[".rs", ".md", ".toml", ".py", ".sh", ".txt", ".proto", ".service", ".yml", ".yaml", ".conf", ".spec"];

/// Relative links of documents lead to files.
pub fn documents_link_to_what_exists(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in project.files(".md") {
        for (index, line) in prose(text) {
            for target in links(line).filter(|target| is_file_link(target)) {
                let file = target.split('#').next().unwrap_or_default();
                if !project.has(&path.with_file_name(file)) {
                    found.push(Violation::new(path, index + 1, format!("link to {target}, which is not there")));
                }
            }
        }
    }
    found
}

/// Lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn is_file_link(target: &str) -> bool {
    !target.is_empty() && !target.starts_with('#') && !target.contains("://") && !target.starts_with("mailto:")
}

/// Names of files in documents, as in `docs/TESTING.md`, are names of files.
pub fn documents_name_what_exists(project: &Project) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in project.files(".md") {
        for (index, line) in prose(text) {
            let names = line.split('`').skip(1).step_by(2).filter(|word| is_file_name(word));
            let exists = |name: &&str| project.has(Path::new(name)) || project.has(&path.with_file_name(name));
            let missing = names.filter(|name| !exists(name));
            found.extend(
                missing.map(|name| Violation::new(path, index + 1, format!("names {name}, which is not there"))),
            );
        }
    }
    found
}

/// In `docs` or `tests`, and no pattern.
fn is_file_name(word: &str) -> bool {
    let ours = word.starts_with("docs/") || word.starts_with("tests/");
    ours && !word.contains(['*', ' ', 'N', '<', '{', ':'])
}

/// Where this was built is nobody's business.
pub fn no_text_names_a_path_of_some_machine(project: &Project) -> Vec<Violation> {
    let places =
        [["/wor", "k/"].concat(), ["/tmp/tar", "get"].concat(), ["/ho", "me/"].concat(), ["/root/", "."].concat()];
    let mut found = Vec::new();
    for (path, text) in TEXTS.iter().flat_map(|ending| project.files(ending)) {
        for (index, line) in text.lines().enumerate() {
            let place = places.iter().find(|place| names(line, place));
            found.extend(place.map(|place| Violation::new(path, index + 1, format!("names {place}"))));
        }
    }
    found
}

/// As a path of its own, not in the middle of another.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !['.', '_', '-', '}', '/'].contains(&c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_line_are_found() {
        let found: Vec<&str> = links("see [a](x.md#y) and [b](https://z) and [c](d/e.txt).").collect();
        assert_eq!(found, ["x.md#y", "https://z", "d/e.txt"]);
        assert_eq!(found.iter().filter(|target| is_file_link(target)).count(), 2);
    }
}
