//! Every recorded case of the original, played against our machine: the same inputs must give the same frames
//! to each client and the same messages on each CPG, byte for byte and in the same order.
//!
//! Where a defect of the original is fixed the outcome differs. `vectors/deviations.json` says where, by which
//! row of the list in the crate's documentation, and what comes out instead. The recordings are never edited.

#![allow(unreachable_pub, clippy::disallowed_methods, reason = "a test reads its recordings")]

#[path = "../original/mod.rs"]
mod original;
mod player;
mod transcript;

use groupd_compat::ids::NodeId;
use groupd_compat::machine::Compat;
use player::{How, Lives, Player, Streams, Who, shown_message};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use transcript::Line;

/// One place where our outcome differs.
#[derive(Debug, Deserialize)]
struct Deviation {
    case: String,
    node: u32,
    stream: String,
    /// Index of the first recorded item that is replaced.
    at: usize,
    /// How many are.
    recorded: usize,
    ours: Vec<String>,
    row: String,
    why: String,
}

fn deviations(who: Who) -> Vec<Deviation> {
    let file = if who == Who::Ours { "deviations.json" } else { "model.json" };
    let text = std::fs::read_to_string(transcript::vectors().join(file)).expect(file);
    serde_json::from_str(&text).expect("a list of deviations")
}

/// What the original did.
fn recorded(who: Who, lines: &[Line]) -> BTreeMap<u32, Streams> {
    let mut nodes: BTreeMap<u32, Streams> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.node > 0) {
        let streams = nodes.entry(line.node).or_default();
        let mut put = |stream: &str, item: String| streams.entry(stream.to_owned()).or_default().push(item);
        match line.dir.as_str() {
            "d2c" => line.output().into_iter().for_each(|item| put(&line.conn, item)),
            "cpg_mcast" if line.text.starts_with("cpg mcast rv 1") => put(&line.conn, shown_message(&line.bytes())),
            "cpg_join" => {
                let namelen = line.text.split(' ').nth(2).expect("namelen");
                put("calls", format!("join {} namelen {namelen}", line.conn));
            }
            "cpg_leave" => put("calls", format!("leave {}", line.conn)),
            "kill_node" => put("kills", line.peer().to_string()),
            "proc" if who == Who::Original => {
                line.fate().into_iter().for_each(|(died, of)| put("fate", fate(died, of)))
            }
            _ => {}
        }
    }
    nodes
}

fn fate(died: bool, of: &str) -> String {
    format!("{} after: {of}", if died { "died" } else { "runs" })
}

fn how(who: Who, case: &str, node: u32) -> How {
    let compat = match &case[..3] {
        "t25" | "t28" | "t30" => Compat::Detect,
        "t26" if node > 1 => Compat::Detect,
        _ => Compat::Libgroup,
    };
    // t30 was recorded with `-d 3`: nothing else had woken its daemon for 3 s.
    How { who, compat, delay_ms: if case.starts_with("t30") { 3000 } else { 2000 } }
}

/// What a machine does with the same inputs, one machine per life of a node's daemon.
fn played(who: Who, case: &str, lines: &[Line]) -> BTreeMap<u32, Streams> {
    let mut lives = Lives::new();
    let mut players: BTreeMap<u32, Player> = BTreeMap::new();
    let mut done: BTreeMap<u32, Streams> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    let running = running_before(case, lines);
    for line in lines.iter().filter(|line| line.node > 0) {
        let me = NodeId(line.node);
        if !players.contains_key(&line.node) && !is_death(line) && starts(line, dead.contains(&line.node)) {
            let player = if dead.contains(&line.node) || !running.contains(&me) {
                *lives.entry(me).or_insert(0) += 1;
                Player::new(me, how(who, case, line.node))
            } else {
                lives.insert(me, 1);
                let nodes: Vec<NodeId> = running.iter().copied().collect();
                Player::settled(me, how(who, case, line.node), &nodes, &lives)
            };
            players.insert(line.node, player);
        }
        if let Some(player) = players.get_mut(&line.node) {
            player.play(line, &lives);
            if let Some((_, of)) = line.fate().filter(|_| who == Who::Original) {
                player.put("fate", fate(player.has_crashed(), of));
            }
        }
        if is_death(line) {
            if let Some(player) = players.remove(&line.node) {
                merge(done.entry(line.node).or_default(), player.out);
            }
            dead.insert(line.node);
        }
    }
    for (node, player) in players {
        merge(done.entry(node).or_default(), player.out);
    }
    done
}

fn merge(all: &mut Streams, more: Streams) {
    for (stream, items) in more {
        all.entry(stream).or_default().extend(items);
    }
}

/// Nodes whose daemon ran before the case begins: all, except in the cases about the choice of a mode.
fn running_before(case: &str, lines: &[Line]) -> BTreeSet<NodeId> {
    match &case[..3] {
        "t25" | "t26" | "t28" | "t30" => BTreeSet::new(),
        _ => lines.iter().filter(|line| line.node > 0).map(|line| NodeId(line.node)).collect(),
    }
}

