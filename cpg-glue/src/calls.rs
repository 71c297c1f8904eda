//! The calls thread: where every call runs that corosync can hold up.
//!
//! A stopped corosync holds `initialize`, `join`, `leave`, `finalize` and every query for as long as it is stopped, and
//! libcpg has no time-out. So they run here, one after the other, and the owner loop only looks at the clock. Each
//! connection has a thread of its own: when it is lost, the thread ends by itself as soon as its last call returns, and
//! whatever that call brought is released there.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::mpsc as async_mpsc;
use tokio::time::Instant;

use crate::callbacks::Inbox;
use crate::cfg::Cfg;
use crate::cmap::{Cmap, ReadError};
use crate::config::Keys;
use crate::error::{Call, Code, Failure};
use crate::event::{Event, Verdict};
use crate::glue::STUCK_AFTER;
use crate::ids::{GroupName, NodeId};
use crate::quorum::Quorum;
use crate::retry::patiently;
use crate::shortage;
use crate::sys::Cpg;

/// Calls threads alive at once: the current one and those of lost connections that still wait for corosync.
pub(crate) const THREADS_MAX: usize = 8;

/// What a connection begins with.
pub(crate) struct Opened {
    pub(crate) nodeid: NodeId,
    pub(crate) quorum: Quorum,
    pub(crate) cfg: Cfg,
    pub(crate) cmap: Cmap,
}

/// The end of a job.
pub(crate) enum Done {
    Connected(Result<Box<Opened>, Failure>),
    Joined(GroupName, Result<Cpg<Inbox>, Failure>),
    Spare(Result<(), Failure>),
    LeaveCalled(GroupName, Result<(), Failure>),
    Released,
    Checked,
    Read(Result<Keys, ReadError>),
    Answered {
        verdict: Verdict,
        by_deadline: bool,
        result: Result<(), Failure>,
    },
    KillOrdered(NodeId, Result<(), Failure>),
    /// The job panicked in this call. What it was to bring will not come: the connection is to be given up.
    Panicked(Failure),
}

type Job = Box<dyn FnOnce(&Progress) -> Done + Send>;

/// Which call the thread is in.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Call>>);

/// A job that has not come back.
struct UnderWay {
    group: Option<GroupName>,
    told: Option<Call>,
}

