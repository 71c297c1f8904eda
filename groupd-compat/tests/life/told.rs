//! What clients were told, and what is wrong with it.

use super::{GROUPS, Life};
use groupd_compat::ids::{EventNr, NodeId};
use groupd_compat::names::Level;
use groupd_compat::verbs::{Callback, StartKind};
use std::collections::BTreeSet;

/// What one client was told of its group.
#[derive(Default)]
pub(super) struct Told {
    seen: usize,
    running: Option<(EventNr, BTreeSet<NodeId>)>,
    last: Option<EventNr>,
    finished: bool,
    ended: bool,
}

impl Life {
    /// Looks at everything that clients were told since the last time.
    pub(super) fn watch(&mut self) -> Result<(), String> {
        for node in 1..=self.size {
            let life = self.is_up(node).then(|| self.cluster.life(node));
            if self.lives.get(&node).copied() != life {
                self.told.iter_mut().filter(|((of, _), _)| *of == node).for_each(|(_, told)| told.forget());
                match life {
                    Some(life) => _ = self.lives.insert(node, life),
                    None => _ = self.lives.remove(&node),
                }
            }
        }
        let news: Vec<_> = self.cluster.told.iter().map(|(&key, all)| (key, all.len())).collect();
        for ((node, at), len) in news {
            let seen = self.told.entry((node, at)).or_default().seen;
            for index in seen..len {
                let callback = self.cluster.told[&(node, at)][index].clone();
                if callback.name().as_bytes() != GROUPS[at.index()].as_bytes() {
                    continue; // of another client that is dead: only an original does that (Q2)
                }
                let later = &self.cluster.told[&(node, at)][index + 1..len];
                let stands = !later.iter().any(|it| matches!(it, Callback::Stop { .. }));
                let Err(why) = self.hear(node, at, &callback, stands) else { continue };
                let why = format!("node {node}, level {at}: {why}: {callback:?}");
                if !self.cluster.originals.contains(&node) {
                    return Err(why);
                }
                if let Callback::Start { .. } = callback {
                    self.misstarts.push(why);
                }
            }
            self.told.entry((node, at)).or_default().seen = len;
        }
        Ok(())
    }

    /// A start that a failure has overtaken already is stopped in the same breath (kept, K5): it does not stand.
    fn hear(&mut self, node: u32, at: Level, callback: &Callback, stands: bool) -> Result<(), String> {
        if let (Callback::Start { members, .. }, true) = (callback, self.calm && stands) {
            self.all_are_stopped(node, at, members)?;
        }
        Ok(self.told.entry((node, at)).or_default().hear(callback)?)
    }

    /// No group is started on any member before all members are stopped.
    fn all_are_stopped(&self, node: u32, at: Level, members: &[NodeId]) -> Result<(), String> {
        let list: BTreeSet<NodeId> = members.iter().copied().collect();
        let others = list.iter().filter(|member| member.0 != node && self.is_up(member.0));
        let others = others.filter(|member| !self.cluster.is_to_lose(node, member.0));
        for member in others {
            let running = self.told.get(&(member.0, at)).and_then(|told| told.running.as_ref());
            if running.is_some_and(|(_, with)| *with != list) && self.cluster.sees(node, member.0) {
                return Err(format!("started while node {member} still runs"));
            }
        }
        Ok(())
    }
}

impl Told {
    /// The daemon ended, and its clients with it.
    pub(super) fn forget(&mut self) {
        *self = Told { seen: self.seen, ..Told::default() };
    }

    fn hear(&mut self, callback: &Callback) -> Result<(), &'static str> {
        let wrong = match callback {
            Callback::Start { .. } if self.running.is_some() => Some("started twice without a stop"),
            Callback::Start { nr, kind, .. } if self.last == Some(*nr) && *kind != StartKind::Failed => {
                Some("one change started twice")
            }
            Callback::Finish { nr, .. } if self.running.as_ref().is_none_or(|(running, _)| running != nr) => {
                Some("finish of what does not run")
            }
            Callback::Finish { .. } if self.finished => Some("finished twice"),
            Callback::Stop { .. } | Callback::Start { .. } | Callback::Finish { .. } if self.ended => {
                Some("told something after its end")
            }
            _ => None,
        };
        match callback {
            Callback::SetId { .. } => self.ended = false, // a new join of the same name
            Callback::Start { nr, members, .. } => {
                self.running = Some((*nr, members.iter().copied().collect()));
                (self.last, self.finished) = (Some(*nr), false);
            }
            Callback::Stop { .. } => self.running = None,
            Callback::Finish { .. } => self.finished = true,
            Callback::Terminate { .. } => {
                *self = Told { ended: true, seen: self.seen, last: self.last, ..Told::default() }
            }
            Callback::Deliver { .. } => {}
        }
        wrong.map_or(Ok(()), Err)
    }
}
