//! What can be said without the daemon: configfs, mountinfo and corosync, each read directly. What cannot be read is
//! named beside what can; nothing here fails because something is missing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use configfs::{Kernel, Tree};
use cpg_glue::inspect::{self, QuorumNow};
use cpg_glue::{Config, NodeId};
use proto::control::api::{self, Corosync, CpgList, CpgMember, Mount, Node, Pin, Plan, Status, Trouble};

use super::exit::{Exit, Failure, chain};
use super::volumes::Region;
use crate::desk::cpg_list::grouped;
use crate::mountinfo::{Ocfs2Mount, ocfs2_mounts};

/// Questions to corosync for one command; they share its deadline.
const QUESTIONS: u32 = 2;
/// Shown where only the daemon knows.
const UNKNOWN: &str = "unknown";

/// What was found, each part by itself.
struct Found {
    tree: Result<Option<Tree>, configfs::Error>,
    mounts: io::Result<Vec<Mount>>,
    config: Result<Config, cpg_glue::Error>,
    quorum: Result<QuorumNow, cpg_glue::Error>,
    kernel: String,
    stack: String,
}

/// `status --local` and `nodes --local`.
pub(super) fn status(within: Duration) -> Status {
    let until = Instant::now() + within;
    let config = inspect::config(within / QUESTIONS);
    assembled(&Found {
        tree: tree(),
        mounts: mounts(),
        quorum: inspect::quorum(until.saturating_duration_since(Instant::now())),
        config,
        kernel: line_of("/proc/sys/kernel/osrelease").unwrap_or_default(),
        stack: line_of("/sys/fs/ocfs2/cluster_stack").unwrap_or_default(),
    })
}

/// `plan --local`: the kernel's side alone; what was agreed is known to the daemon only.
pub(super) fn plan() -> Result<Plan, Failure> {
    let tree = tree().map_err(|error| Failure::new(Exit::Failed, chain(&error), "", fix_of_tree(&error)))?;
    let line = |node: &configfs::Node| api::plan::Line {
        mark: String::new(),
        thing: format!("node {node}"),
        why: "not compared: what was agreed is known to o2cpgd only".into(),
    };
    let root = tree.as_ref().map_or_else(|| root().into(), |tree| format!("{}/{}", root(), tree.name));
    let lines = tree.iter().flat_map(|tree| tree.nodes.values()).map(line).collect();
    Ok(Plan { schema: "o2cpg.plan/1".into(), root, lines, ..Plan::default() })
}

/// The heartbeat regions, without the mounts that use them.
pub(super) fn regions() -> Result<Vec<Region>, Failure> {
    let tree = tree().map_err(|error| Failure::new(Exit::Failed, chain(&error), "", fix_of_tree(&error)))?;
    let region = |(name, region): (&configfs::RegionName, &configfs::Region)| Region {
        uuid: name.to_string(),
        device: region.device.clone().unwrap_or_default(),
        pid: region.pid,
        paths: Vec::new(),
    };
    Ok(tree.iter().flat_map(|tree| &tree.regions).map(region).collect())
}

/// `cpg list --local`: asks corosync as corosync-cpgtool does.
pub(super) fn cpg_list(within: Duration) -> Result<CpgList, Failure> {
    let until = Instant::now() + within;
    let left = || until.saturating_duration_since(Instant::now());
    let members = inspect::groups(left()).map_err(|error| unreachable_cluster(&error))?;
    // Addresses and ghosts are an addition: where they cannot be had, the list is still worth showing.
    let (config, quorum) = (inspect::config(left()).ok(), inspect::quorum(left()).ok());
    let shown = |member: cpg_glue::Member| {
        let ghost = quorum.as_ref().is_some_and(|quorum| !quorum.members.contains(&member.nodeid));
        let address = config.as_ref().map_or_else(String::new, |config| addresses(config, member.nodeid));
        CpgMember { nodeid: member.nodeid.0, pid: member.pid, address, ghost }
    };
    let groups = grouped(members.into_iter().map(|(name, member)| (name.0, shown(member))));
    Ok(CpgList { schema: "o2cpg.cpg/1".into(), groups })
}

fn unreachable_cluster(error: &cpg_glue::Error) -> Failure {
    let exit = if matches!(error, cpg_glue::Error::Silent { .. }) { Exit::TimedOut } else { Exit::ClusterUnreachable };
    Failure::new(exit, "corosync cannot be asked", chain(error), FIX_COROSYNC)
}

const FIX_COROSYNC: &str = "systemctl status corosync; it answers root only, unless its uidgid section says otherwise";

fn root() -> &'static str {
    configfs::kernel::DEFAULT_ROOT
}

