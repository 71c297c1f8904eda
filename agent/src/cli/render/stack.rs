//! The kernel's cluster stack.

use super::or_dash;
use crate::cli::stack::Shown;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{BAD, FAINT, GOOD, HEAD, PLAIN, WARN, escaped, labelled, styled};
use crate::stack::change::{Chosen, Offline};
use crate::stack::{Part, Presence};

/// `o2cpg stack show`.
#[must_use]
pub fn stack(shown: &Shown, width: usize) -> String {
    let found = &shown.found;
    let mut out = match &found.label {
        Some(label) => format!("{} {}, taken by the next mount\n", styled(HEAD, "stack   "), escaped(label)),
        None => format!("{} {}\n", styled(HEAD, "stack   "), styled(BAD, "none: the kernel has no ocfs2")),
    };
    labelled(
        &mut out,
        0,
        "active   ",
        HEAD,
        found.active_plugin.as_deref().unwrap_or("none, nothing is mounted"),
        width,
    );
    labelled(&mut out, 0, "daemon   ", HEAD, &daemon(shown), width);
    labelled(&mut out, 0, "started  ", HEAD, &started(shown), width);
    out.push('\n');
    out.push_str(&parts(&found.parts).render(width));
    out.push('\n');
    for live in &found.live {
        labelled(&mut out, 0, "live  ", WARN, &live.to_string(), width);
    }
    if found.live.is_empty() {
        out.push_str("nothing is live: another stack may be chosen\n");
    }
    labelled(&mut out, 0, "not ours  ", FAINT, &found.other_lockspaces.join(" "), width);
    out
}

fn daemon(shown: &Shown) -> String {
    match (&shown.daemon, &shown.daemon_unasked) {
        (Some(serves), _) => format!("{}, cluster {}, stack {}", serves.state, or_dash(&serves.cluster), serves.stack),
        (None, Some(why)) => why.clone(),
        (None, None) => "not running, or not asked".into(),
    }
}

fn started(shown: &Shown) -> String {
    let Some(record) = &shown.found.started else { return "nothing is on record since the boot".into() };
    let loaded = if record.loaded.is_empty() { "no module".into() } else { record.loaded.join(" ") };
    format!("{} by {}, which loaded {loaded}", record.label, record.by)
}

fn parts(parts: &[Part]) -> Table {
    let mut table = Table::new(vec![Column::left("PART"), Column::left("IS"), Column::left("FOR")]);
    for part in parts {
        let style = match part.presence {
            Presence::BuiltIn | Presence::Loaded => GOOD,
            Presence::Loadable => PLAIN,
            Presence::Missing => WARN,
        };
        table.push(vec![part.module.into(), Cell::new(style, part.presence.as_str()), part.purpose.into()]);
    }
    table
}

/// `o2cpg stack set`.
#[must_use]
pub fn chosen(done: &Chosen, width: usize) -> String {
    let was = match &done.before {
        Some(before) if before == done.label => String::from(", as before"),
        Some(before) => format!(", instead of {}", escaped(before)),
        None => String::new(),
    };
    let mut out = format!("the next mount takes {}{was}\n", styled(GOOD, done.label));
    labelled(&mut out, 0, "loaded      ", HEAD, &done.loaded.join(" "), width);
    labelled(&mut out, 0, "built in    ", FAINT, &done.built_in.join(" "), width);
    for reason in &done.not_loaded {
        labelled(&mut out, 0, "not loaded  ", WARN, reason, width);
    }
    out
}

/// `o2cpg stack offline`.
#[must_use]
pub fn offline(done: &Offline, width: usize) -> String {
    let mut out = String::new();
    for (label, style, lines) in
        [("removed   ", GOOD, &done.removed), ("unloaded  ", GOOD, &done.unloaded), ("left      ", WARN, &done.left)]
    {
        lines.iter().for_each(|line| labelled(&mut out, 0, label, style, line, width));
    }
    if out.is_empty() { "nothing was there\n".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Found, Live, Record};

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn everything_is_shown_on_one_screen() {
        let part = |module, presence| Part { module, presence, purpose: "x" };
        let found = Found {
            label: Some("pcmk".into()),
            active_plugin: Some("user".into()),
            parts: vec![part("ocfs2", Presence::BuiltIn), part("dlm", Presence::Missing)],
            live: vec![Live::Mount { path: "/srv".into(), device: "/dev/sdb".into() }],
            other_lockspaces: vec!["clvmd".into()],
            started: Some(Record { label: "o2cb".into(), by: "o2cpgd".into(), loaded: vec!["ocfs2".into()] }),
            ..Found::default()
        };
        let shown = Shown { found, daemon: None, daemon_unasked: Some("o2cpgd does not answer".into()) };
        let expected = "\
stack    pcmk, taken by the next mount
active   user
daemon   o2cpgd does not answer
started  o2cb by o2cpgd, which loaded ocfs2

PART   IS        FOR
ocfs2  built in  x
dlm    missing   x

live  /dev/sdb is mounted on /srv
not ours  clvmd
";
        assert_eq!(plain(&stack(&shown, 80)), expected);
    }

    #[test]
    fn what_was_chosen_says_what_could_not_be_loaded() {
        let done = Chosen {
            label: "cman",
            before: Some("o2cb".into()),
            loaded: vec!["ocfs2_stack_user".into()],
            built_in: vec!["configfs"],
            not_loaded: vec!["dlm: modprobe: no".into()],
        };
        let expected = "\
the next mount takes cman, instead of o2cb
loaded      ocfs2_stack_user
built in    configfs
not loaded  dlm: modprobe: no
";
        assert_eq!(plain(&chosen(&done, 80)), expected);
    }
}
