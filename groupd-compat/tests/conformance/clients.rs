//! What clients ask, rightly or not, and what becomes of a dead one's groups.

use crate::cluster::{Cluster, level, name};
use crate::{assert_quiet, joined, record, since, state};
use groupd_compat::event_id::{Cause, Phase};
use groupd_compat::frame::{FRAME_LEN, Frame};
use groupd_compat::ids::{ClientId, NodeId};
use groupd_compat::machine::{Access, Caller, Event, OnClientDeath, Settings};
use groupd_compat::names::GroupKey;
use groupd_compat::records::{GroupRecord, Reply};
use groupd_compat::verbs::{Query, Request};

#[test]
fn conformance_35_a_second_join_does_nothing() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (record(&cluster, 1, "a"), cluster.words(1, 1));
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!((record(&cluster, 1, "a"), cluster.words(1, 1)), (before, told.clone()));
    cluster.manual(1, 1);
    cluster.leave(1, 1, "a");
    cluster.join(1, 1, "a");
    cluster.settle();
    assert_eq!(since(&cluster, 1, 1, told.len()), ["stop a"], "nor while leaving");
}

#[test]
fn conformance_36_the_same_name_on_another_level() {
    let mut cluster = joined(1, 1, "a");
    cluster.join(1, 2, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 2), ["setid a 131073", "start a 2 2 1 1", "finish a 2"]);
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.records(10).len(), 1);
}

#[test]
fn conformance_37_when_a_leave_is_ignored() {
    let mut cluster = Cluster::new(2);
    cluster.manual(1, 1);
    cluster.leave(1, 1, "unknown");
    cluster.join(1, 1, "a");
    cluster.settle();
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).len(), 2, "not while joining");
    cluster.start_done(1, 1, "a");
    cluster.settle();
    cluster.join(2, 1, "a");
    cluster.settle();
    cluster.leave(1, 1, "a");
    cluster.leave(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "stop a");
    cluster.auto(1, 1);
    cluster.stop_done(1, 1, "a");
    cluster.settle();
    assert_eq!(cluster.words(1, 1).last().unwrap(), "terminate a", "queued behind the other's join");
    assert_eq!(cluster.words(1, 1).iter().filter(|words| *words == "terminate a").count(), 1);
}

#[test]
fn conformance_38_words_that_mean_nothing() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (cluster.daemons[&1].machine.status(), cluster.words(1, 1));
    for text in ["bogus", "", " ", "JOIN b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"").unwrap());
        assert!(request.is_err(), "{text:?}");
        cluster.inject(1, Event::Asked(ClientId(1), request));
    }
    cluster.settle();
    assert_eq!((cluster.daemons[&1].machine.status(), cluster.words(1, 1)), (before, told));
    assert_eq!(cluster.replies, []);
}

#[test]
fn conformance_39_queries() {
    let mut cluster = joined(2, 1, "a");
    cluster.join(1, 1, "b");
    cluster.settle();
    let mut ask = |request| {
        cluster.ask(1, level(1), request);
        cluster.replies.pop().unwrap().1.encode()
    };
    for (max, records) in [(1, 1), (0, 1), (-1, 1), (2, 2), (10, 2)] {
        let reply = ask(Request::GetGroups { max });
        assert_eq!(reply.len(), (records + 1) * 1128, "max {max}");
        assert!(reply[records * 1128..].iter().all(|&b| b == 0));
    }
    let unknown = GroupKey { level: level(3), name: name("a") };
    assert_eq!(ask(Request::GetGroup(Query::Group(unknown))), [0; 1128]);
    let control = GroupRecord::decode(&ask(Request::GetGroup(Query::Control))).unwrap();
    assert_eq!((control.level, control.members), (-1, vec![NodeId(1), NodeId(2)]));
}

