//! dlm_controld of one machine and its one lockspace, as far as its recovery waits for an agent.
//!
//! A failure is known to it a moment before or after the agent. A word about it is taken once the lockspace has completed a
//! change, and only of a node that was a member by then. A word before that ends dlm_controld; a node that failed in its own join
//! is waited for, and no word of it is taken; nor is one of a failure that it went on from while nobody was registered.
//!
//! Source: dlm 4.2, by reading.

use super::rng::Rng;
use agent_core::event::Lockspace;
use configfs::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// At most so many looks come before a failure is known.
const UNSEEN_MAX: u64 = 2;

/// How far the lockspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// mount(2) is under way: no change is completed.
    Joins,
    /// It is a member.
    Started,
}

/// A node that failed in it.
#[derive(Clone, Copy, Debug)]
struct Missed {
    /// Looks that come before it is known.
    unseen: u64,
    takes_word: bool,
}

impl Missed {
    fn is_seen(&self) -> bool {
        self.unseen == 0
    }
}

/// dlm_controld.
#[derive(Clone, Debug, Default)]
pub struct Dlm {
    /// It waits for its agent when a node fails.
    is_registered: bool,
    phase: Option<Phase>,
    missed: BTreeMap<u32, Missed>,
    /// It was unregistered where nothing else could help.
    is_given_up: bool,
    /// It gave away the locks of a dead node before the kernel was told of the death.
    pub unguarded: Option<u32>,
    /// It was told of this node's failure before it had completed a change, which ends it.
    pub ended_by: Option<u32>,
}

impl Dlm {
    /// How far the lockspace is, if there is one.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// The kernel makes a lockspace, completes its join, or is rid of it.
    pub fn enters(&mut self, phase: Option<Phase>) {
        self.phase = phase;
        if phase.is_none() {
            (self.missed, self.is_given_up) = (BTreeMap::new(), false);
        }
    }

    /// With corosync, or alone; its lockspaces stand still from here on.
    pub fn ends(&mut self) {
        *self = Dlm { unguarded: self.unguarded, ended_by: self.ended_by, ..Dlm::default() };
    }

    /// Nodes that it waits for word about.
    #[must_use]
    pub fn needs_word(&self) -> BTreeSet<u32> {
        if self.is_registered { self.missed.keys().copied().collect() } else { BTreeSet::new() }
    }

    /// A node is gone that was in the lockspace. `rng`: it need not be known at once.
    pub fn fails(&mut self, dead: u32, was_member: bool, rng: Option<&mut Rng>) {
        let takes_word = was_member && self.phase == Some(Phase::Started);
        if self.is_registered && self.phase.is_some() {
            self.missed.insert(dead, Missed { unseen: rng.map_or(0, |rng| rng.below(UNSEEN_MAX + 1)), takes_word });
        } else if takes_word && !self.is_given_up {
            self.unguarded.get_or_insert(dead);
        }
    }

    /// It is asked how the lockspace stands to this node.
    pub fn look(&mut self, dead: u32) -> Option<Lockspace> {
        let is_started = self.phase? == Phase::Started;
        let waits_for_us = self.is_registered && self.missed.values().any(Missed::is_seen);
        let missed = self.missed.get(&dead);
        let is_member = is_started && missed.is_some_and(|missed| !missed.is_seen()); // else it has heard of nobody
        let is_missed = missed.is_some_and(Missed::is_seen);
        self.missed.entry(dead).and_modify(|missed| missed.unseen = missed.unseen.saturating_sub(1));
        Some(Lockspace { is_started, waits_for_us, is_member, is_missed })
    }

    /// To wait for the agent. What it went on from without one it waits for again, and in vain.
    pub fn register(&mut self) {
        (self.is_registered, self.is_given_up) = (true, false);
    }

    /// To wait for it no longer.
    pub fn unregister(&mut self) {
        let helps_only_this = |missed: &Missed| missed.is_seen() && !missed.takes_word;
        self.is_given_up |= self.missed.values().any(helps_only_this);
        if let Some(dead) = self.missed.keys().next().filter(|_| !self.is_given_up) {
            self.unguarded.get_or_insert(*dead);
        }
        self.is_registered = false;
        self.missed.values_mut().for_each(|missed| missed.takes_word = false);
    }

    /// The kernel knows of this death. Whether the lockspace goes on without the node from here on.
    ///
    /// # Errors
    /// EAGAIN where the failure is not known.
    pub fn notified(&mut self, dead: u32) -> Result<bool, Errno> {
        if self.phase == Some(Phase::Joins) && self.missed.contains_key(&dead) {
            self.ended_by.get_or_insert(dead);
        }
        match self.missed.get(&dead) {
            Some(missed) if !missed.is_seen() => Err(Errno::EAGAIN),
            Some(missed) if missed.takes_word => Ok(self.missed.remove(&dead).is_some()),
            Some(_) | None => Ok(false),
        }
    }
}
