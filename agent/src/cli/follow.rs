//! `o2cpg events`: what happened, and what happens.

use proto::control::{Ask, api};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Events;
use super::exit::{Exit, Failure};
use super::output::Format;
use super::{Session, TIMEOUT, render};

#[derive(Serialize)]
struct List {
    schema: &'static str,
    gap: bool,
    events: Vec<Value>,
}

impl Session {
    /// Without --follow one list answers; with it the daemon sends one at once, and more as they come.
    pub(super) fn events(&self, wanted: &Events) -> Result<Exit, Failure> {
        // To the daemon 0 means "from now on"; no event has that id, so who asks for those after it wants all.
        let all = wanted.all || wanted.since == Some(0) || (wanted.since.is_none() && !wanted.follow);
        let mut client = self.connect(self.within(TIMEOUT))?;
        let ask = Ask::Events { since: wanted.since.unwrap_or(0), all, follow: wanted.follow };
        let first: api::EventList = client.ask(ask)?;
        if !wanted.follow {
            self.list(&first)?;
            return Ok(Exit::Ok);
        }
        self.stream(&first)?;
        client.forever();
        while let Some(list) = client.answer()? {
            self.stream(&list)?;
        }
        let what = "o2cpgd closed the stream of events";
        Err(Failure::new(Exit::NotRunning, what, "the daemon ended", "systemctl status o2cpgd"))
    }

    fn list(&self, list: &api::EventList) -> Result<(), Failure> {
        if self.output.format != Format::Json {
            return self.stream(list);
        }
        let events = list.events.iter().map(render::event_json).collect();
        self.output.answer(&List { schema: "o2cpg.events/1", gap: list.gap, events }, |_| String::new())
    }

    fn stream(&self, list: &api::EventList) -> Result<(), Failure> {
        if self.output.format == Format::Text {
            if list.gap {
                self.output.note("o2cpg: older events are no longer held\n");
            }
            return self.output.text(&list.events.iter().map(render::event_line).collect::<String>());
        }
        if list.gap {
            self.output.document_line(&json!({ "schema": "o2cpg.event/1", "kind": "gap" }))?;
        }
        list.events.iter().try_for_each(|event| self.output.document_line(&render::event_json(event)))
    }
}
