//! A whole cluster in one thread and in virtual time.

pub mod agenda;
pub mod checkers;
pub mod cluster;
pub mod corosync;
pub mod digest;
pub mod dlm;
pub mod host;
pub mod intruder;
pub mod kernel;
pub mod nemesis;
pub mod recording;
pub mod rng;
pub mod sometimes;
