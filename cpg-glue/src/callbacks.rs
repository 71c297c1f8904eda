//! What the C callbacks do: copy into owned values and return. No call back into a library, no lock, no wait.
//!
//! libcpg's callbacks reach an [`Inbox`] through their handle. Those of rust-corosync are plain `fn` pointers without
//! state; they push into a queue of the thread that dispatches, behind a `catch_unwind`, because the crate holds a global
//! lock while they run and a panic would end the process.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_corosync::{NodeId as RawNodeId, cfg, cmap, quorum};

use crate::event::Oddity;
use crate::glue::Probe;
use crate::ids::{Member, NodeId, RawName, Reason, RingId};
use crate::sys::{Address, List, Raw, Sink};

/// A CPG event, owned.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum CpgEvent {
    Message { from: Member, bytes: Vec<u8> },
    View { members: Vec<Member>, left: Vec<(Member, Reason)>, joined: Vec<(Member, Reason)> },
    Ring { ring: RingId, members: Vec<NodeId> },
    Odd(Oddity),
}

/// Where one group's callbacks leave their events until the dispatch returns.
pub(crate) struct Inbox {
    group: Vec<u8>,
    probe: Option<fn(Probe)>,
    events: VecDeque<CpgEvent>,
}

impl Inbox {
    pub(crate) fn new(group: &[u8], probe: Option<fn(Probe)>) -> Self {
        Self { group: group.to_vec(), probe, events: VecDeque::new() }
    }

    pub(crate) fn pop(&mut self) -> Option<CpgEvent> {
        self.events.pop_front()
    }

    /// From here on it is the inbox of this group. All that it knows of the time before is the ring: corosync tells each
    /// handle only once in which one it is.
    pub(crate) fn begin(&mut self, group: &[u8]) {
        self.group = group.to_vec();
        let ring = self.events.drain(..).rfind(|event| matches!(event, CpgEvent::Ring { .. }));
        self.events.extend(ring);
    }

    fn look(&self, probe: Probe) {
        if let Some(look) = self.probe {
            look(probe);
        }
    }

    /// corosync merges groups with a common C-string prefix on a node change, and then reports one under another's name.
    fn is_ours(&mut self, group: &[u8]) -> bool {
        let ours = group == self.group;
        if !ours {
            self.events.push_back(CpgEvent::Odd(Oddity::OtherGroup(RawName(group.to_vec()))));
        }
        ours
    }

    fn view(&mut self, members: List<'_>, left: List<'_>, joined: List<'_>) {
        for list in [members, left, joined] {
            if list.claimed > list.entries.len() {
                self.events.push_back(CpgEvent::Odd(Oddity::ListTooLong(list.claimed)));
            }
        }
        let mut sorted: Vec<Member> = members.entries.iter().map(member).collect();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < members.entries.len() {
            let extra = members.entries.len() - sorted.len();
            self.events.push_back(CpgEvent::Odd(Oddity::DuplicateMembers(extra)));
        }
        self.events.push_back(CpgEvent::View { members: sorted, left: changes(left), joined: changes(joined) });
    }
}

impl Sink for Inbox {
    fn take(&mut self, raw: Raw<'_>) {
        match raw {
            Raw::Message { group, from, bytes } => {
                self.look(Probe::Message);
                if self.is_ours(group) {
                    self.events.push_back(CpgEvent::Message { from, bytes: bytes.to_vec() });
                }
            }
            Raw::View { group, members, left, joined } => {
                self.look(Probe::View);
                if self.is_ours(group) {
                    self.view(members, left, joined);
                }
            }
            Raw::Ring { ring, members } => {
                self.look(Probe::Ring);
                let members = members.iter().copied().map(NodeId).collect();
                self.events.push_back(CpgEvent::Ring { ring, members });
            }
        }
    }
}

fn member(address: &Address) -> Member {
    Member { nodeid: NodeId(address.nodeid), pid: address.pid }
}

/// In corosync's order, each entry once.
fn changes(list: List<'_>) -> Vec<(Member, Reason)> {
    let mut changes = Vec::with_capacity(list.entries.len());
    for address in list.entries {
        let change = (member(address), Reason::from(address.reason));
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    changes
}

/// A notification of one of the libraries that rust-corosync serves.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Notification {
    Quorum {
        quorate: bool,
        ring: RingId,
        members: Vec<NodeId>,
    },
    Nodelist {
        ring: RingId,
        members: Vec<NodeId>,
        joined: Vec<NodeId>,
        left: Vec<NodeId>,
    },
    ShutdownAsked {
        flags: u32,
    },
    /// A watched key of the configuration map changed.
    KeyChanged,
}

