//! What must happen sometimes: a search that never reaches an interesting place proves nothing about it.

use super::cluster::{Cluster, Happening};
use super::recording::Record;
use agent_core::mount_client::MountAnswer;
use agent_core::notice::Notice;
use agent_core::step::StepKind;
use agent_core::table::Standing;
use agent_core::{Agent, Effect, Event};
use std::ops::AddAssign;

/// A kind of place, and which of its kind.
type Place = (&'static str, &'static str);

/// How often each place was reached.
#[derive(Clone, Debug, Default)]
pub struct Sometimes(Vec<(Place, u64)>);

/// Places that a thousand seeds must reach.
pub const PLACES: &[Place] = &[
    ("step", "align"),
    ("step", "add"),
    ("step", "undo"),
    ("step", "admit"),
    ("step", "vote"),
    ("step", "remove"),
    ("step", "restore"),
    ("wait", "corosync"),
    ("wait", "join"),
    ("wait", "quorum-ring"),
    ("wait", "quorum"),
    ("wait", "hello"),
    ("wait", "answers"),
    ("wait", "kernel"),
    ("wait", "add-refused"),
    ("wait", "misaligned"),
    ("wait", "held"),
    ("wait", "absent"),
    ("wait", "outsider"),
    ("wait", "mount-silent"),
    ("wait", "heartbeat"),
    ("wait", "deaf"),
    ("wait", "probe"),
    ("wait", "pinned"),
    ("refused", "mismatch"),
    ("refused", "second-agent"),
    ("refused", "kernel"),
    ("refused", "unfit"),
    ("trouble", "identity-changed"),
    ("trouble", "live-without-quorum"),
    ("trouble", "unfit"),
    ("verdict", "adopted"),
    ("verdict", "dropped"),
    ("verdict", "foreign"),
    ("went", "left"),
    ("went", "procdown"),
    ("went", "nodedown"),
    ("event", "slept"),
    ("event", "undecodable"),
    ("event", "of another view"),
    ("event", "ghosts"),
    ("event", "corosync lost"),
    ("event", "batch refused"),
    ("event", "batch outlives its view"),
    ("event", "client gone"),
    ("answer", "to corosync: yes"),
    ("answer", "to corosync: no"),
    ("end", "asked"),
    ("end", "killed between two effects"),
    ("end", "pins hold it"),
    ("wait", "fence"),
    ("wait", "death"),
    ("wait", "control"),
    ("wait", "mount"),
    ("wait", "mount-death"),
    ("wait", "dlm-controld"),
    ("death", "gate opened"),
    ("death", "fence failed"),
    ("death", "handled"),
    ("tool", "may mount"),
    ("tool", "may not"),
];

impl Sometimes {
    /// Takes a step of the cluster.
    pub fn see(&mut self, cluster: &Cluster, happening: &Happening) {
        let Happening::Handled(node) = happening else { return };
        let Some(record) = cluster.last_record(*node) else { return };
        match cluster.agent(*node) {
            Some(agent) => self.handled(record, agent),
            None if record.effects.iter().any(|effect| matches!(effect, Effect::Exit(_))) => self.reach("end", "asked"),
            None => self.reach("end", "killed between two effects"),
        }
    }

    fn reach(&mut self, kind: &'static str, which: &'static str) {
        self.count((kind, which), 1);
    }

    /// What comes often moves to the front: mostly the same is waited for as a moment ago.
    fn count(&mut self, place: Place, times: u64) {
        match self.0.iter().position(|(known, _)| *known == place) {
            Some(at) => {
                self.0[at].1 += times;
                self.0.swap(at, at.saturating_sub(1));
            }
            None => self.0.push((place, times)),
        }
    }

