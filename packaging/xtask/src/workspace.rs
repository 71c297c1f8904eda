//! Where things are, and the test programs that cargo builds of this workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Error, run};

/// Top of the checkout this binary was built from.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("packaging/xtask is two below the top").into()
}

/// `cargo` in the top folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("CARGO_TERM_COLOR", "never");
    command
}

/// What `cargo metadata` says about this workspace.
pub(crate) struct Metadata {
    /// Cargo.toml → name of the package.
    packages: BTreeMap<PathBuf, String>,
    /// Where cargo puts what it builds.
    pub(crate) target_dir: PathBuf,
}

/// Asks cargo.
pub(crate) fn metadata() -> Result<Metadata, Error> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let value = serde_json::from_str(&run::said_by(metadata)?).map_err(|source| Error::Metadata { source })?;
    parse_metadata(&value)
}

fn parse_metadata(value: &Value) -> Result<Metadata, Error> {
    let packages = value["packages"].as_array().ok_or(Error::MetadataLacks { what: "packages" })?;
    let target_dir = value["target_directory"].as_str().ok_or(Error::MetadataLacks { what: "target_directory" })?;
    let packages = packages
        .iter()
        .filter_map(|package| Some((package["manifest_path"].as_str()?.into(), package["name"].as_str()?.to_owned())));
    Ok(Metadata { packages: packages.collect(), target_dir: target_dir.into() })
}

/// A library's, a program's or an integration test's own test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestProgram {
    pub(crate) package: String,
    pub(crate) target: String,
    /// An integration test (`[[test]]`), not unit tests beside the code.
    pub(crate) is_integration: bool,
    pub(crate) path: PathBuf,
    /// Folder of the package: cargo runs its tests there.
    folder: PathBuf,
}

impl TestProgram {
    #[cfg(test)]
    pub(crate) fn integration(package: &str, target: &str) -> Self {
        let (path, folder) = (PathBuf::new(), PathBuf::new());
        Self { package: package.into(), target: target.into(), is_integration: true, path, folder }
    }

    /// Whether this is the `[[test]]` target of that name.
    pub(crate) fn is_target(&self, package: &str, target: &str) -> bool {
        self.is_integration && self.package == package && self.target == target
    }

    /// The program as `cargo test` would start it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Arguments that build every test program, naming each in JSON on standard output.
pub(crate) const BUILD_TESTS: &[&str] =
    &["test", "--workspace", "--no-run", "--locked", "--message-format", "json-render-diagnostics"];

/// Arguments that build what ships, and cfsprobe: the lab brings them into its nodes.
pub(crate) const BUILD_PROGRAMS: &[&str] = &["build", "--workspace", "--bins", "--locked"];

/// The test programs named in what [`BUILD_TESTS`] printed; other lines are passed over.
pub(crate) fn test_programs(printed: &str, metadata: &Metadata) -> Vec<TestProgram> {
    let messages = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| test_program(&message, metadata)).collect()
}

fn test_program(message: &Value, metadata: &Metadata) -> Option<TestProgram> {
    if message["profile"]["test"] != true {
        return None;
    }
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let target = &message["target"];
    Some(TestProgram {
        package: metadata.packages.get(manifest)?.clone(),
        target: target["name"].as_str()?.to_owned(),
        is_integration: target["kind"].as_array()?.iter().any(|kind| kind == "test"),
        path: message["executable"].as_str()?.into(),
        folder: manifest.parent()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Metadata {
        parse_metadata(&serde_json::json!({
            "target_directory": "/t",
            "packages": [{ "name": "glue", "manifest_path": "/w/glue/Cargo.toml" }],
        }))
        .unwrap()
    }

    fn artifact(kind: &str, is_test: bool) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": "/w/glue/Cargo.toml",
            "target": { "name": "real", "kind": [kind] },
            "profile": { "test": is_test },
            "executable": "/t/debug/deps/real-1",
        })
        .to_string()
    }

    #[test]
    fn test_programs_are_told_from_libraries_and_noise() {
        let printed = format!("warning: x\n{}\n{}\n", artifact("lib", false), artifact("test", true));
        let found = test_programs(&printed, &known());
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((only.package.as_str(), only.target.as_str(), only.is_integration), ("glue", "real", true));
        assert_eq!(only.folder, Path::new("/w/glue"));
    }

    #[test]
    fn unit_tests_are_no_integration_tests() {
        assert!(!test_programs(&artifact("lib", true), &known())[0].is_integration);
    }

    #[test]
    fn metadata_without_packages_is_refused() {
        let refused = parse_metadata(&serde_json::json!({}));
        assert!(matches!(refused, Err(Error::MetadataLacks { what: "packages" })));
    }
}
