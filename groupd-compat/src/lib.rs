//! groupd, the cluster daemon of 2005 to 2011, as bytes and decisions: what its clients and its peers on other
//! nodes see, without any I/O.
//!
//! | module | compatible with |
//! |---|---|
//! | [`frame`], [`verbs`] | programs that speak libgroup: frames of 2200 bytes, eleven commands, six callbacks |
//! | [`records`] | programs that query: records of 1128 bytes, the version number |
//! | [`cpg_message`], [`names`], [`event_id`] | daemons on other nodes: message bytes, CPG names, ids of changes |
//! | [`machine`] | both: what is told to whom, when, and in which order |
//!
//! A server reads frames ([`frame::FrameReader`]), decodes them ([`verbs::Request`]), hands events to
//! [`machine::Machine::handle`] and performs the effects; `machine` says what it has to promise.
//!
//! ```
//! use groupd_compat::ids::{NodeId, Tick};
//! use groupd_compat::machine::{Effects, Event, Machine, Settings};
//!
//! let mut machine = Machine::new(Settings::libgroup(NodeId(1)));
//! let mut fx = Effects::default();
//! machine.handle(Tick(0), Event::Started, &mut fx);
//! assert_eq!(format!("{:?}", fx.as_slice()), "[JoinCpg(CpgId(0), groupd)]");
//! ```
//!
//! # Known deviations
//!
//! Nothing on the wire tells this machine from the original, but it does not crash, block or hang where that
//! does. Every row kept and every row fixed stands in docs/COMPAT.md, each with its test; the names (K1, Q7, B4…)
//! are used in the comments here and in `tests/vectors/deviations.json`. What a client or a peer can notice:
//!
//! * Refused: levels outside 0..=3, names outside 1..=32 bytes, `send` above 2048 bytes, answers to a stop or
//!   start from another connection than the group's own (Q5 to Q9, K10).
//! * A dead leaver is recovered from (B1); a node that fails twice, a failure behind a waiting join, and two
//!   failures in a row end well (B2, B9, B8); a daemon that ends with groups counts as dead (B3).
//! * After a partition the side without quorum ends; it starts nothing (B4). Nothing is joined before the
//!   first quorum of a run.
//! * A client that dies costs its node, or as configured (Q1).

pub mod cpg_message;
pub mod error;
pub mod event_id;
pub mod frame;
pub mod ids;
pub mod machine;
pub mod names;
pub mod records;
pub mod verbs;
