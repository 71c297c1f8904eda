//! Answers, refusals, and what is asked: exit codes and what a person or a program reads.

use crate::played::{Daemon, done, o2cpg, send, socket, status};

use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, Condition, LogChange};
use tempfile::TempDir;

#[test]
fn every_refusal_ends_with_its_code_and_three_parts() {
    let kinds = [
        (Kind::Failed, 1),
        (Kind::Usage, 2),
        (Kind::NotPermitted, 4),
        (Kind::Refused, 5),
        (Kind::TimedOut, 6),
        (Kind::NotFound, 7),
        (Kind::ClusterUnreachable, 8),
    ];
    for (kind, code) in kinds {
        let ended = Daemon::refusing(kind).run("nodes");
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{kind:?}");
        assert_eq!(ended.stderr, "o2cpg: the what\n  cause  the cause\n  fix    the fix\n");
    }
}

#[test]
fn a_refusal_is_a_document_for_those_who_read_documents() {
    let ended = Daemon::refusing(Kind::NotPermitted).run("unpin backup -o json");
    let refusal = ended.json();
    assert_eq!(refusal["schema"], "o2cpg.refusal/1");
    assert_eq!(refusal["kind"], "not_permitted");
    assert_eq!(refusal["fix"], "the fix");
    assert!(ended.stderr.contains("the what"));
    let quiet = Daemon::refusing(Kind::Refused).run("unpin backup -o jsonl -q");
    assert_eq!((quiet.code, quiet.json()["kind"].as_str()), (5, Some("refused")));
}

#[test]
fn a_command_line_without_sense_is_usage() {
    let dir = TempDir::new().unwrap();
    for line in [
        "nonsense",
        "status --timeout 5",
        "status --timeout 0s",
        "status -o xml",
        "wait --for node-gone",
        "wait --for ready charlie",
        "wait --for peace",
        "forget charlie",
        "forget charlie --yes-i-am-sure=bravo",
        "groups --local",
        "log set debug --for 1ms",
        "events --since 1 --all",
    ] {
        assert_eq!(o2cpg(&socket(&dir), line).code, 2, "{line}");
    }
}

#[test]
fn without_a_command_it_is_status() {
    let daemon = Daemon::answering(status(api::Health::Ok));
    let ended = daemon.run("");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("cluster  prod"), "{}", ended.stdout);
    assert_eq!(daemon.request().ask, Ask::Status);
}

#[test]
fn status_succeeds_whenever_it_could_be_read_and_check_judges() {
    for (health, code) in
        [(api::Health::Ok, 0), (api::Health::Warn, 1), (api::Health::Crit, 2), (api::Health::Unspecified, 3)]
    {
        let daemon = Daemon::answering(status(health));
        assert_eq!(daemon.run("status").code, 0);
        assert_eq!(daemon.run("status --check").code, code);
    }
    assert_eq!(Daemon::refusing(Kind::ClusterUnreachable).run("status --check").code, 3);
}

#[test]
fn can_stop_answers_with_its_code() {
    let answer = |yes| Answer::CanStop(api::CanStop { schema: "o2cpg.can-stop/1".into(), yes, ..Default::default() });
    assert_eq!(Daemon::answering(answer(true)).run("can-stop").code, 0);
    let no = Daemon::answering(answer(false)).run("can-stop -o json");
    assert_eq!((no.code, no.json()["yes"].as_bool()), (5, Some(false)));
}

#[test]
fn what_is_asked_is_what_was_said() {
    let daemon = Daemon::answering(done("as you like"));
    let node = |name: &str| Some(name.to_owned());
    let pairs = [
        ("pin backup", Ask::Pin { text: "backup".into(), node: None }),
        ("unpin backup --node 2", Ask::Unpin { text: "backup".into(), node: node("2") }),
        ("forget charlie --yes-i-am-sure charlie", Ask::Forget { node: "charlie".into() }),
        ("wait --for settled", Ask::Wait(Condition::Settled)),
        ("wait --for node-gone charlie", Ask::Wait(Condition::NodeGone("charlie".into()))),
    ];
    for (line, ask) in pairs {
        let ended = daemon.run(line);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "as you like\n"), "{line}: {}", ended.stderr);
        assert_eq!(daemon.request().ask, ask);
    }
    let json = daemon.run("pin backup -o json").json();
    assert_eq!((json["schema"].as_str(), json["text"].as_str()), (Some("o2cpg.done/1"), Some("as you like")));
    assert_eq!(daemon.run("-q pin backup").stdout, "");
}

