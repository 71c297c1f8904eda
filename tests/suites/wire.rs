//! The bytes of every version, frozen: `tests/wire/README.md` has the rules.
//!
//! A file without a case here, or a case without a file, fails too.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "wire/agent.rs"]
mod agent;
#[path = "wire/answers.rs"]
mod answers;
#[path = "wire/control.rs"]
mod control;
#[path = "wire/handshake.rs"]
mod handshake;

use std::{collections::BTreeSet, fmt::Debug, fs, path::PathBuf};

/// Where version 1 is kept.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wire/v1")
}

/// The bytes in a file of [`folder`].
fn frozen(name: &str) -> Vec<u8> {
    let path = folder().join(name).with_extension("hex");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .flat_map(str::split_whitespace)
        .flat_map(|word| bytes(word).unwrap_or_else(|| panic!("{name}: {word}")))
        .collect()
}

/// `xx` or `xx*N`.
fn bytes(word: &str) -> Option<Vec<u8>> {
    let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
    let byte = u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)?;
    Some(vec![byte; count.parse().ok()?])
}

/// What one side reads and what the other writes, against the same file. Says which of the two changed.
fn check<T: Debug + PartialEq>(name: &str, value: &T, read: impl Fn(&[u8]) -> T, write: impl Fn(&T) -> Vec<u8>) {
    let frozen = frozen(name);
    assert_eq!(&read(&frozen), value, "{name}.hex is read as something else; revert the change, not the file");
    let written = write(value);
    let same = frozen.iter().zip(&written).take_while(|(a, b)| a == b).count();
    let near = |bytes: &[u8]| bytes[same..bytes.len().min(same + 16)].to_vec();
    assert_eq!(
        (written.len(), near(&written)),
        (frozen.len(), near(&frozen)),
        "{name}.hex is written differently from byte {same} on; revert the change, not the file"
    );
}

#[test]
fn every_file_has_a_case() {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let cases = [agent::names(), control::names(), answers::names(), handshake::names()].concat();
    assert_eq!(files, cases.iter().map(ToString::to_string).collect());
}

#[test]
fn a_word_is_a_byte_or_a_byte_many_times() {
    assert_eq!(bytes("0f"), Some(vec![0x0f]));
    assert_eq!(bytes("ff*3"), Some(vec![0xff; 3]));
    for wrong in ["f", "0ff", "zz", "00*", "00*x"] {
        assert_eq!(bytes(wrong), None, "{wrong}");
    }
}
