//! The command against a daemon that the test plays: exit codes, deadlines, and everything a daemon can do wrong.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod alone;
mod answers;
mod bad_daemons;
mod groupctl;
mod played;
mod streams;
