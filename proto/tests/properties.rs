//! What holds for any message and for any bytes.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use proptest::{collection::vec, prelude::*};
use proto::{
    control::{self, Request},
    frame,
    handshake::{Blocks, Facts, Forget, compare},
    peer::{
        Absent, Answer, Body, Died, Entry, Fenced, Hello, Identity, Incarnation, Live, Member, Message, Outcome,
        Previous, Proposal, ProposalReason, RingId, Table, Version, ViewTag, VolumeId,
    },
};

fn ring() -> impl Strategy<Value = RingId> {
    any::<(u32, u64)>().prop_map(|(nodeid, seq)| RingId { nodeid, seq })
}

fn view() -> impl Strategy<Value = ViewTag> {
    let members = proptest::collection::btree_map(any::<(u32, u32)>(), any::<u64>(), 0..8);
    (ring(), members).prop_map(|(ring, members)| ViewTag {
        ring,
        members: members.into_iter().map(|((nodeid, pid), nonce)| (Member { nodeid, pid }, nonce)).collect(),
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (any::<u32>(), 0..=254u8, "[^/\0.]{1,16}", any::<u32>(), 1..=65534u16)
        .prop_map(|(nodeid, number, name, address, port)| Entry { nodeid, number, name, address: address.into(), port })
}

/// Entries that one kernel could hold together: the number makes name and address differ.
fn table() -> impl Strategy<Value = Table> {
    let distinct = |entry: Entry| {
        let number = entry.number;
        (number, Entry { name: format!("n{number}"), address: Ipv4Addr::new(10, 0, 0, number), ..entry })
    };
    (any::<u64>(), ring(), vec(entry().prop_map(distinct), 0..8)).prop_map(|(step, ring, entries)| Table {
        version: Version { step, ring },
        entries: entries.into_iter().collect::<BTreeMap<u8, Entry>>(),
    })
}

fn live() -> impl Strategy<Value = Live> {
    any::<(u32, u32)>().prop_map(|(mounts, regions)| Live { mounts, regions })
}

fn hello() -> impl Strategy<Value = Hello> {
    let incarnation = any::<([u8; 16], u64)>().prop_map(|(boot_id, started_ms)| Incarnation { boot_id, started_ms });
    let identity = prop_oneof![entry().prop_map(Identity::Entry), ".{0,64}".prop_map(Identity::Unfit)];
    let previous = (ring(), any::<bool>()).prop_map(|(ring, quorate)| Previous { ring, quorate });
    let absent = (any::<u32>(), live()).prop_map(|(nodeid, live)| Absent { nodeid, live });
    let facts = (incarnation, any::<u64>(), vec(any::<u8>(), 0..64), identity, any::<[bool; 5]>(), ".{0,16}");
    let state =
        (proptest::option::of(table()), vec(entry(), 0..4), proptest::option::of(previous), live(), vec(absent, 0..4));
    let died = (any::<u32>(), any::<[u8; 16]>()).prop_map(|(nodeid, boot_id)| Died { nodeid, boot_id });
    let state = (state, volumes(), vec(any::<u32>(), 0..4), vec(died, 0..4));
    (facts, state).prop_map(
        |(
            (incarnation, nonce, handshake, identity, [local, quorate, incomplete, cut_off, begins], release),
            ((table, held, previous, live, absent), volumes, unfenced, died),
        )| Hello {
            incarnation,
            nonce,
            handshake,
            identity,
            table,
            held,
            local,
            quorate,
            previous,
            live,
            absent,
            release,
            incomplete,
            cut_off,
            volumes,
            unfenced,
            died,
            begins,
        },
    )
}

fn volumes() -> impl Strategy<Value = BTreeSet<VolumeId>> {
    vec(any::<[u8; 16]>().prop_map(VolumeId), 0..8).prop_map(|ids| ids.into_iter().collect())
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Done),
        (0..=4095i32, ".{0,64}", ".{0,64}").prop_map(|(errno, path, what)| Outcome::Failed { errno, path, what }),
        vec(".{0,32}", 0..8).prop_map(Outcome::Held),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let reason =
        prop_oneof![Just(ProposalReason::Unconfigured), Just(ProposalReason::Gone), Just(ProposalReason::Operator)];
    prop_oneof![
        hello().prop_map(|it| Body::Hello(it.into())),
        (1..=u32::MAX, outcome()).prop_map(|(round, outcome)| Body::Answer(Answer { round, outcome })),
        (0..=254u8, reason).prop_map(|(number, reason)| Body::Proposal(Proposal { number, reason })),
        live().prop_map(Body::Live),
        any::<u64>().prop_map(Body::Probe),
        ".{0,64}".prop_map(Body::Goodbye),
        volumes().prop_map(Body::Volumes),
        (any::<u32>(), ".{0,64}").prop_map(|(nodeid, by)| Body::Fenced(Fenced { nodeid, by })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (view(), body()).prop_map(|(view, body)| Message { view, body })
}

/// Changes one byte, cuts, or doubles a piece: what a bug or an attacker makes of a good message.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6);
    edits.prop_map(move |edits| edits.iter().fold(bytes.clone(), mutate))
}

fn mutate(mut bytes: Vec<u8>, (at, value, edit): &(prop::sample::Index, u8, u8)) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let at = at.index(bytes.len());
    match edit {
        0 => bytes[at] = *value,
        1 => bytes.truncate(at),
        _ => bytes.extend_from_within(at..),
    }
    bytes
}

/// Decoding ends with a verdict, and what was accepted is canonical: it encodes to bytes that mean the same.
fn has_a_verdict(bytes: &[u8]) -> Result<(), TestCaseError> {
    let first = Message::decode(bytes);
    prop_assert_eq!(&Message::decode(bytes), &first, "two members would differ");
    if let Ok(message) = first {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    Ok(())
}

fn facts() -> impl Strategy<Value = Facts> {
    let few = 0..3u32;
    let numbers = (few.clone(), few.clone(), few.clone(), few);
    let versions = (0..3u16, 0..3u16).prop_map(|(min, more)| (min, min + more));
    ("[ab]", "[ab]", numbers, any::<[bool; 2]>(), versions).prop_map(
        |(cluster_name, stack, (idle, keepalive, dead, shown), [global, gone], protocol)| Facts {
            cluster_name,
            stack,
            idle_timeout_ms: idle,
            keepalive_delay_ms: keepalive,
            reconnect_delay_ms: shown,
            dead_threshold: dead,
            heartbeat_mode_global: global,
            forget: if gone { Forget::Gone } else { Forget::Unconfigured },
            token_ms: shown,
            nodelist_hash: shown.into(),
            protocol,
            fence: if global { "manual".into() } else { String::new() },
            locking: gone.then_some((1, 0)),
            features: shown.into(),
        },
    )
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn a_message_survives_the_recorder(message in message()) {
        let line = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
    }

    #[test]
    fn any_bytes_have_a_verdict(bytes in vec(any::<u8>(), 0..512)) {
        has_a_verdict(&bytes)?;
        has_a_verdict(&[&frame::preamble(1), bytes.as_slice()].concat())?;
    }

    #[test]
    fn mutated_messages_have_a_verdict(
        bytes in message().prop_flat_map(|message| mutated(message.encode()))
    ) {
        has_a_verdict(&bytes)?;
    }

    #[test]
    fn any_bytes_are_blocks_or_refused(bytes in vec(any::<u8>(), 0..256)) {
        if let Ok(blocks) = Blocks::parse(&bytes) {
            prop_assert_eq!(blocks.encode(), bytes);
            blocks.rendered();
        }
    }

    #[test]
    fn mutated_blocks_are_compared_alike_by_both_sides(
        (ours, theirs) in facts().prop_flat_map(|facts| {
            let blocks = Blocks::produce(&facts);
            (Just(blocks.clone()), mutated(blocks.encode()))
        })
    ) {
        if let Ok(theirs) = Blocks::parse(&theirs) {
            let there: Vec<_> = compare(&theirs, &ours).into_iter().map(|it| (it.block, it.theirs, it.ours)).collect();
            let here: Vec<_> = compare(&ours, &theirs).into_iter().map(|it| (it.block, it.ours, it.theirs)).collect();
            prop_assert_eq!(here, there);
        }
    }

    #[test]
    fn three_members_agree_on_who_matches(facts in [facts(), facts(), facts()]) {
        let [a, b, c] = facts.map(|facts| Blocks::produce(&Facts { protocol: (1, 1), ..facts }));
        if compare(&a, &b).is_empty() {
            prop_assert_eq!(compare(&a, &c).is_empty(), compare(&b, &c).is_empty());
        }
    }

    #[test]
    fn any_stream_ends_in_messages_an_error_or_a_rest(bytes in vec(any::<u8>(), 0..512)) {
        let len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        for mut received in [bytes.clone(), [&len, bytes.as_slice()].concat()] {
            let before = received.len();
            while let Ok(Some(request)) = Request::take(&mut received) {
                prop_assert!(request.encode().is_ok());
            }
            prop_assert!(received.len() <= before);
            let _verdict = control::take_answer(&mut received);
        }
    }
}
