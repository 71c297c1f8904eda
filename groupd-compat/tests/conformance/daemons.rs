//! One daemon and the others: asked to end, modes, bytes that crashed the original, joins that fail.

use crate::cluster::{Cluster, level, name};
use crate::{assert_quiet, joined};
use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::error::DecodeError;
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::frame::{Frame, FrameReader};
use groupd_compat::ids::{CpgId, GlobalId, NodeId, Tick};
use groupd_compat::machine::{Compat, Effect, Effects, Event, Exit, Machine, Settings};
use groupd_compat::names::GroupKey;
use groupd_compat::records::Reply;
use groupd_compat::verbs::Request;

fn detect(node: NodeId) -> Settings {
    Settings { compat: Compat::Detect, ..Settings::libgroup(node) }
}

fn versions(cluster: &mut Cluster, nodes: u32) -> Vec<i32> {
    (1..=nodes)
        .map(|node| {
            cluster.ask(node, level(1), Request::GetVersion);
            match cluster.replies.pop() {
                Some((_, Reply::Version(version))) => version,
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

#[test]
fn conformance_29_sigterm_with_groups_is_ignored() {
    let mut cluster = joined(2, 1, "a");
    for moment in 0..20 {
        cluster.sigterm(1);
        assert!(cluster.daemons.contains_key(&1), "moment {moment}");
        if moment == 5 {
            cluster.leave(2, 1, "a");
        }
        cluster.step_of(1 + moment % 2);
    }
}

#[test]
fn conformance_30_sigterm_without_groups_leaves_the_control_cpg() {
    let mut machine = Machine::new(Settings::libgroup(NodeId(1)));
    let mut fx = Effects::default();
    machine.handle(Tick(0), Event::Started, &mut fx);
    fx.drain();
    machine.handle(Tick(1), Event::StopAsked, &mut fx);
    assert_eq!(fx.as_slice(), [Effect::LeaveCpg(CpgId::CONTROL), Effect::Exit(Exit::Asked)]);
    fx.drain();
    machine.handle(Tick(2), Event::ShutdownAsked, &mut fx);
    assert_eq!(fx.as_slice(), [], "an ended machine does nothing");
}

#[test]
fn conformance_40_get_version() {
    let mut cluster =
        Cluster::without_daemons(2, |node| Settings { compat: Compat::Libcpg, ..Settings::libgroup(node) });
    cluster.start_daemon(1);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 1), [3]);
    assert_eq!(versions(&mut Cluster::new(1), 1), [2]);
    // One that is decided decides for those that are not.
    let mut mixed =
        Cluster::without_daemons(2, |node| if node.0 == 1 { Settings::libgroup(node) } else { detect(node) });
    mixed.start_daemon(1);
    mixed.start_daemon(2);
    assert_eq!(versions(&mut mixed, 2), [2, -11]);
    mixed.settle();
    assert_eq!(versions(&mut mixed, 2), [2, 2]);
}

#[test]
fn conformance_41_all_pending_become_libcpg() {
    let mut cluster = Cluster::without_daemons(3, detect);
    for node in 1..=3 {
        cluster.start_daemon(node);
        cluster.settle();
    }
    cluster.pass_time(1999);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 3), [-11, -11, -11]);
    cluster.pass_time(1);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 3), [3, 3, 3]);
    let records = cluster.daemons[&2].machine.records(10);
    let shown: Vec<(&[u8], i32, usize)> =
        records.iter().map(|r| (r.name.as_slice(), r.level, r.members.len())).collect();
    assert_eq!(shown, [(&b"default"[..], 0, 0), (&b"clvmd"[..], 1, 0), (&b"rgmanager"[..], 1, 0)]);
    cluster.join(1, 1, "a");
    cluster.settle();
    assert!(cluster.words(1, 1).is_empty(), "no event ever");
    cluster.sigterm(1);
    assert!(!cluster.daemons.contains_key(&1), "ends in spite of groups");
}

