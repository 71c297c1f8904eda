//! Requests on the control socket.

use proto::control::{Ask, Condition, LogChange, Request};

fn cases() -> Vec<(&'static str, Ask)> {
    let bravo = || Some("bravo".to_owned());
    let log = LogChange { directives: "cpg_glue=trace".into(), for_s: Some(600) };
    vec![
        ("control-ask-status", Ask::Status),
        ("control-ask-plan", Ask::Plan),
        ("control-ask-wait-ready", Ask::Wait(Condition::Ready)),
        ("control-ask-wait-node-gone", Ask::Wait(Condition::NodeGone("bravo".into()))),
        ("control-ask-can-stop", Ask::CanStop),
        ("control-ask-pin", Ask::Pin { text: "backup".into(), node: None }),
        ("control-ask-unpin", Ask::Unpin { text: "backup".into(), node: bravo() }),
        ("control-ask-events", Ask::Events { since: u64::MAX, all: true, follow: true }),
        ("control-ask-log", Ask::Log(Some(log))),
        ("control-ask-log-show", Ask::Log(None)),
        ("control-ask-config", Ask::Config),
        ("control-ask-dump", Ask::Dump),
        ("control-ask-cpg-list", Ask::CpgList),
        ("control-ask-groups", Ask::Groups),
        ("control-ask-forget", Ask::Forget { node: "charlie".into() }),
        ("control-ask-ack-dead", Ask::AckDead { node: "charlie".into(), by: "alice".into() }),
    ]
}

/// Refused, with these words.
const REFUSED: &[(&str, &str)] = &[
    ("control-refused-version", "contract version 2, spoken are 1 to 1"),
    ("control-refused-ask", "asks or answers nothing that contract version 1 knows"),
    ("control-refused-length", "frame of 65537 bytes, at most 65536"),
];

pub(crate) fn names() -> Vec<&'static str> {
    let cases = cases().into_iter().map(|(name, _)| name);
    cases.chain(REFUSED.iter().map(|(name, _)| *name)).collect()
}

#[test]
fn requests() {
    for (name, ask) in cases() {
        let deadline_ms = if matches!(ask, Ask::Events { .. }) { 86_400_000 } else { 5000 };
        let request = Request { version: 1, deadline_ms, ask };
        let read = |bytes: &[u8]| Request::take(&mut bytes.to_vec()).unwrap().unwrap();
        super::check(name, &request, read, |request| request.encode().unwrap());
    }
}

#[test]
fn refused_requests_are_told_why() {
    for (name, words) in REFUSED {
        let refused = Request::take(&mut super::frozen(name)).unwrap_err();
        assert_eq!(refused.to_string(), *words, "{name}");
    }
}
