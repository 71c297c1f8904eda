//! One test a rule. Bytes that break one come from the generated structures, which have no rules.

use prost::Message as _;

use super::*;
use crate::{frame, generated::agent as wire, handshake::HANDSHAKE_LEN_MAX, version};

const RING: RingId = RingId { nodeid: 1, seq: 0x3f2 };

fn entry(number: u8) -> Entry {
    Entry {
        nodeid: number.into(),
        number,
        name: format!("node{number}"),
        address: Ipv4Addr::new(10, 0, 0, number),
        port: 7777,
    }
}

fn hello() -> Hello {
    Hello {
        incarnation: Incarnation { boot_id: [7; 16], started_ms: 1 },
        nonce: 9,
        handshake: vec![],
        identity: Identity::Entry(entry(1)),
        table: Some(Table { version: Version { step: 1, ring: RING }, entries: [(1, entry(1))].into() }),
        held: vec![entry(1)],
        local: true,
        quorate: true,
        previous: Some(Previous { ring: RING, quorate: true }),
        live: Live::default(),
        absent: vec![Absent { nodeid: 3, live: Live::default() }],
        release: "0.1.0".into(),
        incomplete: false,
        cut_off: false,
        volumes: BTreeSet::new(),
        unfenced: Vec::new(),
        died: Vec::new(),
        begins: false,
    }
}

fn message(body: Body) -> Message {
    let members = vec![(Member { nodeid: 1, pid: 10 }, 0), (Member { nodeid: 2, pid: 5 }, 0)];
    Message { view: ViewTag { ring: RING, members }, body }
}

/// The error for a message that is right but for `change`.
fn refused(body: Body, change: impl FnOnce(&mut wire::Envelope)) -> String {
    let bytes = message(body).encode();
    let mut envelope = wire::Envelope::decode(&bytes[frame::PREAMBLE_LEN..]).unwrap();
    change(&mut envelope);
    let bytes = [frame::preamble(version::CURRENT).to_vec(), envelope.encode_to_vec()].concat();
    Message::decode(&bytes).unwrap_err().to_string()
}

fn refused_hello(change: impl FnOnce(&mut wire::Hello)) -> String {
    refused(Body::Hello(hello().into()), |envelope| {
        let Some(wire::envelope::Body::Hello(hello)) = &mut envelope.body else { unreachable!() };
        change(hello);
    })
}

fn refused_entry(change: impl FnOnce(&mut wire::Entry)) -> String {
    refused_hello(|hello| change(&mut hello.held[0]))
}

fn refused_body(body: wire::envelope::Body) -> String {
    refused(Body::Probe(0), |envelope| envelope.body = Some(body))
}

fn refused_outcome(outcome: wire::answer::Outcome) -> String {
    refused_body(wire::envelope::Body::Answer(wire::Answer { round: 1, outcome: Some(outcome) }))
}

fn decoded(body: Body) -> Body {
    Message::decode(&message(body).encode()).unwrap().body
}

#[test]
fn rings_are_ordered_by_sequence_first_and_tables_by_ring_first() {
    let ring = |seq, nodeid| RingId { nodeid, seq };
    assert!(ring(1, 9) < ring(2, 1) && ring(2, 1) < ring(2, 3));
    let table = |step, ring| Version { step, ring };
    assert!(table(9, ring(1, 9)) < table(1, ring(2, 1)) && table(1, ring(2, 1)) < table(2, ring(2, 1)));
}

#[test]
fn ids_look_as_in_corosyncs_log() {
    assert_eq!(RING.to_string(), "1.3f2");
    assert_eq!(Version { step: 7, ring: RING }.to_string(), "7@1.3f2");
    assert_eq!(Member { nodeid: 2, pid: 4242 }.to_string(), "2:4242");
}

#[test]
fn a_mount_or_a_region_is_live() {
    assert!(!Live::default().is_live());
    assert!(Live { mounts: 1, regions: 0 }.is_live());
    assert!(Live { mounts: 0, regions: 1 }.is_live());
}

#[test]
fn a_message_must_have_a_view_and_a_body() {
    assert_eq!(refused(Body::Probe(1), |it| it.view = None), "view is missing, must be present");
    assert_eq!(
        refused(Body::Probe(1), |it| it.view.as_mut().unwrap().ring = None),
        "view.ring is missing, must be present"
    );
    assert_eq!(refused(Body::Probe(1), |it| it.body = None), "malformed message: no body known to version 1");
}