    fn handled(&mut self, record: &Record, agent: &Agent) {
        self.event(&record.event, agent);
        for standing in agent.waits() {
            self.reach("wait", standing.wait.kind());
        }
        let own = agent.member().and_then(|me| agent.agreed()?.standing.get(&me));
        if let Some(Standing::Refused(refusal)) = own {
            self.reach("refused", refusal.kind());
        }
        for effect in &record.effects {
            match effect {
                Effect::Notice(notice) => self.notice(notice, agent),
                Effect::Exit(_) => self.reach("end", "asked"),
                Effect::MountReply(_, MountAnswer::Status { errno: 0, .. }) => self.reach("tool", "may mount"),
                Effect::MountReply(..) => self.reach("tool", "may not"),
                _ => {}
            }
        }
    }

    fn event(&mut self, event: &Event, agent: &Agent) {
        match event {
            Event::Slept { .. } => self.reach("event", "slept"),
            Event::Delivered { body: Err(_), .. } => self.reach("event", "undecodable"),
            Event::Delivered { body: Ok(message), .. } if Some(message.view.ring) != agent.view().ring() => {
                self.reach("event", "of another view");
            }
            Event::KernelDone(_, outcome) if outcome.result.is_err() => self.reach("event", "batch refused"),
            Event::KernelDone(..) if agent.agreed().is_none() => self.reach("event", "batch outlives its view"),
            Event::ClientGone(_) => self.reach("event", "client gone"),
            _ => {}
        }
    }

    fn notice(&mut self, notice: &Notice, agent: &Agent) {
        match notice {
            Notice::Step { .. } => self.step(agent),
            Notice::View { .. } => self.view(agent),
            Notice::Ghosts { .. } => self.reach("event", "ghosts"),
            Notice::CorosyncLost { .. } => self.reach("event", "corosync lost"),
            Notice::StopAsked { pins, .. } if !pins.is_empty() => self.reach("end", "pins hold it"),
            Notice::ShutdownAnswered { yes: true, .. } => self.reach("answer", "to corosync: yes"),
            Notice::ShutdownAnswered { yes: false, .. } => self.reach("answer", "to corosync: no"),
            Notice::Verdict { verdict, .. } => self.word("verdict", verdict),
            Notice::NodeLeft { how, .. } => self.word("went", how),
            Notice::FenceOpened { .. } => self.reach("death", "gate opened"),
            Notice::FenceFailed { .. } => self.reach("death", "fence failed"),
            Notice::Buried { .. } => self.reach("death", "handled"),
            _ => {}
        }
    }

    /// A word that is one of [`PLACES`].
    fn word(&mut self, kind: &'static str, word: &str) {
        let place = PLACES.iter().find(|(of, which)| *of == kind && *which == word);
        place.into_iter().for_each(|(kind, which)| self.reach(kind, which));
    }

    fn step(&mut self, agent: &Agent) {
        let Some(step) = agent.agreed().and_then(|agreed| agreed.step.as_ref()) else { return };
        let which = match &step.kind {
            StepKind::Install { add } if add.is_empty() => "align",
            StepKind::Install { .. } => "add",
            StepKind::Undo { .. } => "undo",
            StepKind::Admit { .. } => "admit",
            StepKind::Vote { .. } => "vote",
            StepKind::Erase { .. } => "remove",
            StepKind::Restore { .. } => "restore",
        };
        self.reach("step", which);
    }

    fn view(&mut self, agent: &Agent) {
        let Some(agreed) = agent.agreed() else { return };
        for standing in agreed.standing.values() {
            if let Standing::Refused(refusal) = standing {
                self.reach("refused", refusal.kind());
            }
        }
        for (_, refusal) in &agreed.troubles {
            self.reach("trouble", refusal.kind());
        }
    }

    /// Places that were not reached.
    #[must_use]
    pub fn never(&self) -> Vec<Place> {
        PLACES.iter().copied().filter(|place| !self.0.iter().any(|(known, _)| known == place)).collect()
    }

    /// The places least often reached, and how often.
    #[must_use]
    pub fn rarest(&self) -> Vec<(Place, u64)> {
        let mut all = self.0.clone();
        all.sort_by_key(|(place, count)| (*count, *place));
        all
    }
}

impl AddAssign<&Sometimes> for Sometimes {
    fn add_assign(&mut self, other: &Sometimes) {
        for (place, count) in &other.0 {
            self.count(*place, *count);
        }
    }
}
