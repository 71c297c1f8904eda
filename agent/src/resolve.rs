//! The nodelist's addresses on the chosen link → IPv4, or why there is none. Host names are looked up on threads of their
//! own with a deadline: a name server that does not answer must not hold up anything, nor one name the others.

use agent_core::event::{ClusterConfig, ConfiguredNode};
use agent_core::ids::NodeId;
use cpg_glue::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// All names of a nodelist together.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);
/// Look-ups at a time, with those that were given up and still run.
const THREADS_MAX: usize = 8;

/// What became of a host name.
type Answer = Result<Ipv4Addr, String>;
/// Host names and what became of them.
pub(crate) type Names = BTreeMap<String, Answer>;

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

/// Looks names up, and gives those up that have no answer after [`LOOKUP_WITHIN`]. `threads` counts those that look up, and
/// those that were left behind.
pub(crate) async fn look_up(wanted: BTreeSet<String>, threads: Arc<()>) -> Names {
    look_up_with(resolve, wanted, threads, LOOKUP_WITHIN).await
}

async fn look_up_with(
    resolve: impl Fn(&str) -> Answer + Clone + Send + 'static,
    wanted: BTreeSet<String>,
    threads: Arc<()>,
    within: Duration,
) -> Names {
    let until = Instant::now() + within;
    let (sender, mut answers) = mpsc::channel(wanted.len().max(1));
    let left = Arc::new(Mutex::new(wanted.clone().into_iter()));
    let mut why = "earlier look-ups still hang".to_owned();
    // Two are no threads: this look-up, and whoever asks.
    let room = (THREADS_MAX + 2).saturating_sub(Arc::strong_count(&threads));
    for _ in 0..room.min(wanted.len()) {
        let (resolve, sender, left, counted) = (resolve.clone(), sender.clone(), left.clone(), threads.clone());
        let thread = std::thread::Builder::new().name("o2cpgd-resolver".into());
        let started = thread.spawn(move || {
            let _counted = counted;
            answer_all(resolve, &left, &sender);
        });
        why = started.map_or_else(|error| error.to_string(), |_| format!("no answer within {} s", within.as_secs()));
    }
    drop(sender);
    let failed = |name: String| (name.clone(), Err(format!("host name {name}: {why}")));
    let mut names: Names = wanted.into_iter().map(failed).collect();
    while let Ok(Some((name, answer))) = timeout_at(until, answers.recv()).await {
        names.insert(name, answer);
    }
    names
}

/// One name after another, as long as somebody waits for answers.
fn answer_all(
    resolve: impl Fn(&str) -> Answer,
    left: &Mutex<impl Iterator<Item = String>>,
    answers: &mpsc::Sender<(String, Answer)>,
) {
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    while let Some(name) = next() {
        let answer = resolve(&name);
        if answers.try_send((name, answer)).is_err() {
            return;
        }
    }
}

fn resolve(name: &str) -> Answer {
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

    #[test]
    fn a_name_without_an_answer_takes_no_other_with_it() {
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let never = Arc::new(Mutex::new(never));
        let resolve = move |name: &str| match name {
            "alpha" => Err(never.lock().unwrap().recv().unwrap_err().to_string()),
            _ => Ok([10, 0, 0, 2].into()),
        };
        let wanted: BTreeSet<String> = ["alpha", "bravo", "charlie"].map(str::to_owned).into();
        let threads = Arc::new(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let look_up = |wanted, within| {
            runtime.block_on(look_up_with(resolve.clone(), wanted, threads.clone(), Duration::from_secs(within)))
        };
        let names = look_up(wanted.clone(), 1);
        assert_eq!(names["alpha"], Err("host name alpha: no answer within 1 s".into()));
        assert_eq!([&names["bravo"], &names["charlie"]], [&Ok([10, 0, 0, 2].into()); 2]);
        // Those that hang are counted.
        let hanging: Vec<Arc<()>> = vec![threads.clone(); THREADS_MAX - 1];
        assert_eq!(look_up(wanted, 60)["bravo"], Err("host name bravo: earlier look-ups still hang".into()));
        drop(hanging);
    }
}
