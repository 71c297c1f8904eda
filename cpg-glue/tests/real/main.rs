//! The glue against real corosync daemons, in namespaces: needs root. `O2CPG_WITHOUT_LAB=1` goes without.
//!
//! No test sleeps to be right: each waits for an event, and gives up after [`SOON`](support::lab::SOON).

mod floods;
mod life;
mod losses;
mod services;
mod spares;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

/// Not a test: the program that the tests start on a node. Alone it does nothing.
#[test]
fn node_program() {
    if std::env::var_os("O2CPG_NODE").is_some() {
        support::node::main();
    }
}
