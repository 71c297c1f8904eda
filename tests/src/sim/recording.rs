//! Everything one daemon saw and decided, and the proof that the same events give the same effects.

use agent_core::ids::Tick;
use agent_core::{Agent, Effect, Effects, Event};

/// One event and what followed from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When.
    pub tick: Tick,
    /// What happened.
    pub event: Event,
    /// What was asked for, in order. After a crash in the middle not all of it was done.
    pub effects: Vec<Effect>,
    /// The place in the agreed order, if a message was delivered.
    pub order: Option<u64>,
}

/// What is kept of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// What came last: enough for the checkers.
    Last,
    /// Everything: it can be replayed.
    All,
}

/// One life of a daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// From start to end.
    pub records: Vec<Record>,
}

/// Where a replay took another way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Diverged {
    /// Other effects.
    #[error("record {index}: {event:?} gave {then:?}, now {now:?}")]
    Effects {
        /// Which record.
        index: usize,
        /// Its event.
        event: Box<Event>,
        /// What followed when it was recorded.
        then: Vec<Effect>,
        /// What follows in the replay.
        now: Vec<Effect>,
    },
    /// The agent's own JSON form is not its state.
    #[error("record {index}: the agent does not survive its JSON form: {why}")]
    State {
        /// After which record.
        index: usize,
        /// The reader's complaint.
        why: String,
    },
}

impl Recording {
    /// Adds what happened last.
    pub fn add(&mut self, record: Record, memory: Memory) {
        if memory == Memory::Last {
            self.records.clear();
        }
        self.records.push(record);
    }

    /// Replays all of it through a fresh agent. In the middle, and at the end, the agent goes through JSON and
    /// back, as it does in a dump.
    ///
    /// # Errors
    /// [`Diverged`] at the first difference.
    pub fn replay(&self) -> Result<Agent, Diverged> {
        let mut agent = Agent::new();
        let mut fx = Effects::default();
        for (index, record) in self.records.iter().enumerate() {
            agent.handle(record.tick, record.event.clone(), &mut fx);
            if fx.as_slice() != record.effects {
                return Err(Diverged::Effects {
                    index,
                    event: Box::new(record.event.clone()),
                    then: record.effects.clone(),
                    now: fx.drain().collect(),
                });
            }
            fx.drain();
            if index == self.records.len() / 2 || index + 1 == self.records.len() {
                agent = through_json(&agent).map_err(|why| Diverged::State { index, why })?;
            }
        }
        Ok(agent)
    }
}

fn through_json(agent: &Agent) -> Result<Agent, String> {
    let text = serde_json::to_string(agent).map_err(|err| err.to_string())?;
    let back: Agent = serde_json::from_str(&text).map_err(|err| err.to_string())?;
    if back == *agent { Ok(back) } else { Err("it reads back as another state".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_effect_is_found() {
        let event = Event::CorosyncLost { why: "test".into() };
        let record = Record { tick: Tick(1), event, effects: vec![Effect::LookAtKernel], order: None };
        let found = Recording { records: vec![record] }.replay();
        assert!(matches!(found, Err(Diverged::Effects { index: 0, .. })));
    }
}
