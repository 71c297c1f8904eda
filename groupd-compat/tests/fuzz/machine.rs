//! One machine, any events in any order.

use crate::cluster::{level, name};
use crate::config;
use crate::recorded::{Kind, bent};
use crate::values::{message, request};
use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::frame::Frame;
use groupd_compat::ids::{ClientId, CpgId, EventNr, GlobalId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Access, Caller, Compat, Effect, Effects, Event, Machine, OnClientDeath, QuorumReport, Reason, Settings, ViewChange,
};
use groupd_compat::names::{ClientKind, GroupKey, GroupName};
use groupd_compat::verbs::Request;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

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
        3 => (client(), bent(Kind::Frame))
            .prop_map(|(client, bytes)| Event::Asked(client, Request::decode(&Frame::try_from(bytes).unwrap()))),
        1 => client().prop_map(Event::ClientGone),
        8 => (cpg(), view).prop_map(|(cpg, view)| Event::ViewChanged(cpg, view)),
        1 => (1u64..6).prop_map(|cpg| Event::JoinFailed(CpgId(cpg))),
        12 => (prop_oneof![3 => Just(CpgId::CONTROL), 1 => cpg()], member(), body)
            .prop_map(|(cpg, from, message)| Event::Delivered { cpg, from, body: Ok(message) }),
        3 => (prop_oneof![3 => Just(CpgId::CONTROL), 1 => cpg()], member(), bent(Kind::Message))
            .prop_map(|(cpg, from, bytes)| Event::Delivered { cpg, from, body: Message::decode(&bytes) }),
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
