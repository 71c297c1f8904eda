//! The part of o2cpg that decides: events in, effects out.
//!
//! [`Agent::handle`] takes one [`Event`] and appends to an ordered list what must happen ([`Effect`]). It
//! does no I/O, reads no clock, starts no thread and iterates no unordered map; the same events give the
//! same effects, in the daemon, in the simulator and in `o2cpg replay`.
//!
//! What the caller must do: deliver events in the order they happened, one at a time; perform the effects in
//! the order given, before the next event; answer every [`Effect::Kernel`] with one [`Event::KernelDone`];
//! give ticks that never go back.
//!
//! | module | what it knows |
//! |---|---|
//! | [`event`], [`effect`] | everything that can happen, everything we can ask for |
//! | [`agent`] | one match that routes; the state |
//! | [`view`], `ghosts` | CPG views, ring ids and quorum → who is here |
//! | `exchange`, `doubt` | a view begins with everybody's Hello; a message of our own shows that nothing we hold is old |
//! | [`merge`] | the Hellos → what all hold in common, and the verdict on each |
//! | [`table`], [`step`], `removals` | the agreed node table; add and remove as steps of all members |
//! | `work` | our part of a step: batches for the kernel, and the answer |
//! | [`volumes`], [`mounting`] | who uses which volume; the tools that ask before they mount |
//! | [`deaths`] | the order of a death: fence gate, DOWN, done; agents that do not come back |
//! | `hearsay`, `outsiders`, [`silent`] | deaths that an agent was not there for; kernels whose agent is not in, or away and unknown |
//! | `dlm` | the DLM of a user stack waits until our kernel knows of a death |
//! | [`legacy`] | groups of legacy clients, which recover before the volumes |
//! | [`tree`] | what our kernel holds and which of it is ours |
//! | [`identity`] | corosync's nodelist → the entry we ask for |
//! | [`adopt`] | what was found at start: adopted, dropped, foreign, conflict |
//! | [`pins`], [`leave`] | what must stay, and how this daemon ends |
//! | [`wait`], [`waits`], [`refusal`], [`notice`] | every "not yet", every "no", and what people are told |
//! | `ask`, [`status`] | clients and read-only snapshots |
//! | [`timers`], [`policy`], [`saved`], [`ids`] | durations, settings, the state file, names |
//!
//! What must always hold is listed in docs/RULES.md; `tests/src/sim/checkers.rs` checks it after every step.

/// Whether a deliberate bug is in force: never, outside the suite that tests the tests.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::has($crate::planted::Bug::$bug)
    };
}
/// Whether a deliberate bug is in force: never, outside the suite that tests the tests.
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

pub mod adopt;
pub mod agent;
mod anew;
mod ask;
pub mod control;
pub mod deaths;
mod dlm;
mod doubt;
pub mod effect;
pub mod event;
mod exchange;
mod ghosts;
mod hearsay;
pub mod identity;
pub mod ids;
pub mod leave;
pub mod legacy;
pub mod link;
pub mod merge;
pub mod mount_client;
pub mod mounting;
pub mod notice;
mod outsiders;
mod pairs;
pub mod pins;
#[cfg(feature = "planted")]
pub mod planted;
pub mod policy;
pub mod refusal;
mod removals;
pub mod saved;
pub mod silent;
pub mod status;
pub mod step;
pub mod table;
pub mod timers;
pub mod tree;
pub mod tries;
pub mod view;
pub mod volumes;
pub mod wait;
pub mod waits;
pub mod words;
mod work;

pub use agent::Agent;
pub use effect::{Effect, Effects};
pub use event::Event;