fn starts(line: &Line, was_dead: bool) -> bool {
    !was_dead || line.dir == "quorum" || line.dir == "cpg_join"
}

fn is_death(line: &Line) -> bool {
    match line.dir.as_str() {
        "cpg_finalize" => line.conn == "cpg:groupd",
        "proc" => line.conn == "groupd" && !line.text.contains("running"),
        "note" => line.text.starts_with("kill -9 groupd"),
        _ => false,
    }
}

fn apply(expected: &mut BTreeMap<u32, Streams>, deviation: &Deviation) {
    let Deviation { node, stream, at, recorded, ours, .. } = deviation;
    let items = expected.entry(*node).or_default().entry(stream.clone()).or_default();
    assert!(at + recorded <= items.len(), "{deviation:?} goes past {} recorded items", items.len());
    items.splice(at..&(at + recorded), ours.iter().cloned());
}

fn replay(who: Who, case: &str) {
    let lines = transcript::read(case);
    let mut expected = recorded(who, &lines);
    let list = deviations(who);
    // From the end, so that positions are those of the recording.
    for deviation in list.iter().rev().filter(|deviation| deviation.case == case) {
        apply(&mut expected, deviation);
    }
    let ours = played(who, case, &lines);
    let mut wrong = Vec::new();
    let nodes: BTreeSet<u32> = expected.keys().chain(ours.keys()).copied().collect();
    for node in nodes {
        let (want, have) = (expected.remove(&node).unwrap_or_default(), ours.get(&node).cloned().unwrap_or_default());
        let streams: BTreeSet<&String> = want.keys().chain(have.keys()).collect();
        for stream in streams {
            let nothing = Vec::new();
            let (want, have) = (want.get(stream).unwrap_or(&nothing), have.get(stream).unwrap_or(&nothing));
            if want != have {
                wrong.push(difference(node, stream, want, have));
            }
        }
    }
    assert!(wrong.is_empty(), "{case}\n{}", wrong.join("\n"));
}

fn difference(node: u32, stream: &str, want: &[String], have: &[String]) -> String {
    let at = want.iter().zip(have).take_while(|(a, b)| a == b).count();
    let tail = |items: &[String]| items[at.min(items.len())..].join("\n      ");
    format!("node {node} {stream} differs at {at}\n  recorded:\n      {}\n  ours:\n      {}", tail(want), tail(have))
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        $(#[test] fn $case() { replay(Who::Ours, stringify!($case)); })*

        /// The model of the original gives what was recorded, defects included.
        mod the_original {
            $(#[test] fn $case() { super::replay(super::Who::Original, stringify!($case)); })*
        }

        #[test]
        fn every_recording_is_replayed() {
            let cases = BTreeSet::from([$(stringify!($case).to_owned()),*]);
            assert_eq!(transcript::cases(), cases);
        }

        #[test]
        fn every_deviation_names_its_case_row_and_reason() {
            let cases = BTreeSet::from([$(stringify!($case)),*]);
            for deviation in deviations(Who::Ours).into_iter().chain(deviations(Who::Original)) {
                assert!(cases.contains(deviation.case.as_str()), "{deviation:?}");
                assert!(!deviation.why.is_empty(), "{deviation:?}");
                let known = include_str!("../../../docs/COMPAT.md").contains(&format!("| {} |", deviation.row));
                assert!(known, "{} is not a row of docs/COMPAT.md", deviation.row);
            }
        }
    };
}

/// Whatever a peer that is the original said in these recordings, in CPG messages we are no different from what it met.
#[test]
fn conformance_52_every_peer_is_an_original() {
    for case in ["t02_three_node_join_leave", "t09_simultaneous_joins", "t10_send_deliver", "t24_rejoin_global_id"] {
        let differs = |it: &Deviation| it.case == case && it.stream == "cpg:groupd";
        assert!(!deviations(Who::Ours).iter().any(differs), "{case}");
        replay(Who::Ours, case);
    }
}

cases!(
    t01_single_node,
    t02_three_node_join_leave,
    t04_link_down_partition,
    t05_quorum_lost_and_regained,
    t06_groupd_crash_with_groups,
    t08_client_death,
    t09_simultaneous_joins,
    t10_send_deliver,
    t12_duplicate_join,
    t13_leave_cases,
    t14_unknown_and_odd_commands,
    t15_stream_framing,
    t16_malformed_crashes,
    t20_crash_during_join,
    t21_member_crash_while_joining,
    t24_rejoin_global_id,
    t25_mode2_all_pending,
    t26_mode2_with_mode1,
    t28_mode2_silent_old_node,
    t30_mode2_join_pending,
    t31_raw_full_frames,
    t34_leaving_node_dies,
    t38_creator_dies_in_start,
);
