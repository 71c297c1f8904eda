//! One life of the server on one connection to corosync: next event → machine → perform.

use super::clients::{Clients, Door, Input};
use super::corosync::{Corosync, Taken};
use super::cpgs::CONTROL;
use super::hands::Hands;
use super::waits::LOOK_EVERY;
use super::{Error, Options, Place};
use crate::clock;
use cpg_glue::{Event as FromCorosync, Events, Glue};
use groupd_compat::ids::{NodeId, Tick};
use groupd_compat::machine::{Effect, Effects, Event, Exit, GROUPS_MAX, Machine, Settings};
use groupd_compat::verbs::Request;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, trace, warn};

/// How long an end waits until corosync has taken the orders to kill.
const LAST_KILLS: Duration = Duration::from_secs(2);

/// Connections to corosync kept ready for joins: as many as one mount has groups at once, the file system's and its
/// lock space's.
const SPARES: usize = 2;

/// What the world outside asks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To end, if no group is in the way.
    Stop,
}

enum Woken {
    Corosync(Option<FromCorosync>),
    Client(Input),
    Timer,
    Look,
    Order(Option<Order>),
}

/// The server while corosync is there.
pub(super) struct Server<'a> {
    machine: Machine,
    fx: Effects,
    corosync: Corosync,
    hands: Hands,
    reports: Events,
    inputs: mpsc::Receiver<Input>,
    place: &'a Place,
    /// When to look next which groups stand still: something has happened, or some did at the last look.
    look_at: Option<Instant>,
    _door: Door,
}

