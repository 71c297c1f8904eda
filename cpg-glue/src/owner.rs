//! The loop that owns every handle: take what corosync has, tell the daemon, send what the daemon wants sent.
//!
//! It is a task on the daemon's own thread, so an event is a push into a queue and a wake-up without a system call. It
//! never blocks: what can block runs on the calls thread.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::{spawn_local, yield_now};
use tokio::time::Instant;

use crate::calls::{Calls, Done, THREADS_MAX};
use crate::error::{Call, Code, Failure};
use crate::event::{Event, Loss};
use crate::glue::{CLOSE_WITHIN, EVENTS_MAX, Events, Glue, Options, Shared};
use crate::ids::Connection;
use crate::outlet::Outlet;
use crate::retry::CONNECT;
use crate::session::{Session, connect};

/// Where the connection stands.
enum Link {
    /// To be tried at that time.
    Idle(Instant),
    /// The calls thread tries.
    Connecting(Calls),
    /// It stands.
    Up(Box<Session>),
    /// The end.
    Closed,
}

struct Owner {
    shared: Rc<Shared>,
    out: Outlet,
    options: Options,
    link: Link,
    connections: u64,
    /// Tries since the last connection.
    attempt: u32,
    /// Whether this outage has been told.
    down_told: bool,
    close_by: Option<Instant>,
    /// Each calls thread holds a clone.
    threads: Arc<()>,
}

impl Glue {
    /// Starts the owner loop as a local task of this thread. Never fails: what corosync says comes as events.
    ///
    /// # Panics
    /// Outside [`run_on_owner_thread`](crate::run_on_owner_thread) or another `LocalSet`.
    pub fn start(options: Options) -> (Self, Events) {
        let shared = Rc::new(Shared::new(options.groups_max));
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let owner = Owner {
            shared: shared.clone(),
            out: Outlet::new(sender),
            options,
            link: Link::Idle(Instant::now()),
            connections: 0,
            attempt: 0,
            down_told: false,
            close_by: None,
            threads: Arc::new(()),
        };
        spawn_local(owner.run());
        (Self::over(shared.clone()), Events::over(receiver, shared))
    }
}

impl Owner {
    async fn run(mut self) {
        loop {
            let more = self.turn();
            if matches!(self.link, Link::Closed) {
                return self.last_words().await;
            }
            if more {
                yield_now().await;
            } else if self.out.take_told() {
                let_daemon_go_first().await;
            } else {
                self.wait().await;
            }
        }
    }

    /// Hands over what is held back, `Closed` last.
    async fn last_words(mut self) {
        while self.out.is_blocked() && !self.out.is_closed() {
            self.out.drain().await;
        }
    }