fn tree() -> Result<Option<Tree>, configfs::Error> {
    configfs::read_tree(&Kernel::open(root())?)
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn addresses(config: &Config, nodeid: NodeId) -> String {
    let node = config.nodes.get(&nodeid);
    node.map_or_else(String::new, |node| node.addresses.values().cloned().collect::<Vec<String>>().join(" "))
}

/// The volume ids are left out: they are on the disks, and reading a disk can block.
fn mounts() -> io::Result<Vec<Mount>> {
    let mount = |mount: Ocfs2Mount| Mount {
        device: mount.device.to_string_lossy().into_owned(),
        path: mount.path.to_string_lossy().into_owned(),
        uuid: String::new(),
    };
    let mounts = ocfs2_mounts(&fs::read("/proc/self/mountinfo")?);
    Ok(mounts.into_iter().map(mount).collect())
}

/// The parts as one status, in the structure that the daemon would send.
fn assembled(found: &Found) -> Status {
    let tree = found.tree.as_ref().ok().and_then(Option::as_ref);
    let configured = found.config.as_ref().map(|config| config.cluster_name.clone()).ok();
    let mounts = found.mounts.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
    Status {
        schema: "o2cpg.status/1".into(),
        cluster: configured.or_else(|| Some(tree?.name.clone())).unwrap_or_default(),
        stack: found.stack.clone(),
        kernel: found.kernel.clone(),
        corosync: Some(corosync(found)),
        nodes: nodes(found, tree, mounts.len()),
        troubles: troubles(found),
        pins: mounts.iter().map(pin).collect(),
        mounts,
        ..Status::default()
    }
}

fn pin(mount: &Mount) -> Pin {
    Pin { kind: "mounted".into(), text: format!("ocfs2 volume mounted on {}", mount.path), node: String::new() }
}

fn corosync(found: &Found) -> Corosync {
    let (config, quorum) = (found.config.as_ref().ok(), found.quorum.as_ref().ok());
    let ms = |ms: Option<u64>| ms.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(0);
    let count = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Corosync {
        connected: quorum.is_some(),
        ring: quorum.map_or_else(String::new, |now| format!("{}.{:x}", now.ring.nodeid, now.ring.seq)),
        quorate: quorum.is_some_and(|now| now.quorate),
        members: count(quorum.map(|now| now.members.len())),
        expected: count(config.map(|config| config.nodes.len())),
        since_ms: 0,
        token_ms: ms(config.map(|config| config.token_ms)),
        consensus_ms: ms(config.map(|config| config.consensus_ms)),
    }
}

/// corosync's nodes, then what only the kernel has.
fn nodes(found: &Found, tree: Option<&Tree>, mounts: usize) -> Vec<Node> {
    let config = found.config.as_ref().ok();
    let members: BTreeSet<NodeId> = found.quorum.iter().flat_map(|now| now.members.iter().copied()).collect();
    let known: BTreeSet<NodeId> =
        config.iter().flat_map(|config| config.nodes.keys().copied()).chain(members.iter().copied()).collect();
    let mut taken = BTreeSet::new();
    let mut nodes = Vec::new();
    for nodeid in known {
        let configured = config.and_then(|config| config.nodes.get(&nodeid));
        let entry = tree.and_then(|tree| entry_of(tree, configured));
        taken.extend(entry.map(|entry| entry.num));
        let word = match &found.quorum {
            Err(_) => UNKNOWN,
            Ok(_) if members.contains(&nodeid) => "member",
            Ok(_) => "gone",
        };
        let this = config.is_some_and(|config| config.local == nodeid);
        let name = configured.and_then(|node| node.name.clone()).unwrap_or_else(|| format!("node {nodeid}"));
        nodes.push(node(name, nodeid.0, word, this, entry));
    }
    let strays = tree.into_iter().flat_map(|tree| tree.nodes.values()).filter(|entry| !taken.contains(&entry.num));
    nodes.extend(strays.map(|entry| node(entry.name.to_string(), 0, UNKNOWN, false, Some(entry))));
    for node in nodes.iter_mut().filter(|node| node.this_node) {
        node.mounts = u32::try_from(mounts).unwrap_or(u32::MAX);
    }
    nodes
}

/// The entry with one of the node's addresses, or with its name.
fn entry_of<'a>(tree: &'a Tree, configured: Option<&cpg_glue::config::Node>) -> Option<&'a configfs::Node> {
    let configured = configured?;
    let has_address = |entry: &configfs::Node| {
        let address = entry.address.as_ipv4().to_string();
        configured.addresses.values().any(|known| *known == address)
    };
    let has_name = |entry: &configfs::Node| configured.name.as_deref() == Some(entry.name.as_str());
    tree.nodes.values().find(|entry| has_address(entry)).or_else(|| tree.nodes.values().find(|entry| has_name(entry)))
}

fn node(name: String, nodeid: u32, corosync: &str, is_known_local: bool, entry: Option<&configfs::Node>) -> Node {
    Node {
        name,
        nodeid,
        number: entry.map(|entry| u32::from(entry.num.as_u8())),
        address: entry.map_or_else(String::new, |entry| entry.address.to_string()),
        port: entry.map_or(0, |entry| u32::from(entry.port.as_u16())),
        this_node: is_known_local || entry.is_some_and(|entry| entry.local),
        corosync: corosync.into(),
        agent: UNKNOWN.into(),
        standing: UNKNOWN.into(),
        in_table: UNKNOWN.into(),
        in_kernel: entry.is_some(),
        ..Node::default()
    }
}

