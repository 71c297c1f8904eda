//! Reading, turn by turn: who is read in which order, and what becomes of what was read.

use super::{DISPATCH_BATCH, Session};
use crate::callbacks::{Notification, next_notification};
use crate::cpg::{Group, read};
use crate::event::{Event, Loss};
use crate::glue::ANSWER_WITHIN;
use crate::ids::GroupName;
use crate::outlet::Outlet;
use crate::sys::Dispatched;
use std::collections::BTreeSet;
use std::ops::Bound;
use tokio::time::Instant;

impl Session {
    /// Takes up to [`DISPATCH_BATCH`] events of each handle, and none while the daemon is behind. Whoever had no turn because
    /// it fell behind in this one has the first of the next: no flood keeps anybody else from being read.
    pub(super) fn dispatch(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        let can_tell = !out.is_blocked();
        let mut more = false;
        if can_tell {
            self.hear_bells();
            if std::mem::take(&mut self.services_next) {
                more |= self.dispatch_services(out)?;
            }
            more |= self.dispatch_groups(now, out)?;
        }
        self.spares.dispatch(&mut self.calls);
        if can_tell {
            more |= self.dispatch_services(out)?;
            more |= self.dispatch_last(now, out)?;
        }
        Ok(more && !out.is_blocked())
    }

    /// Who has something to read since the last turn.
    fn hear_bells(&mut self) {
        for name in self.ready.take() {
            self.groups.get_mut(&name).into_iter().for_each(Group::rang);
            self.busy.insert(name);
        }
        let unread = |name: &&GroupName| self.groups.get(*name).is_some_and(Group::has_unread);
        let others = self.busy.iter().filter(|name| !self.trail.is(name.as_bytes()));
        self.trail.look(others.filter(unread).collect::<Vec<_>>().into_iter());
    }

    /// All groups but the one that is told last.
    fn dispatch_groups(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        let mut more = false;
        let first = self.next.take();
        for name in in_turn(&self.busy, first.as_ref()) {
            let Some(group) = self.groups.get_mut(name).filter(|_| !self.trail.is(name.as_bytes())) else { continue };
            if out.is_blocked() {
                self.next.get_or_insert_with(|| name.clone());
            } else {
                let Self { connection, me, calls, shared, trail, .. } = self;
                let events = read(group, (*connection, *me), calls, (shared, now), |event| {
                    out.emit(event);
                    !out.is_blocked()
                })?;
                trail.read(name, events, !group.has_unread());
            }
            more |= group.has_unread();
        }
        Ok(more)
    }

    /// Tells what was held of the group that is told last, if that is due, and reads on. That the others have filled the
    /// outlet in this turn changes nothing: it takes a batch more, and every turn one batch.
    fn dispatch_last(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        if !self.trail.is_empty() {
            self.trail.due(self.calls.ended(), now).into_iter().for_each(|event| out.emit(event));
        }
        let last = self.busy.iter().find(|name| self.trail.is(name.as_bytes()));
        let Some(group) = last.filter(|_| self.trail.is_empty()).and_then(|name| self.groups.get_mut(name)) else {
            return Ok(false);
        };
        let mut events = Vec::new();
        let Self { connection, me, calls, shared, .. } = self;
        read(group, (*connection, *me), calls, (shared, now), |event| {
            events.push(event);
            true
        })?;
        let more = !events.is_empty();
        self.trail.hold(events, self.calls.running_until(), now);
        Ok(more)
    }

    fn dispatch_services(&mut self, out: &mut Outlet) -> Result<bool, Loss> {
        let mut more = false;
        for _ in 0..DISPATCH_BATCH {
            let Some(services) = &mut self.services else {
                more = false;
                break;
            };
            if out.is_blocked() {
                self.services_next = true;
                return Ok(true);
            }
            let taken = [services.quorum.dispatch_one()?, services.cfg.dispatch_one()?, services.cmap.dispatch_one()?];
            self.take_notifications(out);
            more = taken.contains(&Dispatched::One);
            if !more {
                break;
            }
        }
        if !more {
            self.trail.services_read();
        }
        Ok(more)
    }

    pub(super) fn dispatch_cmap(&mut self, out: &mut Outlet) -> Result<(), Loss> {
        while let Some(services) = &mut self.services {
            if services.cmap.dispatch_one()? == Dispatched::Nothing {
                break;
            }
            self.take_notifications(out);
        }
        Ok(())
    }

    fn take_notifications(&mut self, out: &mut Outlet) {
        let connection = self.connection;
        while let Some(notification) = next_notification() {
            match notification {
                Notification::Quorum { quorate, ring, members } => {
                    out.emit(Event::Quorum { connection, quorate, ring, members });
                }
                Notification::Nodelist { ring, members, joined, left } => {
                    out.emit(Event::Nodelist { connection, ring, members, joined, left });
                }
                Notification::ShutdownAsked { flags } => {
                    self.question = Some(Instant::now() + ANSWER_WITHIN);
                    self.shared.state.borrow_mut().question_open = true;
                    out.emit(Event::ShutdownAsked { connection, flags });
                }
                Notification::KeyChanged => self.config.changed(),
            }
        }
    }
}

/// The groups in their order, beginning with `first` if there is one.
fn in_turn<'a>(busy: &'a BTreeSet<GroupName>, first: Option<&'a GroupName>) -> impl Iterator<Item = &'a GroupName> {
    let from = first.map_or(Bound::Unbounded, Bound::Included);
    let behind = busy.range::<GroupName, _>((from, Bound::Unbounded));
    behind.chain(first.into_iter().flat_map(|first| busy.range::<GroupName, _>(..first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_no_turn_has_the_first_and_everybody_has_one() {
        let busy: BTreeSet<GroupName> = ["a", "b", "c"].map(|name| GroupName::new(name).unwrap()).into();
        let order = |first: Option<&str>| {
            let first = first.map(|name| GroupName::new(name).unwrap());
            in_turn(&busy, first.as_ref()).map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(order(None), ["a", "b", "c"]);
        assert_eq!(order(Some("b")), ["b", "c", "a"]);
        // It may be gone.
        assert_eq!(order(Some("bb")), ["c", "a", "b"]);
    }
}
