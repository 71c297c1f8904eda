//! Everything on one screen.

use std::collections::BTreeMap;

use anstyle::Style;
use proto::control::api::{Agent, Change, Corosync, Health, Status, Trouble, Wait, agent::State};

use super::{Names, nodes};
use crate::cli::duration::spoken;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{BAD, FAINT, GOOD, HEAD, PLAIN, WARN, columns, counted, items, labelled, styled, wrapped};

/// Pins shown without -v; `o2cpg can-stop` shows all.
const PINS_SHOWN: usize = 8;
/// Refusals that mean: corosync's configuration does not give this node a place yet.
const UNPLACED: [&str; 5] = ["not-in-nodelist", "number-too-large", "no-ipv4", "node-name", "cluster-name"];

/// The screen, with more of it for each -v.
#[must_use]
pub fn status(status: &Status, verbose: u8, width: usize) -> String {
    let names = Names::of(&status.nodes);
    let mut out = String::new();
    head(&mut out, status, width);
    if !status.nodes.is_empty() {
        out.push('\n');
        out.push_str(&nodes::table(&status.nodes, false).render(width));
    }
    if let Some(change) = status.change.as_ref().filter(|change| !change.step.is_empty()) {
        change_block(&mut out, change, &names, width);
    }
    waits(&mut out, &status.waits, width);
    troubles(&mut out, &status.troubles, &names, width);
    pins(&mut out, status, verbose, width);
    if is_unplaced(status) {
        first_steps(&mut out, width);
    }
    if verbose > 0 {
        details(&mut out, status, width);
    }
    out
}

fn head(out: &mut String, status: &Status, width: usize) {
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let mut cluster = vec![(HEAD, known(&status.cluster)), (PLAIN, format!("stack {}", known(&status.stack)))];
    if !status.kernel.is_empty() {
        cluster.push((PLAIN, format!("kernel {}", status.kernel)));
    }
    cluster.extend(corosync(status.corosync.as_ref()));
    items(out, "cluster  ", &cluster, width);
    let mut agent = status.agent.as_ref().map_or_else(|| vec![(WARN, "not asked (--local)".into())], agent);
    if status.agent.is_some() || !status.pins.is_empty() {
        agent.push((PLAIN, pinned(status)));
    }
    agent.push(health(status.health()));
    items(out, "agent    ", &agent, width);
}

fn corosync(corosync: Option<&Corosync>) -> Vec<(Style, String)> {
    match corosync {
        Some(corosync) if corosync.connected => {
            let quorum = match corosync.expected {
                0 => corosync.members.to_string(),
                expected => format!("{}/{expected}", corosync.members),
            };
            let quorum = match corosync.quorate {
                true if corosync.members < corosync.expected => (WARN, format!("quorate {quorum}")),
                true => (GOOD, format!("quorate {quorum}")),
                false => (BAD, format!("NOT QUORATE {quorum}")),
            };
            let ring = if corosync.ring.is_empty() { "none yet" } else { &corosync.ring };
            vec![(PLAIN, format!("ring {ring}")), quorum]
        }
        Some(_) | None => vec![(BAD, "corosync not connected".into())],
    }
}

fn agent(agent: &Agent) -> Vec<(Style, String)> {
    let mut items = vec![(PLAIN, format!("o2cpgd {}", agent.release)), state(agent.state())];
    items.push((PLAIN, format!("up {}", spoken(agent.up_ms))));
    if agent.backend == "model" {
        items.push((WARN, "model instead of a kernel".into()));
    }
    items
}

fn state(state: State) -> (Style, String) {
    let (style, word) = match state {
        State::Ready => (GOOD, "ready"),
        State::Starting => (WARN, "starting"),
        State::Waiting => (WARN, "waiting"),
        State::Joining => (WARN, "joining"),
        State::Leaving => (WARN, "leaving"),
        State::Refused => (BAD, "refused"),
        State::Unspecified => (WARN, "in an unknown state"),
    };
    (style, word.into())
}

fn health(health: Health) -> (Style, String) {
    let (style, word) = match health {
        Health::Ok => (GOOD, "OK"),
        Health::Warn => (WARN, "WARN"),
        Health::Crit => (BAD, "CRIT"),
        Health::Unspecified => (FAINT, "unknown"),
    };
    (style, format!("health {word}"))
}

/// `pinned by 2 mounts and 1 token`.
fn pinned(status: &Status) -> String {
    let mut kinds = BTreeMap::<&str, usize>::new();
    for pin in status.pins.iter().filter(|pin| pin.node.is_empty()) {
        let thing = match pin.kind.as_str() {
            "mounted" => "mount",
            "region-broken" => "broken region",
            "legacy-group" => "legacy group",
            kind => kind,
        };
        *kinds.entry(thing).or_default() += 1;
    }
    let counts: Vec<String> = kinds.iter().map(|(thing, n)| counted(*n, thing)).collect();
    if counts.is_empty() { "not pinned".into() } else { format!("pinned by {}", counts.join(" and ")) }
}

fn change_block(out: &mut String, change: &Change, names: &Names, width: usize) {
    out.push_str(&format!("\n{}\n", styled(HEAD, "CHANGE IN PROGRESS")));
    labelled(out, 0, "", PLAIN, &format!("{}, round {}", change.step, change.round), width);
    labelled(out, 2, "answered  ", FAINT, &names.list(&change.answered), width);
    let style = if change.missing.is_empty() { FAINT } else { WARN };
    labelled(out, 2, "missing   ", style, &names.list(&change.missing), width);
}