/// Connects to corosync; without `patience` as long as it takes.
pub(super) async fn connect(patience: Option<Duration>) -> Result<(Glue, Events, NodeId), Error> {
    let (glue, mut reports) = Glue::start(cpg_glue::Options {
        groups_max: GROUPS_MAX + 1,
        spares: SPARES,
        told_last: Some(CONTROL),
        ..cpg_glue::Options::default()
    });
    let give_up = patience.map(|patience| Instant::now() + patience);
    let mut first_failure = None;
    loop {
        tokio::select! {
            report = reports.next() => match report {
                Some(FromCorosync::Up { nodeid, .. }) => return Ok((glue, reports, NodeId(nodeid.0))),
                Some(FromCorosync::Down { why }) => first_failure = Some(why),
                Some(_) => {}
                None => return Err(Error::Unconnected { source: first_failure }),
            },
            () = until(give_up) => return Err(Error::Unconnected { source: first_failure }),
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl<'a> Server<'a> {
    pub(super) fn new(options: &Options, place: &'a Place, glue: Glue, reports: Events, me: NodeId) -> Server<'a> {
        let clients = Clients::default();
        let (door, inputs) = clients.accept(place.listener.clone(), options.readers(), place.last_client.clone());
        let settings = Settings {
            me,
            compat: options.compat,
            wait_ms: options.wait_ms,
            delay_ms: options.delay_ms,
            on_client_death: options.on_client_death,
            again: place.served.replace(true),
        };
        Server {
            machine: Machine::new(settings),
            fx: Effects::default(),
            corosync: Corosync::default(),
            hands: Hands::new(glue, clients, me),
            reports,
            inputs,
            place,
            look_at: None,
            _door: door,
        }
    }

    /// To the end of this life.
    pub(super) async fn run(mut self, orders: &mut mpsc::Receiver<Order>) -> Exit {
        self.handle(Event::Started);
        info!("groupd serves its clients");
        loop {
            if let Some(exit) = self.hands.exit {
                self.end(exit).await;
                return exit;
            }
            match self.next(orders).await {
                Woken::Corosync(Some(report)) => self.take(report),
                Woken::Corosync(None) => self.handle(Event::CorosyncLost),
                Woken::Client(input) => self.hear(input),
                Woken::Timer => {
                    self.hands.timer = None;
                    self.handle(Event::TimerFired);
                }
                Woken::Look => self.look(),
                Woken::Order(Some(Order::Stop)) => self.handle(Event::StopAsked),
                // Whoever held the other end is gone; there is nobody left to serve for.
                Woken::Order(None) => return Exit::Asked,
            }
        }
    }

    async fn next(&mut self, orders: &mut mpsc::Receiver<Order>) -> Woken {
        tokio::select! {
            report = self.reports.next() => Woken::Corosync(report),
            input = self.inputs.recv() => Woken::Client(input.expect("the door has the other end, and we have the door")),
            () = until(self.hands.timer) => Woken::Timer,
            () = until(self.look_at) => Woken::Look,
            order = orders.recv() => Woken::Order(order),
        }
    }

    fn take(&mut self, report: FromCorosync) {
        trace!(?report, "from corosync");
        match self.corosync.take(report, &self.hands.cpgs) {
            Taken::Event(event) => self.handle(event),
            Taken::Events(events) => events.into_iter().for_each(|event| self.handle(event)),
            Taken::Refused(cpg, why) => {
                warn!(%why, "a group is refused");
                self.hands.give_up(cpg);
                self.settle();
            }
            Taken::Left(name) => {
                self.hands.left(&name);
                self.settle();
            }
            Taken::Killed(result) => {
                debug!(?result, "corosync has the order to kill");
                self.hands.kill_ended();
                self.settle();
            }
            Taken::Overwhelmed => self.hands.exit = Some(Exit::Overwhelmed),
            Taken::Nothing => {}
        }
    }

    fn hear(&mut self, input: Input) {
        match input {
            Input::Came(client, caller) => self.handle(Event::ClientCame(client, caller)),
            Input::Asked(client, frame) => {
                trace!(%client, ?frame, "asked");
                self.hands.asking = Some(client);
                self.handle(Event::Asked(client, Request::decode(&frame)));
                self.hands.asking = None;
            }
            Input::Gone(client) => {
                self.handle(Event::ClientGone(client));
                self.hands.clients.forget(client);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.step(event);
        self.settle();
    }

    /// Joins that failed while effects were performed are events too.
    fn settle(&mut self) {
        while let Some(cpg) = self.hands.failed.pop_front() {
            self.step(Event::JoinFailed(cpg));
        }
        self.hands.follow_up();
        self.place.tell(&self.machine);
        self.look_at.get_or_insert_with(|| Instant::now() + LOOK_EVERY);
    }

    fn look(&mut self) {
        self.hands.look(&self.machine);
        self.place.tell_waits(self.hands.waits.long());
        self.look_at = (!self.hands.waits.is_empty()).then(|| Instant::now() + LOOK_EVERY);
    }

    fn step(&mut self, event: Event) {
        let now = Tick(clock::now().0);
        if let Event::ViewChanged(cpg, change) = &event {
            self.hands.journal.say(format_args!("cpg {cpg} {change:?}"));
        }
        self.machine.handle(now, event, &mut self.fx);
        for effect in self.fx.drain() {
            trace!(?effect, "effect");
            if matches!(effect, Effect::Dump(_)) {
                self.hands.look(&self.machine);
            }
            self.hands.perform(effect);
        }
    }

    /// The orders to kill go out first. Asked to end, the control CPG is left in good order; any other end is seen by the
    /// others as what it is, a daemon that is gone: the handles are released without a leave.
    async fn end(mut self, exit: Exit) {
        let last_kills = async {
            while !self.hands.has_killed() {
                match self.reports.next().await {
                    Some(FromCorosync::KillOrdered { .. }) => self.hands.kill_ended(),
                    Some(FromCorosync::Lost { .. }) | None => return,
                    Some(_) => {}
                }
            }
        };
        if timeout(LAST_KILLS, last_kills).await.is_err() {
            debug!("corosync has not taken every order to kill");
        }
        self.place.clear();
        if exit == Exit::Asked {
            self.hands.glue.close();
            while self.reports.next().await.is_some() {}
        }
    }
}
