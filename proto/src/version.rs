//! Versions of the two contracts, and what each one added.
//!
//! # Between agents
//!
//! N and N-1 work together: an agent that speaks [`CURRENT`] also speaks [`MIN`] = `CURRENT` - 1 (1 while there
//! is only one). Three rules make that hold:
//!
//! * **A message is stamped with the lowest version whose rules are enough to read it**, see
//!   [`crate::peer::Message::encode`]. A new field that an older reader may skip is no reason for a higher stamp;
//!   protobuf skips it. A Hello is always stamped so that N-1 can read it, because before it nobody knows who is there.
//! * **A receiver takes [`MIN`] to [`CURRENT`]** and refuses the rest as [`DecodeError::Version`]. It cannot know
//!   whether a newer sender could have said the same in an older version, and need not: a sender that may has
//!   already done so.
//! * **What the members of a view may use is negotiated** from their (min, current) in the handshake block
//!   `protocol version`, see [`crate::handshake::negotiate`]: the lowest `current`, if it is no lower than the
//!   highest `min`. A handshake block that must match counts only from the version that added it, so that both
//!   sides of a mixed pair compare the same blocks.
//!
//! | version | added |
//! |---|---|
//! | 1 | everything in `agent.proto` |
//!
//! # Between command and daemon
//!
//! A daemon with pins is not restarted by an upgrade, so a newer command meets an older daemon every day. The
//! command therefore stamps a request with the oldest version that has what it asks; a daemon answers what it
//! knows, and what it does not know is a refusal that says so.
//!
//! | version | added |
//! |---|---|
//! | 1 | everything in `control.proto` |
//!
//! [`DecodeError::Version`]: crate::peer::DecodeError::Version

/// Oldest version of `agent.proto` spoken here.
pub const MIN: u16 = 1;
/// Newest version of `agent.proto` spoken here.
pub const CURRENT: u16 = 1;

/// Oldest version of `control.proto` spoken here.
pub const CONTROL_MIN: u32 = 1;
/// Newest version of `control.proto` spoken here.
pub const CONTROL_CURRENT: u32 = 1;