#[test]
fn conformance_46_a_dead_clients_group_is_not_inherited() {
    for policy in [OnClientDeath::Leave, OnClientDeath::Hold, OnClientDeath::KillNode] {
        let settings = |policy| match policy {
            OnClientDeath::Leave => |n| Settings { on_client_death: OnClientDeath::Leave, ..Settings::libgroup(n) },
            OnClientDeath::Hold => |n| Settings { on_client_death: OnClientDeath::Hold, ..Settings::libgroup(n) },
            OnClientDeath::KillNode => {
                |n| Settings { on_client_death: OnClientDeath::KillNode, ..Settings::libgroup(n) }
            }
        };
        let mut cluster = Cluster::without_daemons(3, settings(policy));
        (1..=3).for_each(|node| cluster.start_daemon(node));
        cluster.settle();
        cluster.join(1, 1, "a");
        cluster.settle();
        let from = cluster.told_to(1, 1).len();
        cluster.client_dies(1, 1);
        cluster.ask(1, level(1), Request::GetVersion); // a new connection of the same level
        cluster.settle();
        cluster.join(2, 1, "a");
        cluster.settle();
        cluster.stop_done(1, 1, "a");
        cluster.settle();
        assert!(since(&cluster, 1, 1, from).is_empty(), "{policy:?}");
        match policy {
            OnClientDeath::Leave => assert_eq!(cluster.daemons[&1].machine.records(9), []),
            OnClientDeath::Hold => assert_eq!(state(&cluster, 1, "a"), Some((Cause::Join, Phase::StopWait))),
            OnClientDeath::KillNode => assert!(!cluster.daemons.contains_key(&1)),
        }
        if policy != OnClientDeath::Hold {
            assert_eq!(cluster.words(2, 1).last().map(|words| words.starts_with("finish a")), Some(true));
            assert_quiet(&cluster);
        }
    }
}

#[test]
fn conformance_47_malformed_commands_are_ignored() {
    let mut cluster = joined(1, 1, "a");
    let (before, told) = (cluster.daemons[&1].machine.status(), cluster.words(1, 1));
    let long = "n".repeat(300);
    let texts = [
        "stop_done nosuch",
        "stop_done a",
        "start_done a 77",
        "start_done a 1",
        "setup",
        "setup x",
        "setup x -1",
        "setup x 4",
        "setup x 1000000",
        "join",
        "leave",
        "send",
        "send a",
        "get_groups",
        "get_group",
        "get_group 1",
        "join ",
        &format!("join {long}"),
        &format!("join {}", &long[..33]),
        "start_done",
        "stop_done",
        "send a -65",
    ];
    for text in texts {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"").unwrap());
        cluster.inject(1, Event::Asked(ClientId(1), request));
    }
    cluster.inject(1, Event::Asked(ClientId(1), Request::decode(&Frame::from([b'A'; FRAME_LEN]))));
    cluster.settle();
    assert_eq!((cluster.daemons[&1].machine.status(), cluster.words(1, 1)), (before, told));
    // Before any setup there is no level to join on.
    let stranger = ClientId(99);
    cluster.inject(1, Event::ClientCame(stranger, Caller { uid: 0, access: Access::Full }));
    cluster.inject(1, Event::Asked(stranger, Ok(Request::Join { name: name("b") })));
    assert_eq!(cluster.daemons[&1].machine.records(9).len(), 1);
}

#[test]
fn conformance_48_a_name_of_32_bytes() {
    let long = "n".repeat(32);
    let cluster = joined(2, 1, &long);
    assert_eq!(cluster.words(2, 1)[0], format!("setid {long} 65537"));
    let key = GroupKey { level: level(1), name: name(&long) };
    assert_eq!(key.cpg_name().as_bytes().len(), 35);
    let shown = record(&cluster, 1, &long);
    assert_eq!(GroupRecord::decode(&shown.encode()).unwrap().name, long.as_bytes());
    assert_quiet(&cluster);
}

#[test]
fn conformance_54_a_client_that_may_only_look() {
    let mut cluster = joined(1, 1, "a");
    let before = cluster.daemons[&1].machine.status();
    let stranger = ClientId(99);
    cluster.inject(1, Event::ClientCame(stranger, Caller { uid: 65534, access: Access::Queries }));
    for text in ["setup x 1", "join b", "leave a", "stop_done a", "send a 1", "log x"] {
        let request = Request::decode(&Frame::new(text.as_bytes(), b"x").unwrap());
        cluster.inject(1, Event::Asked(stranger, request));
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
    cluster.inject(1, Event::Asked(stranger, Ok(Request::GetVersion)));
    assert_eq!(cluster.replies, [(1, Reply::Version(2))]);
    // One that may do everything, but is another user, has no say in this group either.
    let other = ClientId(100);
    cluster.inject(1, Event::ClientCame(other, Caller { uid: 65534, access: Access::Full }));
    for text in ["setup x 1", "leave a"] {
        cluster.inject(1, Event::Asked(other, Request::decode(&Frame::new(text.as_bytes(), b"").unwrap())));
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
}
