//! Why bytes are not a message. Every member gets the same bytes, so this is a value that all of them agree on.

use serde::{Deserialize, Serialize};

/// Why a message of another agent cannot be understood.
///
/// Holds owned, bounded text only: it goes into recordings and into `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DecodeError {
    /// Somebody else's message: it does not begin with our magic.
    #[error("not an o2cpg message: begins with {first}")]
    Foreign {
        /// Up to eight first bytes, hexadecimal; `nothing` for an empty message.
        first: String,
    },
    /// Ours, but of a protocol version that this agent does not speak.
    #[error("protocol version {theirs}, this agent speaks {min} to {current}")]
    Version {
        /// The version in the preamble.
        theirs: u16,
        /// Oldest version spoken here.
        min: u16,
        /// Newest version spoken here.
        current: u16,
    },
    /// The bytes do not have the form of a message.
    #[error("malformed message: {what}")]
    Malformed {
        /// What does not fit.
        what: String,
    },
    /// The form is right, a value is not.
    #[error("{field} is {held}, must be {rule}")]
    Invalid {
        /// Path of the field, as in `hello.table.entries[3].port`.
        field: String,
        /// What it held, cut to a bounded length.
        held: String,
        /// What it should have been.
        rule: String,
    },
}

/// Longest `held` of [`DecodeError::Invalid`], in characters: enough to recognise the value, too little to flood a log.
const HELD_CHARS_MAX: usize = 80;

/// Cut so that hostile bytes cannot grow an error.
pub(crate) fn shortened(held: &str) -> String {
    match held.char_indices().nth(HELD_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &held[..end]),
        None => held.to_owned(),
    }
}

/// A value that breaks `rule`.
pub(crate) fn invalid(field: impl Into<String>, held: impl ToString, rule: impl Into<String>) -> DecodeError {
    DecodeError::Invalid { field: field.into(), held: shortened(&held.to_string()), rule: rule.into() }
}

pub(crate) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed { what: what.into() }
}
