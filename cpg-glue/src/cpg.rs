//! One group's life on one connection: open, join, send, leave, release. One handle joins once.
//!
//! ```text
//!            calls thread        own JOIN view      leave wanted      call back + own LEAVE view
//! Opening ───────────────► Joining ───────► Member ─────────► Leaving ─────────────► (released)
//!    ▲ │ refused
//!    └─┘ Waiting
//! ```
//! `cpg_leave` before the own JOIN view spins in libcpg, and a handle that has left must not be used again: so the
//! leave waits for the view, and a new wish for the group makes a new handle.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::time::Instant;

use crate::callbacks::{CpgEvent, Inbox};
use crate::calls::{Calls, Done};
use crate::error::{Call, Code, Failure};
use crate::event::{Event, Loss};
use crate::glue::Shared;
use crate::ids::{Connection, GroupName, Member, Reason};
use crate::outbound::Outbound;
use crate::ready::Ready;
use crate::retry::{CONNECT, SEND};
use crate::session::DISPATCH_BATCH;
use crate::spare::Spares;
use crate::sys::{Cpg, Dispatched};
use crate::watched::Watched;

/// Messages given to corosync in one turn, so that deliveries get their turn too.
pub(crate) const SEND_BATCH: usize = 64;
/// Sends between two looks at the socket. A writable one has room for more than 200 of libqb's wake-ups.
const SENDS_PER_LOOK: u32 = 32;

/// How far a group has come.
enum Phase {
    /// Refused; tried again then.
    Waiting(Instant),
    /// The calls thread connects and joins.
    Opening,
    /// Joined for corosync; the own JOIN view is still to come.
    Joining(Watched<Cpg<Inbox>>),
    /// In.
    Member(Watched<Cpg<Inbox>>),
    /// The calls thread leaves, and the own LEAVE view comes: in either order.
    Leaving { handle: Watched<Cpg<Inbox>>, called: bool, seen: bool },
    /// Nothing is left but to be forgotten.
    Over,
}

/// One group on one connection.
pub(crate) struct Group {
    name: GroupName,
    /// Of the wish it serves.
    pub(crate) ticket: u64,
    phase: Phase,
    refusals: u32,
    /// TRY_AGAIN in a row, and until when to hold back.
    send_failures: u32,
    send_at: Option<Instant>,
    sends_since_look: u32,
    /// Rung when the descriptor becomes readable.
    bell: Waker,
    /// The bell has rung, or the last dispatch found something: there may be more.
    unread: bool,
    /// There are messages that corosync would take.
    unsent: bool,
}

/// What corosync said to a message.
enum Sent {
    Taken,
    Later,
}

impl Group {
    /// Begins to join.
    pub(crate) fn open(
        name: GroupName,
        ticket: u64,
        ready: &Arc<Ready>,
        spares: &mut Spares,
        calls: &mut Calls,
    ) -> Self {
        let mut group = Self {
            bell: ready.bell(&name),
            unread: false,
            unsent: false,
            name,
            ticket,
            phase: Phase::Opening,
            refusals: 0,
            send_failures: 0,
            send_at: None,
            sends_since_look: SENDS_PER_LOOK,
        };
        group.submit_open(spares, calls);
        group
    }

    fn submit_open(&mut self, spares: &mut Spares, calls: &mut Calls) {
        self.phase = Phase::Opening;
        let (name, probe, fresh) = (self.name.clone(), spares.probe(), spares.fresh());
        let spare = spares.take(calls);
        calls.submit(Some(&self.name), move |progress| {
            let join = |mut cpg: Cpg<Inbox>| progress.call(Call::CpgJoin, || cpg.join(name.as_bytes())).map(|()| cpg);
            let open = || progress.call(Call::CpgInitialize, || Cpg::open(Inbox::new(name.as_bytes(), probe)));
            let spare = spare.or_else(|| fresh.take()).map(|mut cpg| {
                cpg.sink_mut().begin(name.as_bytes());
                cpg
            });
            let joined = match spare.map(join) {
                // What refuses it may be the end of a corosync that has begun a new life since.
                Some(Err(failure)) if failure.code != Code::TRY_AGAIN => open().and_then(join),
                Some(joined) => joined,
                None => open().and_then(join),
            };
            let joined = joined.map_err(|failure| Failure { group: Some(name.clone()), ..failure });
            Done::Joined(name, joined)
        });
    }

