//! The preamble in front of every message between agents: whose message, in which version.
//!
//! 8 bytes, little endian, no padding: `magic 4×u8 "o2cp" | version u16 | flags u16`, then one `Envelope` of
//! `agent.proto` up to the end of the CPG message; CPG keeps message boundaries, so there is no length.
//! `version` is the lowest one whose rules are enough to read the message. No flag is defined yet: 0.
//!
//! A CPG group is open to every process of root on every node, so a foreign message is an expected event here.

use crate::{
    error::malformed,
    peer::DecodeError,
    version::{CURRENT, MIN},
};

/// First bytes of every message.
pub const MAGIC: [u8; 4] = *b"o2cp";
/// Length of the preamble in bytes.
pub const PREAMBLE_LEN: usize = 8;
/// Longest message in bytes, preamble included. The largest Hello that the other bounds allow needs nearly all of it.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Preamble of a message that takes `version` to read.
pub fn preamble(version: u16) -> [u8; PREAMBLE_LEN] {
    let [low, high] = version.to_le_bytes();
    let [m0, m1, m2, m3] = MAGIC;
    [m0, m1, m2, m3, low, high, 0, 0]
}

/// What follows the preamble, once it is known to be ours and readable.
///
/// # Errors
/// [`DecodeError::Foreign`] without our magic; [`DecodeError::Version`] outside [`MIN`] to [`CURRENT`];
/// [`DecodeError::Malformed`] if cut off, longer than [`MESSAGE_LEN_MAX`] or with a flag set.
pub fn open(message: &[u8]) -> Result<&[u8], DecodeError> {
    let after_magic = message.strip_prefix(&MAGIC).ok_or_else(|| foreign(message))?;
    if message.len() > MESSAGE_LEN_MAX {
        return Err(malformed(format!("{} bytes, at most {MESSAGE_LEN_MAX}", message.len())));
    }
    let ([v0, v1, f0, f1], envelope) = after_magic
        .split_first_chunk()
        .ok_or_else(|| malformed(format!("{} bytes, the preamble alone has {PREAMBLE_LEN}", message.len())))?;
    let version = u16::from_le_bytes([*v0, *v1]);
    if !(MIN..=CURRENT).contains(&version) {
        return Err(DecodeError::Version { theirs: version, min: MIN, current: CURRENT });
    }
    match u16::from_le_bytes([*f0, *f1]) {
        0 => Ok(envelope),
        flags => Err(malformed(format!("flags {flags:#06x} in the preamble, none is defined"))),
    }
}

fn foreign(message: &[u8]) -> DecodeError {
    let shown = &message[..message.len().min(PREAMBLE_LEN)];
    let first = if shown.is_empty() { "nothing".into() } else { crate::json::hex::text(shown) };
    DecodeError::Foreign { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8]) -> String {
        match open(bytes) {
            Ok(envelope) => format!("{envelope:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_was_framed_opens_again() {
        let message = [preamble(CURRENT).as_slice(), &[1, 2]].concat();
        assert_eq!(open(&message), Ok([1, 2].as_slice()));
    }

    #[test]
    fn other_peoples_messages_are_foreign_and_show_their_beginning() {
        assert_eq!(opened(b""), "not an o2cpg message: begins with nothing");
        assert_eq!(opened(b"o2"), "not an o2cpg message: begins with 6f32");
        assert_eq!(opened(b"groupd 1.1.0"), "not an o2cpg message: begins with 67726f7570642031");
    }

    #[test]
    fn other_versions_are_named_with_what_is_spoken_here() {
        assert_eq!(opened(b"o2cp\x00\0\0\0"), "protocol version 0, this agent speaks 1 to 1");
        assert_eq!(opened(b"o2cp\x02\0\0\0"), "protocol version 2, this agent speaks 1 to 1");
        assert_eq!(opened(b"o2cp\x00\x01\xff\xff"), "protocol version 256, this agent speaks 1 to 1");
    }

    #[test]
    fn a_cut_preamble_is_malformed() {
        assert_eq!(opened(b"o2cp\x01\0\0"), "malformed message: 7 bytes, the preamble alone has 8");
    }

    #[test]
    fn an_unknown_flag_is_malformed() {
        assert_eq!(opened(b"o2cp\x01\0\x00\x80"), "malformed message: flags 0x8000 in the preamble, none is defined");
    }

    #[test]
    fn length_is_bounded() {
        let mut message = preamble(CURRENT).to_vec();
        message.resize(MESSAGE_LEN_MAX, 0);
        assert!(open(&message).is_ok());
        message.push(0);
        assert_eq!(opened(&message), "malformed message: 65537 bytes, at most 65536");
    }
}
