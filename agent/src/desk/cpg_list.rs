//! Every closed process group of corosync, with ghosts marked.

use super::no;
use cpg_glue::inspect;
use proto::control::api::{self, refusal::Kind, response::Answer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Questions to corosync at a time: each has two threads and a connection, until it is answered.
const QUESTIONS_MAX: usize = 2;

/// The questions that are under way, also those that nobody waits for any more.
pub(crate) struct CpgLists {
    seats: Arc<Semaphore>,
}

impl Default for CpgLists {
    fn default() -> CpgLists {
        CpgLists { seats: Arc::new(Semaphore::new(QUESTIONS_MAX)) }
    }
}

impl CpgLists {
    /// Asks the local corosync on a thread of its own.
    pub(crate) async fn ask(&self, within: Duration) -> Answer {
        self.ask_with(within, || ask().unwrap_or_else(|error| refusal(&error))).await
    }

    async fn ask_with(&self, within: Duration, ask: impl FnOnce() -> Answer + Send + 'static) -> Answer {
        let Ok(seat) = self.seats.clone().try_acquire_owned() else {
            return no(Kind::Failed, "corosync is being asked already", "it does not answer", "corosync-cfgtool -s");
        };
        let (sender, answer) = oneshot::channel();
        let thread = std::thread::Builder::new().name("o2cpgd-cpglist".into());
        let asked = thread.spawn(move || {
            let answer = ask();
            drop(seat);
            _ = sender.send(answer);
        });
        match (asked, timeout(within, answer).await) {
            (Ok(_), Ok(Ok(answer))) => answer,
            (Err(error), _) => no(Kind::Failed, "starting a thread", &error.to_string(), ""),
            (Ok(_), Ok(Err(_))) => no(Kind::Failed, "asking corosync", "the thread ended without an answer", ""),
            (Ok(_), Err(_)) => {
                let what = format!("no answer from corosync within {} ms", within.as_millis());
                no(Kind::ClusterUnreachable, &what, "is it stopped or overloaded?", "systemctl status corosync")
            }
        }
    }
}

/// Blocks until corosync has answered or is gone: a question that is given up sooner would be one that nobody counts.
fn ask() -> Result<Answer, cpg_glue::Error> {
    let groups = inspect::groups(Duration::MAX)?;
    let ring = inspect::quorum(Duration::MAX)?.members.iter().map(|node| node.0).collect();
    let addresses = inspect::config(Duration::MAX).map(|config| addresses(&config)).unwrap_or_default();
    Ok(Answer::CpgList(list(groups, &ring, &addresses)))
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

    fn in_time<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn a_question_keeps_its_seat_until_corosync_has_answered() {
        let lists = CpgLists::default();
        let kind = |answer: Answer| match answer {
            Answer::Refusal(refusal) => refusal.kind(),
            other => panic!("{other:?}"),
        };
        let answer = || no(Kind::Usage, "an answer", "", "");
        in_time(async {
            let mut silent = Vec::new();
            for _ in 0..QUESTIONS_MAX {
                let (keep, never) = std::sync::mpsc::channel::<()>();
                let hang = move || never.recv().map_or_else(|_| answer(), |()| answer());
                let given_up = lists.ask_with(Duration::from_millis(1), hang).await;
                assert_eq!(kind(given_up), Kind::ClusterUnreachable);
                silent.push(keep);
            }
            assert_eq!(kind(lists.ask_with(Duration::from_secs(60), answer).await), Kind::Failed);
            drop(silent);
            drop(lists.seats.acquire_many(2).await.unwrap());
            assert_eq!(kind(lists.ask_with(Duration::from_secs(60), answer).await), Kind::Usage);
        });
    }
}
