//! One connection to corosync, from `Up` to `Lost`: its handles, its groups, its question.

mod dispatch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::callbacks::forget_notifications;
use crate::calls::{Calls, Done, Opened, Progress};
use crate::cfg::Cfg;
use crate::cmap::Cmap;
use crate::config_watch::ConfigWatch;
use crate::cpg::Group;
use crate::error::{Call, Code, Failure};
use crate::event::{Event, Loss, Verdict};
use crate::glue::{Options, Shared};
use crate::ids::{Connection, GroupName, Member, NodeId};
use crate::outlet::Outlet;
use crate::quorum::Quorum;
use crate::ready::Ready;
use crate::spare::Spares;
use crate::trail::Trail;
use crate::watched::{Handle, Watched};

/// Events taken from one handle in one turn; then everybody else has a turn.
pub(crate) const DISPATCH_BATCH: usize = 256;

/// The handles of the three services that every connection has.
struct Services {
    quorum: Watched<Quorum>,
    cfg: Watched<Cfg>,
    cmap: Watched<Cmap>,
}

/// A live connection.
pub(crate) struct Session {
    connection: Connection,
    me: Member,
    pub(crate) calls: Calls,
    /// `None` once they are given up.
    services: Option<Services>,
    groups: BTreeMap<GroupName, Group>,
    /// Groups that the next turn is to look at. With all the others there is nothing to do: a turn costs what has
    /// happened, not what is joined.
    busy: BTreeSet<GroupName>,
    /// Groups whose descriptors have become readable.
    ready: Arc<Ready>,
    spares: Spares,
    trail: Trail,
    /// The first group that had no turn because the daemon was behind: it is the first of the next.
    next: Option<GroupName>,
    /// So had the services none.
    services_next: bool,
    config: ConfigWatch,
    /// Until when corosync's shutdown question is to be answered.
    question: Option<Instant>,
    kills: VecDeque<NodeId>,
    shared: Rc<Shared>,
}

/// Opens the services. For the calls thread.
pub(crate) fn connect(progress: &Progress) -> Result<Box<Opened>, Failure> {
    let quorum = Quorum::open(progress)?;
    let cfg = Cfg::open(progress)?;
    let nodeid = cfg.local(progress)?;
    cfg.track(progress)?;
    let cmap = Cmap::open(progress)?;
    cmap.track(progress)?;
    Ok(Box::new(Opened { nodeid, quorum, cfg, cmap }))
}

impl Services {
    /// Watches all three, or releases all three.
    fn watch(opened: Opened, calls: &mut Calls) -> Result<Self, Loss> {
        let Opened { quorum, cfg, cmap, .. } = opened;
        let watched = (Watched::new(quorum), Watched::new(cfg), Watched::new(cmap));
        match watched {
            (Ok(quorum), Ok(cfg), Ok(cmap)) => Ok(Self { quorum, cfg, cmap }),
            (quorum, cfg, cmap) => {
                let failed = [release(quorum, calls), release(cfg, calls), release(cmap, calls)];
                let unnamed = || Loss::Watch("the runtime refused a descriptor".to_owned());
                Err(failed.into_iter().flatten().next().unwrap_or_else(unnamed))
            }
        }
    }

    fn release(self, calls: &mut Calls) {
        calls.release(None, self.quorum.into_handle());
        calls.release(None, self.cfg.into_handle());
        calls.release(None, self.cmap.into_handle());
    }
}

fn release<H: Handle>(watched: Result<Watched<H>, (H, Loss)>, calls: &mut Calls) -> Option<Loss> {
    let (handle, loss) = match watched {
        Ok(watched) => (watched.into_handle(), None),
        Err((handle, loss)) => (handle, Some(loss)),
    };
    calls.release(None, handle);
    loss
}

impl Session {
    /// Takes over what the calls thread has opened; what cannot be watched is released.
    pub(crate) fn begin(
        connection: Connection,
        opened: Opened,
        mut calls: Calls,
        shared: Rc<Shared>,
        options: Options,
    ) -> Result<Self, Loss> {
        forget_notifications();
        let me = Member { nodeid: opened.nodeid, pid: std::process::id() };
        let services = match Services::watch(opened, &mut calls) {
            Ok(services) => Some(services),
            Err(loss) => {
                calls.retire();
                return Err(loss);
            }
        };
        let mut state = shared.state.borrow_mut();
        state.up = true;
        let busy = state.groups.keys().cloned().collect();
        drop(state);
        Ok(Self {
            connection,
            me,
            calls,
            services,
            groups: BTreeMap::new(),
            busy,
            ready: Arc::default(),
            spares: Spares::new(options),
            trail: Trail::of(options.told_last),
            next: None,
            services_next: false,
            config: ConfigWatch::default(),
            question: None,
            kills: VecDeque::new(),
            shared,
        })
    }

    pub(crate) fn me(&self) -> Member {
        self.me
    }

