//! Messages between agents.

use proto::peer::{
    Absent, Answer, Body, Died, Entry, Fenced, Hello, Identity, Incarnation, Live, Member, Message, Outcome, Previous,
    Proposal, ProposalReason, RingId, Table, Version, ViewTag, VolumeId,
};

const RING: RingId = RingId { nodeid: 1, seq: 0x3f2 };
const BEFORE: RingId = RingId { nodeid: 1, seq: 0x3ee };
const HIGHEST: RingId = RingId { nodeid: u32::MAX, seq: u64::MAX };
const NONE_LIVE: Live = Live { mounts: 0, regions: 0 };
const VOLUME: VolumeId = VolumeId(*b"\x0e\x57\x96\x1b\x81\x93\x46\x96\xb7\xaa\xe6\xd0\x08\x0d\x6f\x29");
const OTHER_VOLUME: VolumeId = VolumeId([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const ALL_LIVE: Live = Live { mounts: u32::MAX, regions: u32::MAX };

fn view(nonces: [u64; 2]) -> ViewTag {
    let members = [Member { nodeid: 1, pid: 4242 }, Member { nodeid: 2, pid: 911 }];
    ViewTag { ring: RING, members: members.into_iter().zip(nonces).collect() }
}

fn message(body: Body) -> Message {
    let nonces = match body {
        Body::Hello(_) => [0, 0],
        _ => [0x1111_1111_1111_1111, 0x2222_2222_2222_2222],
    };
    Message { view: view(nonces), body }
}

fn entry(nodeid: u32, number: u8, name: &str, address: [u8; 4], port: u16) -> Entry {
    Entry { nodeid, number, name: name.into(), address: address.into(), port }
}

fn table(step: u64, ring: RingId, entries: &[Entry]) -> Table {
    let version = Version { step, ring };
    Table { version, entries: entries.iter().map(|entry| (entry.number, entry.clone())).collect() }
}

fn hello() -> Message {
    let alpha = entry(1, 1, "alpha", [10, 0, 0, 1], 7777);
    let charlie = entry(300, 0, "charlie", [10, 0, 0, 3], 7778);
    let hello = Hello {
        incarnation: Incarnation { boot_id: std::array::from_fn(|index| index as u8), started_ms: 123_456 },
        nonce: 0x1122_3344_5566_7788,
        handshake: vec![1, 0, 4, 0, 1, 0, 1, 0],
        identity: Identity::Entry(entry(2, 2, "bravo", [10, 0, 0, 2], 7777)),
        table: Some(table(7, BEFORE, &[alpha.clone(), charlie.clone()])),
        held: vec![alpha, charlie],
        local: true,
        quorate: true,
        previous: Some(Previous { ring: BEFORE, quorate: true }),
        live: Live { mounts: 2, regions: 1 },
        absent: vec![Absent { nodeid: 3, live: Live { mounts: 1, regions: 1 } }],
        release: "0.1.0".into(),
        incomplete: true,
        cut_off: true,
        volumes: std::collections::BTreeSet::new(),
        unfenced: Vec::new(),
        died: Vec::new(),
        begins: false,
    };
    message(Body::Hello(hello.into()))
}

/// Nothing known, nothing held.
fn blank(boot_id: [u8; 16], unfit: &str) -> Hello {
    Hello {
        incarnation: Incarnation { boot_id, started_ms: 0 },
        nonce: 0,
        handshake: vec![],
        identity: Identity::Unfit(unfit.into()),
        table: None,
        held: vec![],
        local: false,
        quorate: false,
        previous: None,
        live: NONE_LIVE,
        absent: vec![],
        release: String::new(),
        incomplete: false,
        cut_off: false,
        volumes: std::collections::BTreeSet::new(),
        unfenced: Vec::new(),
        died: Vec::new(),
        begins: false,
    }
}

fn hello_empty() -> Message {
    let view = ViewTag { ring: RingId { nodeid: 0, seq: 0 }, members: vec![] };
    Message { view, body: Body::Hello(blank([0; 16], "").into()) }
}

fn hello_unfit() -> Message {
    let blank = blank([0xab; 16], "node id 300 is above 254");
    let incarnation = Incarnation { started_ms: 1, ..blank.incarnation };
    message(Body::Hello(Hello { incarnation, nonce: 1, release: "0.1.0".into(), ..blank }.into()))
}

fn hello_max() -> Message {
    let highest = entry(u32::MAX, 254, &"x".repeat(64), [255; 4], 65534);
    let hello = Hello {
        incarnation: Incarnation { boot_id: [0xff; 16], started_ms: u64::MAX },
        nonce: u64::MAX,
        handshake: vec![0xff; 4096],
        identity: Identity::Entry(highest.clone()),
        table: Some(table(u64::MAX, HIGHEST, std::slice::from_ref(&highest))),
        held: vec![Entry { name: "ä".repeat(32), ..highest }],
        local: true,
        quorate: true,
        previous: Some(Previous { ring: HIGHEST, quorate: true }),
        live: ALL_LIVE,
        absent: vec![Absent { nodeid: u32::MAX, live: ALL_LIVE }],
        release: "x".repeat(128),
        incomplete: true,
        cut_off: true,
        volumes: std::collections::BTreeSet::new(),
        unfenced: Vec::new(),
        died: Vec::new(),
        begins: false,
    };
    let members = vec![(Member { nodeid: u32::MAX, pid: u32::MAX }, u64::MAX)];
    Message { view: ViewTag { ring: HIGHEST, members }, body: Body::Hello(hello.into()) }
}

fn hello_volumes() -> Message {
    let mut message = hello_unfit();
    if let Body::Hello(hello) = &mut message.body {
        hello.volumes = [VOLUME].into();
    }
    message
}

fn hello_unfenced() -> Message {
    let mut message = hello_unfit();
    if let Body::Hello(hello) = &mut message.body {
        hello.unfenced = vec![3, 300];
    }
    message
}

fn hello_died() -> Message {
    let mut message = hello_unfit();
    if let Body::Hello(hello) = &mut message.body {
        hello.died = vec![Died { nodeid: 3, boot_id: [0xcd; 16] }];
    }
    message
}

fn hello_begins() -> Message {
    let mut message = hello_unfit();
    if let Body::Hello(hello) = &mut message.body {
        hello.begins = true;
    }
    message
}

fn answer(round: u32, outcome: Outcome) -> Message {
    message(Body::Answer(Answer { round, outcome }))
}

fn failed(errno: i32, path: &str, what: &str) -> Outcome {
    Outcome::Failed { errno, path: path.into(), what: what.into() }
}

fn held(pins: &[&str]) -> Outcome {
    Outcome::Held(pins.iter().map(ToString::to_string).collect())
}

fn proposal(number: u8, reason: ProposalReason) -> Message {
    message(Body::Proposal(Proposal { number, reason }))
}

fn live(mounts: u32, regions: u32) -> Message {
    message(Body::Live(Live { mounts, regions }))
}

fn goodbye(why: &str) -> Message {
    message(Body::Goodbye(why.into()))
}

/// Read and written.
fn cases() -> Vec<(&'static str, Message)> {
    let bravo = "/sys/kernel/config/cluster/alpha/node/bravo";
    let (longest_path, longest_what) = ("x".repeat(4096), "y".repeat(1024));
    vec![
        ("hello", hello()),
        ("hello-empty", hello_empty()),
        ("hello-unfit", hello_unfit()),
        ("hello-max", hello_max()),
        ("answer-done", answer(1, Outcome::Done)),
        ("answer-failed", answer(3, failed(17, bravo, "mkdir"))),
        ("answer-failed-max", answer(u32::MAX, failed(4095, &longest_path, &longest_what))),
        ("answer-failed-empty", answer(1, failed(0, "", ""))),
        ("answer-held", answer(2, held(&["mounted 5A1B", "region 5A1B"]))),
        ("answer-held-nothing", answer(2, held(&[]))),
        ("answer-held-empty-pin", answer(2, held(&[""]))),
        ("proposal-unconfigured", proposal(254, ProposalReason::Unconfigured)),
        ("proposal-gone", proposal(0, ProposalReason::Gone)),
        ("proposal-operator", proposal(2, ProposalReason::Operator)),
        ("live", live(3, 2)),
        ("live-none", live(0, 0)),
        ("probe", message(Body::Probe(0x0123_4567_89ab_cdef))),
        ("goodbye", goodbye("SIGTERM")),
        ("goodbye-empty", goodbye("")),
        ("volumes", message(Body::Volumes([VOLUME, OTHER_VOLUME].into()))),
        ("volumes-none", message(Body::Volumes([].into()))),
        ("hello-volumes", hello_volumes()),
        ("hello-unfenced", hello_unfenced()),
        ("hello-died", hello_died()),
        ("hello-begins", hello_begins()),
        ("fenced", message(Body::Fenced(Fenced { nodeid: 3, by: "the fence program".into() }))),
    ]
}

/// Read, never written.
fn accepted() -> Vec<(&'static str, Message)> {
    vec![
        ("accepted-newer-field", live(3, 2)),
        ("accepted-other-order", live(3, 0)),
        ("accepted-padded-number", live(3, 2)),
    ]
}

/// Refused, with these words. Those of `refused-cut`, `refused-not-utf8` and `refused-length` end with prost's own,
/// which are not part of the contract.
const REFUSED: &[(&str, &str)] = &[
    ("refused-empty", "not an o2cpg message: begins with nothing"),
    ("refused-foreign", "not an o2cpg message: begins with 0100000001000000"),
    ("refused-version", "protocol version 2, this agent speaks 1 to 1"),
    ("refused-flags", "malformed message: flags 0x0001 in the preamble, none is defined"),
    ("refused-preamble-cut", "malformed message: 5 bytes, the preamble alone has 8"),
    ("refused-cut", "malformed message: "),
    ("refused-no-body", "malformed message: no body known to version 1"),
    ("refused-newer-body", "malformed message: no body known to version 1"),
    ("refused-no-view", "view is missing, must be present"),
    ("refused-unsorted-members", "view.members is 2:911 before 1:4242, must be sorted, none twice"),
    ("refused-number", "hello.identity.number is 255, must be 0 to 254"),
    ("refused-volume", "volumes.ids[0] is 15 bytes, must be 16 bytes"),
    (
        "refused-unsorted-volumes",
        "volumes.ids is A0000000000000000000000000000001 before 0E57961B81934696B7AAE6D0080D6F29, must be ascending, none twice",
    ),
    ("refused-port", "hello.identity.port is 0, must be 1 to 65534"),
    ("refused-name", r#"hello.identity.name is "../x", must be 1 to 64 bytes without / and NUL, and neither . nor .."#),
    ("refused-not-utf8", "malformed message: "),
    ("refused-length", "malformed message: "),
];

pub(crate) fn names() -> Vec<&'static str> {
    let read = cases().into_iter().chain(accepted()).map(|(name, _)| name);
    read.chain(REFUSED.iter().map(|(name, _)| *name)).collect()
}

#[test]
fn messages_between_agents() {
    for (name, message) in cases() {
        let read = |bytes: &[u8]| Message::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        super::check(name, &message, read, Message::encode);
    }
}

#[test]
fn other_writers_are_understood() {
    for (name, message) in accepted() {
        assert_eq!(Message::decode(&super::frozen(name)), Ok(message), "{name}");
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    for (name, words) in REFUSED {
        let refused = Message::decode(&super::frozen(name)).unwrap_err().to_string();
        let is_expected = if words.ends_with(": ") { refused.starts_with(words) } else { refused == *words };
        assert!(is_expected, "{name}: {refused}");
    }
}
