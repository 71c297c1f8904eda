//! What the clients of the control socket share with the daemon: questions under way, and everything the shell itself can
//! answer (events, log, settings, recording, groups of corosync).
//!
//! To the core a [`ClientId`] is one question, not one connection: it gets a new id each time, so that an answer that comes
//! after its deadline cannot be taken for the answer to the next question.

pub(crate) mod cpg_list;

use crate::clock;
use crate::events::Events;
use crate::inputs::Input;
use crate::recorder::Recorder;
use crate::settings::Live;
use crate::telemetry::Level;
use agent_core::Event;
use agent_core::ids::ClientId;
use cpg_list::CpgLists;
use proto::control::api::{self, refusal::Kind, response::Answer};
use proto::control::{Ask, LogChange};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What a question is told that the end of the daemon leaves open. `o2cpg wait` asks the next daemon then.
pub(crate) const DAEMON_ENDS: &str = "the daemon is ending";

/// One for the daemon.
pub(crate) struct Desk {
    pub(crate) events: Events,
    pub(crate) settings: Rc<RefCell<Live>>,
    pub(crate) level: Level,
    pub(crate) recorder: Rc<RefCell<Recorder>>,
    pub(crate) cpg_lists: CpgLists,
    inputs: mpsc::Sender<Input>,
    waiting: RefCell<BTreeMap<ClientId, oneshot::Sender<Answer>>>,
    last_id: Cell<u64>,
}

impl Desk {
    pub(crate) fn new(
        settings: Rc<RefCell<Live>>,
        level: Level,
        recorder: Rc<RefCell<Recorder>>,
        inputs: mpsc::Sender<Input>,
    ) -> Desk {
        Desk {
            events: Events::new(clock::wall_ms()),
            settings,
            level,
            recorder,
            cpg_lists: CpgLists::default(),
            inputs,
            waiting: RefCell::default(),
            last_id: Cell::new(0),
        }
    }

    /// An id that no client of any socket has had before.
    pub(crate) fn new_client(&self) -> ClientId {
        self.last_id.set(self.last_id.get() + 1);
        ClientId(self.last_id.get())
    }

    /// Tells the core what a client did, or what the shell did for the core. Who tells waits while the core has much to do.
    pub(crate) async fn report(&self, event: Event) {
        _ = self.inputs.send(Input::Event(event)).await;
    }

    /// Asks the core. Dropping the question without its answer takes it back.
    pub(crate) async fn ask(self: &Rc<Self>, ask: Ask) -> Question {
        let id = self.new_client();
        let (sender, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        self.report(Event::Asked(id, ask)).await;
        Question { id, answer, desk: self.clone() }
    }

    /// The core's answer. Nobody may wait for it any more; that changes nothing.
    pub(crate) fn deliver(&self, client: ClientId, response: Box<api::Response>) {
        if let (Some(sender), Some(answer)) = (self.waiting.borrow_mut().remove(&client), response.answer) {
            _ = sender.send(answer);
        }
    }

    async fn take_back(&self, id: ClientId) {
        if self.waiting.borrow_mut().remove(&id).is_some() {
            self.report(Event::ClientGone(id)).await;
        }
    }

    pub(crate) fn config(&self) -> Answer {
        Answer::Config(self.settings.borrow().show())
    }

    pub(crate) fn log(&self, change: Option<LogChange>) -> Answer {
        if let Some(LogChange { directives, for_s }) = change {
            let back_after = for_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
            if let Err(error) = self.level.set(&directives, back_after) {
                return no(Kind::Usage, &error.to_string(), "", "for example: o2cpg log set info,cpg_glue=trace");
            }
        }
        let shown = self.level.show();
        let back_in_s = shown.back_in.map_or(0, |left| u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX));
        Answer::Log(api::Log { directives: shown.directives, configured: shown.configured, back_in_s })
    }

    /// The files of the recorder, older first.
    pub(crate) fn recording(&self) -> io::Result<Vec<File>> {
        self.recorder.borrow_mut().files()
    }
}

/// A question to the core.
pub(crate) struct Question {
    id: ClientId,
    answer: oneshot::Receiver<Answer>,
    desk: Rc<Desk>,
}

impl Question {
    /// The answer. Safe to drop and call again.
    pub(crate) async fn answer(&mut self) -> Answer {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            Err(_) => no(Kind::Failed, DAEMON_ENDS, "", "systemctl status o2cpgd"),
        }
    }

    /// Nobody waits any more.
    pub(crate) async fn take_back(self) {
        self.desk.take_back(self.id).await;
    }
}

/// A "no" with what, why and what to do.
pub(crate) fn no(kind: Kind, what: &str, cause: &str, fix: &str) -> Answer {
    Answer::Refusal(api::Refusal { kind: kind.into(), what: what.into(), cause: cause.into(), fix: fix.into() })
}