/// One for each part that could not be read.
fn troubles(found: &Found) -> Vec<Trouble> {
    let trouble = |kind: &str, what: &str, cause: String, fix: &str| Trouble {
        kind: kind.into(),
        nodeid: 0,
        what: what.into(),
        cause,
        fix: fix.into(),
    };
    let tree = match &found.tree {
        Ok(Some(_)) => None,
        Ok(None) => {
            let cause = "o2cpgd makes it when this node is let in".to_owned();
            Some(trouble("no-cluster", "configfs has no cluster yet", cause, "systemctl start o2cpgd"))
        }
        Err(error) => {
            Some(trouble("kernel", "the kernel's node tree cannot be read", chain(error), fix_of_tree(error)))
        }
    };
    let mounts = found.mounts.as_ref().err();
    let mounts = mounts.map(|error| trouble("mounts", "the mounts cannot be read", chain(error), "is /proc mounted?"));
    let asked = found.config.as_ref().err().or(found.quorum.as_ref().err());
    let asked = asked.map(|error| trouble("corosync", "corosync cannot be asked", chain(error), FIX_COROSYNC));
    tree.into_iter().chain(mounts).chain(asked).collect()
}

fn fix_of_tree(error: &configfs::Error) -> &'static str {
    match error {
        configfs::Error::NotMounted { .. } => "systemctl start sys-kernel-config.mount; modprobe ocfs2_stack_o2cb",
        configfs::Error::NoNodemanager { .. } => "modprobe ocfs2_stack_o2cb",
        _ => "run this as root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfs::model::Model;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn nothing() -> Found {
        let silent = || cpg_glue::Error::Silent { call: cpg_glue::Call::CmapInitialize, after_ms: 5 };
        Found {
            tree: Err(configfs::Error::NotMounted { path: PathBuf::from("/sys/kernel/config") }),
            mounts: Ok(vec![]),
            config: Err(silent()),
            quorum: Err(silent()),
            kernel: "6.1.0".into(),
            stack: String::new(),
        }
    }

    fn config() -> Config {
        let node = |name: &str, address: &str| cpg_glue::config::Node {
            name: Some(name.into()),
            addresses: BTreeMap::from([(0, address.to_owned())]),
        };
        Config {
            cluster_name: "lab".into(),
            local: NodeId(1),
            nodes: BTreeMap::from([(NodeId(1), node("alpha", "10.0.0.1")), (NodeId(2), node("bravo", "10.0.0.2"))]),
            token_ms: 3_000,
            consensus_ms: 3_600,
            quorum: cpg_glue::config::QuorumConfig::default(),
            own: BTreeMap::new(),
        }
    }

    fn tree() -> Tree {
        let node = |name: &str, num: u32, address: &str, local| configfs::Node {
            name: configfs::NodeName::new(name).unwrap(),
            num: configfs::NodeNum::new(num).unwrap(),
            address: configfs::Address::new(address.parse().unwrap()).unwrap(),
            port: configfs::Port::new(7777).unwrap(),
            local,
        };
        let nodes = [node("alpha", 1, "10.0.0.1", true), node("stranger", 9, "10.0.0.9", false)];
        let cluster =
            configfs::Cluster::new(configfs::ClusterName::new("lab").unwrap(), configfs::Attributes::default(), nodes);
        let mut model = Model::new().with_host_addresses(["10.0.0.1".parse().unwrap()]);
        configfs::apply(&mut model, &configfs::additions(None, &cluster.unwrap())).unwrap();
        configfs::read_tree(&model).unwrap().unwrap()
    }

    #[test]
    fn everything_that_is_missing_is_named_with_what_to_do() {
        let status = assembled(&nothing());
        let kinds: Vec<&str> = status.troubles.iter().map(|trouble| trouble.kind.as_str()).collect();
        assert_eq!(kinds, ["kernel", "corosync"]);
        assert!(status.troubles.iter().all(|trouble| !trouble.fix.is_empty()));
        assert_eq!(status.health(), api::Health::Unspecified);
    }

    #[test]
    fn corosyncs_nodes_and_the_kernels_entries_are_brought_together_by_address() {
        let ring = cpg_glue::RingId { nodeid: NodeId(1), seq: 0x3f2 };
        let quorum = QuorumNow { quorate: true, ring, members: vec![NodeId(1)] };
        let found = Found { tree: Ok(Some(tree())), config: Ok(config()), quorum: Ok(quorum), ..nothing() };
        let status = assembled(&found);
        let seen = |node: &Node| (node.name.clone(), node.nodeid, node.number, node.corosync.clone(), node.in_kernel);
        assert_eq!(
            status.nodes.iter().map(seen).collect::<Vec<_>>(),
            [
                ("alpha".into(), 1, Some(1), "member".into(), true),
                ("bravo".into(), 2, None, "gone".into(), false),
                ("stranger".into(), 0, Some(9), UNKNOWN.into(), true),
            ]
        );
        assert_eq!(status.corosync.unwrap().ring, "1.3f2");
        assert!(status.troubles.is_empty());
    }
}