#[test]
fn conformance_42_a_silent_node_is_an_old_daemon() {
    let mut cluster =
        Cluster::without_daemons(3, |node| if node.0 == 3 { Settings::libgroup(node) } else { detect(node) });
    cluster.start_daemon(1);
    cluster.start_daemon(2);
    cluster.settle();
    cluster.silent_member(3);
    cluster.settle();
    cluster.log.clear();
    cluster.pass_time(4999);
    cluster.settle();
    assert_eq!(versions(&mut cluster, 2), [-11, -11]);
    cluster.pass_time(1);
    cluster.settle();
    let spoken: Vec<&String> =
        cluster.log.iter().filter(|l| l.contains("VERSION node 3 generation 2 mode 2 compat 1 groups 0")).collect();
    assert_eq!(spoken.len(), 2, "once from each: {:?}", cluster.log);
    assert_eq!(versions(&mut cluster, 2), [2, 2]);
}

#[test]
fn conformance_43_half_a_frame_holds_nobody() {
    let whole = Frame::new(b"setup test 1", b"").unwrap();
    let join = Frame::new(b"join a", b"").unwrap();
    let both = [whole.as_bytes().as_slice(), join.as_bytes()].concat();
    let mut reader = FrameReader::default();
    let mut rest = both.as_slice();
    assert_eq!(reader.next_frame(&mut rest), Some(whole.clone()));
    assert_eq!(reader.next_frame(&mut rest), Some(join));
    let (head, tail) = whole.as_bytes().split_at(1000);
    assert_eq!(reader.next_frame(&mut &*head), None, "and the caller goes on with others");
    assert_eq!(reader.partial_len(), 1000);
    assert_eq!(reader.next_frame(&mut &*tail), Some(whole));
}

#[test]
fn conformance_49_control_messages_that_crashed_every_daemon() {
    let mut cluster = joined(2, 1, "a");
    let before = cluster.daemons[&1].machine.status();
    let id = EventId::new(NodeId(2), 2, Cause::Join);
    let key = GroupKey { level: level(1), name: name("a") };
    let good = Message::Step { step: Step::Stopped, key, global_id: GlobalId(1), id }.encode();
    let with = |at: usize, bytes: &[u8]| {
        let mut message = good.clone();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    let name_without_nul = with(32, &[b'x'; 32]);
    let foreign_version = with(0, &[9; 12]);
    let oversize = [with(12, &[4, 0]), vec![1; 4000]].concat();
    let messages =
        [vec![1, 2, 3], with(14, &[0xff, 0xff]), with(12, &[77, 0]), name_without_nul, foreign_version, oversize];
    let pid = cluster.pid(2);
    for message in &messages {
        cluster.multicast_as(2, pid, b"groupd\0", message);
    }
    cluster.settle();
    assert_eq!(cluster.daemons[&1].machine.status(), before);
    cluster.leave(2, 1, "a");
    cluster.settle();
    assert_quiet(&cluster);
    assert!(matches!(Message::decode(&messages[0]), Err(DecodeError::Short { .. })));
}

#[test]
fn conformance_53_and_the_next_client_of_its_name_is_not_forgotten_with_it() {
    let mut cluster = Cluster::new(1);
    cluster.join(1, 1, "a");
    cluster.client_dies(1, 1);
    cluster.join(1, 1, "a");
    cluster.inject(1, Event::JoinFailed(CpgId(1)));
    assert_eq!(cluster.daemons[&1].machine.records(9).len(), 1, "it has been tried for the second");
}

#[test]
fn conformance_53_a_join_that_fails_leaves_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.join(1, 1, "a");
    cluster.inject(1, Event::JoinFailed(CpgId(1)));
    assert_eq!(cluster.daemons[&1].machine.records(9), []);
    cluster.settle();
    assert!(cluster.words(1, 1).is_empty(), "what the dead handle still says is not heard");
}
