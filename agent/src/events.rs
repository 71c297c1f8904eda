//! What `o2cpg events` shows: the last notices, numbered, and a bell for those who follow.
//!
//! The first number of a daemon is the time at which it began, in ms since 1970: what one that ended had is below, and
//! who remembers a number of it is told that there is a gap.

use crate::clock;
use agent_core::ids::Tick;
use agent_core::notice::Notice;
use proto::control::api;
use std::cell::RefCell;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Notices held for those who ask later: about a day of a busy cluster, half a megabyte.
pub(crate) const EVENTS_HELD_MAX: usize = 1024;

/// The last notices.
pub(crate) struct Events {
    first: u64,
    held: RefCell<VecDeque<api::EventLine>>,
    bell: Notify,
}

impl Events {
    pub(crate) fn new(first: u64) -> Events {
        Events { first, held: RefCell::default(), bell: Notify::new() }
    }

    pub(crate) fn push(&self, now: Tick, notice: &Notice) {
        let mut held = self.held.borrow_mut();
        let id = held.back().map_or(self.first, |line| line.id + 1);
        if held.len() == EVENTS_HELD_MAX {
            held.pop_front();
        }
        held.push_back(line(id, now, notice));
        drop(held);
        self.bell.notify_waiters();
    }

    /// Id of the newest.
    pub(crate) fn last(&self) -> u64 {
        self.held.borrow().back().map_or(self.first - 1, |line| line.id)
    }

    /// Those after `seen`, oldest first, after 0 all; `gap` if some of them are no longer held. A number that is still to come
    /// is of a daemon before whose clock was ahead.
    pub(crate) fn after(&self, seen: u64) -> api::EventList {
        let held = self.held.borrow();
        let is_unknown = seen > self.last();
        let first = held.front().map_or(self.first, |line| line.id);
        let gap = seen > 0 && (seen + 1 < first || is_unknown);
        api::EventList { events: held.iter().filter(|line| is_unknown || line.id > seen).cloned().collect(), gap }
    }

    /// Those after `seen`, as soon as there is one.
    pub(crate) async fn next_after(&self, seen: u64) -> api::EventList {
        loop {
            let rings = self.bell.notified();
            if self.last() > seen {
                return self.after(seen);
            }
            rings.await;
        }
    }
}

fn line(id: u64, now: Tick, notice: &Notice) -> api::EventLine {
    let mut json = serde_json::to_value(notice).unwrap_or_default();
    let kind = json.as_object_mut().and_then(|fields| fields.remove("kind"));
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
    api::EventLine { id, time: clock::wall_text(), mono_ms: now.0, kind, json: json.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_kind_and_its_own_fields() {
        let events = Events::new(1);
        events.push(Tick(7), &Notice::CorosyncUp { nodeid: 3 });
        events.push(Tick(8), &Notice::Ready);
        let list = events.after(0);
        let line = &list.events[0];
        assert_eq!(
            (line.id, line.mono_ms, line.kind.as_str(), line.json.as_str()),
            (1, 7, "corosync_up", r#"{"nodeid":3}"#)
        );
        assert_eq!((list.events[1].kind.as_str(), list.events[1].json.as_str()), ("ready", "{}"));
        assert!(!list.gap);
    }

    #[test]
    fn the_oldest_go_first_and_who_missed_them_is_told() {
        let events = Events::new(1);
        for nodeid in 0..EVENTS_HELD_MAX + 2 {
            events.push(Tick(0), &Notice::CorosyncUp { nodeid: nodeid as u32 });
        }
        assert_eq!(events.after(0).events.len(), EVENTS_HELD_MAX);
        assert!(events.after(1).gap);
        assert!(!events.after(2).gap && !events.after(0).gap);
        assert!(!events.after(events.last()).gap);
    }

    #[test]
    fn who_remembers_a_number_of_an_earlier_daemon_gets_all_and_a_gap() {
        let events = Events::new(1000);
        assert!(events.after(999).events.is_empty() && !events.after(events.last()).gap);
        events.push(Tick(7), &Notice::Ready);
        for earlier in [17, 5000] {
            let list = events.after(earlier);
            assert!(list.gap && list.events.len() == 1, "{earlier}");
        }
        assert!(!events.after(999).gap);
    }
}
