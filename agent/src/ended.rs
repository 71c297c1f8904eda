//! Processes of our own node that corosync lists although they have ended.
//!
//! corosync before 2ab885ab may go on listing a process of a node that was lost and back between two rings, on that node, too
//! (seen under chaos). All would wait for its Hello for ever. Whether a process of our own node runs is known here, so one
//! that does not is left out of the list before the core sees it; in the name of the view the others then miss it, and know
//! the same (`agent_core::view`). Who was handed in once is not taken back, and who joins beside us was alive when it did:
//! corosync shows the end of both. Pids are compared, so o2cpgd must see those of the node (docs/decisions/0010).

use agent_core::event::{Reason, ViewChange};
use agent_core::ids::Member;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use tracing::warn;

/// What corosync lists of our own node beside us.
#[derive(Default)]
pub(crate) struct Ended {
    me: Option<Member>,
    handed_in: BTreeSet<Member>,
    left_out: BTreeSet<Member>,
}

impl Ended {
    /// A connection of this process.
    pub(crate) fn of(me: Member) -> Ended {
        Ended { me: Some(me), ..Ended::default() }
    }

    /// Takes out who has ended.
    pub(crate) fn leave_out(&mut self, change: &mut ViewChange) {
        self.take_out(change, is_running);
    }

    fn take_out(&mut self, change: &mut ViewChange, is_running: impl Fn(u32) -> bool) {
        let Some(me) = self.me else { return };
        for member in change.members.iter().filter(|it| it.nodeid == me.nodeid && **it != me) {
            if self.handed_in.contains(member) || self.left_out.contains(member) {
                continue;
            }
            if change.joined.contains(&(*member, Reason::Join)) || is_running(member.pid) {
                self.handed_in.insert(*member);
            } else {
                warn!(pid = member.pid, "corosync lists a process of this node that has ended, it is left out");
                self.left_out.insert(*member);
            }
        }
        change.left.retain(|(member, _)| !self.left_out.contains(member));
        change.joined.retain(|(member, _)| !self.left_out.contains(member));
        let listed = std::mem::take(&mut change.members);
        self.handed_in.retain(|member| listed.contains(member));
        self.left_out.retain(|member| listed.contains(member));
        change.members = listed.difference(&self.left_out).copied().collect();
    }
}

/// Also one that we may not send a signal to.
fn is_running(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Member = Member { nodeid: 3, pid: 90 };
    const PEER: Member = Member { nodeid: 1, pid: 90 };

    fn us() -> Member {
        Member { nodeid: 3, pid: std::process::id() }
    }

    fn list(members: &[Member], joined: Option<(Member, Reason)>, left: Option<(Member, Reason)>) -> ViewChange {
        let members = members.iter().copied().collect();
        ViewChange { members, joined: joined.into_iter().collect(), left: left.into_iter().collect() }
    }

    #[test]
    fn who_has_ended_is_never_handed_in_and_never_goes() {
        let mut ended = Ended::of(us());
        let mut first = list(&[PEER, OLD, us()], Some((us(), Reason::Join)), None);
        ended.take_out(&mut first, |pid| pid != 90);
        assert_eq!(first, list(&[PEER, us()], Some((us(), Reason::Join)), None));
        let mut later = list(&[PEER, OLD, us()], Some((PEER, Reason::NodeUp)), None);
        ended.take_out(&mut later, |_| true);
        assert_eq!(later, list(&[PEER, us()], Some((PEER, Reason::NodeUp)), None), "another has its pid by now");
        let mut gone = list(&[PEER, us()], None, Some((OLD, Reason::NodeDown)));
        ended.take_out(&mut gone, |_| true);
        assert_eq!(gone, list(&[PEER, us()], None, None));
        let mut back = list(&[PEER, OLD, us()], Some((OLD, Reason::Join)), None);
        ended.take_out(&mut back, |_| true);
        assert_eq!(back, list(&[PEER, OLD, us()], Some((OLD, Reason::Join)), None));
    }

    #[test]
    fn who_was_handed_in_goes_as_corosync_says() {
        let mut ended = Ended::of(us());
        let both = list(&[OLD, us()], Some((us(), Reason::Join)), None);
        let mut first = both.clone();
        ended.take_out(&mut first, |_| true);
        let mut later = both.clone();
        ended.take_out(&mut later, |_| false);
        assert_eq!((first, later), (both.clone(), both));
        let mut gone = list(&[us()], None, Some((OLD, Reason::ProcDown)));
        ended.take_out(&mut gone, |_| false);
        assert_eq!(gone, list(&[us()], None, Some((OLD, Reason::ProcDown))));
    }

    #[test]
    fn who_joins_beside_us_runs_even_where_its_pid_is_not_known() {
        let mut ended = Ended::of(us());
        let first = list(&[us()], Some((us(), Reason::Join)), None);
        ended.take_out(&mut first.clone(), |_| false);
        let joins = list(&[OLD, us()], Some((OLD, Reason::Join)), None);
        let mut later = joins.clone();
        ended.take_out(&mut later, |_| false);
        assert_eq!(later, joins);
        let mut relisted = list(&[PEER, OLD, us()], Some((PEER, Reason::NodeUp)), None);
        let all = relisted.clone();
        ended.take_out(&mut relisted, |_| false);
        assert_eq!(relisted, all, "it was handed in");
    }

    #[test]
    fn who_is_listed_again_after_a_split_is_asked_for() {
        let mut ended = Ended::of(us());
        ended.take_out(&mut list(&[us()], Some((us(), Reason::Join)), None), |_| false);
        let mut merged = list(&[OLD, us()], Some((OLD, Reason::NodeUp)), None);
        ended.take_out(&mut merged, |_| false);
        assert_eq!(merged, list(&[us()], None, None));
    }

    #[test]
    fn this_process_runs() {
        assert!(is_running(std::process::id()) && !is_running(u32::MAX) && is_running(1));
    }
}
