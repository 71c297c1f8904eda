//! What members send each other.

use crate::cluster::{Cluster, level, name};
use crate::{counts, joined, since};
use groupd_compat::cpg_message::Message;
use groupd_compat::frame::Frame;
use groupd_compat::ids::{GlobalId, NodeId};
use groupd_compat::verbs::{Callback, Request};

#[test]
fn conformance_31_data_comes_in_the_same_order_everywhere() {
    let mut cluster = joined(3, 1, "a");
    let from = counts(&cluster, 3, 1);
    for round in 0..5 {
        for node in [2, 3, 1] {
            let data = format!("{node}{round}").into_bytes();
            cluster.ask(node, level(1), Request::Send { name: name("a"), data });
        }
    }
    cluster.settle();
    let heard: Vec<&[Callback]> = (1..=3).map(|node| &cluster.told_to(node, 1)[from[node as usize - 1]..]).collect();
    assert_eq!(heard[0].len(), 15, "the sender hears itself");
    assert!(heard[0] == heard[1] && heard[1] == heard[2]);
}

#[test]
fn conformance_32_payloads() {
    let mut cluster = joined(2, 1, "a");
    let every_byte: Vec<u8> = (0..=255).cycle().take(2048).collect();
    for data in [every_byte, vec![], vec![0; 3]] {
        cluster.ask(1, level(1), Request::Send { name: name("a"), data: data.clone() });
        cluster.settle();
        let deliver = Callback::Deliver { name: name("a"), from: NodeId(1), data };
        assert_eq!(cluster.told_to(1, 1).last(), Some(&deliver));
        assert_eq!(cluster.told_to(2, 1).last(), Some(&deliver));
        assert_eq!(Callback::decode(&deliver.encode().unwrap()), Ok(deliver));
    }
    let shorter = Request::decode(&Frame::new(b"send a 3", b"abcdef").unwrap());
    assert_eq!(shorter, Ok(Request::Send { name: name("a"), data: b"abc".to_vec() }));
}

#[test]
fn conformance_33_lengths_that_cannot_be_are_refused() {
    for text in ["send a -1", "send a 2049", "send a 2200", "send a 2147483647", "send a"] {
        assert!(Request::decode(&Frame::new(text.as_bytes(), b"").unwrap()).is_err(), "{text}");
    }
    let mut cluster = joined(2, 1, "a");
    let oversize = Message::Data { key: None, global_id: GlobalId(65537), data: vec![1; 2049] }.encode();
    let pid = cluster.pid(2);
    let from = cluster.told_to(1, 1).len();
    cluster.multicast_as(2, pid, b"1_a\0", &oversize);
    cluster.settle();
    assert!(since(&cluster, 1, 1, from).is_empty());
}

#[test]
fn conformance_34_data_comes_before_the_first_start_and_while_stopped() {
    let mut two = Cluster::new(2);
    two.manual(1, 1);
    two.manual(2, 1);
    two.join(1, 1, "a");
    two.settle();
    two.ask(1, level(1), Request::Send { name: name("a"), data: b"x".to_vec() });
    two.settle();
    assert_eq!(two.words(1, 1).last().unwrap(), "deliver a 1 1");
    two.start_done(1, 1, "a");
    two.settle();
    two.join(2, 1, "a");
    two.settle();
    two.ask(1, level(1), Request::Send { name: name("a"), data: b"y".to_vec() });
    two.settle();
    assert_eq!(two.words(1, 1)[4..], ["stop a", "deliver a 1 1"]);
    assert_eq!(two.words(2, 1), ["deliver a 1 1"], "the joiner has not even started");
}
