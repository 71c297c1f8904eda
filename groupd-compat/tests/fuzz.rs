//! Generated input: bytes for every decoder, values there and back, events for one machine, lives of clusters.
//!
//! `FUZZ_FACTOR=100 cargo test --release --test fuzz` tries a hundred times as much.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, and how long it runs is asked of the environment"
)]

mod cluster;

use cluster::{Cluster, level, name};
use groupd_compat::cpg_message::{Message, Step, Version};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::frame::{FRAME_LEN, Frame, FrameReader};
use groupd_compat::ids::{ClientId, CpgId, EventNr, GlobalId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Access, Caller, Compat, Effect, Effects, Event, Machine, OnClientDeath, QuorumReport, Reason, Settings, ViewChange,
};
use groupd_compat::names::{ClientKind, GroupKey, GroupName};
use groupd_compat::records::{GroupRecord, RECORD_LEN};
use groupd_compat::verbs::{Callback, DATA_MAX, Query, Request, StartKind};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult};

/// The same lives in each run of `./x test`: a test that fails by luck tells nobody anything. `FUZZ_FACTOR` above 1
/// searches: that many times more, and other seeds.
fn config(cases: u32) -> ProptestConfig {
    let factor = std::env::var("FUZZ_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let rng_seed = if factor == 1 { RngSeed::Fixed(1) } else { RngSeed::Random };
    let ProptestConfig { max_local_rejects, max_global_rejects, .. } = ProptestConfig::default();
    ProptestConfig {
        cases: cases.saturating_mul(factor),
        max_local_rejects: max_local_rejects.saturating_mul(factor),
        max_global_rejects: max_global_rejects.saturating_mul(factor),
        failure_persistence: None,
        rng_seed,
        ..ProptestConfig::default()
    }
}

fn group_name() -> impl Strategy<Value = GroupName> {
    // No space: it ends an argument.
    prop::collection::vec((1u8..=255).prop_filter("a space", |b| *b != b' '), 1..=32)
        .prop_map(|bytes| GroupName::new(&bytes).unwrap())
}

fn group_key() -> impl Strategy<Value = GroupKey> {
    (0i64..4, group_name()).prop_map(|(at, name)| GroupKey { level: level(at), name })
}

fn event_id() -> impl Strategy<Value = EventId> {
    let cause = prop_oneof![Just(Cause::Join), Just(Cause::Leave), Just(Cause::Fail)];
    (any::<u32>(), 0usize..200, cause).prop_map(|(node, count, cause)| EventId::new(NodeId(node), count, cause))
}

fn request() -> impl Strategy<Value = Request> {
    let kind = prop::collection::vec(33u8..127, 1..=31).prop_map(|bytes| ClientKind::new(&bytes));
    prop_oneof![
        (kind, 0i64..4).prop_map(|(kind, at)| Request::Setup { kind, level: level(at) }),
        group_name().prop_map(|name| Request::Join { name }),
        group_name().prop_map(|name| Request::Leave { name }),
        group_name().prop_map(|name| Request::StopDone { name }),
        (group_name(), 0u32..1 << 31).prop_map(|(name, nr)| Request::StartDone { name, nr: EventNr(nr) }),
        (group_name(), prop::collection::vec(any::<u8>(), 0..=DATA_MAX))
            .prop_map(|(name, data)| Request::Send { name, data }),
        any::<i32>().prop_map(|max| Request::GetGroups { max }),
        group_key().prop_map(|key| Request::GetGroup(Query::Group(key))),
        Just(Request::GetGroup(Query::Control)),
        Just(Request::GetVersion),
        Just(Request::Dump),
        prop::collection::vec(1u8..=255, 0..200).prop_map(|text| Request::Log { text }),
    ]
}

fn callback() -> impl Strategy<Value = Callback> {
    let kind = prop_oneof![Just(StartKind::Failed), Just(StartKind::Joined), Just(StartKind::Left)];
    let members = prop::collection::vec(any::<u32>().prop_map(NodeId), 0..=128);
    prop_oneof![
        group_name().prop_map(|name| Callback::Stop { name }),
        (group_name(), any::<u32>()).prop_map(|(name, id)| Callback::SetId { name, id: GlobalId(id) }),
        (group_name(), any::<u32>(), kind, members).prop_map(|(name, nr, kind, members)| Callback::Start {
            name,
            nr: EventNr(nr),
            kind,
            members
        }),
        (group_name(), any::<u32>()).prop_map(|(name, nr)| Callback::Finish { name, nr: EventNr(nr) }),
        group_name().prop_map(|name| Callback::Terminate { name }),
        (group_name(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..=DATA_MAX))
            .prop_map(|(name, from, data)| Callback::Deliver { name, from: NodeId(from), data }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let step = prop_oneof![Just(Step::Stopped), Just(Step::Started), Just(Step::Recover)];
    let version = any::<(u32, u16, u16, u16, u16)>().prop_map(|(node, generation, mode, compat, groups)| {
        Message::Version(Version { node: NodeId(node), generation, mode, compat, groups })
    });
    prop_oneof![
        (step, group_key(), any::<u32>(), event_id()).prop_map(|(step, key, id2, id)| Message::Step {
            step,
            key,
            global_id: GlobalId(id2),
            id
        }),
        (prop::option::of(group_key()), any::<u32>(), prop::collection::vec(any::<u8>(), 0..=DATA_MAX))
            .prop_map(|(key, id, data)| Message::Data { key, global_id: GlobalId(id), data }),
        any::<u32>().prop_map(|id| Message::GlobalId(GlobalId(id))),
        version,
    ]
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn any_frame_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), FRAME_LEN)) {
        let frame = Frame::try_from(bytes).unwrap();
        _ = Request::decode(&frame);
        _ = Callback::decode(&frame);
    }

    /// Random bytes rarely begin with a word: here they do.
    #[test]
    fn any_arguments_are_decoded_or_refused(
        word in prop::sample::select(vec!["setup", "join", "leave", "stop_done", "start_done", "send", "get_groups",
            "get_group", "get_version", "dump", "log", "stop", "setid", "start", "finish", "terminate", "deliver"]),
        rest in "[ a-z0-9+\\-\\x00\\xff]{0,80}",
    ) {
        let mut bytes = format!("{word} {rest}").into_bytes();
        bytes.resize(FRAME_LEN, 0);
        let frame = Frame::try_from(bytes).unwrap();
        if let Ok(Request::Send { data, .. }) = Request::decode(&frame) {
            prop_assert!(data.len() <= DATA_MAX);
        }
        _ = Callback::decode(&frame);
    }

    #[test]
    fn any_message_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..9) {
        let mut bytes = bytes;
        if let Some(at) = bytes.get_mut(12..16) {
            at.copy_from_slice(&[kind, 0, kind, 0]);
        }
        if let Ok(decoded) = Message::decode(&bytes) {
            prop_assert!(decoded.encode().len() <= 64 + DATA_MAX);
        }
    }

    #[test]
    fn any_record_is_decoded_or_refused(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..RECORD_LEN + 8)) {
        if let Ok(record) = GroupRecord::decode(&bytes) {
            prop_assert!(record.members.len() <= 256);
            prop_assert_eq!(GroupRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_stream_is_cut_into_the_same_frames_however_it_is_read(
        frames in prop::collection::vec(request(), 1..5), cuts in prop::collection::vec(1usize..3000, 1..8)
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|request| *request.encode().unwrap().as_bytes()).collect();
        let (mut reader, mut rest, mut seen) = (FrameReader::default(), stream.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (mut piece, tail) = rest.split_at((*cut).min(rest.len()));
            while let Some(frame) = reader.next_frame(&mut piece) {
                seen.push(Request::decode(&frame).unwrap());
            }
            prop_assert!(reader.partial_len() < FRAME_LEN);
            rest = tail;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn requests_come_back(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }

    #[test]
    fn callbacks_come_back(callback in callback()) {
        prop_assert_eq!(Callback::decode(&callback.encode().unwrap()), Ok(callback));
    }

    #[test]
    fn messages_come_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

// ---- one machine, any events ----

fn few_nodes() -> impl Strategy<Value = NodeId> {
    (1u32..5).prop_map(NodeId)
}

fn member() -> impl Strategy<Value = Member> {
    (few_nodes(), prop_oneof![9 => Just(100u32), 1 => Just(200)]).prop_map(|(node, pid)| Member { node, pid })
}

fn short_name() -> impl Strategy<Value = GroupName> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(name)
}

fn any_event() -> impl Strategy<Value = Event> {
    let reason =
        || prop::sample::select(vec![Reason::Join, Reason::Leave, Reason::NodeDown, Reason::NodeUp, Reason::ProcDown]);
    let changes = move || prop::collection::vec((member(), reason()), 0..3);
    let view = (prop::collection::vec(member(), 0..5), changes(), changes())
        .prop_map(|(members, left, joined)| ViewChange { members, left, joined });
    let cpg = || (0u64..6).prop_map(CpgId);
    let client = || (0u64..4).prop_map(ClientId);
    let asked = prop_oneof![
        (0i64..4).prop_map(|at| Request::Setup { kind: ClientKind::new(b"x"), level: level(at) }),
        short_name().prop_map(|name| Request::Join { name }),
        short_name().prop_map(|name| Request::Leave { name }),
        short_name().prop_map(|name| Request::StopDone { name }),
        (short_name(), 0u32..20).prop_map(|(name, nr)| Request::StartDone { name, nr: EventNr(nr) }),
        short_name().prop_map(|name| Request::Send { name, data: vec![1, 2, 3] }),
        request(),
    ];
    let few_ids = (few_nodes(), 0usize..5, prop::sample::select(vec![Cause::Join, Cause::Leave, Cause::Fail]))
        .prop_map(|(node, count, cause)| EventId::new(node, count, cause));
    let step =
        (prop::sample::select(vec![Step::Stopped, Step::Started, Step::Recover]), 0i64..4, short_name(), few_ids)
            .prop_map(|(step, at, name, id)| Message::Step {
                step,
                key: GroupKey { level: level(at), name },
                global_id: GlobalId(7),
                id,
            });
    let body = prop_oneof![4 => step, 1 => message()];
    prop_oneof![
        2 => (client(), any::<bool>()).prop_map(|(client, full)| {
            Event::ClientCame(client, Caller { uid: 0, access: if full { Access::Full } else { Access::Queries } })
        }),
        12 => (client(), asked).prop_map(|(client, request)| Event::Asked(client, Ok(request))),
        1 => client().prop_map(Event::ClientGone),
        8 => (cpg(), view).prop_map(|(cpg, view)| Event::ViewChanged(cpg, view)),
        1 => (1u64..6).prop_map(|cpg| Event::JoinFailed(CpgId(cpg))),
        12 => (prop_oneof![3 => Just(CpgId::CONTROL), 1 => cpg()], member(), body)
            .prop_map(|(cpg, from, message)| Event::Delivered { cpg, from, body: Ok(message) }),
        3 => (any::<bool>(), 0u64..8, prop::collection::vec(few_nodes(), 0..4)).prop_map(|(quorate, seq, nodes)| {
            let ring = RingId { representative: 1, seq };
            Event::QuorumChanged(QuorumReport { quorate, ring, nodes, left: vec![] })
        }),
        3 => (0u64..8, prop::collection::vec(few_nodes(), 0..4))
            .prop_map(|(seq, nodes)| Event::RingChanged { ring: RingId { representative: 1, seq }, nodes }),
        3 => (cpg(), 0u64..8)
            .prop_map(|(cpg, seq)| Event::GroupRingChanged(cpg, RingId { representative: 1, seq })),
        1 => Just(Event::TimerFired),
        1 => Just(Event::ShutdownAsked),
    ]
}

/// Whatever happens: queries of a known client are answered once and nobody else is, every callback fits its
/// frame, nothing is asked of a CPG that is not joined, and the state can be written down and read back.
fn live(compat: Compat, policy: OnClientDeath, events: Vec<Event>) -> TestCaseResult {
    let settings = Settings { compat, on_client_death: policy, ..Settings::libgroup(NodeId(1)) };
    let (mut machine, mut fx) = (Machine::new(settings), Effects::default());
    let (mut known, mut open) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for (now, event) in std::iter::once(Event::Started).chain(events).enumerate() {
        let mut owed = Vec::new();
        match &event {
            Event::ClientCame(client, _) => _ = known.insert(*client),
            Event::ClientGone(client) => _ = known.remove(client),
            Event::Asked(client, Ok(Request::GetVersion | Request::GetGroup(_) | Request::GetGroups { .. }))
                if known.contains(client) =>
            {
                owed.push(*client)
            }
            _ => {}
        }
        machine.handle(Tick(now as u64 * 700), event, &mut fx);
        let mut replied = Vec::new();
        for effect in fx.drain() {
            match effect {
                Effect::JoinCpg(cpg, _) => prop_assert!(open.insert(cpg), "joined twice"),
                Effect::CloseCpg(cpg) => prop_assert!(open.remove(&cpg)),
                Effect::LeaveCpg(cpg) | Effect::Multicast(cpg, _) => prop_assert!(open.contains(&cpg)),
                Effect::Tell(client, callback) => {
                    prop_assert!(known.contains(&client), "told a client that is gone");
                    prop_assert!(callback.encode().is_ok());
                }
                Effect::Reply(client, _) => replied.push(client),
                Effect::Exit(_) => return Ok(()),
                _ => {}
            }
        }
        prop_assert_eq!(replied, owed);
    }
    let text = serde_json::to_string(&machine.status()).unwrap();
    prop_assert!(text.len() < 4_000_000, "{} bytes of status", text.len());
    Ok(())
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn any_events_in_any_order(
        compat in prop::sample::select(vec![Compat::Libgroup, Compat::Libgroup, Compat::Detect, Compat::Libcpg]),
        policy in prop::sample::select(vec![OnClientDeath::KillNode, OnClientDeath::Leave, OnClientDeath::Hold]),
        events in prop::collection::vec(any_event(), 0..250),
    ) {
        live(compat, policy, events)?;
    }
}

// ---- lives of clusters ----

/// Something that happens to a cluster of five.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Join(u32, i64),
    Leave(u32, i64),
    Send(u32, i64),
    Crash(u32),
    Boot(u32),
    KillDaemon(u32),
    ClientDies(u32, i64),
    Partition(u32),
    Heal,
    Steps(u32, u8),
    Settle,
}

fn deed() -> impl Strategy<Value = Deed> {
    let node = || 1u32..6;
    prop_oneof![
        10 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Join(n, l)),
        4 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Leave(n, l)),
        2 => (node(), 0i64..3).prop_map(|(n, l)| Deed::Send(n, l)),
        2 => node().prop_map(Deed::Crash),
        3 => node().prop_map(Deed::Boot),
        1 => node().prop_map(Deed::KillDaemon),
        1 => (node(), 0i64..3).prop_map(|(n, l)| Deed::ClientDies(n, l)),
        1 => node().prop_map(Deed::Partition),
        1 => Just(Deed::Heal),
        14 => (node(), 1u8..12).prop_map(|(n, steps)| Deed::Steps(n, steps)),
        3 => Just(Deed::Settle),
    ]
}