pub(super) fn waits(out: &mut String, waits: &[Wait], width: usize) {
    if waits.is_empty() {
        return;
    }
    let since: Vec<String> = waits.iter().map(|wait| spoken(wait.since_ms)).collect();
    let right = since.iter().map(|since| columns(since)).chain([columns("SINCE")]).max().unwrap_or(0);
    let left = width - right - 2;
    let head = format!("{:left$}  {:>right$}", "WAITING FOR", "SINCE");
    out.push_str(&format!("\n{}\n", styled(HEAD, &head)));
    for (wait, since) in waits.iter().zip(&since) {
        for (n, line) in wrapped(&wait.text, left).iter().enumerate() {
            match n {
                0 => out.push_str(&format!("{line:left$}  {since:>right$}\n")),
                _ => out.push_str(&format!("{line}\n")),
            }
        }
        labelled(out, 2, "next  ", FAINT, &wait.fix, width);
    }
}

fn troubles(out: &mut String, troubles: &[Trouble], names: &Names, width: usize) {
    if troubles.is_empty() {
        return;
    }
    out.push_str(&format!("\n{}\n", styled(BAD, "TROUBLE")));
    for trouble in troubles {
        labelled(out, 0, "", PLAIN, &whose(trouble, names), width);
        labelled(out, 2, "cause  ", FAINT, &trouble.cause, width);
        labelled(out, 2, "fix    ", FAINT, &trouble.fix, width);
    }
}

/// What, with the node in front where the sentence does not begin with it.
fn whose(trouble: &Trouble, names: &Names) -> String {
    let who = names.label(trouble.nodeid);
    let is_said = trouble.nodeid == 0 || trouble.what.starts_with(&who);
    if is_said { trouble.what.clone() } else { format!("{who}: {}", trouble.what) }
}

fn pins(out: &mut String, status: &Status, verbose: u8, width: usize) {
    if status.pins.is_empty() {
        return;
    }
    let shown = if verbose > 0 { status.pins.len() } else { PINS_SHOWN };
    let mut table = Table::new(vec![Column::left("PIN"), Column::left("KEEPS"), Column::left("BECAUSE").may_be_cut()]);
    for pin in status.pins.iter().take(shown) {
        let keeps = if pin.node.is_empty() { "o2cpgd".to_owned() } else { format!("entry of {}", pin.node) };
        table.push(vec![Cell::from(&pin.kind), keeps.into(), Cell::from(&pin.text)]);
    }
    out.push('\n');
    out.push_str(&table.render(width));
    if let Some(more) = status.pins.len().checked_sub(shown).filter(|more| *more > 0) {
        out.push_str(&format!("and {more} more: o2cpg status -v\n"));
    }
}

/// Nothing is agreed, and corosync's configuration is the reason.
fn is_unplaced(status: &Status) -> bool {
    let this = status.nodes.iter().find(|node| node.this_node).map_or(0, |node| node.nodeid);
    let ours = |trouble: &&Trouble| trouble.nodeid == this && UNPLACED.contains(&trouble.kind.as_str());
    status.table.as_ref().is_none_or(|table| table.entries.is_empty()) && status.troubles.iter().any(|t| ours(&t))
}

fn first_steps(out: &mut String, width: usize) {
    out.push_str(&format!("\n{}\n", styled(HEAD, "FIRST STEPS on a corosync that is already there")));
    let steps = [
        "In /etc/corosync/corosync.conf, the same on all nodes: totem.cluster_name (letters and digits, at most 16), \
         and in the nodelist for each node name, nodeid (1 to 254) and ring0_addr (IPv4).",
        "corosync-cfgtool -R, on one node; systemctl restart corosync where a nodeid or the cluster name changed",
        "o2cpg wait --for ready; then mkfs.ocfs2 and mount as usual, without any cluster.conf",
    ];
    for (n, step) in steps.iter().enumerate() {
        labelled(out, 1, &format!("{}  ", n + 1), HEAD, step, width);
    }
}

fn details(out: &mut String, status: &Status, width: usize) {
    out.push('\n');
    if let Some(table) = &status.table {
        let entries = format!("entries {}", table.entries.len());
        let list = [(PLAIN, format!("step {}", table.step)), (PLAIN, format!("ring {}", table.ring)), (PLAIN, entries)];
        items(out, "table    ", &list, width);
    }
    if let Some(corosync) = status.corosync.as_ref().filter(|corosync| corosync.connected) {
        let ms = |name: &str, ms: u32| (PLAIN, format!("{name} {ms} ms"));
        let since = (PLAIN, format!("this view for {}", spoken(corosync.since_ms)));
        items(
            out,
            "totem    ",
            &[ms("token", corosync.token_ms), ms("consensus", corosync.consensus_ms), since],
            width,
        );
    }
    counters(out, status, width);
    for mount in &status.mounts {
        let uuid = if mount.uuid.is_empty() { String::new() } else { format!(", uuid {}", mount.uuid) };
        labelled(out, 0, "mount    ", HEAD, &format!("{} on {}{uuid}", mount.device, mount.path), width);
    }
    for found in &status.adopted {
        let why = if found.why.is_empty() { String::new() } else { format!(": {}", found.why) };
        labelled(out, 0, "at start ", HEAD, &format!("{} {}{why}", found.verdict, found.thing), width);
    }
}

fn counters(out: &mut String, status: &Status, width: usize) {
    let Some(counters) = &status.counters else { return };
    let count = |name: &str, n: u64| (PLAIN, format!("{name} {n}"));
    let list = [
        count("views", counters.views),
        count("messages", counters.messages),
        count("stale", counters.stale_messages),
        count("undecodable", counters.undecodable),
        count("ghosts", counters.ghosts),
        count("kernel operations", counters.kernel_ops),
        count("refused", counters.kernel_refusals),
    ];
    items(out, "counted  ", &list, width);
}
