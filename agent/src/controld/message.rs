//! Messages of the ocfs2_controld socket: blocks of bytes ⇄ questions and answers.
//!
//! Every message, in both directions, is one block of 256 bytes: UTF-8 text (the tools send ASCII), filled up with NUL.
//! The text ends at the first NUL; byte 255 counts as one whatever it holds. A text is a command and its words, each after
//! a single blank; the last word takes the rest of the line. Fewer words, an empty word before the last, or an unknown
//! command make a question that cannot be read, with the reason in it.
//!
//! ```text
//! tool → daemon   MOUNT fstype uuid cluster device service | MRESULT fstype uuid errno service
//!                 UNMOUNT fstype uuid service | LISTFS fstype cluster | LISTMOUNTS fstype uuid | LISTCLUSTERS | DUMP
//! daemon → tool   STATUS errno text | ITEMCOUNT n, n × ITEM text, STATUS 0 OK
//! ```
//!
//! Source: ocfs2-tools libo2cb/client_proto.c, include/o2cb/ocfs2_controld.h; recorded in tests/vectors/controld.

use agent_core::mount_client::{MountAnswer, MountAsk};

/// Bytes of a message.
pub(super) const BLOCK_LEN: usize = 256;
/// Bytes of its text.
const TEXT_LEN_MAX: usize = BLOCK_LEN - 1;
/// Items of one answer; a node has at most as many volumes as heartbeat regions, 255. What is left out is said.
const ITEMS_MAX: usize = 1024;
/// Characters of a client's word that are shown back to it.
const QUOTED_MAX: usize = 32;
/// A list that is not whole: linux asm-generic/errno.h.
const EOVERFLOW: i32 = 75;

/// One message.
pub(super) type Block = [u8; BLOCK_LEN];

/// Commands of tools, with the words that each needs.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("MOUNT", &["fstype", "uuid", "cluster", "device", "service"]),
    ("MRESULT", &["fstype", "uuid", "errno", "service"]),
    ("UNMOUNT", &["fstype", "uuid", "service"]),
    ("LISTFS", &["fstype", "cluster"]),
    ("LISTMOUNTS", &["fstype", "uuid"]),
    ("LISTCLUSTERS", &[]),
    ("DUMP", &[]),
];

/// Commands that only the daemon says.
const ANSWERS: &[&str] = &["STATUS", "ITEMCOUNT", "ITEM"];

/// What a tool says. The device number of a MOUNT is not in the message and is left to be looked up.
pub(super) fn decode(block: &Block) -> MountAsk {
    question(block).unwrap_or_else(|why| MountAsk::Unreadable { why })
}

fn question(block: &Block) -> Result<MountAsk, String> {
    let text = block[..TEXT_LEN_MAX].split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|error| format!("the message is not text: {error}"))?;
    let (command, rest) = text.split_once(' ').map_or((text, None), |(command, rest)| (command, Some(rest)));
    let needed = needed(command)?;
    let words = words(rest, needed.len());
    let own = |word: &str| word.to_owned();
    Ok(match (command, words.as_slice()) {
        ("MOUNT", &[fstype, uuid, cluster, device, service]) => MountAsk::Mount {
            fstype: own(fstype),
            uuid: own(uuid),
            cluster: own(cluster),
            device: own(device),
            number: Err("not looked up".into()),
            service: own(service),
        },
        ("MRESULT", &[fstype, uuid, errno, service]) => {
            MountAsk::Result { fstype: own(fstype), uuid: own(uuid), errno: own(errno), service: own(service) }
        }
        ("UNMOUNT", &[fstype, uuid, service]) => {
            MountAsk::Unmount { fstype: own(fstype), uuid: own(uuid), service: own(service) }
        }
        ("LISTFS", &[fstype, cluster]) => MountAsk::ListVolumes { fstype: own(fstype), cluster: own(cluster) },
        ("LISTMOUNTS", &[fstype, uuid]) => MountAsk::ListMounts { fstype: own(fstype), uuid: own(uuid) },
        ("LISTCLUSTERS", &[]) => MountAsk::ListClusters,
        ("DUMP", &[]) => MountAsk::Dump,
        _ => return Err(wrong_words(command, needed, words.len())),
    })
}

/// The words that a command needs; `Err`: it is none of a tool.
fn needed(command: &str) -> Result<&'static [&'static str], String> {
    if let Some((_, needed)) = QUESTIONS.iter().find(|(known, _)| *known == command) {
        return Ok(needed);
    }
    if ANSWERS.contains(&command) {
        return Err(format!("{command} is an answer, not a question"));
    }
    let quoted: String = command.chars().take(QUOTED_MAX).flat_map(char::escape_debug).collect();
    let known: Vec<&str> = QUESTIONS.iter().map(|(known, _)| *known).collect();
    Err(format!("unknown command \"{quoted}\"; known are {}", known.join(" ")))
}

/// Up to `count` words, the last of them with the rest of the line, and nothing from the first empty one on. A command
/// without words must end the line: what follows it counts as one.
fn words(rest: Option<&str>, count: usize) -> Vec<&str> {
    let words = rest.into_iter().flat_map(|rest| rest.splitn(count.max(1), ' '));
    words.take_while(|word| count == 0 || !word.is_empty()).collect()
}

fn wrong_words(command: &str, needed: &[&str], found: usize) -> String {
    match needed.get(found) {
        Some(missing) => format!("{command} needs {}; {missing} is missing", needed.join(" ")),
        None => format!("{command} stands alone, without any words after it"),
    }
}

/// The blocks of one answer.
pub(super) fn encode(answer: &MountAnswer) -> Vec<u8> {
    match answer {
        MountAnswer::Status { errno, text } => status(*errno, text).to_vec(),
        MountAnswer::Items(items) => {
            let sent = &items[..items.len().min(ITEMS_MAX)];
            let mut bytes = block(&format!("ITEMCOUNT {}", sent.len())).to_vec();
            bytes.extend(sent.iter().flat_map(|item| block(&format!("ITEM {}", or(item, "-")))));
            bytes.extend(match items.len() - sent.len() {
                0 => status(0, "OK"),
                more => status(EOVERFLOW, &format!("{more} more are not shown")),
            });
            bytes
        }
    }
}

fn status(errno: i32, text: &str) -> Block {
    let nothing_said = if errno == 0 { "OK" } else { "refused" };
    block(&format!("STATUS {errno} {}", or(text, nothing_said)))
}

/// A text on the wire is never empty.
fn or<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.is_empty() { instead } else { text }
}

/// Cut to what fits, between two characters; a NUL would end the text for the reader.
fn block(text: &str) -> Block {
    let mut len = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    let mut block = [0; BLOCK_LEN];
    block[..len].copy_from_slice(&text.as_bytes()[..len]);
    for byte in block[..len].iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
    block
}

#[cfg(test)]
mod tests;
