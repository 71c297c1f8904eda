//! What is wrong with bytes that came from outside: which field, and what it held.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a client or of a peer that this crate does not act on.
///
/// Every variant stands for input that crashed, blocked or corrupted the original (docs: rows Q5..Q11), or
/// that it ignored silently. Here it is a value, so that the caller can count and log it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum DecodeError {
    /// The first word is none of the eleven commands. The word is cut at 16 bytes, as the original reads it.
    #[error("unknown command {word:?}")]
    UnknownCommand {
        /// As received, lossily.
        word: String,
    },
    /// A command ends before this argument.
    #[error("{command} without its {field}")]
    Missing {
        /// The command.
        command: String,
        /// The argument.
        field: String,
    },
    /// A group name is empty, longer than 32 bytes, or holds a NUL.
    #[error("group name of {len} bytes (1..=32 wanted)")]
    Name {
        /// Its length.
        len: usize,
    },
    /// A level outside 0..=3.
    #[error("level {level} (0..=3 wanted)")]
    Level {
        /// As received.
        level: i64,
    },
    /// The length of application data is negative, above 2048, or more than what is there.
    #[error("{len} bytes of application data ({max} at most)")]
    DataLength {
        /// As announced or counted.
        len: i64,
        /// What would be taken.
        max: usize,
    },
    /// Fewer bytes than the fixed part needs.
    #[error("{field} of {len} bytes, {wanted} wanted")]
    Short {
        /// What was to be read.
        field: String,
        /// What was there.
        len: usize,
        /// What it needs.
        wanted: usize,
    },
    /// A number that selects something selects nothing.
    #[error("{field} {value} means nothing")]
    Value {
        /// Which number.
        field: String,
        /// What it held.
        value: u64,
    },
}

/// A callback or a command that does not fit its 2200-byte frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[error("{needed} bytes in a frame of {}", crate::frame::FRAME_LEN)]
pub struct FrameOverflow {
    /// Text, its NUL and data together.
    pub needed: usize,
}
