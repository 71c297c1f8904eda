//! Answers on the control socket.

use proto::control::{
    api::{self, response::Answer},
    encode_answer, take_answer,
};

fn refusal() -> Answer {
    Answer::Refusal(api::Refusal {
        kind: api::refusal::Kind::Refused.into(),
        what: "cannot stop".into(),
        cause: "1 volume is mounted".into(),
        fix: "umount /srv".into(),
    })
}

fn agent() -> api::Agent {
    api::Agent {
        release: "0.1.0".into(),
        pid: 4242,
        up_ms: 61_000,
        backend: "kernel".into(),
        state: api::agent::State::Ready.into(),
    }
}

fn corosync() -> api::Corosync {
    api::Corosync {
        connected: true,
        ring: "1.3f2".into(),
        quorate: true,
        members: 2,
        expected: 3,
        since_ms: 60_000,
        token_ms: 3000,
        consensus_ms: 3600,
    }
}

fn entry() -> api::Entry {
    let address = "10.0.0.1".into();
    api::Entry { nodeid: 300, number: 0, name: "alpha".into(), address, port: 7777 }
}

fn node() -> api::Node {
    api::Node {
        name: "alpha".into(),
        nodeid: 300,
        number: Some(0),
        address: "10.0.0.1".into(),
        port: 7777,
        this_node: true,
        corosync: "member".into(),
        agent: "0.1.0".into(),
        standing: "ready".into(),
        in_table: "yes".into(),
        since_ms: 60_000,
        mounts: 1,
        regions: 1,
        in_kernel: true,
    }
}

fn trouble() -> api::Trouble {
    api::Trouble {
        kind: "drift".into(),
        nodeid: 2,
        what: "entry differs".into(),
        cause: "another writer".into(),
        fix: "remove it".into(),
    }
}

fn wait() -> api::Wait {
    api::Wait {
        kind: "installed".into(),
        text: "for bravo".into(),
        nodes: vec![2, 300],
        since_ms: 1500,
        fix: "look at bravo".into(),
    }
}

fn counters() -> api::Counters {
    api::Counters {
        views: 1,
        messages: 2,
        stale_messages: 3,
        undecodable: 4,
        ghosts: 5,
        kernel_ops: 6,
        kernel_refusals: 7,
    }
}

fn status() -> Answer {
    Answer::Status(api::Status {
        schema: "o2cpg.status/1".into(),
        cluster: "alpha".into(),
        stack: "o2cb".into(),
        kernel: "6.1.0".into(),
        agent: Some(agent()),
        corosync: Some(corosync()),
        table: Some(api::Table { step: 7, ring: "1.3ee".into(), entries: vec![entry()] }),
        nodes: vec![node()],
        waits: vec![wait()],
        troubles: vec![trouble()],
        pins: vec![api::Pin { kind: "mounted".into(), text: "5A1B at /srv".into(), node: "alpha".into() }],
        mounts: vec![api::Mount { device: "/dev/sdb".into(), path: "/srv".into(), uuid: "5A1B".into() }],
        health: api::Health::Warn.into(),
        adopted: vec![api::Verdict { verdict: "adopted".into(), thing: "node alpha".into(), why: "as agreed".into() }],
        counters: Some(counters()),
        change: Some(api::Change { step: "add bravo".into(), round: 2, answered: vec![300], missing: vec![2] }),
    })
}

fn plan() -> Answer {
    let line = api::plan::Line { mark: "+".into(), thing: "node bravo".into(), why: "joined".into() };
    let root = "/sys/kernel/config".into();
    Answer::Plan(api::Plan {
        schema: "o2cpg.plan/1".into(),
        root,
        lines: vec![line],
        now: 1,
        deferred: 2,
        conflicts: 3,
    })
}

fn can_stop() -> Answer {
    let pin = api::Pin { kind: "token".into(), text: "backup".into(), node: String::new() };
    let advice = "o2cpg unpin backup".into();
    Answer::CanStop(api::CanStop { schema: "o2cpg.can-stop/1".into(), yes: false, pins: vec![pin], advice })
}

fn events() -> Answer {
    let event = api::EventLine {
        id: 9,
        time: "2025-01-02T03:04:05Z".into(),
        mono_ms: 61_000,
        kind: "view".into(),
        json: "{}".into(),
    };
    Answer::Events(api::EventList { events: vec![event], gap: true })
}

fn config() -> Answer {
    let setting = api::config::Setting {
        key: "forget".into(),
        value: "gone".into(),
        origin: "cmap".into(),
        pending: "until nobody is connected".into(),
    };
    Answer::Config(api::Config { schema: "o2cpg.config/1".into(), settings: vec![setting] })
}

fn cpg_list() -> Answer {
    let member = api::CpgMember { nodeid: 1, pid: 4242, address: "10.0.0.1".into(), ghost: true };
    let group = api::CpgGroup { name: b"o2cpg\xff".into(), members: vec![member] };
    Answer::CpgList(api::CpgList { schema: "o2cpg.cpg/1".into(), groups: vec![group] })
}

fn groups() -> Answer {
    let group = api::Group {
        name: "clvmd".into(),
        state: "stopped".into(),
        members: vec![1, 300],
        waits: "stopped from bravo".into(),
        since_ms: 1500,
    };
    Answer::Groups(api::Groups { schema: "o2cpg.groups/1".into(), groups: vec![group] })
}

fn cases() -> Vec<(&'static str, Answer)> {
    let log = api::Log { directives: "debug".into(), configured: "info".into(), back_in_s: 600 };
    vec![
        ("control-answer-refusal", refusal()),
        ("control-answer-status", status()),
        ("control-answer-status-empty", Answer::Status(api::Status::default())),
        ("control-answer-plan", plan()),
        ("control-answer-done", Answer::Done(api::Done { text: "pinned".into() })),
        ("control-answer-can-stop", can_stop()),
        ("control-answer-events", events()),
        ("control-answer-log", Answer::Log(log)),
        ("control-answer-config", config()),
        ("control-answer-dump", Answer::Dump(api::DumpPart { data: b"{}\n".into(), last: true })),
        ("control-answer-cpg-list", cpg_list()),
        ("control-answer-groups", groups()),
    ]
}

pub(crate) fn names() -> Vec<&'static str> {
    cases().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn answers() {
    for (name, answer) in cases() {
        let read = |bytes: &[u8]| take_answer(&mut bytes.to_vec()).unwrap().unwrap();
        super::check(name, &answer, read, |answer| encode_answer(answer.clone()).unwrap());
    }
}
