//! The agreed table against the kernel.

use anstyle::Style;
use proto::control::api::{Plan, plan::Line};

use crate::cli::text::{BAD, FAINT, GOOD, HEAD, PLAIN, WARN, columns, escaped, labelled, styled};

/// Blanks between a thing and its reason where both fit on one line.
const GAP: usize = 3;

/// `o2cpg plan`.
#[must_use]
pub fn plan(plan: &Plan, width: usize) -> String {
    let mut out = format!("{} {}\n", styled(HEAD, "configfs"), escaped(&plan.root));
    // Attributes are sentences; what lines up is the entries.
    let entries = plan.lines.iter().filter(|line| line.mark != "~");
    let things = entries.map(|line| columns(&escaped(&line.thing))).max().unwrap_or(0);
    for line in &plan.lines {
        plan_line(&mut out, line, things, width);
    }
    if plan.lines.is_empty() {
        out.push_str("  nothing is agreed and nothing is there\n");
    }
    out.push_str(&summary(plan));
    out
}

/// The reason stands beside the thing where there is room, else below it.
fn plan_line(out: &mut String, line: &Line, things: usize, width: usize) {
    let (mark, thing, why) = (format!("{:1} ", line.mark), escaped(&line.thing), escaped(&line.why));
    out.push_str(&format!("  {}{thing}", styled(mark_style(&line.mark), &mark)));
    let beside = columns(&thing).max(things) + GAP;
    if !why.is_empty() && 4 + beside + columns(&why) <= width {
        let gap = beside - columns(&thing);
        out.push_str(&format!("{:gap$}{}\n", "", styled(FAINT, &why)));
    } else {
        out.push('\n');
        labelled(out, 6, "", PLAIN, &why, width);
    }
}

fn mark_style(mark: &str) -> Style {
    match mark {
        "+" => GOOD,
        "!" => BAD,
        "-" | "~" => WARN,
        _ => PLAIN,
    }
}

fn summary(plan: &Plan) -> String {
    match (plan.now, plan.deferred, plan.conflicts) {
        (0, 0, 0) if plan.lines.iter().all(|line| line.mark == "=") => "nothing to do\n".into(),
        (0, 0, 0) => String::new(),
        (now, deferred, conflicts) => format!("{now} to do now, {deferred} deferred, {conflicts} in conflict\n"),
    }
}
