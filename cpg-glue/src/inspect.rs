//! One question to the local corosync, one answer, a deadline: for commands that work without the daemon.
//!
//! Each asks on a thread of its own. When the deadline passes the thread is left behind; it ends when corosync answers or
//! dies, or with the process. So these are for a command line, not for a loop.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::callbacks::{Notification, next_notification};
use crate::calls::Progress;
use crate::cfg::Cfg;
use crate::cmap::{Cmap, ReadError};
use crate::config::Config;
use crate::error::{Call, Error, Failure};
use crate::ids::{Member, NodeId, RawName, RingId};
use crate::quorum::Quorum;
use crate::sys::{Cpg, Raw, Sink};
use crate::thread::OWNER_STACK_LEN;

/// What the quorum service says now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuorumNow {
    /// Whether this partition has quorum.
    pub quorate: bool,
    /// The ring it speaks of.
    pub ring: RingId,
    /// The nodes in that ring. A CPG member on another node is a ghost.
    pub members: Vec<NodeId>,
}

/// Every member of every group of the cluster as this node's corosync has it, with raw names.
pub fn groups(within: Duration) -> Result<Vec<(RawName, Member)>, Error> {
    ask(within, |progress| {
        let cpg = progress.call(Call::CpgInitialize, || Cpg::open(Deaf))?;
        Ok(progress.call(Call::CpgIterate, || cpg.everybody())?)
    })
}

/// corosync's configuration.
pub fn config(within: Duration) -> Result<Config, Error> {
    ask(within, |progress| {
        let local = Cfg::open(progress)?.local(progress)?;
        let keys = Cmap::open(progress)?.read(progress).map_err(|error| match error {
            ReadError::Corosync(failure) => Error::Corosync(failure),
            ReadError::Content(unreadable) => Error::Config(unreadable),
        })?;
        Ok(Config::from_keys(&keys, local)?)
    })
}

/// Quorum and ring.
pub fn quorum(within: Duration) -> Result<QuorumNow, Error> {
    ask(within, |progress| {
        let quorum = Quorum::open(progress)?;
        loop {
            while let Some(notification) = next_notification() {
                if let Notification::Quorum { quorate, ring, members } = notification {
                    return Ok(QuorumNow { quorate, ring, members });
                }
            }
            quorum.dispatch_blocking(progress)?;
        }
    })
}

/// Joins nothing, so nothing comes.
struct Deaf;

impl Sink for Deaf {
    fn take(&mut self, _: Raw<'_>) {}
}

/// Runs `question` on a thread that dispatches may run on, and waits for it until the deadline.
fn ask<T: Send + 'static>(
    within: Duration,
    question: impl FnOnce(&Progress) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let name = "corosync-query".to_owned();
    let (sender, receiver) = channel();
    let progress = Progress::new();
    let seen = progress.clone();
    thread::Builder::new()
        .name(name.clone())
        .stack_size(OWNER_STACK_LEN)
        .spawn(move || sender.send(question(&seen)))
        .map_err(|source| Error::Thread { name, source })?;
    receiver.recv_timeout(within).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            let after_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            Err(Error::Silent { call: progress.current(), after_ms })
        }
        RecvTimeoutError::Disconnected => Err(Failure::of(progress.current(), crate::Code::PANIC).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_ends_at_its_deadline() {
        let (_keep, never) = channel::<()>();
        let answer: Result<(), Error> = ask(Duration::from_millis(1), move |_| {
            let _ = never.recv();
            Ok(())
        });
        assert!(matches!(answer, Err(Error::Silent { after_ms: 1, .. })), "{answer:?}");
    }
}
