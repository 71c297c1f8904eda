//! Every source merged into one stream of events: corosync, the kernel thread, timers, signals, clients, the mount table,
//! configfs, and the daemon's own pulse. Wraps, never judges.

use crate::clock;
use crate::corosync::{Corosync, Taken};
use crate::kernel::Kernel;
use crate::pulse::{Gap, Pulse};
use crate::resolve::{self, Names};
use crate::settings::{Changed, Live};
use crate::telemetry::Level;
use crate::timers::Timers;
use agent_core::Event;
use agent_core::event::ClusterConfig;
use agent_core::ids::Tick;
use cpg_glue::Config;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tracing::{info, warn};

/// Inputs that wait for the loop; who brings one more waits with it.
pub(crate) const INPUTS_MAX: usize = 256;

/// What comes through the queue.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// Host names of the configuration with this number are resolved.
    Resolved(u64, Names),
    /// SIGHUP: the file is to be read again.
    ReadSettings,
}

/// The stream, and what the wrapping needs.
pub(crate) struct Inputs {
    pub(crate) glue: cpg_glue::Events,
    pub(crate) corosync_end: cpg_glue::Glue,
    pub(crate) queue: mpsc::Receiver<Input>,
    pub(crate) queue_end: mpsc::Sender<Input>,
    pub(crate) timers: Timers,
    pub(crate) kernel: Kernel,
    pub(crate) settings: Rc<RefCell<Live>>,
    pub(crate) level: Level,
    pub(crate) pulse: Pulse,
    pub(crate) service: Rc<crate::service::Service>,
    pub(crate) corosync: Corosync,
    pub(crate) read: Reading,
    pub(crate) pending: VecDeque<Event>,
    /// The core is to be told that nothing happened for long, before the next thing that does.
    pub(crate) quiet: bool,
    /// An entry of the kernel's tree is local.
    pub(crate) is_local: bool,
}

/// corosync's configuration as it was last read.
#[derive(Default)]
pub(crate) struct Reading {
    config: Option<Box<Config>>,
    number: u64,
    resolvers: Arc<()>,
    told: Option<ClusterConfig>,
    /// What is written and cannot be taken, as the core was told; empty: nothing.
    mistake: String,
    /// Whether the core goes by a gate that is closed for that.
    is_blind: bool,
    /// The last answer for each host name in it.
    known: Names,
    /// Some host name in it is not resolved: tried again with the next scan.
    unresolved: bool,
}

enum Woken {
    Glue(Option<cpg_glue::Event>),
    Queue(Option<Input>),
    Timer(agent_core::ids::TimerToken),
    Pulse,
}

impl Inputs {
    /// The moment, for the event that is about to be handled.
    pub(crate) fn now(&self) -> Tick {
        clock::now()
    }