#[test]
fn members_are_sorted_and_none_comes_twice() {
    let swap = |it: &mut wire::Envelope| it.view.as_mut().unwrap().members.swap(0, 1);
    assert_eq!(refused(Body::Probe(1), swap), "view.members is 2:5 before 1:10, must be sorted, none twice");
    let double = |it: &mut wire::Envelope| it.view.as_mut().unwrap().members[1] = it.view.as_ref().unwrap().members[0];
    assert_eq!(refused(Body::Probe(1), double), "view.members is 1:10 before 1:10, must be sorted, none twice");
}

#[test]
fn members_are_bounded() {
    let many = |it: &mut wire::Envelope| {
        it.view.as_mut().unwrap().members = (0..257).map(|nodeid| wire::Member { nodeid, pid: 1, nonce: 0 }).collect();
    };
    assert_eq!(refused(Body::Probe(1), many), "view.members is 257 long, must be at most 256 long");
}

#[test]
fn a_hello_must_be_complete() {
    assert_eq!(refused_hello(|it| it.incarnation = None), "hello.incarnation is missing, must be present");
    assert_eq!(refused_hello(|it| it.identity = None), "hello.identity is missing, must be present");
    assert_eq!(refused_hello(|it| it.live = None), "hello.live is missing, must be present");
    assert_eq!(refused_hello(|it| it.absent[0].live = None), "hello.absent[0].live is missing, must be present");
    assert_eq!(
        refused_hello(|it| it.previous.as_mut().unwrap().ring = None),
        "hello.previous.ring is missing, must be present"
    );
    assert_eq!(
        refused_hello(|it| it.table.as_mut().unwrap().version = None),
        "hello.table.version is missing, must be present"
    );
    assert_eq!(
        refused_hello(|it| it.incarnation.as_mut().unwrap().boot_id.truncate(15)),
        "hello.incarnation.boot_id is 15 bytes, must be 16 bytes"
    );
}

#[test]
fn lists_and_texts_of_a_hello_are_bounded() {
    let absent = wire::Absent { nodeid: 1, live: None };
    assert_eq!(refused_hello(|it| it.absent = vec![absent; 193]), "hello.absent is 193 long, must be at most 192 long");
    assert_eq!(
        refused_hello(|it| it.died = vec![wire::Died::default(); 33]),
        "hello.died is 33 long, must be at most 32 long"
    );
    assert_eq!(
        refused_hello(|it| it.died = vec![wire::Died { nodeid: 1, boot_id: vec![0; 15] }]),
        "hello.died[0].boot_id is 15 bytes, must be 16 bytes"
    );
    assert_eq!(
        refused_hello(|it| it.held = vec![wire::Entry::default(); 256]),
        "hello.held is 256 long, must be at most 255 long"
    );
    assert_eq!(
        refused_hello(|it| it.table.as_mut().unwrap().entries = vec![wire::Entry::default(); 256]),
        "hello.table.entries is 256 long, must be at most 255 long"
    );
    assert_eq!(
        refused_hello(|it| it.handshake = vec![0; HANDSHAKE_LEN_MAX + 1]),
        "hello.handshake is 4097 bytes, must be at most 4096 bytes"
    );
    assert_eq!(
        refused_hello(|it| it.release = "x".repeat(129)),
        "hello.release is 129 bytes, must be at most 128 bytes"
    );
    assert_eq!(
        refused_hello(|it| it.identity = Some(wire::hello::Identity::Unfit("x".repeat(1025)))),
        "hello.identity.unfit is 1025 bytes, must be at most 1024 bytes"
    );
}

