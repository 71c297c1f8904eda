//! Every closed process group of corosync, with ghosts marked.

use super::no;
use cpg_glue::inspect;
use proto::control::api::{self, refusal::Kind, response::Answer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Asks the local corosync. Blocks until it answers or the time is over.
pub(super) fn ask(within: Duration) -> Answer {
    let until = Instant::now() + within;
    let left = || until.saturating_duration_since(Instant::now());
    let groups = inspect::groups(left());
    let ring = groups.as_ref().ok().map(|_| inspect::quorum(left()));
    let addresses = inspect::config(left()).map(|config| addresses(&config)).unwrap_or_default();
    match (groups, ring) {
        (Ok(groups), Some(Ok(now))) => {
            let ring = now.members.iter().map(|node| node.0).collect();
            Answer::CpgList(list(groups, &ring, &addresses))
        }
        (Err(error), _) | (_, Some(Err(error))) => refusal(&error),
        (Ok(_), None) => no(Kind::Failed, "corosync was not asked for its ring", "", ""),
    }
}

fn refusal(error: &cpg_glue::Error) -> Answer {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    no(Kind::ClusterUnreachable, &error.to_string(), &cause, "systemctl status corosync")
}

/// The addresses of each node on all links, as corosync-cpgtool shows them.
fn addresses(config: &cpg_glue::Config) -> BTreeMap<u32, String> {
    let text = |node: &cpg_glue::config::Node| node.addresses.values().cloned().collect::<Vec<_>>().join(" ");
    config.nodes.iter().map(|(nodeid, node)| (nodeid.0, text(node))).collect()
}

/// A member whose node is not in the ring is a ghost.
fn list(
    groups: Vec<(cpg_glue::RawName, cpg_glue::Member)>,
    ring: &BTreeSet<u32>,
    addresses: &BTreeMap<u32, String>,
) -> api::CpgList {
    let member = |member: cpg_glue::Member| {
        let nodeid = member.nodeid.0;
        let address = addresses.get(&nodeid).cloned().unwrap_or_default();
        api::CpgMember { nodeid, pid: member.pid, address, ghost: !ring.contains(&nodeid) }
    };
    let named = groups.into_iter().map(|(name, of)| (name.0, member(of)));
    api::CpgList { schema: "o2cpg.cpg/1".into(), groups: grouped(named) }
}

/// Groups in corosync's order, which is that of corosync-cpgtool; it lists the members of one group in a row.
pub(crate) fn grouped(members: impl IntoIterator<Item = (Vec<u8>, api::CpgMember)>) -> Vec<api::CpgGroup> {
    let mut groups: Vec<api::CpgGroup> = Vec::new();
    for (name, member) in members {
        match groups.last_mut().filter(|group| group.name == name) {
            Some(group) => group.members.push(member),
            None => groups.push(api::CpgGroup { name, members: vec![member] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpg_glue::{Member, NodeId, RawName};

    #[test]
    fn members_outside_the_ring_are_ghosts_and_the_order_is_corosyncs() {
        let member = |nodeid| Member { nodeid: NodeId(nodeid), pid: 100 + nodeid };
        let (a, b) = (RawName(b"a\0".to_vec()), RawName(b"b".to_vec()));
        let groups = vec![(b.clone(), member(1)), (b, member(1)), (a, member(2))];
        let addresses = BTreeMap::from([(1, "10.0.0.1".to_owned())]);
        let list = list(groups, &BTreeSet::from([1]), &addresses);
        let shown: Vec<_> = list.groups.iter().map(|group| (group.name.as_slice(), group.members[0].ghost)).collect();
        assert_eq!(shown, [(b"b".as_slice(), false), (b"a\0".as_slice(), true)]);
        assert_eq!(list.groups[0].members[1].address, "10.0.0.1");
    }
}