const GROUPS: [&str; 3] = ["fence", "lock", "fs"];

fn group(at: i64) -> &'static str {
    GROUPS[at as usize]
}

fn obey(cluster: &mut Cluster, deed: Deed) {
    let up = |cluster: &Cluster, node: u32| cluster.daemons.contains_key(&node);
    match deed {
        Deed::Join(node, at) => cluster.join(node, at, group(at)),
        Deed::Leave(node, at) => cluster.leave(node, at, group(at)),
        Deed::Send(node, at) => {
            cluster.ask(node, level(at), Request::Send { name: name(group(at)), data: b"data".to_vec() });
        }
        Deed::Crash(node) if up(cluster, node) => cluster.crash(node),
        Deed::Boot(node) => cluster.revive(node),
        Deed::KillDaemon(node) if up(cluster, node) => cluster.kill_daemon(node),
        Deed::ClientDies(node, at) => cluster.client_dies(node, at),
        Deed::Partition(node) => cluster.cut_off(node),
        Deed::Heal => cluster.heal(),
        Deed::Steps(node, steps) => (0..steps).for_each(|_| _ = cluster.step_of(node)),
        Deed::Settle => cluster.settle(),
        Deed::Crash(_) | Deed::KillDaemon(_) => {}
    }
}

/// After all nodes are back and nothing is on its way, nobody waits, and all members of a group agree.
fn end_well(deeds: &[Deed]) -> TestCaseResult {
    let mut cluster = Cluster::new(5);
    for &deed in deeds {
        obey(&mut cluster, deed);
    }
    cluster.heal();
    cluster.settle();
    (1..=5).for_each(|node| cluster.revive(node));
    cluster.settle();
    prop_assert_eq!(cluster.waits(), Vec::<String>::new(), "{}", cluster.log.join("\n"));
    for at in 0..3 {
        let mut seen = std::collections::BTreeSet::new();
        for daemon in cluster.daemons.values() {
            for status in daemon.machine.status().groups.into_iter().filter(|g| g.key.name == name(group(at))) {
                let mut members = status.record.members.clone();
                members.sort();
                seen.insert((members, status.record.global_id));
            }
        }
        prop_assert!(seen.len() <= 1, "{}: {:?}\n{}", group(at), seen, cluster.log.join("\n"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn whatever_happens_it_ends_well(deeds in prop::collection::vec(deed(), 0..60)) {
        end_well(&deeds)?;
    }
}
