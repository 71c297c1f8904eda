//! A recorded case: what went in and what came out of the original, line by line (tests/vectors/README.md).

use groupd_compat::frame::FRAME_LEN;
use groupd_compat::ids::NodeId;
use groupd_compat::machine::Reason;
use groupd_compat::records::{GroupRecord, RECORD_LEN};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One line.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub t_ms: f64,
    pub node: u32,
    pub dir: String,
    pub conn: String,
    pub hex: String,
    pub text: String,
    pub len: Option<usize>,
}

pub fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// All that were recorded.
pub fn cases() -> BTreeSet<String> {
    let files = std::fs::read_dir(vectors()).expect("tests/vectors").map(|entry| entry.expect("a file").path());
    let recordings = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    recordings.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

pub fn read(case: &str) -> Vec<Line> {
    let path = vectors().join(format!("{case}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{line}: {err}"))).collect()
}

impl Line {
    pub fn bytes(&self) -> Vec<u8> {
        let digits: Vec<char> = self.hex.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex");
        digits.chunks(2).map(byte).collect()
    }

    /// `members [1, 2] left [(3, 'NODEDOWN')] joined []` and the like.
    pub fn confchg(&self) -> Confchg {
        let part = |from: &str, to: &str| {
            let begin = self.text.find(from).expect(from) + from.len();
            let end = if to.is_empty() { self.text.len() } else { self.text.find(to).expect(to) };
            self.text[begin..end].to_owned()
        };
        Confchg {
            members: numbers(&part("members ", " left")),
            left: changes(&part("left ", " joined")),
            joined: changes(&part("joined ", "")),
        }
    }

    /// `quorate 1 ring_seq 44 nodes [3]`.
    pub fn quorum(&self) -> (bool, u64, Vec<NodeId>) {
        let words: Vec<&str> = self.text.split(' ').collect();
        let seq = words[3].parse().expect("ring_seq");
        (words[1] == "1", seq, numbers(&words[5..].join(" ")))
    }

    /// `cpg deliver from 3: …` and `cman kill node 3 rv 1`.
    pub fn peer(&self) -> NodeId {
        let digits = self.text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
        NodeId(digits.expect("a node id").parse().expect("a node id"))
    }

    /// Did the daemon die of what was done to it, and what was that: `groupd signal 11 after: setup without arguments`.
    pub fn fate(&self) -> Option<(bool, &str)> {
        let (fate, of) = self.text.split_once(" after: ").filter(|_| self.dir == "proc")?;
        Some((fate.contains("signal"), of))
    }

    /// What a client read, in the form of [`crate::player::shown_frame`] and its kin.
    pub fn output(&self) -> Option<String> {
        let bytes = self.bytes();
        match self.len {
            Some(FRAME_LEN) => Some(shown_frame(&bytes)),
            Some(RECORD_LEN) => {
                let record = GroupRecord::decode(&bytes).expect("a recorded record");
                assert_eq!(record.encode().as_slice(), bytes, "a record is the same bytes again");
                Some(shown_record(&record))
            }
            Some(4) => Some(format!("version {}", i32::from_le_bytes(bytes.try_into().expect("four bytes")))),
            _ => None,
        }
    }
}

pub struct Confchg {
    pub members: Vec<NodeId>,
    pub left: Vec<(NodeId, Reason)>,
    pub joined: Vec<(NodeId, Reason)>,
}

fn numbers(text: &str) -> Vec<NodeId> {
    let words = text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    words.map(|word| NodeId(word.parse().expect("a number"))).collect()
}

fn changes(text: &str) -> Vec<(NodeId, Reason)> {
    let entries = text.split('(').skip(1).map(|entry| {
        let (node, reason) = entry.split_once(", '").expect("a node and a reason");
        let reason = match reason.split('\'').next() {
            Some("JOIN") => Reason::Join,
            Some("LEAVE") => Reason::Leave,
            Some("NODEDOWN") => Reason::NodeDown,
            Some("NODEUP") => Reason::NodeUp,
            Some("PROCDOWN") => Reason::ProcDown,
            other => panic!("reason {other:?}"),
        };
        (NodeId(node.parse().expect("a node id")), reason)
    });
    entries.collect()
}

/// The used part of a frame: its text, and a `deliver`'s data in hex.
pub fn shown_frame(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let text = bytes[..end].escape_ascii().to_string();
    if !text.starts_with("deliver ") {
        return text;
    }
    let len: usize = text.rsplit(' ').next().and_then(|len| len.parse().ok()).expect("a length");
    let data = &bytes[(end + 1).min(bytes.len())..(end + 1 + len).min(bytes.len())];
    format!("{text} {}", data.iter().map(|b| format!("{b:02x}")).collect::<String>())
}

/// A record in one line.
pub fn shown_record(record: &GroupRecord) -> String {
    if *record == GroupRecord::default() {
        return "record none".to_owned();
    }
    let GroupRecord { kind, name, level, global_id, member, members, change } = record;
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    let change =
        change.map(|c| format!(" {:?} {:?} node {} local {} {:#x}", c.cause, c.phase, c.node, c.local, c.id.raw()));
    format!(
        "record {kind:?} {level}:{} id {global_id} member {} [{}]{}",
        name.escape_ascii(),
        u8::from(*member),
        members.join(" "),
        change.unwrap_or_default()
    )
}
