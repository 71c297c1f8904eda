//! The suites of `./x test`, as data.

use crate::Error;
use crate::machine::Need;

/// How a suite is run, and so how its tests are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    /// cargo with these words; the command as a whole is one test.
    Cargo(&'static [&'static str]),
    /// Builds every test program, for the suites below.
    Build,
    /// The unit tests of all packages.
    Unit,
    /// One `[[test]]` target: package, target.
    Target(&'static str, &'static str),
    /// Every `[[test]]` target that no other line names: none is forgotten.
    OtherTargets,
    /// The lab's scenarios of one suite (`tests/lab/run --suite NAME`).
    Scenarios(&'static str),
    /// `xtask codegen --check`.
    Codegen,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) proves: &'static str,
    pub(crate) run: Run,
    pub(crate) needs: Need,
    /// On 2 cores with nothing built before; about three times what was measured.
    pub(crate) limit_s: u64,
}

impl Suite {
    /// Whether the suite runs programs that the suite `build` makes.
    pub(crate) fn needs_build(&self) -> bool {
        matches!(self.run, Run::Unit | Run::Target(..) | Run::OtherTargets | Run::Scenarios(_))
    }

    /// Whether the suite's output names counts; otherwise the command as a whole is one test.
    pub(crate) fn is_counted(&self) -> bool {
        self.needs_build()
    }
}

const fn suite(name: &'static str, run: Run, needs: Need, limit_s: u64, proves: &'static str) -> Suite {
    Suite { name, proves, run, needs, limit_s }
}

/// In the order of the run: quick and likely to fail first, real machines last.
#[rustfmt::skip]
pub(crate) const SUITES: &[Suite] = &[
    suite("fmt", Run::Cargo(&["fmt", "--all", "--check", "--", "--color", "never"]), Need::Nothing, 60,
        "the code is laid out as rustfmt does it"),
    suite("codegen", Run::Codegen, Need::Nothing, 60,
        "the committed messages are what proto/*.proto gives"),
    suite("build", Run::Build, Need::Nothing, 900,
        "everything compiles, and Cargo.lock is up to date"),
    suite("clippy", Run::Cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]), Need::Nothing, 600,
        "no lint of the workspace is broken"),
    suite("doc", Run::Cargo(&["doc", "--workspace", "--no-deps", "--locked"]), Need::Nothing, 300,
        "the documentation builds and its links lead somewhere"),
    suite("doctest", Run::Cargo(&["test", "--workspace", "--doc", "--locked"]), Need::Nothing, 300,
        "the examples in the documentation run"),
    suite("unit", Run::Unit, Need::Nothing, 120,
        "each function's edges"),
    suite("crates", Run::OtherTargets, Need::Nothing, 120,
        "each crate from outside: recorded kernels, frozen bytes, generated input"),
    suite("golden", Run::Target("cluster-tests", "golden"), Need::Nothing, 60,
        "whole stories on one to five nodes, as written down"),
    suite("invariants", Run::Target("cluster-tests", "invariants"), Need::Nothing, 240,
        "what must always hold does, under seeded faults"),
    suite("seeds", Run::Cargo(&["test", "--profile", "seeds", "-p", "cluster-tests", "--test", "invariants", "--locked"]), Need::Nothing, 600,
        "the same with 20,000 seeds, optimised"),
    suite("decoders", Run::Target("cluster-tests", "decoders"), Need::Nothing, 60,
        "bytes and events that nobody meant stop neither a decoder nor an agent"),
    suite("exhaustive", Run::Target("cluster-tests", "exhaustive"), Need::Nothing, 120,
        "small worlds, every interleaving"),
    suite("mutants", Run::Cargo(&["test", "-p", "cluster-tests", "--features", "planted", "--test", "mutants", "--locked"]), Need::Nothing, 600,
        "planted bugs are found by the checkers with their names"),
    suite("traces", Run::Target("cluster-tests", "traces"), Need::Nothing, 120,
        "the simulated corosync gives the views the real one gave"),
    suite("wire", Run::Target("cluster-tests", "wire"), Need::Nothing, 60,
        "the bytes of every version are what they were"),
    suite("tidy", Run::Target("cluster-tests", "tidy"), Need::Nothing, 60,
        "the rules about the code itself"),
    suite("glue", Run::Target("cpg-glue", "real"), Need::Namespaces, 240,
        "cpg-glue on real corosync: lost, stopped, restarted"),
    suite("lab-ns", Run::Scenarios("lab-ns"), Need::Namespaces, 120,
        "the lab's own promises, namespaces"),
    suite("agent-ns", Run::Scenarios("agent-ns"), Need::Namespaces, 400,
        "o2cpgd on real corosync, kernel modelled"),
    suite("chaos", Run::Scenarios("chaos"), Need::Namespaces, 180,
        "a minute of faults on real corosync, 80 of them: `./x chaos` does more"),
    suite("lab-uml", Run::Scenarios("lab-uml"), Need::Kernel, 240,
        "the lab's own promises, real kernels, and stock OCFS2 on them"),
    suite("kernel", Run::Scenarios("kernel"), Need::Kernel, 120,
        "a real kernel answers every recorded operation as recorded"),
    suite("systemd", Run::Scenarios("systemd"), Need::Kernel, 600,
        "o2cpgd as a service of a real systemd"),
    suite("cluster", Run::Scenarios("cluster"), Need::Kernel, 2400,
        "o2cpgd on real corosync, real kernels and real mounts"),
];

/// The named suites in the table's order, or all; with `build` added where one needs it.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Suite>, Error> {
    let unknown = names.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name));
    if let Some(name) = unknown {
        let known = SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ");
        return Err(Error::UnknownSuite { name: name.clone(), known });
    }
    let named = |suite: &Suite| names.is_empty() || names.iter().any(|name| name == suite.name);
    let build = SUITES.iter().any(|suite| named(suite) && suite.needs_build());
    Ok(SUITES.iter().filter(|suite| named(suite) || (build && matches!(suite.run, Run::Build))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        chosen(&words).unwrap().into_iter().map(|suite| suite.name).collect()
    }

    #[test]
    fn no_name_chooses_every_suite() {
        assert_eq!(names(&[]).len(), SUITES.len());
    }

    #[test]
    fn a_suite_of_test_programs_brings_the_build_with_it() {
        assert_eq!(names(&["wire", "fmt"]), ["fmt", "build", "wire"]);
        assert_eq!(names(&["fmt"]), ["fmt"]);
    }

    #[test]
    fn an_unknown_suite_is_refused_with_the_known_ones() {
        let refused = chosen(&["wires".to_owned()]);
        assert!(matches!(refused, Err(Error::UnknownSuite { known, .. }) if known.contains("wire, tidy")));
    }

    #[test]
    fn every_suite_has_its_own_name() {
        let all: std::collections::BTreeSet<_> = SUITES.iter().map(|suite| suite.name).collect();
        assert_eq!(all.len(), SUITES.len());
    }
}
