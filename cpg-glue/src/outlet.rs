//! The events' way out: a bounded channel, and what did not fit. Nothing is dropped.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::event::Event;

/// Where events go. While something is held back, nothing may be dispatched: so what is held back is what one dispatch
/// and one turn's own reports made.
pub(crate) struct Outlet {
    sender: mpsc::Sender<Event>,
    held: VecDeque<Event>,
    told: bool,
}

impl Outlet {
    pub(crate) fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, held: VecDeque::new(), told: false }
    }

    /// Sends the event, or holds it behind those that are held.
    pub(crate) fn emit(&mut self, event: Event) {
        self.told = true;
        if !self.held.is_empty() {
            return self.held.push_back(event);
        }
        if let Err(TrySendError::Full(event)) = self.sender.try_send(event) {
            self.held.push_back(event);
        }
    }

    /// Whether the daemon is behind.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether anything was told since the last time this was asked.
    pub(crate) fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends what is held, waiting for room; ends early when nobody reads any more.
    pub(crate) async fn drain(&mut self) {
        while !self.held.is_empty() {
            // The permit is taken first: an event leaves the queue only into a place that is sure.
            let Ok(permit) = self.sender.reserve().await else {
                return;
            };
            if let Some(event) = self.held.pop_front() {
                permit.send(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(clean: bool) -> Event {
        Event::Closed { clean }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_held_in_order() {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        for clean in [true, false, false] {
            outlet.emit(closed(clean));
        }
        assert!(outlet.is_blocked());
        assert_eq!(receiver.try_recv().unwrap(), closed(true));
        // There is room again, but what is held goes first.
        outlet.emit(closed(true));
        let read = async { [receiver.recv().await, receiver.recv().await, receiver.recv().await] };
        let ((), read) = tokio::join!(outlet.drain(), read);
        assert_eq!(read, [Some(closed(false)), Some(closed(false)), Some(closed(true))]);
        assert!(!outlet.is_blocked());
    }

    #[tokio::test]
    async fn a_reader_that_went_ends_the_waiting_for_room() {
        let (sender, receiver) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        outlet.emit(closed(true));
        outlet.emit(closed(false));
        drop(receiver);
        outlet.drain().await;
        assert!(outlet.is_closed());
    }
}
