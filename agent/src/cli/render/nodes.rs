//! The table of nodes.

use anstyle::Style;
use proto::control::api::{Node, Status};

use crate::cli::duration::spoken;
use crate::cli::table::{Cell, Column, Table};
use crate::cli::text::{BAD, HEAD, PLAIN, WARN, labelled};

/// `o2cpg nodes`: one line each, with how long corosync has had it so.
#[must_use]
pub fn nodes(status: &Status, width: usize) -> String {
    if status.nodes.is_empty() { "no node is known yet\n".into() } else { table(&status.nodes, true).render(width) }
}

/// What `o2cpg forget` is about to do, for the person who has to type the name.
#[must_use]
pub fn node_removal(node: &Node, width: usize) -> String {
    let mut text = table(std::slice::from_ref(node), true).render(width);
    let warning = "All members will remove this entry from their kernels, if none of them needs it. Volumes that the node \
                   still has mounted would lose their cluster: be sure that it is down.";
    labelled(&mut text, 0, "", PLAIN, warning, width);
    text
}

/// The columns; `since`: with the time corosync has had the node so.
pub(super) fn table(nodes: &[Node], since: bool) -> Table {
    let every = |holds: &dyn Fn(&Node) -> bool| nodes.iter().all(holds);
    let mut columns = vec![
        Column::left("NODE").may_be_cut(),
        Column::right("ID"),
        Column::right("O2CB").spare_if(every(&|node| node.number.is_none_or(|number| number == node.nodeid))),
        Column::left("ADDRESS:PORT"),
        Column::left("COROSYNC").spare_if(every(&|node| node.corosync == "unknown")),
        Column::left("AGENT").may_be_cut().spare_if(every(&|node| node.agent == "unknown")),
        Column::left("STANDING").spare_if(every(&|node| node.standing == "unknown")),
        Column::left("TABLE").spare_if(every(&|node| node.in_table == "unknown")),
        Column::left("KERNEL").spare_if(every(&|node| node.in_kernel == is_in_table(node))),
        Column::right("MOUNTS"),
    ];
    if since {
        columns.push(Column::right("SINCE"));
    }
    let mut table = Table::new(columns);
    for node in nodes {
        let mut row = row(node);
        if since {
            row.push(if node.since_ms == 0 { "-".into() } else { spoken(node.since_ms).into() });
        }
        table.push(row);
    }
    table
}

fn row(node: &Node) -> Vec<Cell> {
    let this = if node.this_node { " (this)" } else { "" };
    let address = if node.address.is_empty() { "-".into() } else { format!("{}:{}", node.address, node.port) };
    let agent_silent = matches!(node.agent.as_str(), "silent" | "none");
    let has_said_nothing = agent_silent || node.agent == "unknown";
    vec![
        Cell::new(if node.this_node { HEAD } else { PLAIN }, format!("{}{this}", node.name)),
        if node.nodeid == 0 { "-".into() } else { node.nodeid.into() },
        node.number.map_or_else(|| "-".into(), Cell::from),
        address.into(),
        Cell::new(if node.corosync == "gone" { BAD } else { PLAIN }, &node.corosync),
        Cell::new(if agent_silent { WARN } else { PLAIN }, &node.agent),
        Cell::new(standing_style(node), &node.standing),
        Cell::new(table_style(&node.in_table), &node.in_table),
        Cell::new(kernel_style(node), if node.in_kernel { "yes" } else { "no" }),
        if has_said_nothing && !node.this_node { "-".into() } else { node.mounts.into() },
    ]
}

/// The kernel should hold what the table has; while an entry is on its way, either is right.
fn is_in_table(node: &Node) -> bool {
    node.in_table != "no"
}

fn standing_style(node: &Node) -> Style {
    match node.standing.as_str() {
        "gone" if node.corosync == "unknown" => PLAIN,
        "refused" | "gone" => BAD,
        "joining" | "absent" | "none" => WARN,
        _ => PLAIN,
    }
}

fn table_style(in_table: &str) -> Style {
    if matches!(in_table, "adding" | "removing") { WARN } else { PLAIN }
}

fn kernel_style(node: &Node) -> Style {
    if node.in_table == "yes" && !node.in_kernel { BAD } else { PLAIN }
}
