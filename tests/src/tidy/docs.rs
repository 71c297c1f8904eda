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

/// Whoever reads this has no document but these: a rule has a number in docs/RULES.md, a decision a page.
pub fn no_text_names_a_section_of_another_document(project: &Project) -> Vec<Violation> {
    const SECTION: char = '\u{a7}';
    let mut found = Vec::new();
    for (path, text) in TEXTS.iter().flat_map(|ending| project.files(ending)) {
        let lines = text.lines().enumerate().filter(|(_, line)| line.contains(SECTION));
        found.extend(
            lines.map(|(index, _)| Violation::new(path, index + 1, "names a section; docs/RULES.md has rules")),
        );
    }
    found
}

/// Who is said to see to a rule is there: in docs/RULES.md each name of a function is one, and each rule that code names is listed.
pub fn rules_are_listed_with_who_sees_to_them(project: &Project) -> Vec<Violation> {
    let path = Path::new("docs/RULES.md");
    let Some((_, list)) = project.files(".md").find(|(file, _)| *file == path) else {
        return vec![Violation::new(path, 0, "is not there")];
    };
    let code: Vec<(&Path, &str)> = project.files(".rs").collect();
    let is_function = |name: &str| code.iter().any(|(_, text)| text.contains(&format!("fn {name}(")));
    let mut found = Vec::new();
    for (index, line) in list.lines().enumerate() {
        let names = line.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains(['/', '.']));
        let missing = names.filter(|name| !is_function(name) && !name.ends_with("_s"));
        found.extend(missing.map(|name| Violation::new(path, index + 1, format!("there is no function {name}"))));
    }
    for (file, text) in &code {
        for (index, line) in text.lines().enumerate() {
            let unknown = rules_named_by(line).find(|rule| !list.contains(&format!("**{rule}**")));
            found.extend(unknown.map(|rule| Violation::new(file, index + 1, format!("rule {rule} is not listed"))));
        }
    }
    found
}

/// As in "rule M6", "rules T1 to T3", "(rule S27)".
fn rules_named_by(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split("rule").skip(1).flat_map(|rest| rest.trim_start_matches('s').split_whitespace().take(3));
    words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).filter(|word| {
        let mut chars = word.chars();
        let is_letter = chars.next().is_some_and(|letter| "MTDPRGOSL".contains(letter));
        let number = chars.as_str();
        is_letter && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
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
    fn rules_that_a_line_names_are_found() {
        let found = |line| rules_named_by(line).collect::<Vec<_>>();
        assert_eq!(found("/// (rule M6). A gap"), ["M6"]);
        assert_eq!(found("//! transactions (rules T1 to T3). Pure"), ["T1", "T3"]);
        assert!(found("/// the rule that Some 3 are").is_empty());
    }

    #[test]
    fn links_of_a_line_are_found() {
        let found: Vec<&str> = links("see [a](x.md#y) and [b](https://z) and [c](d/e.txt).").collect();
        assert_eq!(found, ["x.md#y", "https://z", "d/e.txt"]);
        assert_eq!(found.iter().filter(|target| is_file_link(target)).count(), 2);
    }
}
