//! Whatever the protocols can say.

use crate::cluster::level;
use groupd_compat::cpg_message::{Message, Step, Version};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::ids::{EventNr, GlobalId, NodeId};
use groupd_compat::names::{ClientKind, GroupKey, GroupName};
use groupd_compat::verbs::{Callback, DATA_MAX, Query, Request, StartKind};
use proptest::prelude::*;

pub(crate) fn group_name() -> impl Strategy<Value = GroupName> {
    // No space: it ends an argument.
    prop::collection::vec((1u8..=255).prop_filter("a space", |b| *b != b' '), 1..=32)
        .prop_map(|bytes| GroupName::new(&bytes).unwrap())
}

pub(crate) fn group_key() -> impl Strategy<Value = GroupKey> {
    (0i64..4, group_name()).prop_map(|(at, name)| GroupKey { level: level(at), name })
}

fn event_id() -> impl Strategy<Value = EventId> {
    let cause = prop_oneof![Just(Cause::Join), Just(Cause::Leave), Just(Cause::Fail)];
    (any::<u32>(), 0usize..200, cause).prop_map(|(node, count, cause)| EventId::new(NodeId(node), count, cause))
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
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

pub(crate) fn callback() -> impl Strategy<Value = Callback> {
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

pub(crate) fn message() -> impl Strategy<Value = Message> {
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