    /// The next event; `None` when corosync's side has ended for good.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if self.quiet && !self.pending.is_empty() {
                self.quiet = false;
                return Some(Event::Quiet);
            }
            if let Some(event) = self.pending.pop_front() {
                self.look_at(&event);
                return Some(event);
            }
            let woken = self.wait().await;
            let now = clock::now();
            match self.pulse.turn(now) {
                Gap::Short => {}
                Gap::Quiet => self.quiet = true,
                Gap::Slept(ms) => self.pending.push_back(Event::Slept { ms }),
            }
            self.beat(now);
            match woken {
                Woken::Glue(None) | Woken::Queue(None) => return None,
                Woken::Glue(Some(event)) => self.take_glue(event),
                Woken::Queue(Some(input)) => self.take_input(input),
                Woken::Timer(token) => self.pending.push_back(Event::TimerFired(token)),
                Woken::Pulse => {}
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let period = self.pulse.period();
        tokio::select! {
            event = self.glue.next() => Woken::Glue(event),
            input = self.queue.recv() => Woken::Queue(input),
            token = self.timers.next() => Woken::Timer(token),
            () = tokio::time::sleep(period) => Woken::Pulse,
        }
    }

    /// What is due now and then. With every turn: where much happens the pulse itself never comes.
    fn beat(&mut self, now: Tick) {
        self.service.feed_watchdog(now);
        if self.pulse.check_is_due(now) {
            self.corosync_end.check();
        }
        if self.pulse.scan_is_due(now) {
            self.kernel.look(false);
            if self.read.unresolved {
                self.resolve();
            }
        }
    }

    fn take_glue(&mut self, event: cpg_glue::Event) {
        match self.corosync.take(event) {
            Taken::Event(event) => {
                if matches!(event, Event::ConfigUnreadable { .. }) {
                    self.read.told = None; // the same configuration, read again, is news
                }
                self.pending.push_back(event);
            }
            Taken::Config(config) => self.take_config(config),
            Taken::Closed | Taken::Nothing => {}
        }
    }

    fn take_input(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.pending.push_back(event),
            Input::Resolved(number, names) if number == self.read.number => self.tell_config(&names),
            Input::Resolved(..) => {}
            Input::ReadSettings => {
                let changed = self.settings.borrow_mut().file_again(self.is_local);
                self.settings_changed(changed);
            }
        }
    }

    /// Our own section first: the policy must hold before the core says who we are.
    fn take_config(&mut self, config: Box<Config>) {
        let changed = self.settings.borrow_mut().cmap_read(&config.own, self.is_local);
        self.read.config = Some(config);
        self.settings_changed(changed);
        self.resolve();
    }

    fn settings_changed(&mut self, changed: Result<Changed, crate::settings::Error>) {
        let changed = changed.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            warn!(%error, cause, "settings are not taken, those in force stay");
            Changed::default()
        });
        let settings = self.settings.borrow();
        let in_force = settings.in_force();
        if changed.policy || std::mem::replace(&mut self.read.is_blind, settings.is_blind()) != settings.is_blind() {
            info!("settings changed");
            self.pending.push_back(Event::PolicyChanged(Box::new(settings.policy())));
        }
        if changed.log_level {
            if let Err(error) = self.level.configure(&in_force.log_level) {
                warn!(%error, "the log keeps its level");
            }
        }
        let is_news = settings.mistake().unwrap_or_default() != self.read.mistake;
        drop(settings);
        if changed.link || is_news {
            self.resolve();
        }
    }

    /// Tells the core what is configured, at once or when the host names in it are known.
    fn resolve(&mut self) {
        let Some(config) = &self.read.config else { return };
        self.read.number += 1;
        let names = resolve::host_names(config, self.settings.borrow().in_force().link);
        if names.is_empty() {
            return self.tell_config(&Names::new());
        }
        let (number, queue, threads) = (self.read.number, self.queue_end.clone(), self.read.resolvers.clone());
        spawn_local(async move {
            let names = resolve::look_up(names, threads).await;
            _ = queue.send(Input::Resolved(number, names)).await;
        });
    }

    fn tell_config(&mut self, names: &Names) {
        self.read.unresolved = names.values().any(Result::is_err);
        self.read.known = resolve::with_known(names, &self.read.known);
        let Some(config) = &self.read.config else { return };
        let config = resolve::cluster_config(config, self.settings.borrow().in_force().link, &self.read.known);
        self.pulse.set_token(config.token_ms);
        let settings = self.settings.borrow();
        let mistake = settings.mistake().unwrap_or_default().to_owned();
        if self.read.told.as_ref() == Some(&config) && self.read.mistake == mistake {
            return;
        }
        self.pending.push_back(Event::ConfigChanged(config.clone()));
        if !mistake.is_empty() && !settings.is_blind() {
            self.pending.push_back(Event::ConfigUnreadable { why: mistake.clone() });
        }
        (self.read.told, self.read.mistake) = (Some(config), mistake);
    }

    /// What the settings need to know of an event that goes by.
    fn look_at(&mut self, event: &Event) {
        let tree = match event {
            Event::KernelDone(_, outcome) => Some(&outcome.tree),
            Event::KernelSeen(view) => view.tree.as_ref(),
            _ => None,
        };
        let Some(Ok(tree)) = tree else { return };
        self.is_local = tree.as_ref().is_some_and(|tree| tree.local().is_some());
        let changed = self.settings.borrow_mut().reconsider(self.is_local);
        if changed != Changed::default() {
            self.settings_changed(Ok(changed));
        }
    }
}
