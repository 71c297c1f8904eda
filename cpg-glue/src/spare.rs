//! Connections to corosync's CPG service that are open before a group needs them: `initialize` is 4 ms of a join that
//! takes 5.
//!
//! A spare has joined nothing, so it is in no order that anybody sees. What corosync tells it all the same are rings; the
//! last is kept for its group. It is opened when the calls thread has had nothing to do for [`SPARE_AFTER`]: corosync does nothing else
//! while it opens one, so between the joins of a crowd it would only be in the way. A join that comes in the middle of
//! that is next on the calls thread, and takes what has just been opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::callbacks::Inbox;
use crate::calls::{Calls, Done};
use crate::error::{Call, Failure};
use crate::glue::{Options, Probe};
use crate::retry::SPARE;
use crate::session::DISPATCH_BATCH;
use crate::sys::{Cpg, Dispatched};
use crate::watched::Watched;

/// How long nothing was asked of corosync before a spare is opened. Longer than the pauses between the joins and leaves
/// of one program, shorter than those between two.
pub const SPARE_AFTER: Duration = Duration::from_millis(10);

/// A spare on its way from the calls thread, for the owner loop or for a join that stands behind it.
#[derive(Clone, Default)]
pub(crate) struct Fresh(Arc<Mutex<Option<Cpg<Inbox>>>>);

/// The spares of one connection.
pub(crate) struct Spares {
    max: usize,
    probe: Option<fn(Probe)>,
    open: Vec<Watched<Cpg<Inbox>>>,
    opening: bool,
    fresh: Fresh,
    /// In a row, and until when to hold back because of them.
    failures: u32,
    not_before: Option<Instant>,
}

impl Spares {
    pub(crate) fn new(options: Options) -> Self {
        let Options { spares: max, probe, .. } = options;
        Self { max, probe, open: Vec::new(), opening: false, fresh: Fresh::default(), failures: 0, not_before: None }
    }

    /// What every connection's callbacks call first.
    pub(crate) fn probe(&self) -> Option<fn(Probe)> {
        self.probe
    }

    /// Where a job of the calls thread finds one that was opened just before it.
    pub(crate) fn fresh(&self) -> Fresh {
        self.fresh.clone()
    }

    /// One for a group, if there is one that corosync has not closed.
    pub(crate) fn take(&mut self, calls: &mut Calls) -> Option<Cpg<Inbox>> {
        while let Some(spare) = self.open.pop() {
            let mut cpg = spare.into_handle();
            if is_alive(&mut cpg) {
                return Some(cpg);
            }
            calls.release(None, cpg);
        }
        None
    }

    /// Ready when corosync has something to say to one of them, perhaps that it is gone.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = self.open.iter().filter(|spare| spare.poll(cx).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Drops what came, and the spares that corosync has closed. Whether the connection as a whole is lost shows on
    /// handles that are in use.
    pub(crate) fn dispatch(&mut self, calls: &mut Calls) {
        for at in (0..self.open.len()).rev() {
            let Some(spare) = self.open.get_mut(at) else { continue };
            let mut dispatched = Ok(Dispatched::One);
            for _ in 0..DISPATCH_BATCH {
                dispatched = spare.dispatch_one();
                if !matches!(dispatched, Ok(Dispatched::One)) {
                    break;
                }
            }
            spare.handle_mut().sink_mut().begin(b"");
            if dispatched.is_err() {
                calls.release(None, self.open.swap_remove(at).into_handle());
            }
        }
    }

    /// When one more is to be opened.
    pub(crate) fn due(&self, calls: &Calls) -> Option<Instant> {
        let wanted = !self.opening && self.open.len() < self.max;
        let quiet = calls.idle_since().filter(|_| wanted)? + SPARE_AFTER;
        Some(self.not_before.map_or(quiet, |at| at.max(quiet)))
    }

    /// Opens one more if it is due.
    pub(crate) fn keep_time(&mut self, now: Instant, calls: &mut Calls) {
        if self.due(calls).is_some_and(|due| due <= now) {
            self.opening = true;
            let (probe, fresh) = (self.probe, self.fresh());
            // Tried once: a busy corosync is left alone, and nobody waits for this one.
            calls.submit(None, move |progress| {
                let opened = progress.call_once(Call::CpgInitialize, || Cpg::open(Inbox::new(b"", probe)));
                Done::Spare(opened.map(|cpg| fresh.put(cpg)))
            });
        }
    }

    /// The calls thread is back.
    pub(crate) fn opened(&mut self, result: Result<(), Failure>, now: Instant, calls: &mut Calls) {
        self.opening = false;
        match result.map_err(|why| why.to_string()).and_then(|()| self.watch_fresh(calls)) {
            Ok(()) => (self.failures, self.not_before) = (0, None),
            Err(why) => {
                self.failures += 1;
                self.not_before = Some(now + SPARE.delay(self.failures));
                tracing::debug!(%why, "no spare connection to corosync");
            }
        }
    }

    fn watch_fresh(&mut self, calls: &mut Calls) -> Result<(), String> {
        let Some(cpg) = self.fresh.take() else { return Ok(()) };
        let watched = Watched::new(cpg).map_err(|(cpg, loss)| {
            calls.release(None, cpg);
            format!("{loss:?}")
        });
        watched.map(|spare| self.open.push(spare))
    }

    /// Gives all of them up, and opens no more.
    pub(crate) fn release(&mut self, calls: &mut Calls) {
        self.max = 0;
        for spare in self.open.drain(..).map(Watched::into_handle).chain(self.fresh.take()) {
            calls.release(None, spare);
        }
    }
}

impl Fresh {
    /// What is there, once.
    pub(crate) fn take(&self) -> Option<Cpg<Inbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, cpg: Cpg<Inbox>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cpg);
    }
}

/// Whether corosync still holds the other end. Takes what has come, so that a group begins with nothing of the time
/// before it but its ring.
fn is_alive(cpg: &mut Cpg<Inbox>) -> bool {
    for _ in 0..DISPATCH_BATCH {
        match cpg.dispatch_one() {
            Ok(Dispatched::One) => {}
            Ok(Dispatched::Nothing) => return true,
            Ok(Dispatched::Panicked) | Err(_) => return false,
        }
    }
    false
}
