//! Every story in `golden/` goes as it is written.

use cluster_tests::golden;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_story_goes_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut stories: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty());
    let failures: Vec<String> = stories.iter().filter_map(|path| golden::run(path).err()).map(full).collect();
    assert!(failures.is_empty(), "{} of {} stories\n\n{}", failures.len(), stories.len(), failures.join("\n\n"));
}

fn full(error: golden::Error) -> String {
    let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
    format!("{error}{cause}")
}
