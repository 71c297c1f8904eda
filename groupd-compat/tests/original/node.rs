//! One daemon of a cluster: ours, or the original's model.

use super::Original;
use groupd_compat::ids::Tick;
use groupd_compat::machine::{Effects, Event, Machine, Status};
use groupd_compat::records::GroupRecord;

/// Either daemon.
pub enum Node {
    Ours(Box<Machine>),
    Original(Box<Original>),
}

impl Node {
    pub fn handle(&mut self, now: Tick, event: Event, fx: &mut Effects) {
        match self {
            Node::Ours(machine) => machine.handle(now, event, fx),
            Node::Original(original) => original.handle(now, event, fx),
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Node::Ours(machine) => machine.status(),
            Node::Original(original) => original.status(),
        }
    }

    pub fn records(&self, max: i32) -> Vec<GroupRecord> {
        match self {
            Node::Ours(machine) => machine.records(max),
            Node::Original(original) => original.records(max),
        }
    }

    /// What it died of.
    pub fn crash(&self) -> Option<&'static str> {
        self.original().and_then(|original| original.crash)
    }

    pub fn original(&self) -> Option<&Original> {
        if let Node::Original(original) = self { Some(original) } else { None }
    }

    /// Our machine, where a test has no other.
    pub fn ours(&self) -> &Machine {
        if let Node::Ours(machine) = self { machine } else { panic!("an original") }
    }
}
