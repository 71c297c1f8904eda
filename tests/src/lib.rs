//! Simulator and suites; nothing ships from here.
//!
//! | module | what |
//! |---|---|
//! | [`explore`] | small worlds of real agent-cores, every interleaving |
//! | [`field`] | recordings of real daemons, judged, and told as stories |
//! | [`sim`] | N real agent-cores in a modelled world: corosync, kernels, clients, failures |

#![allow(clippy::missing_panics_doc, reason = "tests panic to fail")]

/// Lives are made of small things that come and go: with that of glibc they take a quarter longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod explore;
pub mod field;
pub mod golden;
mod lines;
pub mod seeds;
pub mod sim;
pub mod tidy;
pub mod trace;