    /// Everything that can be done now. True if there is more to do at once.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        let mut more = false;
        self.link = match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Idle(at) if at <= now => self.begin_connecting(now),
            Link::Connecting(calls) => self.go_on_connecting(calls, now),
            Link::Up(mut session) => match session.turn(now, &mut self.out) {
                Ok(again) => {
                    more = again;
                    Link::Up(session)
                }
                Err(why) => self.lose(session, why, now),
            },
            other => other,
        };
        self.tell_left();
        self.go_on_closing(now);
        more
    }

    fn begin_connecting(&mut self, now: Instant) -> Link {
        self.attempt = self.attempt.saturating_add(1);
        let started =
            if Arc::strong_count(&self.threads) > THREADS_MAX { None } else { Calls::start(self.threads.clone()).ok() };
        let Some(mut calls) = started else {
            return self.stay_down(Failure::of(Call::QuorumInitialize, Code::NO_THREAD), now);
        };
        calls.submit(None, |progress| Done::Connected(connect(progress)));
        Link::Connecting(calls)
    }

    fn go_on_connecting(&mut self, mut calls: Calls, now: Instant) -> Link {
        calls.stuck(now).into_iter().for_each(|event| self.out.emit(event));
        let Some((done, unstuck)) = calls.next_done() else {
            return Link::Connecting(calls);
        };
        unstuck.into_iter().for_each(|event| self.out.emit(event));
        let opened = match done {
            Done::Connected(Ok(opened)) => opened,
            Done::Connected(Err(why)) | Done::Panicked(why) => {
                calls.retire();
                return self.stay_down(why, now);
            }
            _ => return Link::Connecting(calls),
        };
        self.connections += 1;
        let connection = Connection(self.connections);
        match Session::begin(connection, *opened, calls, self.shared.clone(), self.options) {
            Ok(session) => {
                let me = session.me();
                let attempt = std::mem::take(&mut self.attempt);
                self.down_told = false;
                self.out.emit(Event::Up { connection, nodeid: me.nodeid, pid: me.pid, attempt });
                // The turn that found it goes on with it.
                self.shared.wake.notify_one();
                Link::Up(Box::new(session))
            }
            Err(loss) => {
                tracing::warn!(?loss, "corosync's descriptors cannot be watched");
                self.stay_down(Failure::of(Call::QuorumDispatch, Code(18)), now)
            }
        }
    }

    fn stay_down(&mut self, why: Failure, now: Instant) -> Link {
        if !std::mem::replace(&mut self.down_told, true) {
            self.out.emit(Event::Down { why });
        }
        Link::Idle(now + CONNECT.delay(self.attempt))
    }

    fn lose(&mut self, session: Box<Session>, why: Loss, now: Instant) -> Link {
        let connection = Connection(self.connections);
        let unsent = session.end(&mut self.out);
        // What panicked once may do so again: not as fast as it can.
        let is_ours = matches!(&why, Loss::Corosync(failure) if failure.code == Code::PANIC);
        self.out.emit(Event::Lost { connection, why, unsent });
        Link::Idle(if is_ours { now + CONNECT.max } else { now })
    }

    /// What was left before anything was begun for it.
    fn tell_left(&mut self) {
        let connection = Connection(self.connections);
        while let Some(group) = self.shared.state.borrow_mut().left_unopened.pop_front() {
            self.out.emit(Event::Left { connection, group });
        }
    }

    /// Closes step by step once it is asked for, or at once when nobody reads any more.
    fn go_on_closing(&mut self, now: Instant) {
        let asked = self.shared.state.borrow().closing;
        if !asked && !self.out.is_closed() {
            return;
        }
        let close_by = *self.close_by.get_or_insert(now + CLOSE_WITHIN);
        let (over, clean) = match &mut self.link {
            Link::Up(session) => {
                let clean = session.wind_up();
                (clean || close_by <= now || self.out.is_closed(), clean)
            }
            // Without a connection there is nothing to leave; what a lost one left is with its calls thread.
            Link::Idle(_) | Link::Connecting(_) => (true, true),
            Link::Closed => return,
        };
        if over {
            match std::mem::replace(&mut self.link, Link::Closed) {
                Link::Up(session) => drop(session.end(&mut self.out)),
                Link::Connecting(calls) => calls.retire(),
                Link::Idle(_) | Link::Closed => {}
            }
            self.out.emit(Event::Closed { clean });
        }
    }

    /// Sleeps until corosync, the calls thread, the daemon or the clock has something.
    async fn wait(&mut self) {
        let deadline = self.deadline();
        let inbound = !self.out.is_blocked();
        let link = &mut self.link;
        tokio::select! {
            biased;
            () = std::future::poll_fn(|cx| link.poll(cx, inbound)) => {}
            () = self.shared.wake.notified() => {}
            // The runtime looks at the descriptors before anything is read again: the trail counts on that.
            () = self.out.drain(), if !inbound => yield_now().await,
            () = until(deadline) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let link = match &self.link {
            Link::Idle(at) => Some(*at),
            Link::Connecting(calls) => calls.stuck_at(),
            Link::Up(session) => session.deadline(!self.out.is_blocked()),
            Link::Closed => None,
        };
        link.into_iter().chain(self.close_by).min()
    }
}

impl Link {
    fn poll(&mut self, cx: &mut Context<'_>, inbound: bool) -> Poll<()> {
        match self {
            Self::Connecting(calls) => calls.poll(cx),
            Self::Up(session) => session.poll(cx, inbound),
            Self::Idle(_) | Self::Closed => Poll::Pending,
        }
    }
}

impl Drop for Owner {
    /// The runtime ends before the glue was closed: the handles go to their calls thread, which may wait for corosync.
    fn drop(&mut self) {
        match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Up(session) => drop(session.end(&mut self.out)),
            Link::Connecting(calls) => calls.retire(),
            Link::Idle(_) | Link::Closed => {}
        }
    }
}

/// Lets the tasks that are ready on this thread run, and comes back without a look at the descriptors: the daemon has
/// been told something and often answers at once, so that one more turn serves both.
async fn let_daemon_go_first() {
    let mut gone = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gone, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
