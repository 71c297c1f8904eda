//! `./x codegen`: proto/*.proto → proto/src/generated/*.rs, without protoc.
//!
//! protox parses, prost-build generates, rustfmt lays out. The result is committed; `--check` (a suite of
//! `./x test`) compares and writes nothing, so that nobody who builds needs any of this.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::{Error, workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare with what is committed; exit 1 if it differs
    #[arg(long)]
    check: bool,
}

/// File name → text.
type Sources = BTreeMap<String, String>;

/// Generates, or compares with what is there.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let proto = workspace::root().join("proto");
    let committed = proto.join("src/generated");
    let fresh = generate(&proto)?;
    let differing = differing(&fresh, &read_sources(&committed)?);
    for name in &differing {
        println!("{}: {name}", if args.check { "differs from what proto/*.proto gives" } else { "written" });
    }
    if args.check {
        let verdict = if differing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        println!("{} generated files, {} differ", fresh.len(), differing.len());
        return Ok(verdict);
    }
    write_sources(&committed, &fresh, &differing)?;
    Ok(ExitCode::SUCCESS)
}

fn generate(proto: &Path) -> Result<Sources, Error> {
    let files = files_with(proto, "proto")?;
    let described = protox::compile(&files, [proto])
        .map_err(|source| Error::Proto { path: proto.into(), source: Box::new(source) })?;
    let folder =
        tempfile::tempdir().map_err(|source| Error::File { doing: "creating", path: std::env::temp_dir(), source })?;
    let out = folder.path();
    let mut config = prost_build::Config::new();
    json_of_control(&mut config);
    config.out_dir(out).btree_map(["."]).compile_fds(described).map_err(|source| Error::File {
        doing: "generating into",
        path: out.into(),
        source,
    })?;
    format(&files_with(out, "rs")?)?;
    read_sources(out)
}

/// Every structure of control.proto is also the JSON of `-o json`: how serde renders them.
///
/// Fields keep their names and are always there, empty or not, so that a reader needs no "is it there?"; enum
/// values and the kind of an answer are lower-case words; bytes are text. `proto::control` documents the rules.
fn json_of_control(config: &mut prost_build::Config) {
    let package = ".o2cpg.control.v1";
    config
        .message_attribute(package, "#[derive(::serde::Serialize, ::serde::Deserialize)]\n#[serde(default)]")
        .enum_attribute(
            package,
            "#[derive(::serde::Serialize, ::serde::Deserialize)]\n#[serde(rename_all = \"snake_case\")]",
        );
    for (field, word) in [
        ("Refusal.kind", "refusal::Kind"),
        ("Agent.state", "agent::State"),
        ("Status.health", "Health"),
        ("WaitRequest.condition", "wait_request::Condition"),
    ] {
        config
            .field_attribute(format!("{package}.{field}"), format!("#[serde(with = \"crate::json::Word::<{word}>\")]"));
    }
    for field in ["CpgGroup.name", "DumpPart.data"] {
        config.field_attribute(format!("{package}.{field}"), "#[serde(with = \"crate::json::escaped\")]");
    }
}

/// Without this the committed files would not pass `cargo fmt --check`.
fn format(files: &[PathBuf]) -> Result<(), Error> {
    let output = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(files)
        .output()
        .map_err(|source| Error::Start { program: "rustfmt".into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed { program: "rustfmt".into(), said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// Sorted, so that the result does not depend on the file system. A folder that is not there holds nothing.
fn files_with(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::File { doing: "listing", path: folder.into(), source });
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    Ok(files)
}

/// Generated files in `folder`; `mod.rs` is written by hand and left alone.
fn read_sources(folder: &Path) -> Result<Sources, Error> {
    let mut sources = Sources::new();
    for path in files_with(folder, "rs")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name != "mod.rs" {
            let text = fs::read_to_string(&path).map_err(|source| Error::File { doing: "reading", path, source })?;
            sources.insert(name, text);
        }
    }
    Ok(sources)
}

/// Names whose text differs, or that only one side has.
fn differing(fresh: &Sources, committed: &Sources) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = fresh.keys().chain(committed.keys()).collect();
    names.into_iter().filter(|name| fresh.get(*name) != committed.get(*name)).cloned().collect()
}

fn write_sources(folder: &Path, fresh: &Sources, names: &[String]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::File { doing: "creating", path: folder.into(), source })?;
    for name in names {
        let path = folder.join(name);
        let (doing, written) = match fresh.get(name) {
            Some(text) => ("writing", fs::write(&path, text)),
            None => ("removing", fs::remove_file(&path)),
        };
        written.map_err(|source| Error::File { doing, path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(pairs: &[(&str, &str)]) -> Sources {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn changed_missing_and_left_over_files_differ() {
        let fresh = sources(&[("same.rs", "1"), ("changed.rs", "2"), ("new.rs", "3")]);
        let committed = sources(&[("same.rs", "1"), ("changed.rs", "0"), ("old.rs", "4")]);
        assert_eq!(differing(&fresh, &committed), ["changed.rs", "new.rs", "old.rs"]);
    }

    #[test]
    fn a_message_becomes_a_formatted_struct() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("a.proto"),
            "syntax = \"proto3\"; package a.v1; message Hello { uint32 nodeid = 1; }",
        )
        .unwrap();
        let fresh = generate(folder.path()).unwrap();
        assert!(fresh["a.v1.rs"].contains("pub struct Hello"), "{fresh:?}");
    }

    #[test]
    fn a_syntax_error_names_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.proto"), "message {").unwrap();
        assert!(matches!(generate(folder.path()), Err(Error::Proto { .. })));
    }
}
