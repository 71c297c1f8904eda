//! The nodelist's addresses on the chosen link → IPv4, or why there is none. Host names are looked up on a thread of their
//! own with a deadline: a name server that does not answer must not hold up anything.

use agent_core::event::{ClusterConfig, ConfiguredNode};
use agent_core::ids::NodeId;
use cpg_glue::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// All names of a nodelist together.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);
/// Look-ups that were given up and still run.
const THREADS_MAX: usize = 4;

/// Host names and what became of them.
pub(crate) type Names = BTreeMap<String, Result<Ipv4Addr, String>>;

/// The host names among the addresses of this link.
pub(crate) fn host_names(config: &Config, link: u8) -> BTreeSet<String> {
    let addresses = config.nodes.values().filter_map(|node| node.addresses.get(&link));
    addresses.filter(|text| text.parse::<IpAddr>().is_err()).cloned().collect()
}

/// What the core is told. A name that is not in `names` counts as not resolved.
pub(crate) fn cluster_config(config: &Config, link: u8, names: &Names) -> ClusterConfig {
    let node = |(nodeid, node): (&cpg_glue::NodeId, &cpg_glue::config::Node)| {
        let text = node.addresses.get(&link);
        let address = text.map_or_else(|| Err(format!("no ring{link}_addr")), |text| address(text, names));
        (NodeId(nodeid.0), ConfiguredNode { name: node.name.clone(), address })
    };
    let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    ClusterConfig {
        cluster_name: config.cluster_name.clone(),
        nodes: config.nodes.iter().map(node).collect(),
        token_ms: ms(config.token_ms),
        consensus_ms: ms(config.consensus_ms),
        lacks_quorum: config.quorum.provider.is_none(),
    }
}

/// A name server that does not answer takes nothing back: what it said last counts.
pub(crate) fn with_known(names: &Names, known: &Names) -> Names {
    let last = |name: &String| known.get(name).filter(|answer| answer.is_ok()).cloned();
    let of_name = |(name, now): (&String, &Result<Ipv4Addr, String>)| {
        (name.clone(), now.clone().or_else(|why| last(name).unwrap_or(Err(why))))
    };
    names.iter().map(of_name).collect()
}

fn address(text: &str, names: &Names) -> Result<Ipv4Addr, String> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(address),
        Ok(IpAddr::V6(address)) => Err(address.to_string()),
        Err(_) => names.get(text).cloned().unwrap_or_else(|| Err(format!("host name {text} is not resolved"))),
    }
}

/// Looks names up, and gives up after [`LOOKUP_WITHIN`]. `threads` counts those that were left behind.
pub(crate) async fn look_up(wanted: BTreeSet<String>, threads: Arc<()>) -> Names {
    let failed =
        |why: &str| wanted.iter().map(|name| (name.clone(), Err(format!("host name {name}: {why}")))).collect();
    if Arc::strong_count(&threads) > THREADS_MAX + 1 {
        return failed("earlier look-ups still hang");
    }
    let (sender, receiver) = oneshot::channel();
    let names = wanted.clone();
    let thread = std::thread::Builder::new().name("o2cpgd-resolver".into()).spawn(move || {
        let _counted = threads;
        _ = sender.send(names.into_iter().map(|name| (name.clone(), resolve(&name))).collect());
    });
    match (thread, tokio::time::timeout(LOOKUP_WITHIN, receiver).await) {
        (Ok(_), Ok(Ok(names))) => names,
        (Err(error), _) => failed(&error.to_string()),
        (Ok(_), Ok(Err(_)) | Err(_)) => failed(&format!("no answer within {} s", LOOKUP_WITHIN.as_secs())),
    }
}

fn resolve(name: &str) -> Result<Ipv4Addr, String> {
    let found: Vec<IpAddr> = (name, 0)
        .to_socket_addrs()
        .map_err(|error| format!("host name {name}: {error}"))?
        .map(|address| address.ip())
        .collect();
    let v4 = found.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    v4.ok_or_else(|| {
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        format!("host name {name} is only {}", found.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addresses: &[(u32, u8, &str)]) -> Config {
        let mut keys: cpg_glue::config::Keys = BTreeMap::new();
        keys.insert("totem.cluster_name".into(), "lab".into());
        keys.insert("runtime.config.totem.token".into(), "3000".into());
        keys.insert("runtime.config.totem.consensus".into(), "3600".into());
        for (nodeid, link, address) in addresses {
            keys.insert(format!("nodelist.node.{nodeid}.nodeid"), nodeid.to_string());
            keys.insert(format!("nodelist.node.{nodeid}.ring{link}_addr"), (*address).into());
        }
        Config::from_keys(&keys, cpg_glue::NodeId(1)).unwrap()
    }

    fn addresses(config: &Config, link: u8, names: &Names) -> Vec<Result<Ipv4Addr, String>> {
        cluster_config(config, link, names).nodes.into_values().map(|node| node.address).collect()
    }

    #[test]
    fn only_the_chosen_link_counts() {
        let config = config(&[(1, 0, "fd00::1"), (1, 1, "10.0.1.1"), (2, 0, "10.0.0.2")]);
        assert_eq!(addresses(&config, 0, &Names::new()), [Err("fd00::1".into()), Ok([10, 0, 0, 2].into())]);
        assert_eq!(addresses(&config, 1, &Names::new()), [Ok([10, 0, 1, 1].into()), Err("no ring1_addr".into())]);
    }

    #[test]
    fn names_are_used_as_they_were_resolved() {
        let config = config(&[(1, 0, "alpha"), (2, 0, "10.0.0.2"), (3, 0, "charlie")]);
        assert_eq!(host_names(&config, 0), BTreeSet::from(["alpha".into(), "charlie".into()]));
        let names = Names::from([("alpha".into(), Ok([10, 0, 0, 1].into()))]);
        let found = addresses(&config, 0, &names);
        assert_eq!(found[0], Ok([10, 0, 0, 1].into()));
        assert_eq!(found[2], Err("host name charlie is not resolved".into()));
    }

    #[test]
    fn without_a_provider_there_is_no_quorum() {
        assert!(cluster_config(&config(&[]), 0, &Names::new()).lacks_quorum);
        let keys = cpg_glue::config::Keys::from([
            ("runtime.config.totem.token".into(), "3000".into()),
            ("runtime.config.totem.consensus".into(), "3600".into()),
            ("quorum.provider".into(), "corosync_votequorum".into()),
        ]);
        let config = Config::from_keys(&keys, cpg_glue::NodeId(1)).unwrap();
        assert!(!cluster_config(&config, 0, &Names::new()).lacks_quorum);
    }

    #[test]
    fn an_answer_that_fails_to_come_takes_none_back() {
        let (first, second) = (Ok([10, 0, 0, 1].into()), Ok([10, 0, 0, 9].into()));
        let known = Names::from([("alpha".into(), first.clone()), ("gone".into(), first.clone())]);
        let silent = Names::from([("alpha".into(), Err("no answer".into())), ("new".into(), Err("no answer".into()))]);
        let held = with_known(&silent, &known);
        assert_eq!(held, Names::from([("alpha".into(), first), ("new".into(), Err("no answer".into()))]));
        let answer = Names::from([("alpha".into(), second.clone())]);
        assert_eq!(with_known(&answer, &held), Names::from([("alpha".into(), second)]));
    }

    #[test]
    fn localhost_resolves_and_nonsense_says_why() {
        assert_eq!(resolve("localhost"), Ok(Ipv4Addr::LOCALHOST));
        assert!(resolve("no such host").unwrap_err().starts_with("host name no such host: "));
    }
}
