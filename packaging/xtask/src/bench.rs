//! `./x bench`: builds and runs the benchmarks, one after the other on a quiet machine.

use std::process::{Command, ExitCode};

use crate::{Error, lab, workspace};

/// One benchmark: a `[[bench]]` target that prints its own table of ratios.
struct Bench {
    name: &'static str,
    /// What is compared with what.
    compares: &'static str,
    package: &'static str,
}

/// Every benchmark there is.
const BENCHES: &[Bench] = &[
    Bench {
        name: "spine",
        compares: "o2cpgd against the least that makes a node entry; idle; decisions",
        package: "agent",
    },
    Bench {
        name: "mounts",
        compares: "the answer to a mount tool against a bare message; fifty volumes; real kernels: mounts seen, a power-off",
        package: "agent",
    },
    Bench { name: "groupd", compares: "the groupd service against what libcpg needs for the same", package: "agent" },
    Bench { name: "glue", compares: "cpg-glue against the same loop in C on libcpg", package: "cpg-glue" },
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this one
    name: Option<String>,
}

/// Runs the named benchmark or all of them; fails when one fails.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut worst = ExitCode::SUCCESS;
    for bench in chosen(args.name.as_deref())? {
        println!("== {}: {}", bench.name, bench.compares);
        if lab::foreground(command(bench))? != ExitCode::SUCCESS {
            worst = ExitCode::FAILURE;
        }
    }
    Ok(worst)
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static Bench>, Error> {
    let Some(name) = name else {
        return Ok(BENCHES.iter().collect());
    };
    let known = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    let found = BENCHES.iter().find(|bench| bench.name == name);
    found.map(|bench| vec![bench]).ok_or_else(|| Error::UnknownBench { name: name.into(), known: known() })
}

fn command(bench: &Bench) -> Command {
    let mut command = workspace::cargo();
    command.args(["bench", "--locked", "--package", bench.package, "--bench", bench.name]);
    command
}