#[test]
fn the_daemon_is_told_the_deadline() {
    let daemon = Daemon::answering(done("ready"));
    daemon.run("wait --for ready");
    assert_eq!(daemon.request().deadline_ms, 60_000);
    daemon.run("wait --for ready --timeout 1500ms");
    assert_eq!(daemon.request().deadline_ms, 1_500);
    daemon.run("pin x");
    assert_eq!(daemon.request().deadline_ms, 5_000);
}

#[test]
fn log_set_says_for_how_long() {
    let log = api::Log { directives: "debug".into(), configured: "info".into(), back_in_s: 600 };
    let daemon = Daemon::answering(Answer::Log(log));
    let ended = daemon.run("log set debug --for 10m -o json");
    assert_eq!((ended.code, ended.json()["schema"].as_str()), (0, Some("o2cpg.log/1")));
    assert_eq!(daemon.request().ask, Ask::Log(Some(LogChange { directives: "debug".into(), for_s: Some(600) })));
}

#[test]
fn a_wait_that_ends_in_vain_says_what_is_waited_for() {
    let wait = api::Wait { text: "quorum: 1 of 3 nodes are here".into(), ..Default::default() };
    let waiting = api::Status { waits: vec![wait], ..Default::default() };
    let refusal = api::Refusal { kind: Kind::TimedOut.into(), what: "too late".into(), ..Default::default() };
    let ended = Daemon::playing(move |ask, stream| match ask {
        Ask::Status => send(stream, Answer::Status(waiting.clone())),
        _ => send(stream, Answer::Refusal(refusal.clone())),
    })
    .run("wait --for quorate");
    assert_eq!(ended.code, 6);
    assert!(ended.stderr.contains("still not quorate"), "{}", ended.stderr);
    assert!(ended.stderr.contains("quorum: 1 of 3 nodes are here"), "{}", ended.stderr);
}

#[test]
fn cpg_list_looks_as_cpgtool_does() {
    let member = api::CpgMember { nodeid: 1, pid: 2291, address: "10.0.0.11".into(), ghost: false };
    let groups = vec![api::CpgGroup { name: b"o2cpg".to_vec(), members: vec![member] }];
    let daemon = Daemon::answering(Answer::CpgList(api::CpgList { schema: "o2cpg.cpg/1".into(), groups }));
    let expected = "Group Name\t       PID\t   Node ID\no2cpg\n\t\t      2291\t         1 (10.0.0.11)\n";
    assert_eq!(daemon.run("cpg list").stdout, expected);
    assert_eq!(daemon.run("cpg list -d,").stdout, "GRP_NAME,PID,NODEID\no2cpg,2291,1\n");
    assert_eq!(daemon.run("cpg list -o json").json()["schema"], "o2cpg.cpg/1");
}

#[test]
fn every_answer_has_a_schema_in_json() {
    let pairs = [
        ("nodes", status(api::Health::Ok), "o2cpg.nodes/1"),
        ("status", status(api::Health::Ok), "o2cpg.status/1"),
        ("plan", Answer::Plan(api::Plan { schema: "o2cpg.plan/1".into(), ..Default::default() }), "o2cpg.plan/1"),
        (
            "groups",
            Answer::Groups(api::Groups { schema: "o2cpg.groups/1".into(), ..Default::default() }),
            "o2cpg.groups/1",
        ),
        (
            "config show",
            Answer::Config(api::Config { schema: "o2cpg.config/1".into(), ..Default::default() }),
            "o2cpg.config/1",
        ),
        ("log get", Answer::Log(api::Log::default()), "o2cpg.log/1"),
    ];
    for (line, answer, schema) in pairs {
        let ended = Daemon::answering(answer).run(&format!("{line} -o json"));
        assert_eq!((ended.code, ended.json()["schema"].as_str()), (0, Some(schema)), "{line}");
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let daemon = Daemon::answering(status(api::Health::Crit));
    assert!(!daemon.run("status").stdout.contains('\x1b'));
    assert!(daemon.run("status --color always").stdout.contains('\x1b'));
}
