//! Real corosync nodes for the tests: [`lab`] makes them, [`node`] is the program that runs inside.

pub(crate) mod lab;
pub(crate) mod node;
