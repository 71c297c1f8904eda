//! The queue of one group's messages on their way to corosync: bounded, in order, nothing skipped.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::error::Refused;
use crate::ids::GroupName;

/// Longest message that is taken. Far below the 1 MB at which libcpg begins to cut messages into pieces, and then
/// blocks for up to a second and fails under churn.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;
/// Messages waiting in one group: room for a few words about each of a thousand things at once.
pub const OUTBOUND_MESSAGES_MAX: usize = 8192;
/// Bytes waiting in one group.
pub const OUTBOUND_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages accepted by corosync that have not come back. More than any queue of corosync holds at small sizes, and it
/// bounds what a ring that has gone deaf makes us remember.
pub const UNRETURNED_MAX: usize = 4096;

/// One group's messages: those that wait, and when those under way were sent.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    unreturned: VecDeque<Instant>,
    last_return: Option<Instant>,
}

impl Outbound {
    /// Takes a message, or says which bound it would break.
    pub(crate) fn push(&mut self, group: &GroupName, bytes: Vec<u8>) -> Result<(), Refused> {
        if bytes.len() > MESSAGE_LEN_MAX {
            return Err(Refused::TooLarge { group: group.clone(), len: bytes.len() });
        }
        if self.waiting.len() >= OUTBOUND_MESSAGES_MAX || self.bytes + bytes.len() > OUTBOUND_BYTES_MAX {
            let (messages, bytes) = (self.waiting.len(), self.bytes);
            return Err(Refused::QueueFull { group: group.clone(), messages, bytes });
        }
        self.bytes += bytes.len();
        self.waiting.push_back(bytes);
        Ok(())
    }

    /// The next message to give to corosync, unless too many are under way.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        if self.unreturned.len() < UNRETURNED_MAX { self.waiting.front().map(Vec::as_slice) } else { None }
    }

    /// corosync took the front message.
    pub(crate) fn sent(&mut self, now: Instant) {
        if let Some(message) = self.waiting.pop_front() {
            self.bytes -= message.len();
            self.unreturned.push_back(now);
        }
    }

    /// So many messages of ours were delivered to us: CPG keeps the order of one sender, so they are the oldest.
    pub(crate) fn returned(&mut self, count: usize, now: Instant) {
        self.unreturned.drain(..count.min(self.unreturned.len()));
        self.last_return = Some(now);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn unreturned(&self) -> usize {
        self.unreturned.len()
    }

    pub(crate) fn oldest_unreturned(&self) -> Option<Instant> {
        self.unreturned.front().copied()
    }

    pub(crate) fn last_return(&self) -> Option<Instant> {
        self.last_return
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupName {
        GroupName::new("g").unwrap()
    }

    #[test]
    fn exactly_64_kib_is_taken_and_one_byte_more_is_not() {
        let mut queue = Outbound::default();
        assert_eq!(queue.push(&group(), vec![0; 65536]), Ok(()));
        assert_eq!(queue.push(&group(), vec![0; 65537]), Err(Refused::TooLarge { group: group(), len: 65537 }));
    }

    #[test]
    fn the_queue_is_bounded_in_messages_and_in_bytes() {
        let mut queue = Outbound::default();
        for _ in 0..OUTBOUND_MESSAGES_MAX {
            queue.push(&group(), vec![]).unwrap();
        }
        let full = Refused::QueueFull { group: group(), messages: OUTBOUND_MESSAGES_MAX, bytes: 0 };
        assert_eq!(queue.push(&group(), vec![]), Err(full));

        let mut queue = Outbound::default();
        let fit = OUTBOUND_BYTES_MAX / MESSAGE_LEN_MAX;
        for _ in 0..fit {
            queue.push(&group(), vec![0; MESSAGE_LEN_MAX]).unwrap();
        }
        let full = Refused::QueueFull { group: group(), messages: fit, bytes: OUTBOUND_BYTES_MAX };
        assert_eq!(queue.push(&group(), vec![0]), Err(full));
    }

    #[test]
    fn order_is_kept_and_returns_match_sends() {
        let mut queue = Outbound::default();
        let (one, two) = (Instant::now(), Instant::now() + std::time::Duration::from_millis(1));
        queue.push(&group(), vec![1]).unwrap();
        queue.push(&group(), vec![2]).unwrap();
        assert_eq!(queue.front(), Some(&[1][..]));
        queue.sent(one);
        assert_eq!(queue.front(), Some(&[2][..]));
        queue.sent(two);
        assert_eq!((queue.front(), queue.oldest_unreturned()), (None, Some(one)));
        queue.returned(1, two);
        assert_eq!((queue.oldest_unreturned(), queue.last_return()), (Some(two), Some(two)));
    }

    #[test]
    fn a_deaf_ring_stops_the_sending() {
        let mut queue = Outbound::default();
        let now = Instant::now();
        for _ in 0..UNRETURNED_MAX {
            queue.push(&group(), vec![0]).unwrap();
            queue.sent(now);
        }
        queue.push(&group(), vec![0]).unwrap();
        assert_eq!(queue.front(), None);
        queue.returned(1, now);
        assert!(queue.front().is_some());
    }
}
