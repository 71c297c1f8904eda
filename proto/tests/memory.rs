//! Hostile bytes cost little memory. In a program of its own, because the kernel counts memory by process.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;

use proto::{control::Request, frame, handshake::Blocks, peer::Message};

/// What decoding may touch beside its input, in KiB. The dearest field is a list of empty entries: 2 bytes each on the
/// wire, 48 in memory, and a vector that grows by doubling.
const TOUCHED_KIB_MAX: usize = 4 * 1024;
/// What it may reserve and not touch, in KiB: the allocator's own step, one arena.
const RESERVED_KIB_MAX: usize = 64 * 1024;

/// The most that this process ever had of a kind of memory, in KiB.
fn peak_kib(kind: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(kind)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Up to the limit of a message: preamble, then `envelope`, then `piece` as often as it fits.
fn filled(envelope: &[u8], piece: &[u8]) -> Vec<u8> {
    let mut bytes = [&frame::preamble(1), envelope].concat();
    while bytes.len() + piece.len() <= frame::MESSAGE_LEN_MAX {
        bytes.extend(piece);
    }
    bytes
}

/// Tag and length of a field that announces `len` bytes.
fn announces(field: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    let mut rest = len;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

#[test]
fn decoding_hostile_bytes_takes_bounded_memory() {
    let inside = frame::MESSAGE_LEN_MAX as u64 - 16;
    let hostile = [
        filled(&announces(1, u64::MAX), &[0]),
        filled(&announces(1, u64::from(u32::MAX)), &[0]),
        filled(&announces(1, inside), &[0x12, 0]), // view of empty members
        filled(&announces(2, inside), &[0x3a, 0]), // hello of empty held entries
        filled(&announces(2, inside), &[0x62, 0]), // … of empty absent nodes
        filled(&announces(3, inside), &[0x22, 0]), // answer of empty outcomes
        filled(&[], &[0x0b]),                      // groups inside groups
    ];
    let (touched, reserved) = (peak_kib("VmHWM:"), peak_kib("VmPeak:"));
    for bytes in &hostile {
        assert!(Message::decode(bytes).is_err());
    }
    let mut length_only = vec![0xff; 4];
    assert!(Request::take(&mut length_only).is_err());
    assert!(Blocks::parse(&[0xff; 4096]).is_err());
    let (touched, reserved) = (peak_kib("VmHWM:") - touched, peak_kib("VmPeak:") - reserved);
    assert!(touched <= TOUCHED_KIB_MAX, "{touched} KiB touched");
    assert!(reserved <= RESERVED_KIB_MAX, "{reserved} KiB reserved");
}
