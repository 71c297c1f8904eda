//! What a group waits for, in words for people: whom or what, and what can be done about it.

use groupd_compat::ids::{ClientId, NodeId};
use groupd_compat::machine::{Debt, Standstill, Wait};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One wait in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// A stable word for scripts.
    pub(crate) kind: String,
    /// What for, without the group.
    pub(crate) what: String,
    /// Nodes that it is about.
    pub(crate) nodes: Vec<u32>,
    /// The process on this node that owes an answer, if one does.
    pub(crate) pid: Option<i32>,
    /// What a person can do.
    pub(crate) fix: String,
    /// Whether it is worth a person's time already.
    pub(crate) is_long: bool,
}

const QUORUM: &str = "start the missing nodes, or see corosync-quorumtool -s; joins and recoveries need quorum";
const COROSYNC: &str = "milliseconds, unless corosync hangs: corosync-cfgtool -s, o2cpg cpg list";
const LOWER: &str = "o2cpg groups --legacy, on each node: it goes on when the groups that it waits for do";

/// The words for a standstill on node `me`; `pid` knows the processes of clients.
pub(super) fn told(standstill: &Standstill<'_>, me: NodeId, pid: impl Fn(ClientId) -> Option<i32>) -> Told {
    let (kind, what, nodes, fix) = match &standstill.wait {
        Wait::Stopped { by } => return answers("stopped", "stop_done", by, standstill.owed, me, pid),
        Wait::Started { by } => return answers("started", "start_done", by, standstill.owed, me, pid),
        Wait::Mode => ("mode", "all daemons to say which mode they run in".into(), vec![], DAEMONS.to_owned()),
        Wait::FirstQuorum => {
            ("first-quorum", "the first quorum since this daemon's start".into(), vec![], QUORUM.into())
        }
        Wait::Quorum => ("quorum", "quorum".into(), vec![], QUORUM.into()),
        Wait::QuorumReport { gone } => {
            ("quorum-report", format!("quorum to notice that {} is gone", nodes_of(gone)), ids(gone), GONE.to_owned())
        }
        Wait::ToBeKnown { by } => (
            "to-be-known",
            format!("the groupd of {} to show that it knows of our new beginning", nodes_of(by)),
            ids(by),
            UNHEARD.to_owned(),
        ),
        Wait::OwnJoin => ("own-join", "corosync to show our own join".into(), vec![], COROSYNC.into()),
        Wait::OwnLeave => ("own-leave", "corosync to show our own leave".into(), vec![], COROSYNC.into()),
        Wait::ControlCpg => {
            ("control-cpg", "the daemons' group to show what this group's has shown".into(), vec![], COROSYNC.into())
        }
        Wait::LowerLevel { level, node } => (
            "lower-level",
            format!("the groups of level {level} to recover from the failure of node {node}"),
            vec![node.0],
            LOWER.into(),
        ),
        Wait::StopOfAll { node } => {
            ("stop-of-all", format!("all groups that node {node} was in to stop"), vec![node.0], LOWER.into())
        }
        Wait::Control { node } => (
            "control",
            format!("the groupd of node {node}, which joined this group, to show among the daemons"),
            vec![node.0],
            format!(
                "a program of node {node} that is no groupd has joined the group: end it (o2cpg cpg list shows its pid)"
            ),
        ),
        Wait::Condemned { node } => (
            "condemned",
            format!("node {node} to be killed: it came out of a partition with groups of its own"),
            vec![node.0],
            format!("if corosync goes on there, end it by hand, or power node {node} off"),
        ),
        Wait::Survivors { node } => (
            "survivors",
            format!("the survivors of node {node} to say whether they take us in before they recover"),
            vec![node.0],
            LOWER.into(),
        ),
    };
    Told { kind: kind.into(), what, nodes, pid: None, fix, is_long: false }
}

const DAEMONS: &str = "a daemon that says nothing is spoken for after some seconds: o2cpg cpg list shows them all";
const UNHEARD: &str =
    "it goes on without the silent when they have had as long as an old daemon has: o2cpg cpg list shows them all";
const GONE: &str =
    "it is asked to end in each ring that still names it; if it stays: end its corosync, or power it off";

/// Members whose answer is missing: our own client is named, of the others only they know theirs.
fn answers(
    kind: &str,
    verb: &str,
    by: &BTreeSet<NodeId>,
    owed: Option<Debt>,
    me: NodeId,
    pid: impl Fn(ClientId) -> Option<i32>,
) -> Told {
    let others: BTreeSet<NodeId> = by.iter().copied().filter(|&node| node != me).collect();
    let (mut whose, mut fixes, mut owing) = (Vec::new(), Vec::new(), None);
    if by.contains(&me) {
        owing = owed.and_then(|debt| debt.client).and_then(pid);
        let (who, fix) = ours(verb, owed, owing, me);
        whose.push(who);
        fixes.push(fix);
    }
    if !others.is_empty() {
        whose.push(format!("{verb} of its client on {}", nodes_of(&others)));
        fixes.push("o2cpg groups --legacy on that node names the client; let it answer, or end it".into());
    }
    Told {
        kind: kind.into(),
        what: whose.join(", "),
        nodes: ids(by),
        pid: owing,
        fix: fixes.join("; "),
        is_long: false,
    }
}

fn ours(verb: &str, owed: Option<Debt>, pid: Option<i32>, me: NodeId) -> (String, String) {
    match (owed, pid) {
        (Some(Debt { client: Some(client), verb }), pid) => {
            let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            (
                format!("{verb} of its client on this node {me} (client {client}, pid {pid})"),
                "let that process answer, or end it: on_client_death says what follows".into(),
            )
        }
        (Some(Debt { client: None, verb }), _) => (
            format!("{verb} of its client on this node {me}, which is gone"),
            "nobody can answer for it: stop corosync on this node, so that the others recover".into(),
        ),
        (None, _) => (format!("our own word ({verb}) to come back from corosync"), COROSYNC.into()),
    }
}

/// `node 2`, or `nodes 2, 3`.
fn nodes_of(nodes: &BTreeSet<NodeId>) -> String {
    let list: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    format!("{} {}", if list.len() == 1 { "node" } else { "nodes" }, list.join(", "))
}

fn ids(nodes: &BTreeSet<NodeId>) -> Vec<u32> {
    nodes.iter().map(|node| node.0).collect()
}
