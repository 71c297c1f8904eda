//! One connection to corosync, from `Up` to `Lost`: its handles, its groups, its question.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::callbacks::{Notification, forget_notifications, next_notification};
use crate::calls::{Calls, Done, Opened, Progress};
use crate::cfg::Cfg;
use crate::cmap::Cmap;
use crate::config_watch::ConfigWatch;
use crate::cpg::{Group, read};
use crate::error::{Call, Code, Failure};
use crate::event::{Event, Loss, Verdict};
use crate::glue::{ANSWER_WITHIN, Options, Shared};
use crate::ids::{Connection, GroupName, Member, NodeId};
use crate::outlet::Outlet;
use crate::quorum::Quorum;
use crate::ready::Ready;
use crate::spare::Spares;
use crate::sys::Dispatched;
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
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let groups = self.busy.iter().filter_map(|name| self.groups.get(name)?.deadline());
        groups
            .chain(self.question)
            .chain(self.calls.stuck_at())
            .chain(self.spares.due(&self.calls))
            .chain(self.trail.deadline())
            .min()
    }

    /// One round: what has ended, what came, what is wanted, what is to be sent. In this order, because our own views
    /// queue behind our own messages. True if there is more to do at once.
    pub(crate) fn turn(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        self.settle(out)?;
        self.busy.append(&mut self.shared.state.borrow_mut().touched);
        let more_in = self.dispatch(now, out)?;
        self.keep_time(now, out);
        self.reconcile(out);
        let more_out = if out.is_blocked() { false } else { self.send(now)? };
        if !out.is_blocked() {
            self.busy.retain(|name| self.groups.get(name).is_some_and(Group::is_busy));
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
                self.config.read(connection, result, self.me.nodeid).into_iter().for_each(|event| out.emit(event));
            }
            Done::Answered { verdict, by_deadline, result } => {
                out.emit(Event::ShutdownAnswered { connection, verdict, by_deadline, result });
            }
            Done::KillOrdered(nodeid, result) => {
                self.kills.pop_front();
                self.shared.state.borrow_mut().kills_under_way = self.kills.len();
                out.emit(Event::KillOrdered { nodeid, result });
            }
            Done::Released | Done::Checked | Done::Connected(_) => {}
        }
        Ok(())
    }

    /// Takes up to [`DISPATCH_BATCH`] events of each handle, and none while the daemon is behind.
    fn dispatch(&mut self, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        if !out.is_blocked() {
            for name in self.ready.take() {
                self.groups.get_mut(&name).into_iter().for_each(Group::rang);
                self.busy.insert(name);
            }
        }
        let mut more = false;
        for name in self.busy.iter().filter(|name| !self.trail.is(name.as_bytes())) {
            let Some(group) = self.groups.get_mut(name) else { continue };
            if !out.is_blocked() {
                let Self { connection, me, calls, shared, .. } = self;
                read(group, (*connection, *me), calls, (shared, now), |event| {
                    out.emit(event);
                    !out.is_blocked()
                })?;
            }
            more |= group.has_unread();
        }
        self.spares.dispatch(&mut self.calls);
        more |= self.dispatch_services(out)?;
        more |= self.dispatch_last(!more, now, out)?;
        Ok(more && !out.is_blocked())
    }

    /// Tells what was held of the group that is told last, if that is due, and reads on. `quiet`: nothing is left unread
    /// of the others.
    fn dispatch_last(&mut self, quiet: bool, now: Instant, out: &mut Outlet) -> Result<bool, Loss> {
        if out.is_blocked() {
            return Ok(false);
        }
        if !self.trail.is_empty() {
            self.trail.due(quiet, self.calls.ended(), now).into_iter().for_each(|event| out.emit(event));
        }
        let last = self.busy.iter().find(|name| self.trail.is(name.as_bytes()));
        let is_free = self.trail.is_empty() && !out.is_blocked();
        let Some(group) = last.filter(|_| is_free).and_then(|name| self.groups.get_mut(name)) else {
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
                return Ok(false);
            };
            if out.is_blocked() {
                return Ok(false);
            }
            let taken = [services.quorum.dispatch_one()?, services.cfg.dispatch_one()?, services.cmap.dispatch_one()?];
            self.take_notifications(out);
            more = taken.contains(&Dispatched::One);
            if !more {
                break;
            }
        }
        Ok(more)
    }

    fn dispatch_cmap(&mut self, out: &mut Outlet) -> Result<(), Loss> {
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
    fn reconcile(&mut self, out: &mut Outlet) {
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
        if let Some(cmap) = self.services.as_ref().filter(|_| self.config.wants_read()) {
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
                if group.is_over() {
                    self.groups.remove(name);
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
