//! Answers as text: pure functions from the structures of the contract to lines of a given width.

mod can_stop;
mod config;
mod cpg;
mod events;
mod groups;
mod legacy;
mod log;
mod nodes;
mod plan;
mod stack;
mod status;
mod volumes;

use std::collections::BTreeMap;

use proto::control::api;

pub use self::can_stop::can_stop;
pub use self::config::config;
pub use self::cpg::cpg_list;
pub use self::events::{event_json, event_line};
pub use self::groups::groups;
pub(crate) use self::legacy::legacy_groups;
pub use self::legacy::{group_tool, state_of};
pub use self::log::log;
pub use self::nodes::{node_removal, nodes};
pub use self::plan::plan;
pub use self::stack::{chosen, offline, stack};
pub use self::status::status;
pub use self::volumes::{mounts, regions};

/// Names of nodes, for the places that have a nodeid only.
struct Names<'a>(BTreeMap<u32, &'a str>);

impl<'a> Names<'a> {
    fn of(nodes: &'a [api::Node]) -> Names<'a> {
        Names(nodes.iter().map(|node| (node.nodeid, node.name.as_str())).collect())
    }

    /// `bravo (2)`, or `node 2` where it has no name of its own.
    fn label(&self, nodeid: u32) -> String {
        let unnamed = format!("node {nodeid}");
        match self.0.get(&nodeid).filter(|name| !name.is_empty() && **name != unnamed) {
            Some(name) => format!("{name} ({nodeid})"),
            None => unnamed,
        }
    }

    fn list(&self, nodeids: &[u32]) -> String {
        if nodeids.is_empty() {
            return "nobody".into();
        }
        nodeids.iter().map(|nodeid| self.label(*nodeid)).collect::<Vec<String>>().join(", ")
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