thread_local! {
    static NOTIFICATIONS: RefCell<VecDeque<Notification>> = const { RefCell::new(VecDeque::new()) };
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// What the last dispatch on this thread left, oldest first.
pub(crate) fn next_notification() -> Option<Notification> {
    NOTIFICATIONS.with_borrow_mut(VecDeque::pop_front)
}

/// Whether a callback on this thread panicked since the last time it was asked.
pub(crate) fn take_panicked() -> bool {
    PANICKED.take()
}

/// Forgets what a lost connection left behind.
pub(crate) fn forget_notifications() {
    NOTIFICATIONS.with_borrow_mut(VecDeque::clear);
    PANICKED.set(false);
}

fn notify(make: impl FnOnce() -> Notification) {
    let taken = catch_unwind(AssertUnwindSafe(|| {
        let notification = make();
        NOTIFICATIONS.with_borrow_mut(|queue| queue.push_back(notification));
    }));
    if taken.is_err() {
        PANICKED.set(true);
    }
}

fn nodes(raw: Vec<RawNodeId>) -> Vec<NodeId> {
    raw.into_iter().map(|node| NodeId(node.into())).collect()
}

fn ring(raw: &quorum::RingId) -> RingId {
    RingId { nodeid: NodeId(raw.nodeid.into()), seq: raw.seq }
}

pub(crate) fn on_quorum(_: &quorum::Handle, quorate: bool, id: quorum::RingId, members: Vec<RawNodeId>) {
    notify(|| Notification::Quorum { quorate, ring: ring(&id), members: nodes(members) });
}

pub(crate) fn on_nodelist(
    _: &quorum::Handle,
    id: quorum::RingId,
    members: Vec<RawNodeId>,
    joined: Vec<RawNodeId>,
    left: Vec<RawNodeId>,
) {
    notify(|| Notification::Nodelist {
        ring: ring(&id),
        members: nodes(members),
        joined: nodes(joined),
        left: nodes(left),
    });
}

pub(crate) fn on_shutdown(_: &cfg::Handle, flags: u32) {
    notify(|| Notification::ShutdownAsked { flags });
}

/// The values are not looked at: rust-corosync 3.2.0 hands over the old one as the new one.
pub(crate) fn on_key(
    _: &cmap::Handle,
    _: &cmap::TrackHandle,
    _: cmap::TrackType,
    _key: &str,
    _new: &cmap::Data,
    _old: &cmap::Data,
    _: u64,
) {
    notify(|| Notification::KeyChanged);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(nodeid: u32, reason: u32) -> Address {
        Address { nodeid, pid: 10, reason }
    }

    fn list(entries: &[Address]) -> List<'_> {
        List { entries, claimed: entries.len() }
    }

    fn given(raw: Raw<'_>) -> Vec<CpgEvent> {
        let mut inbox = Inbox::new(b"g", None);
        inbox.take(raw);
        std::iter::from_fn(|| inbox.pop()).collect()
    }

    fn at(nodeid: u32) -> Member {
        Member { nodeid: NodeId(nodeid), pid: 10 }
    }

    #[test]
    fn duplicates_are_told_once_and_members_are_sorted() {
        let members = [address(2, 0), address(1, 0), address(2, 0)];
        let joined = [address(2, 4), address(2, 4)];
        let raw = Raw::View { group: b"g", members: list(&members), left: list(&[]), joined: list(&joined) };
        let view = CpgEvent::View { members: vec![at(1), at(2)], left: vec![], joined: vec![(at(2), Reason::NodeUp)] };
        assert_eq!(given(raw), [CpgEvent::Odd(Oddity::DuplicateMembers(1)), view]);
    }

    #[test]
    fn a_cut_list_is_told_with_what_it_claimed() {
        let members = [address(1, 0)];
        let cut = List { entries: &members, claimed: 200 };
        let events = given(Raw::View { group: b"g", members: cut, left: list(&[]), joined: list(&[]) });
        assert_eq!(events[0], CpgEvent::Odd(Oddity::ListTooLong(200)));
        assert!(matches!(&events[1], CpgEvent::View { members, .. } if members == &[at(1)]));
    }

    #[test]
    fn a_name_with_a_trailing_nul_is_another_group() {
        let other = CpgEvent::Odd(Oddity::OtherGroup(RawName(b"g\0".to_vec())));
        let message = Raw::Message { group: b"g\0", from: at(1), bytes: b"m" };
        assert_eq!(given(message), std::slice::from_ref(&other));
        let view = Raw::View { group: b"g\0", members: list(&[]), left: list(&[]), joined: list(&[]) };
        assert_eq!(given(view), [other]);
    }

    #[test]
    fn a_zero_length_message_is_a_message() {
        let raw = Raw::Message { group: b"g", from: at(3), bytes: b"" };
        assert_eq!(given(raw), [CpgEvent::Message { from: at(3), bytes: vec![] }]);
    }

    #[test]
    fn a_panic_in_a_notification_is_remembered_once() {
        std::panic::set_hook(Box::new(|_| {}));
        notify(|| panic!("asked for"));
        let _ = std::panic::take_hook();
        assert!(take_panicked());
        assert!(!take_panicked());
        notify(|| Notification::ShutdownAsked { flags: 0 });
        assert_eq!(next_notification(), Some(Notification::ShutdownAsked { flags: 0 }));
    }
}