/// The owner loop's end of one calls thread.
pub(crate) struct Calls {
    jobs: mpsc::Sender<Job>,
    done: async_mpsc::UnboundedReceiver<Done>,
    arrived: VecDeque<Done>,
    under_way: VecDeque<UnderWay>,
    /// How many jobs have come back and been taken up.
    ended: u64,
    /// When the first job under way began, or the last one ended.
    since: Instant,
    progress: Progress,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Call::QuorumInitialize)))
    }

    /// Makes one call, again while corosync says `TRY_AGAIN`.
    pub(crate) fn call<T>(&self, call: Call, make: impl FnMut() -> Result<T, Code>) -> Result<T, Failure> {
        self.call_once(call, || patiently(make))
    }

    /// Makes one call, once.
    pub(crate) fn call_once<T>(&self, call: Call, make: impl FnOnce() -> Result<T, Code>) -> Result<T, Failure> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
        make().map_err(|code| Failure::of(call, shortage::reason(code)))
    }

    pub(crate) fn current(&self) -> Call {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Starts a thread. It counts as alive while it holds its clone of `alive`.
    pub(crate) fn start(alive: Arc<()>) -> io::Result<Self> {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (finished, done) = async_mpsc::unbounded_channel();
        let progress = Progress::new();
        let seen = progress.clone();
        thread::Builder::new().name("corosync-calls".to_owned()).spawn(move || {
            let _alive = alive;
            for job in to_do {
                // After a loss nobody listens: what the job brought is dropped, and so released, on this thread.
                let _ = finished.send(caught(job, &seen));
            }
        })?;
        let (arrived, under_way) = (VecDeque::new(), VecDeque::new());
        Ok(Self { jobs, done, arrived, under_way, ended: 0, since: Instant::now(), progress })
    }

    /// Hands over a job. Their number is bounded by who gives them: one a handle, one a question, `KILLS_MAX`.
    pub(crate) fn submit(&mut self, group: Option<&GroupName>, job: impl FnOnce(&Progress) -> Done + Send + 'static) {
        if self.under_way.is_empty() {
            self.since = Instant::now();
        }
        self.under_way.push_back(UnderWay { group: group.cloned(), told: None });
        // The thread lives as long as this sender.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Releases a handle: its finalize can block like any call.
    pub(crate) fn release(&mut self, group: Option<&GroupName>, handle: impl Send + 'static) {
        self.submit(group, move |progress| {
            let _ = progress.call(Call::CpgFinalize, || Ok(()));
            drop(handle);
            Done::Released
        });
    }

    /// Collects what has ended; ready if something has.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.arrived.len();
        while let Poll::Ready(Some(done)) = self.done.poll_recv(cx) {
            self.arrived.push_back(done);
        }
        if self.arrived.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The next job that has ended, and `Unstuck` if it had been told as stuck. Not only of those that were collected: an
    /// owner loop with more to read than one turn takes does not wait, and so does not poll.
    pub(crate) fn next_done(&mut self) -> Option<(Done, Option<Event>)> {
        let done = self.arrived.pop_front().or_else(|| self.done.try_recv().ok())?;
        let ended = self.under_way.pop_front();
        self.ended += 1;
        let took = self.since.elapsed();
        self.since = Instant::now();
        let unstuck = ended.and_then(|job| {
            let after_ms = millis(took);
            job.told.map(|call| Event::Unstuck { call, group: job.group, after_ms })
        });
        Some((done, unstuck))
    }

    /// How many jobs have come back and been taken up.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// How many will have, when what may be running for a group now has: a job that has ended without being taken up, and
    /// the one behind it.
    pub(crate) fn running_until(&self) -> u64 {
        let running = self.under_way.iter().take(2).zip(1..).filter(|(job, _)| job.group.is_some());
        self.ended + running.map(|(_, count)| count).max().unwrap_or(0)
    }

    /// When the job under way will have to be told as stuck.
    pub(crate) fn stuck_at(&self) -> Option<Instant> {
        self.under_way.front().filter(|job| job.told.is_none()).map(|_| self.since + STUCK_AFTER)
    }

    /// Tells it, once a job.
    pub(crate) fn stuck(&mut self, now: Instant) -> Option<Event> {
        if self.stuck_at()? > now {
            return None;
        }
        let job = self.under_way.front_mut()?;
        let call = self.progress.current();
        job.told = Some(call);
        let since_ms = millis(now.duration_since(self.since));
        Some(Event::Stuck { call, group: job.group.clone(), since_ms })
    }

    /// Since when nothing is under way.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle().then_some(self.since)
    }

    /// Whether nothing is under way.
    pub(crate) fn idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Leaves the thread to itself. What has arrived in the meantime is released there too.
    pub(crate) fn retire(mut self) {
        self.done.close();
        let mut unclaimed = std::mem::take(&mut self.arrived);
        while let Ok(done) = self.done.try_recv() {
            unclaimed.push_back(done);
        }
        let _ = self.jobs.send(Box::new(move |_| {
            drop(unclaimed);
            Done::Released
        }));
    }
}

