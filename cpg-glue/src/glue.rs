//! The two ends that the daemon holds: [`Glue`] takes commands, [`Events`] gives reports.
//!
//! Both live on the owner thread. No command waits: it is checked, queued and taken up by the owner loop.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::error::Refused;
use crate::event::{Event, Verdict};
use crate::ids::{GroupName, NodeId};
use crate::outbound::Outbound;

/// Events waiting for the daemon. At the bound nothing more is dispatched: corosync keeps the rest, nothing is dropped.
pub const EVENTS_MAX: usize = 1024;
/// Groups joined at once, unless [`Options`] say otherwise: each costs a connection, 3 MB of shared memory and a
/// descriptor.
pub const GROUPS_MAX: usize = 64;
/// `kill_node` orders under way.
pub const KILLS_MAX: usize = 16;
/// corosync waits 5 s for the answer to its shutdown question; then, as with a No, it stays.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A call into corosync that lasts longer is told as stuck. The slowest healthy one, `initialize`, takes 3 to 6 ms.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);
/// How long [`Glue::close`] waits for corosync.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// What can be chosen at the start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Called inside the C callbacks of CPG, before anything else: for stamps of latency. It must only look; if it
    /// panics, the connection is made anew.
    pub probe: Option<fn(Probe)>,
    /// Groups joined at once.
    pub groups_max: usize,
    /// Connections kept ready, so that a join need not wait for its own: each costs what a group costs.
    pub spares: usize,
    /// The group that is told last: an event of it comes when all has been told that corosync had written for the other groups
    /// and of quorum before it. Without, only the events of one group come in corosync's order.
    pub told_last: Option<&'static [u8]>,
}

impl Default for Options {
    fn default() -> Self {
        Self { probe: None, groups_max: GROUPS_MAX, spares: 0, told_last: None }
    }
}

/// Which callback is running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// `cpg_deliver_fn`.
    Message,
    /// `cpg_confchg_fn`.
    View,
    /// `cpg_totem_confchg_fn`.
    Ring,
}

/// Commands to corosync. Every method returns at once; what comes of it is an [`Event`].
#[derive(Clone)]
pub struct Glue {
    shared: Rc<Shared>,
}

/// The reports, in order.
pub struct Events {
    receiver: mpsc::Receiver<Event>,
    shared: Rc<Shared>,
}

/// What the commands share with the owner loop.
pub(crate) struct Shared {
    groups_max: usize,
    pub(crate) state: RefCell<State>,
    pub(crate) wake: Notify,
}

/// What is wanted, as the commands have left it. The owner loop compares it with what is, and acts on the difference;
/// so it needs no queue of commands and is bounded by itself.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) up: bool,
    pub(crate) closing: bool,
    pub(crate) question_open: bool,
    pub(crate) check: bool,
    pub(crate) answer: Option<Verdict>,
    pub(crate) kills: VecDeque<(NodeId, String)>,
    pub(crate) kills_under_way: usize,
    pub(crate) groups: BTreeMap<GroupName, Want>,
    /// Groups that a command was about, and that the owner loop has not looked at since.
    pub(crate) touched: BTreeSet<GroupName>,
    /// Left before the owner loop had begun to join: still to be told.
    pub(crate) left_unopened: VecDeque<GroupName>,
    tickets: u64,
}

/// One wanted membership. Leaving and joining again makes a new ticket, so the two are never netted out.
pub(crate) struct Want {
    pub(crate) ticket: u64,
    pub(crate) queue: Outbound,
    /// Whether the connection that stands knows of it.
    pub(crate) taken_up: bool,
}

impl Shared {
    pub(crate) fn new(groups_max: usize) -> Self {
        Self { groups_max, state: RefCell::default(), wake: Notify::default() }
    }
}

impl Glue {
    pub(crate) fn over(shared: Rc<Shared>) -> Self {
        Self { shared }
    }

    /// Wants to be in `group`: joined as soon as corosync is there, and again after each loss. Twice is once.
    pub fn join(&self, group: &GroupName) -> Result<(), Refused> {
        let mut state = self.shared.state.borrow_mut();
        if state.closing {
            return Err(Refused::Closing);
        }
        if state.groups.contains_key(group) {
            return Ok(());
        }
        let max = self.shared.groups_max;
        if state.groups.len() >= max {
            return Err(Refused::TooManyGroups { group: group.clone(), max });
        }
        state.tickets += 1;
        let want = Want { ticket: state.tickets, queue: Outbound::default(), taken_up: false };
        state.groups.insert(group.clone(), want);
        state.touched.insert(group.clone());
        self.shared.wake.notify_one();
        Ok(())
    }