    /// Ready when a turn would find something to do. `inbound` is false while the daemon is behind.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, inbound: bool) -> Poll<()> {
        let mut ready = self.calls.poll(cx).is_ready();
        if inbound {
            if let Some(Services { quorum, cfg, cmap }) = &self.services {
                ready |= quorum.poll(cx).is_ready();
                ready |= cfg.poll(cx).is_ready();
                ready |= cmap.poll(cx).is_ready();
            }
            ready |= self.ready.poll(cx).is_ready();
        }
        ready |= self.spares.poll(cx).is_ready();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// When a turn is due without being woken.
    pub(crate) fn deadline(&self, inbound: bool) -> Option<Instant> {
        let groups = self.busy.iter().filter_map(|name| self.groups.get(name)?.deadline(inbound));
        groups
            .chain(self.question)
            .chain(self.calls.stuck_at())
            .chain(self.spares.due(&self.calls))
            .chain(self.trail.deadline(inbound))
            .chain(self.services.as_ref().and_then(|_| self.config.deadline()))
            .min()
    }

    /// One round: what has ended, what came, what is wanted, what is to be sent. In this order, because our own views
    /// queue behind our own messages. True if there is more to do at once.
    pub(crate) fn turn(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        self.settle(out)?;
        self.busy.append(&mut self.shared.state.borrow_mut().touched);
        let more_in = self.dispatch(now, out)?;
        self.keep_time(now, out);
        self.reconcile(now, out);
        let more_out = if out.is_blocked() { false } else { self.send(now)? };
        if !out.is_blocked() {
            let (groups, trail) = (&self.groups, &self.trail);
            let is_held = |name: &GroupName| trail.is(name.as_bytes()) && !trail.is_empty();
            self.busy.retain(|name| groups.get(name).is_some_and(|group| group.is_busy() || is_held(name)));
        }
        Ok(more_in || more_out)
    }

    /// Takes up what the calls thread has ended.
    fn settle(&mut self, out: &mut Outlet) -> Result<(), Loss> {
        while let Some((done, unstuck)) = self.calls.next_done() {
            unstuck.into_iter().for_each(|event| out.emit(event));
            self.take_done(done, out)?;
        }
        Ok(())
    }

    fn take_done(&mut self, done: Done, out: &mut Outlet) -> Result<(), Loss> {
        let connection = self.connection;
        match done {
            Done::Joined(name, result) => {
                self.busy.insert(name.clone());
                self.trail.joined(&name);
                if let Some(group) = self.groups.get_mut(&name) {
                    let refused = group.joined(result, &mut self.calls)?;
                    refused.into_iter().for_each(|why| out.emit(Event::GroupRefused { connection, why }));
                }
            }
            Done::LeaveCalled(name, result) => {
                self.busy.insert(name.clone());
                if let Some(group) = self.groups.get_mut(&name) {
                    group.leave_called(result.is_err(), &mut self.calls);
                }
                result.err().into_iter().for_each(|why| out.emit(Event::GroupRefused { connection, why }));
            }
            Done::Spare(result) => self.spares.opened(result, Instant::now(), &mut self.calls),
            Done::Read(result) => {
                // A change that came before the read ended is on its way: it must be seen before the read counts.
                self.dispatch_cmap(out)?;
                let told = self.config.read(connection, result, self.me.nodeid, Instant::now());
                told.into_iter().for_each(|event| out.emit(event));
            }
            Done::Answered { verdict, by_deadline, result } => {
                out.emit(Event::ShutdownAnswered { connection, verdict, by_deadline, result });
            }
            Done::KillOrdered(nodeid, result) => {
                self.kills.pop_front();
                self.shared.state.borrow_mut().kills_under_way = self.kills.len();
                out.emit(Event::KillOrdered { nodeid, result });
            }
            Done::Panicked(why) => return Err(Loss::Corosync(why)),
            Done::Released | Done::Checked | Done::Connected(_) => {}
        }
        Ok(())
    }

    /// What is due by the clock.
    fn keep_time(&mut self, now: Instant, out: &mut Outlet) {
        self.calls.stuck(now).into_iter().for_each(|event| out.emit(event));
        for name in &self.busy {
            if let Some(group) = self.groups.get_mut(name) {
                group.retry(now, &mut self.spares, &mut self.calls);
            }
        }
        self.spares.keep_time(now, &mut self.calls);
        if self.question.is_some_and(|deadline| deadline <= now) {
            self.shared.state.borrow_mut().question_open = false;
            self.answer(Verdict::No, true);
        }
    }

    /// Compares what is wanted with what is.
    fn reconcile(&mut self, now: Instant, out: &mut Outlet) {
        let shared = self.shared.clone();
        let mut state = shared.state.borrow_mut();
        if let Some(verdict) = state.answer.take() {
            self.answer(verdict, false);
        }
        if std::mem::take(&mut state.check) {
            self.check();
        }
        while let Some((nodeid, reason)) = state.kills.pop_front() {
            self.kill(nodeid, reason);
        }
        state.kills_under_way = self.kills.len();
        if let Some(cmap) = self.services.as_ref().filter(|_| self.config.wants_read(now)) {
            let cmap = cmap.cmap.handle().clone();
            self.calls.submit(None, move |progress| Done::Read(cmap.read(progress)));
            self.config.reading();
        }
        drop(state);
        self.reconcile_groups(out);
    }