/// A thread that ended here would leave all that is asked of it unanswered, for ever.
fn caught(job: Job, progress: &Progress) -> Done {
    // What the job holds is dropped as it unwinds, and nobody looks into it afterwards.
    let done = catch_unwind(AssertUnwindSafe(|| job(progress)));
    done.unwrap_or_else(|_| Done::Panicked(Failure::of(progress.current(), Code::PANIC)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells on which thread it was dropped.
    struct Witness(mpsc::Sender<String>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().unwrap_or_default().to_owned());
        }
    }

    /// Waits until the calls thread has ended what it was given.
    async fn wait(calls: &mut Calls) {
        std::future::poll_fn(|cx| calls.poll(cx)).await;
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_told_once_and_its_end_too() {
        let mut calls = Calls::start(Arc::new(())).unwrap();
        let (go, hold) = mpsc::channel::<()>();
        let (begun, beginning) = mpsc::channel::<()>();
        let group = GroupName::new("g").unwrap();
        calls.submit(Some(&group), move |progress| {
            let _ = progress.call(Call::CpgJoin, || {
                begun.send(()).unwrap();
                hold.recv().map_err(|_| Code::LIBRARY)
            });
            Done::Released
        });
        beginning.recv().unwrap();
        let deadline = calls.stuck_at().unwrap();
        assert_eq!(calls.stuck(deadline - Duration::from_millis(1)), None);
        let told = Event::Stuck { call: Call::CpgJoin, group: Some(group.clone()), since_ms: 1000 };
        assert_eq!(calls.stuck(deadline), Some(told));
        assert_eq!(calls.stuck(deadline + STUCK_AFTER), None);
        go.send(()).unwrap();
        wait(&mut calls).await;
        let (_, unstuck) = calls.next_done().unwrap();
        assert!(matches!(unstuck, Some(Event::Unstuck { call: Call::CpgJoin, .. })));
        assert!(calls.idle());
    }

    #[tokio::test]
    async fn what_has_ended_is_taken_up_without_a_poll() {
        let mut calls = Calls::start(Arc::new(())).unwrap();
        let group = GroupName::new("g").unwrap();
        let (ended, end) = mpsc::channel();
        calls.submit(Some(&group), |_| Done::Checked);
        calls.submit(Some(&group), move |_| {
            ended.send(()).unwrap(); // so the first is back
            Done::Released
        });
        assert_eq!(calls.running_until(), 2);
        end.recv().unwrap();
        assert!(matches!(calls.next_done(), Some((Done::Checked, None))));
        assert_eq!(calls.ended(), 1);
    }

    #[tokio::test]
    async fn a_call_that_panics_ends_and_says_so_and_the_next_one_is_made() {
        let mut calls = Calls::start(Arc::new(())).unwrap();
        calls.submit(None, |progress| {
            let _ = progress.call(Call::CmapIterate, || -> Result<(), Code> { panic!("asked for") });
            Done::Checked
        });
        wait(&mut calls).await;
        let why = Failure::of(Call::CmapIterate, Code::PANIC);
        assert!(matches!(calls.next_done(), Some((Done::Panicked(told), None)) if told == why));
        calls.submit(None, |_| Done::Checked);
        wait(&mut calls).await;
        assert!(matches!(calls.next_done(), Some((Done::Checked, None))));
    }

    #[tokio::test]
    async fn a_late_success_is_released_on_the_calls_thread() {
        let mut calls = Calls::start(Arc::new(())).unwrap();
        let (dropped, drops) = mpsc::channel();
        let (go, hold) = mpsc::channel::<()>();
        let witness = Witness(dropped);
        calls.submit(None, move |_| {
            hold.recv().unwrap();
            drop(witness);
            Done::Released
        });
        calls.retire();
        go.send(()).unwrap();
        assert_eq!(drops.recv().unwrap(), "corosync-calls");
    }

    #[tokio::test]
    async fn the_thread_of_a_lost_connection_ends() {
        let alive = Arc::new(());
        let mut calls = Calls::start(alive.clone()).unwrap();
        calls.submit(None, |_| Done::Released);
        wait(&mut calls).await;
        assert_eq!(Arc::strong_count(&alive), 2);
        let (dropped, drops) = mpsc::channel();
        calls.release(None, Witness(dropped));
        calls.retire();
        assert_eq!(drops.recv().unwrap(), "corosync-calls");
    }
}