    /// No longer wants to be in `group`. What waits in its queue is dropped; say goodbye, and wait for its delivery,
    /// before. The end is always [`Event::Left`].
    pub fn leave(&self, group: &GroupName) -> Result<(), Refused> {
        let mut state = self.shared.state.borrow_mut();
        let want = state.groups.remove(group).ok_or_else(|| Refused::NotJoined(group.clone()))?;
        if !want.taken_up {
            state.left_unopened.push_back(group.clone());
        }
        state.touched.insert(group.clone());
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Queues a message for every member of `group`, ourselves included. Order is kept; a full corosync only delays.
    /// Messages are sent from the moment corosync has taken the join, even before the own JOIN view.
    pub fn multicast(&self, group: &GroupName, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut state = self.shared.state.borrow_mut();
        if !state.up {
            return Err(Refused::Down);
        }
        let want = state.groups.get_mut(group).ok_or_else(|| Refused::NotJoined(group.clone()))?;
        want.queue.push(group, bytes)?;
        state.touched.insert(group.clone());
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Answers corosync's shutdown question; the end is [`Event::ShutdownAnswered`].
    pub fn answer_shutdown(&self, verdict: Verdict) -> Result<(), Refused> {
        let mut state = self.shared.state.borrow_mut();
        if !std::mem::take(&mut state.question_open) {
            return Err(Refused::NothingAsked);
        }
        state.answer = Some(verdict);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Finds out whether corosync still answers, where nothing else asks it anything: a stopped one looks like a quiet
    /// one. If it does not answer, that is told as [`Event::Stuck`].
    pub fn check(&self) {
        let mut state = self.shared.state.borrow_mut();
        state.check = state.up;
        if state.up {
            self.shared.wake.notify_one();
        }
    }

    /// Removes a node from the cluster: its corosync ends, without a word to its clients. `reason` goes into corosync's
    /// log. The end is [`Event::KillOrdered`].
    pub fn kill_node(&self, nodeid: NodeId, reason: &str) -> Result<(), Refused> {
        let mut state = self.shared.state.borrow_mut();
        if !state.up {
            return Err(Refused::Down);
        }
        if reason.contains('\0') {
            return Err(Refused::ReasonHoldsNul(nodeid));
        }
        if state.kills.len() + state.kills_under_way >= KILLS_MAX {
            return Err(Refused::TooManyKills(nodeid));
        }
        state.kills.push_back((nodeid, reason.to_owned()));
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Leaves every group and releases every handle, within [`CLOSE_WITHIN`]. Go on reading events: the last one is
    /// [`Event::Closed`].
    pub fn close(&self) {
        let mut state = self.shared.state.borrow_mut();
        if !std::mem::replace(&mut state.closing, true) {
            let groups = std::mem::take(&mut state.groups);
            state.touched.extend(groups.into_keys());
            self.shared.wake.notify_one();
        }
    }

    /// Messages of `group` that wait for corosync.
    pub fn waiting(&self, group: &GroupName) -> usize {
        self.queue(group, |queue| queue.waiting()).unwrap_or(0)
    }

    /// Messages of `group` that corosync has taken and not yet delivered back to us.
    pub fn unreturned(&self, group: &GroupName) -> usize {
        self.queue(group, |queue| queue.unreturned()).unwrap_or(0)
    }

    /// When the oldest message was sent that has not come back. Older than token + consensus: the ring is deaf.
    pub fn oldest_unreturned(&self, group: &GroupName) -> Option<Instant> {
        self.queue(group, |queue| queue.oldest_unreturned()).flatten()
    }

    /// When a message of our own last came back on this connection.
    pub fn last_own_delivery(&self, group: &GroupName) -> Option<Instant> {
        self.queue(group, |queue| queue.last_return()).flatten()
    }

    fn queue<T>(&self, group: &GroupName, look: impl FnOnce(&Outbound) -> T) -> Option<T> {
        self.shared.state.borrow().groups.get(group).map(|want| look(&want.queue))
    }
}

impl Events {
    pub(crate) fn over(receiver: mpsc::Receiver<Event>, shared: Rc<Shared>) -> Self {
        Self { receiver, shared }
    }

    /// The next report; `None` after [`Event::Closed`]. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }

    /// The next report if one is there: to take a burst without going through the scheduler.
    pub fn try_next(&mut self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }
}

impl Drop for Events {
    /// Without a reader the glue closes.
    fn drop(&mut self) {
        self.receiver.close();
        self.shared.wake.notify_one();
    }
}
