//! What only real kernels show, played by tests/lab/measure: how soon a region and a mount are seen, and where the time goes
//! when the power of a node does.

use crate::support::{Result, run, workspace};
use crate::verdict;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const SEEN_P99_MAX_MS: f64 = 20.0;
const OURS_MAX_MS: f64 = 10.0;

/// Figures by name, in milliseconds; one that comes more than once has all its values.
type Figures = BTreeMap<String, Vec<f64>>;

/// A region after its mkdir, a mount after its mount(2), on one node.
pub(crate) fn seen(programs: &Path) -> Result<()> {
    let figures = measure(programs, &["seen"])?;
    for what in ["region", "mount"] {
        let at = |name: &str| one(&figures, &format!("{what}.{name}"));
        let (p50, p99, count) = (at("p50")?, at("p99")?, at("count")?);
        verdict(&format!("a {what} is seen after it appears, User Mode Linux"), p99 <= SEEN_P99_MAX_MS);
        println!(
            "    p50 {p50:.1} ms  p99 {p99:.1} ms  of {count}  (limit p99 {SEEN_P99_MAX_MS} ms; the clock counts whole ms)"
        );
    }
    Ok(())
}

/// The whole budget of a power-off, on a stack.
pub(crate) fn power_off(programs: &Path, stack: &str) -> Result<()> {
    let figures = measure(programs, &["power-off", stack])?;
    let part = |name: &str| figures.get(name).map_or_else(|| "-".into(), |values| listed(values));
    let ours = figures.get("ours").map(|values| values.iter().copied().fold(0.0, f64::max));
    verdict(
        &format!("power-off of a node → the survivor's next write, {stack} stack"),
        ours.is_none_or(|worst| worst <= OURS_MAX_MS),
    );
    println!("    ms from the last sign of life, one figure for each of three deaths:");
    println!("    corosync, quorum    {}", part("corosync"));
    println!("    fence gate          {}  (a program that says yes at once)", part("gate"));
    println!(
        "    ours                {}  (limit {OURS_MAX_MS}; messages included; -: the kernels wait for nobody)",
        part("ours")
    );
    println!("    heartbeat, recovery {}", part("kernel"));
    println!("    whole               {}  (the write began at {})", part("whole"), part("begun"));
    Ok(())
}

fn measure(programs: &Path, words: &[&str]) -> Result<Figures> {
    let program = workspace().join("tests/lab/measure");
    let text = run(Command::new(program).arg(programs).args(words).env("LAB_NAME", "bench"))?;
    let mut figures = Figures::new();
    for line in text.lines() {
        let (name, value) = line.split_once(' ').ok_or_else(|| format!("unexpected: {line}"))?;
        figures.entry(name.to_owned()).or_default().push(value.parse()?);
    }
    Ok(figures)
}

fn one(figures: &Figures, name: &str) -> Result<f64> {
    let found = figures.get(name).and_then(|values| values.first());
    found.copied().ok_or_else(|| format!("no figure {name}").into())
}

fn listed(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join("  ")
}
