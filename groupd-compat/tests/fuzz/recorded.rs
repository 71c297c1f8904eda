//! What the original and its clients said (tests/vectors), bent a little: random bytes alone seldom get far into a decoder.

use crate::transcript::{self, Line};
use groupd_compat::frame::FRAME_LEN;
use groupd_compat::records::RECORD_LEN;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What was recorded, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Whole frames, to or from a client.
    Frame,
    Record,
    /// On a CPG.
    Message,
}

fn kind(line: &Line) -> Option<Kind> {
    match (line.dir.as_str(), line.len) {
        ("c2d" | "d2c", Some(FRAME_LEN)) => Some(Kind::Frame),
        ("d2c", Some(RECORD_LEN)) => Some(Kind::Record),
        ("cpg_mcast" | "cpg_deliver", _) => Some(Kind::Message),
        _ => None,
    }
}

/// Each different one, once.
static RECORDED: LazyLock<BTreeSet<(Kind, Vec<u8>)>> = LazyLock::new(|| {
    let lines = transcript::cases().into_iter().flat_map(|case| transcript::read(&case));
    lines.filter_map(|line| Some((kind(&line)?, line.bytes()))).collect()
});

fn recorded(kind: Kind) -> Vec<&'static [u8]> {
    RECORDED.iter().filter(|(of, _)| *of == kind).map(|(_, bytes)| bytes.as_slice()).collect()
}

/// One change of some bytes.
#[derive(Clone, Debug)]
struct Bend {
    at: Index,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Byte(u8),
    End,
    Cut(usize),
    Again(usize),
    /// Something between, perhaps a number or a word that means something.
    Between(Vec<u8>),
}

const WORDS: &[&str] =
    &["0", "-1", "255", "4294967296", "999999999999999999999", " ", "  ", "\0", "join", "start_done"];

fn bend() -> impl Strategy<Value = Bend> {
    let word = prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let piece = prop_oneof![word, prop::collection::vec(any::<u8>(), 1..9)];
    let how = prop_oneof![
        4 => any::<u8>().prop_map(How::Byte),
        1 => Just(How::End),
        1 => (1usize..9).prop_map(How::Cut),
        1 => (1usize..40).prop_map(How::Again),
        2 => piece.prop_map(How::Between),
    ];
    (any::<Index>(), how).prop_map(|(at, how)| Bend { at, how })
}

fn apply(bytes: &mut Vec<u8>, Bend { at, how }: Bend) {
    let at = at.index(bytes.len() + 1);
    let to = |len: usize| at..bytes.len().min(at + len);
    match how {
        How::Byte(byte) => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        How::End => bytes.truncate(at),
        How::Cut(len) => drop(bytes.drain(to(len))),
        How::Again(len) => {
            let again = bytes[to(len)].to_vec();
            bytes.splice(at..at, again);
        }
        How::Between(piece) => drop(bytes.splice(at..at, piece)),
    }
}

/// Recorded bytes of this kind with up to three changes. A frame's length is given by the stream: it is kept.
pub(crate) fn bent(kind: Kind) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(recorded(kind)), prop::collection::vec(bend(), 0..4)).prop_map(move |(bytes, bends)| {
        let mut bytes = bytes.to_vec();
        bends.into_iter().for_each(|bend| apply(&mut bytes, bend));
        if kind == Kind::Frame {
            bytes.resize(FRAME_LEN, 0);
        }
        bytes
    })
}