    /// Leaves what is not wanted any more, forgets what is over, and joins what is wanted and not there.
    fn reconcile_groups(&mut self, out: &mut Outlet) {
        let connection = self.connection;
        let mut state = self.shared.state.borrow_mut();
        for name in &self.busy {
            let want = state.groups.get_mut(name);
            if let Some(group) = self.groups.get_mut(name) {
                if want.as_ref().is_none_or(|want| want.ticket != group.ticket) {
                    group.unwanted(&mut self.calls);
                }
                // What is held of the group comes before its end.
                let is_held = self.trail.is(name.as_bytes()) && !self.trail.is_empty();
                if group.is_over() && !is_held {
                    self.groups.remove(name);
                    self.trail.read(name, 0, true);
                    out.emit(Event::Left { connection, group: name.clone() });
                }
            }
            let Some(want) = want else { continue };
            want.taken_up = true;
            if !self.groups.contains_key(name) {
                let group = Group::open(name.clone(), want.ticket, &self.ready, &mut self.spares, &mut self.calls);
                self.groups.insert(name.clone(), group);
            }
        }
    }

    /// Any call does, and one that is under way already is as good.
    fn check(&mut self) {
        if let Some(services) = self.services.as_ref().filter(|_| self.calls.idle()) {
            let cfg = services.cfg.handle().clone();
            self.calls.submit(None, move |progress| {
                // Only whether it returns counts: an error is found by dispatch too, and is a loss there.
                let _ = cfg.local(progress);
                Done::Checked
            });
        }
    }

    fn answer(&mut self, verdict: Verdict, by_deadline: bool) {
        let Some(cfg) = self.question.take().and(self.services.as_ref()) else {
            return;
        };
        let cfg = cfg.cfg.handle().clone();
        self.calls.submit(None, move |progress| {
            let result = cfg.answer(verdict, progress);
            Done::Answered { verdict, by_deadline, result }
        });
    }

    fn kill(&mut self, nodeid: NodeId, reason: String) {
        let Some(services) = &self.services else {
            return;
        };
        let cfg = services.cfg.handle().clone();
        self.kills.push_back(nodeid);
        self.calls.submit(None, move |progress| Done::KillOrdered(nodeid, cfg.kill(nodeid, &reason, progress)));
    }

    fn send(&mut self, now: Instant) -> Result<bool, Loss> {
        let mut state = self.shared.state.borrow_mut();
        let mut more = false;
        for name in &self.busy {
            let Some(group) = self.groups.get_mut(name) else { continue };
            if let Some(want) = state.groups.get_mut(name).filter(|want| want.ticket == group.ticket) {
                more |= group.send(&mut want.queue, now)?;
            }
        }
        Ok(more)
    }

    /// For the end: gives up the services once every group has left. True when nothing is left to wait for.
    pub(crate) fn wind_up(&mut self) -> bool {
        if self.groups.is_empty() {
            self.spares.release(&mut self.calls);
        }
        if self.groups.is_empty()
            && let Some(services) = self.services.take()
        {
            services.release(&mut self.calls);
        }
        self.services.is_none() && self.calls.idle()
    }

    /// Gives everything up at once and leaves the calls thread to itself.
    pub(crate) fn end(mut self, out: &mut Outlet) -> usize {
        for group in self.groups.values_mut() {
            group.release(&mut self.calls);
        }
        self.spares.release(&mut self.calls);
        if let Some(services) = self.services.take() {
            services.release(&mut self.calls);
        }
        // It happened: nothing that was read is kept back.
        self.trail.take().into_iter().for_each(|event| out.emit(event));
        let unsent = self.forget_state(out);
        self.calls.retire();
        unsent
    }

    /// What belonged to this connection dies with it: messages, answers, orders. Counts the messages.
    fn forget_state(&mut self, out: &mut Outlet) -> usize {
        let mut state = self.shared.state.borrow_mut();
        state.up = false;
        state.question_open = false;
        state.answer = None;
        state.kills_under_way = 0;
        let orders = self.kills.drain(..).chain(state.kills.drain(..).map(|(nodeid, _)| nodeid));
        for nodeid in orders {
            let why = Failure::of(Call::CfgKillNode, Code::LIBRARY);
            out.emit(Event::KillOrdered { nodeid, result: Err(why) });
        }
        let unsent = state.groups.values().map(|want| want.queue.waiting()).sum();
        for want in state.groups.values_mut() {
            (want.queue, want.taken_up) = (Default::default(), false);
        }
        for (group, _) in std::mem::take(&mut self.groups) {
            if !state.groups.contains_key(&group) {
                out.emit(Event::Left { connection: self.connection, group });
            }
        }
        unsent
    }
}
