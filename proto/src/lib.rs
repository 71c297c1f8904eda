//! What agents say to each other and what the command says to the daemon: bytes in, validated values out.
//!
//! Two contracts, published as `agent.proto` and `control.proto`. The generated structures of the first stay
//! inside this crate; [`peer`] is what others see. Those of the second are also the JSON of `-o json`, so they
//! are shown as they are in [`control::api`].
//!
//! | module | what |
//! |---|---|
//! | [`peer`] | messages between agents, validated |
//! | [`frame`] | the preamble in front of each of them |
//! | [`handshake`] | facts that agents compare before they share anything |
//! | [`control`] | requests and answers on the control socket |
//! | [`version`] | what each version of the two contracts added |
//!
//! Not here: sockets, CPG, and every decision about what a message means.

mod error;
mod generated;
mod json;

pub mod control;
pub mod frame;
pub mod handshake;
pub mod peer;
pub mod version;