    /// The calls thread is back from the join.
    pub(crate) fn joined(
        &mut self,
        result: Result<Cpg<Inbox>, Failure>,
        calls: &mut Calls,
    ) -> Result<Option<Failure>, Loss> {
        let cpg = match result {
            Ok(cpg) => cpg,
            Err(failure) => {
                self.refusals += 1;
                self.phase = Phase::Waiting(Instant::now() + CONNECT.delay(self.refusals));
                return Ok(Some(failure));
            }
        };
        self.refusals = 0;
        match Watched::new(cpg) {
            Ok(watched) => {
                self.phase = Phase::Joining(watched);
                self.unread = true;
            }
            Err((cpg, loss)) => {
                calls.release(Some(&self.name), cpg);
                return Err(loss);
            }
        }
        Ok(None)
    }

    /// Tries the join again if its time has come.
    pub(crate) fn retry(&mut self, now: Instant, spares: &mut Spares, calls: &mut Calls) {
        if matches!(self.phase, Phase::Waiting(at) if at <= now) {
            self.submit_open(spares, calls);
        }
    }

    /// Nobody wants it any more: leaves as soon as it can.
    pub(crate) fn unwanted(&mut self, calls: &mut Calls) {
        self.send_at = None; // what was to be sent then is dropped
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Waiting(_) => Phase::Over,
            Phase::Member(handle) => {
                let leave = handle.handle().leave(self.name.as_bytes());
                let name = self.name.clone();
                calls.submit(Some(&self.name), move |progress| {
                    let result = progress.call(Call::CpgLeave, || leave.call());
                    let result = result.map_err(|failure| Failure { group: Some(name.clone()), ..failure });
                    Done::LeaveCalled(name, result)
                });
                Phase::Leaving { handle, called: false, seen: false }
            }
            other => other,
        };
    }

    /// The calls thread is back from the leave. A refused one ends the membership by closing the handle: the others
    /// see PROCDOWN.
    pub(crate) fn leave_called(&mut self, refused: bool, calls: &mut Calls) {
        if let Phase::Leaving { called, seen, .. } = &mut self.phase {
            *called = true;
            *seen |= refused;
        }
        self.end_leave(calls);
    }

    fn end_leave(&mut self, calls: &mut Calls) {
        if let Phase::Leaving { called: true, seen: true, .. } = self.phase {
            self.release(calls);
        }
    }

    /// Gives the handle up, whatever it was doing.
    pub(crate) fn release(&mut self, calls: &mut Calls) {
        if let Phase::Joining(handle) | Phase::Member(handle) | Phase::Leaving { handle, .. } =
            std::mem::replace(&mut self.phase, Phase::Over)
        {
            calls.release(Some(&self.name), handle.into_handle());
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether the next turn has to look at it without being told to.
    pub(crate) fn is_busy(&self) -> bool {
        self.unread || self.unsent || self.deadline(true).is_some()
    }

    /// Its bell rings once, until it is read: that may be some turns later.
    pub(crate) fn rang(&mut self) {
        self.unread = true;
    }

    /// Whether corosync may have more for it.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread
    }

    fn watched(&self) -> Option<&Watched<Cpg<Inbox>>> {
        match &self.phase {
            Phase::Joining(handle) | Phase::Member(handle) | Phase::Leaving { handle, .. } => Some(handle),
            Phase::Waiting(_) | Phase::Opening | Phase::Over => None,
        }
    }

    fn watched_mut(&mut self) -> Option<&mut Watched<Cpg<Inbox>>> {
        match &mut self.phase {
            Phase::Joining(handle) | Phase::Member(handle) | Phase::Leaving { handle, .. } => Some(handle),
            Phase::Waiting(_) | Phase::Opening | Phase::Over => None,
        }
    }

    /// When something has to be done without being asked. Nothing is sent while the daemon is behind: then that is what is
    /// waited for.
    pub(crate) fn deadline(&self, may_send: bool) -> Option<Instant> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            _ => self.send_at.filter(|_| may_send),
        }
    }

    /// Takes one event from corosync. Two may come of it: an oddity, then what it was about.
    pub(crate) fn dispatch_one(&mut self) -> Result<Dispatched, Loss> {
        let dispatched = match self.watched_mut() {
            Some(handle) => handle.dispatch_one()?,
            None => Dispatched::Nothing,
        };
        self.unread = dispatched == Dispatched::One || self.listen();
        Ok(dispatched)
    }

    /// From here on the bell tells when there is something to read. True if there is already.
    fn listen(&self) -> bool {
        self.watched().is_some_and(|handle| handle.poll(&mut Context::from_waker(&self.bell)).is_ready())
    }

    /// What the dispatch left, as an event of `connection`.
    pub(crate) fn next_event(&mut self, connection: Connection, me: Member, calls: &mut Calls) -> Option<Event> {
        let event = self.watched_mut()?.handle_mut().sink_mut().pop()?;
        let group = self.name.clone();
        Some(match event {
            CpgEvent::Message { from, bytes } => Event::Message { connection, group, from, bytes },
            CpgEvent::Ring { ring, members } => Event::Ring { connection, group, ring, members },
            CpgEvent::Odd(oddity) => Event::Odd { connection, group, oddity },
            CpgEvent::View { members, left, joined } => {
                self.notice_own_change(me, &left, &joined, calls);
                Event::View { connection, group, members, left, joined }
            }
        })
    }

    fn notice_own_change(
        &mut self,
        me: Member,
        left: &[(Member, Reason)],
        joined: &[(Member, Reason)],
        calls: &mut Calls,
    ) {
        if joined.iter().any(|(member, _)| *member == me) {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Joining(handle) => Phase::Member(handle),
                other => other,
            };
        }
        if left.contains(&(me, Reason::Leave)) {
            if let Phase::Leaving { seen, .. } = &mut self.phase {
                *seen = true;
            }
            self.end_leave(calls);
        }
    }

    /// Gives corosync up to [`SEND_BATCH`] messages. True if there are more that it would take.
    pub(crate) fn send(&mut self, queue: &mut Outbound, now: Instant) -> Result<bool, Loss> {
        self.unsent = self.send_at.is_none_or(|at| at <= now) && self.send_batch(queue, now)?;
        Ok(self.unsent)
    }

    fn send_batch(&mut self, queue: &mut Outbound, now: Instant) -> Result<bool, Loss> {
        self.send_at = None;
        for _ in 0..SEND_BATCH {
            let Some(message) = queue.front() else {
                return Ok(false);
            };
            match self.offer(message)? {
                Some(Sent::Taken) => {
                    self.send_failures = 0;
                    queue.sent(now);
                }
                Some(Sent::Later) => {
                    self.send_failures += 1;
                    self.send_at = Some(now + SEND.delay(self.send_failures));
                    return Ok(false);
                }
                None => return Ok(false),
            }
        }
        Ok(queue.front().is_some())
    }

    /// Offers one message, if the group is in a state to send at all.
    fn offer(&mut self, message: &[u8]) -> Result<Option<Sent>, Loss> {
        let (Phase::Joining(handle) | Phase::Member(handle)) = &self.phase else {
            return Ok(None);
        };
        if self.sends_since_look >= SENDS_PER_LOOK {
            if !handle.handle().writable() {
                return Ok(Some(Sent::Later));
            }
            self.sends_since_look = 0;
        }
        self.sends_since_look += 1;
        match handle.handle().multicast(&[IoSlice::new(message)]) {
            Ok(()) => Ok(Some(Sent::Taken)),
            Err(Code::TRY_AGAIN) => Ok(Some(Sent::Later)),
            Err(code) => Err(Loss::Corosync(Failure::in_group(Call::CpgMcast, &self.name, code))),
        }
    }

    /// A message of ours came back: the ring moves, so what was refused before may go now.
    pub(crate) fn ring_moves(&mut self) {
        self.send_failures = 0;
        self.send_at = None;
    }
}

/// Takes up to [`DISPATCH_BATCH`] events of one group, until `tell` says that there is no room for more. Returns how many.
pub(crate) fn read(
    group: &mut Group,
    (connection, me): (Connection, Member),
    calls: &mut Calls,
    (shared, now): (&Shared, Instant),
    mut tell: impl FnMut(Event) -> bool,
) -> Result<usize, Loss> {
    let (mut left, mut returned, mut room) = (DISPATCH_BATCH, 0, true);
    while left > 0 && room && group.dispatch_one()? == Dispatched::One {
        left -= 1;
        while let Some(event) = group.next_event(connection, me, calls) {
            returned += usize::from(matches!(&event, Event::Message { from, .. } if *from == me));
            room = tell(event);
        }
    }
    if returned > 0 {
        book_returns(shared, group, returned, now);
    }
    Ok(DISPATCH_BATCH - left)
}

/// Books messages of ours that came back.
fn book_returns(shared: &Shared, group: &mut Group, returned: usize, now: Instant) {
    let mut state = shared.state.borrow_mut();
    if let Some(want) = state.groups.get_mut(&group.name).filter(|want| want.ticket == group.ticket) {
        want.queue.returned(returned, now);
        group.ring_moves();
    }
}
