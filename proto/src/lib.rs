//! What agents say to each other and what the command says to the daemon: bytes in, validated values out.
//!
//! Two contracts, published as `agent.proto` and `control.proto`. The generated structures of the first stay
//! inside this crate; [`peer`] is what others see. Those of the second are also the JSON of `-o json`, so they
//! are shown as they are in [`control::api`].
//!
//! Not here: sockets, CPG, and every decision about what a message means.

mod error;
pub mod peer;