#[test]
fn an_entry_is_what_the_kernel_would_take() {
    let number = "must be 0 to 254";
    assert_eq!(refused_entry(|it| it.number = 255), format!("hello.held[0].number is 255, {number}"));
    assert_eq!(refused_entry(|it| it.number = 256), format!("hello.held[0].number is 256, {number}"));
    let port = "must be 1 to 65534";
    assert_eq!(refused_entry(|it| it.port = 0), format!("hello.held[0].port is 0, {port}"));
    assert_eq!(refused_entry(|it| it.port = 65535), format!("hello.held[0].port is 65535, {port}"));
    assert_eq!(refused_entry(|it| it.port = 65536 + 7777), format!("hello.held[0].port is 73313, {port}"));
    let name = "must be 1 to 64 bytes without / and NUL, and neither . nor ..";
    for (held, shown) in [("", r#""""#), ("..", r#""..""#), (".", r#"".""#), ("a/b", r#""a/b""#), ("a\0", r#""a\0""#)] {
        assert_eq!(refused_entry(|it| it.name = held.into()), format!("hello.held[0].name is {shown}, {name}"));
    }
}

#[test]
fn names_are_measured_in_bytes() {
    let named = |name: String| Entry { name, ..entry(1) };
    assert_eq!(named("ä".repeat(32)).check(), Ok(()));
    assert!(named("ä".repeat(33)).check().is_err());
}

#[test]
fn the_identity_has_the_rules_of_an_entry() {
    let unfit = wire::Entry { number: 300, ..Default::default() };
    assert_eq!(
        refused_hello(|it| it.identity = Some(wire::hello::Identity::Entry(unfit))),
        "hello.identity.number is 300, must be 0 to 254"
    );
}

#[test]
fn a_table_has_each_number_name_and_address_once() {
    let with = |change: fn(&mut wire::Entry)| {
        refused_hello(|it| {
            let entries = &mut it.table.as_mut().unwrap().entries;
            let mut second = wire::Entry { number: 2, name: "other".into(), ipv4: 2, ..entries[0].clone() };
            change(&mut second);
            entries.push(second);
        })
    };
    let rule = "must be different in each entry";
    assert_eq!(with(|it| it.number = 1), format!("hello.table.entries.number is 1, {rule}"));
    assert_eq!(with(|it| it.name = "node1".into()), format!("hello.table.entries.name is node1, {rule}"));
    assert_eq!(with(|it| it.ipv4 = 0x0a00_0001), format!("hello.table.entries.address is 10.0.0.1, {rule}"));
}

#[test]
fn rounds_count_from_one_and_have_an_outcome() {
    use wire::envelope::Body::Answer;
    let done = Some(wire::answer::Outcome::Done(wire::Done {}));
    assert_eq!(
        refused_body(Answer(wire::Answer { round: 0, outcome: done })),
        "answer.round is 0, must be counted from 1"
    );
    assert_eq!(
        refused_body(Answer(wire::Answer { round: 1, outcome: None })),
        "answer.outcome is missing, must be present"
    );
}

#[test]
fn outcomes_are_bounded() {
    use wire::answer::Outcome::{Failed, Held};
    let failed = wire::Failed { errno: 16, path: String::new(), what: String::new() };
    assert_eq!(
        refused_outcome(Failed(wire::Failed { errno: 4096, ..failed.clone() })),
        "answer.outcome.errno is 4096, must be 0 to 4095"
    );
    assert_eq!(
        refused_outcome(Failed(wire::Failed { errno: u32::MAX, ..failed.clone() })),
        "answer.outcome.errno is 4294967295, must be 0 to 4095"
    );
    assert_eq!(
        refused_outcome(Failed(wire::Failed { path: "x".repeat(4097), ..failed.clone() })),
        "answer.outcome.path is 4097 bytes, must be at most 4096 bytes"
    );
    assert_eq!(
        refused_outcome(Failed(wire::Failed { what: "x".repeat(1025), ..failed })),
        "answer.outcome.what is 1025 bytes, must be at most 1024 bytes"
    );
    assert_eq!(
        refused_outcome(Held(wire::Held { pins: vec![String::new(); 129] })),
        "answer.outcome.pins is 129 long, must be at most 128 long"
    );
    assert_eq!(
        refused_outcome(Held(wire::Held { pins: vec![String::new(), "x".repeat(257)] })),
        "answer.outcome.pins[1] is 257 bytes, must be at most 256 bytes"
    );
}

#[test]
fn a_proposal_has_a_number_and_a_known_reason() {
    use wire::envelope::Body::Proposal;
    let unspecified = wire::Proposal { number: 1, reason: 0 };
    assert_eq!(refused_body(Proposal(unspecified)), "proposal.reason is 0, must be 1 to 3");
    assert_eq!(
        refused_body(Proposal(wire::Proposal { reason: 4, ..unspecified })),
        "proposal.reason is 4, must be 1 to 3"
    );
    assert_eq!(
        refused_body(Proposal(wire::Proposal { number: 255, reason: 1 })),
        "proposal.number is 255, must be 0 to 254"
    );
}

#[test]
fn a_goodbye_is_bounded() {
    let long = wire::Goodbye { why: "x".repeat(1025) };
    assert_eq!(
        refused_body(wire::envelope::Body::Goodbye(long)),
        "goodbye.why is 1025 bytes, must be at most 1024 bytes"
    );
}

#[test]
fn what_an_invalid_value_shows_is_bounded() {
    let shown = refused_entry(|it| it.name = "x".repeat(60_000));
    assert!(shown.len() < 200, "{shown}");
}

#[test]
fn texts_for_people_are_cut_so_that_the_message_stays_readable() {
    let long = "x".repeat(70_000);
    assert_eq!(decoded(Body::Goodbye(long.clone())), Body::Goodbye("x".repeat(1024)));
    let failed = Outcome::Failed { errno: -5, path: long.clone(), what: long.clone() };
    let cut = Outcome::Failed { errno: 0, path: "x".repeat(4096), what: "x".repeat(1024) };
    assert_eq!(
        decoded(Body::Answer(Answer { round: 1, outcome: failed })),
        Body::Answer(Answer { round: 1, outcome: cut })
    );
    let pins = Outcome::Held(vec![long.clone(); 1000]);
    let fewer = Outcome::Held(vec!["x".repeat(256); 128]);
    assert_eq!(
        decoded(Body::Answer(Answer { round: 1, outcome: pins })),
        Body::Answer(Answer { round: 1, outcome: fewer })
    );
    let unfit = Hello { identity: Identity::Unfit(long.clone()), release: long, ..hello() };
    let cut = Hello { identity: Identity::Unfit("x".repeat(1024)), release: "x".repeat(128), ..hello() };
    assert_eq!(decoded(Body::Hello(unfit.into())), Body::Hello(cut.into()));
}

/// As many of everything as the limits allow, each as long as it can be on the wire.
fn largest() -> Message {
    let number_max = u64::MAX;
    let ring = RingId { nodeid: u32::MAX, seq: number_max };
    let entry = |number: u8| Entry {
        nodeid: u32::MAX,
        number,
        name: format!("{number:x>64}"),
        address: Ipv4Addr::new(255, 255, 255, number),
        port: limits::PORT_MAX,
    };
    let live = Live { mounts: u32::MAX, regions: u32::MAX };
    let numbers = 0..=limits::NUMBER_MAX;
    let entries: BTreeMap<u8, Entry> = numbers.map(|number| (number, entry(number))).collect();
    let members = (0..limits::MEMBERS_MAX as u32)
        .map(|index| (Member { nodeid: u32::MAX, pid: u32::MAX - 256 + index }, number_max));
    let hello = Hello {
        incarnation: Incarnation { boot_id: [0xff; 16], started_ms: number_max },
        nonce: number_max,
        handshake: vec![0xff; HANDSHAKE_LEN_MAX],
        identity: Identity::Unfit("x".repeat(limits::TEXT_LEN_MAX)),
        held: entries.values().cloned().collect(),
        table: Some(Table { version: Version { step: number_max, ring }, entries }),
        local: true,
        quorate: true,
        previous: Some(Previous { ring, quorate: true }),
        live,
        absent: vec![Absent { nodeid: u32::MAX, live }; limits::ABSENT_MAX],
        release: "x".repeat(limits::RELEASE_LEN_MAX),
        incomplete: true,
        cut_off: true,
        volumes: (0..=255).map(|n| VolumeId([n; 16])).collect(),
        unfenced: vec![u32::MAX; limits::UNFENCED_MAX],
        died: vec![Died { nodeid: u32::MAX, boot_id: [0xff; 16] }; limits::DIED_MAX],
        begins: true,
    };
    Message { view: ViewTag { ring, members: members.collect() }, body: Body::Hello(hello.into()) }
}

#[test]
fn the_largest_hello_fits_into_one_message() {
    let bytes = largest().encode();
    assert!(bytes.len() <= frame::MESSAGE_LEN_MAX, "{}", bytes.len());
    assert!(bytes.len() > 59 * 1024, "the bound is wider than it must be: {}", bytes.len());
    assert_eq!(Message::decode(&bytes), Ok(largest()));
}

#[test]
fn a_recording_shows_bytes_as_hexadecimal_and_reads_back() {
    let hello = Hello { handshake: vec![0x0a, 0xff], ..hello() };
    let line = serde_json::to_string(&hello).unwrap();
    assert!(line.contains(r#""boot_id":"07070707070707070707070707070707""#), "{line}");
    assert!(line.contains(r#""handshake":"0aff""#), "{line}");
    assert_eq!(serde_json::from_str::<Hello>(&line).unwrap(), hello);
    let short = line.replace("07070707070707070707070707070707", "0707");
    assert!(serde_json::from_str::<Hello>(&short).unwrap_err().to_string().contains("wrong number of bytes"));
}
