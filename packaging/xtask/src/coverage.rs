//! `./x coverage`: how many lines of the core the simulation reaches, without any other test.
//!
//! The runner of the nightly seeds is built with the compiler's own counters; the figures are those of llvm-cov.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::run::said_by;
use crate::{Error, llvm, workspace};

/// Percent of the core's lines.
const LIMIT: f64 = 95.0;
/// What counts: the files of this folder.
const CORE: &str = "agent/core/src/";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Simulated clusters, of three to five nodes
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
}

/// Prints the table; fails below the limit.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let folder = workspace::metadata()?.target_dir.join("coverage");
    let program = instrumented(&folder)?;
    let raw = folder.join("seeds.profraw");
    let mut seeds = Command::new(&program);
    seeds.args(["--seeds", &args.seeds.to_string()]).env("LLVM_PROFILE_FILE", &raw);
    let start = |source| Error::Start { program: program.display().to_string(), source };
    // A seed that fails is shown; the lines that it reached count all the same.
    print!("{}", String::from_utf8_lossy(&seeds.output().map_err(start)?.stdout));
    let merged = folder.join("seeds.profdata");
    let mut merge = Command::new(llvm::tool("llvm-profdata")?);
    merge.args(["merge", "--sparse", "-o"]).arg(&merged).arg(&raw);
    said_by(merge)?;
    let mut export = Command::new(llvm::tool("llvm-cov")?);
    export.args(["export", "--summary-only", "--instr-profile"]).arg(&merged).arg(&program);
    let told = serde_json::from_str(&said_by(export)?).map_err(|source| Error::Coverage { source })?;
    Ok(shown(&lines_of(&told)))
}

/// Builds the runner with counters, apart from other builds.
fn instrumented(folder: &Path) -> Result<PathBuf, Error> {
    let mut build = workspace::cargo();
    build.args(["build", "--locked", "--quiet", "--release", "--package", "cluster-tests", "--bin", "nightly"]);
    build.arg("--target-dir").arg(folder).env("RUSTFLAGS", "-C instrument-coverage");
    build.env("LLVM_PROFILE_FILE", folder.join("build.profraw")); // build scripts are counted too, by nobody
    said_by(build)?;
    Ok(folder.join("release/nightly"))
}

/// Of one file.
#[derive(Debug, PartialEq)]
struct Lines {
    file: String,
    all: u64,
    reached: u64,
}

/// The core's files, those with the most unreached lines first.
fn lines_of(told: &Value) -> Vec<Lines> {
    let files = told["data"][0]["files"].as_array().into_iter().flatten();
    let mut lines: Vec<Lines> = files.filter_map(lines_of_file).collect();
    lines.sort_by_key(|file| std::cmp::Reverse(file.all - file.reached));
    lines
}

fn lines_of_file(file: &Value) -> Option<Lines> {
    let (_, name) = file["filename"].as_str()?.split_once(CORE)?;
    let lines = &file["summary"]["lines"];
    Some(Lines { file: name.to_owned(), all: lines["count"].as_u64()?, reached: lines["covered"].as_u64()? })
}

fn shown(files: &[Lines]) -> ExitCode {
    let percent = |reached: u64, all: u64| 100.0 * reached as f64 / all.max(1) as f64;
    for file in files {
        println!("{:>6.1} %  {:>4} of {:>4}  {}", percent(file.reached, file.all), file.reached, file.all, file.file);
    }
    let all = files.iter().map(|file| file.all).sum();
    let total = percent(files.iter().map(|file| file.reached).sum(), all);
    let verdict = if total >= LIMIT { "ok" } else { "missed" };
    println!("{total:.1} % of {all} lines of {CORE}, limit {LIMIT} %: {verdict}");
    if total >= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_core_counts_and_the_worst_file_comes_first() {
        let file = |name: &str, count, covered| json!({"filename": name, "summary": {"lines": {"count": count, "covered": covered}}});
        let told = json!({"data": [{"files": [
            file("/x/agent/core/src/table.rs", 10, 10),
            file("/x/proto/src/lib.rs", 10, 0),
            file("/x/agent/core/src/work.rs", 20, 15),
        ]}]});
        let work = Lines { file: "work.rs".into(), all: 20, reached: 15 };
        assert_eq!(lines_of(&told), [work, Lines { file: "table.rs".into(), all: 10, reached: 10 }]);
    }
}
