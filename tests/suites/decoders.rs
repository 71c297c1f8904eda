//! Bytes that nobody meant: every decoder of the two contracts has a verdict on them, and so has an agent in the middle of
//! its life. The frozen bytes of `tests/wire` are what they are made from.
//!
//! `FUZZ_FACTOR=500 cargo test --release -p cluster-tests --test decoders` tries five hundred times as much, and other
//! bytes, with a seed that it prints; with that one in `FUZZ_SEED` it tries the same again. `./x fuzz --minutes 60`: an hour with each.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use agent_core::event::{Reason, ViewChange};
use agent_core::ids::{ClientId, Member, NodeId, OpId, RingId, Tick, TimerToken};
use agent_core::{Agent, Effects, Event};
use cluster_tests::explore::{Budget, World};
use cluster_tests::sim::rng::Rng;
use proto::control::{self, Ask, Condition, Request};
use proto::handshake::Blocks;
use proto::peer::Message;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::{env, fs};

/// Of one `cargo test`, on each decoder.
const DECODINGS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
/// Events of one agent's life.
const LIFE: u64 = 200;

/// How much more than that.
fn factor() -> u64 {
    env::var("FUZZ_FACTOR").map_or(1, |text| text.parse().unwrap())
}

/// The same bytes in each run of `./x test`, others in one that searches; it says which, and takes them again.
fn rng(seed: u64) -> Rng {
    let chosen = || if factor() == 1 { seed } else { RandomState::new().hash_one(seed) };
    let seed = env::var("FUZZ_SEED").map_or_else(|_| chosen(), |text| text.parse().unwrap());
    println!("seed {seed}");
    Rng::new(seed)
}

/// The frozen bytes, by file; `xx*N` stands for a byte many times.
fn corpus() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wire/v1");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let word = |word: &str| {
        let (byte, count) = word.split_once('*').unwrap_or((word, "1"));
        vec![u8::from_str_radix(byte, 16).unwrap(); count.parse().unwrap()]
    };
    let bytes = |path: &PathBuf| -> Vec<u8> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        lines.flat_map(str::split_whitespace).flat_map(word).collect()
    };
    files.iter().map(bytes).filter(|bytes| bytes.len() < 4_096).collect()
}

/// Some bytes changed, cut out, said twice, or taken from another message.
fn bent(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[rng.below(corpus.len() as u64) as usize].clone();
    for _ in 0..1 + rng.below(4) {
        let place = rng.below(bytes.len() as u64 + 1) as usize;
        let end = bytes.len().min(place + rng.below(9) as usize);
        match rng.below(5) {
            0 => bytes.truncate(place),
            1 => drop(bytes.drain(place..end)),
            2 => {
                let again = bytes[place..end].to_vec();
                bytes.splice(place..place, again);
            }
            3 => {
                let other = &corpus[rng.below(corpus.len() as u64) as usize];
                bytes.splice(place..end, other.iter().copied().skip(place).take(9));
            }
            _ => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = rng.bits() as u8),
        }
    }
    bytes
}

#[test]
fn every_decoder_has_a_verdict_on_bent_bytes() {
    let (corpus, mut rng) = (corpus(), rng(1));
    let (mut read, mut refused) = (0_u64, 0_u64);
    for _ in 0..DECODINGS * factor() {
        let bytes = bent(&corpus, &mut rng);
        match Message::decode(&bytes) {
            Ok(message) => {
                read += 1;
                assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
            }
            Err(_) => refused += 1,
        }
        if let Ok(blocks) = Blocks::parse(&bytes) {
            let _shown = blocks.rendered();
        }
        let (mut asked, mut answered) = (bytes.clone(), bytes);
        while let Ok(Some(request)) = Request::take(&mut asked) {
            assert!(request.encode().is_ok());
        }
        while let Ok(Some(_)) = control::take_answer(&mut answered) {}
    }
    println!("{read} messages read, {refused} refused");
    assert!(read > 0 && refused > 0);
}

/// Anything that can happen to an agent, in no sensible order.
fn any_event(agent: &Agent, corpus: &[Vec<u8>], rng: &mut Rng) -> Event {
    let members: Vec<Member> = (1..=4).map(|nodeid| Member { nodeid, pid: 100 + nodeid }).collect();
    let from = rng.pick(&members).unwrap();
    let ring = RingId { nodeid: 1, seq: 4 * rng.below(4) };
    match rng.below(12) {
        0..=4 => {
            let whole = corpus[rng.below(corpus.len() as u64) as usize].clone();
            let mut body = Message::decode(&if rng.chance(50) { whole } else { bent(corpus, rng) });
            if let (Ok(message), Some(view)) = (&mut body, agent.view().tag(&BTreeMap::new())) {
                message.view = view;
            }
            Event::Delivered { from, body }
        }
        5 => {
            let listed = members.iter().copied().filter(|_| rng.chance(70)).collect();
            let reason = rng.pick(&[Reason::Join, Reason::Leave, Reason::NodeDown, Reason::NodeUp, Reason::Unknown(9)]);
            let change = vec![(from, reason.unwrap())];
            let (left, joined) = if rng.chance(50) { (change, vec![]) } else { (vec![], change) };
            Event::ViewChanged(ViewChange { members: listed, left, joined })
        }
        6 => Event::RingChanged { ring, nodes: (1..=4).map(NodeId).filter(|_| rng.chance(80)).collect() },
        7 => Event::QuorumChanged { quorate: rng.chance(70), ring },
        8 => Event::TimerFired(TimerToken(rng.below(40))),
        9 => Event::Slept { ms: rng.below(100_000) },
        10 => {
            Event::KernelDone(OpId(rng.below(20)), agent_core::event::KernelOutcome { result: Ok(()), tree: Ok(None) })
        }
        _ => Event::Asked(
            ClientId(rng.bits()),
            rng.pick(&[0, 1, 2, 3]).map_or(Ask::Status, |which| match which {
                0 => Ask::Plan,
                1 => Ask::Wait(Condition::Settled),
                2 => Ask::Forget { node: "n2".into() },
                _ => Ask::CanStop,
            }),
        ),
    }
}

#[test]
fn no_events_in_any_order_stop_an_agent() {
    let (corpus, mut rng) = (corpus(), rng(2));
    let (mut fx, mut effects) = (Effects::default(), 0);
    for _ in 0..DECODINGS * factor() / LIFE / 10 {
        let mut agent = World::booted(3, Budget::default()).first_agent();
        for tick in 0..LIFE {
            let event = any_event(&agent, &corpus, &mut rng);
            agent.handle(Tick(2 + 100 * tick), event, &mut fx);
            effects += fx.drain().count();
        }
        let text = serde_json::to_string(&agent).unwrap();
        assert_eq!(serde_json::from_str::<Agent>(&text).unwrap(), agent, "a dump reads back");
        let _shown = agent.status();
    }
    assert!(effects > 0);
}
