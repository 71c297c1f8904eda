//! Notices of the core → one line of the log each: a constant text, the values as fields.

use agent_core::notice::Notice;
use std::fmt::Display;
use tracing::{debug, info, warn};

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Writes one line, as loud as [`Notice::loudness`] says.
pub(crate) fn tell(notice: &Notice) {
    match notice {
        Notice::Verdict { verdict, thing, why } => info!(verdict, thing, why, "found at start"),
        Notice::CorosyncUp { nodeid } => info!(nodeid, "corosync is connected"),
        Notice::CorosyncLost { why } => warn!(why, "corosync is gone, the kernel is left as it is"),
        Notice::View { ring, members, quorate } => info!(%ring, members = list(members), quorate, "view"),
        Notice::NodeJoined { node } => info!(%node, "agent joined"),
        Notice::NodeLeft { node, how } => info!(%node, how, "agent left"),
        Notice::Ghosts { members } => {
            warn!(members = list(members), "corosync lists processes that are gone, nobody waits for them")
        }
        Notice::Table { step, change } => info!(step, change, "table"),
        Notice::Ready => info!("ready"),
        Notice::Step { round, what } => debug!(round, what, "step"),
        Notice::Refused { node, what, cause, fix } => warn!(%node, what, cause, fix, "refused"),
        Notice::WaitStarted { what, fix } => info!(what, fix, "waiting"),
        Notice::WaitStill { what, for_s } => warn!(what, for_s, "still waiting"),
        Notice::WaitEnded { what, after_ms } => info!(what, after_ms, "no longer waiting"),
        Notice::KernelRefused { what } => warn!(what, "a kernel refused"),
        Notice::Drift { what } => warn!(what, "the tree was changed by somebody else"),
        Notice::Dropped { from, why } => warn!(from, why, "message dropped"),
        Notice::Slept { ms } => warn!(ms, "this machine stood still"),
        Notice::StopAsked { by, pins } => info!(by, pins = list(pins), "asked to end"),
        Notice::PinChanged { text, set } => info!(text, set, "pin"),
        Notice::Mounts { mounts } => info!(mounts = list(mounts), "mounts"),
        Notice::MountRefused { what, errno, why } => warn!(what, errno, why, "mount tool refused"),
        Notice::MountDecided { volume, mounted } => {
            info!(volume, mounted, "the tool of a mount is gone, the kernel decided")
        }
        Notice::FenceOpened { node, by } => info!(%node, by, "fenced"),
        Notice::FenceFailed { node, why } => warn!(%node, why, "the fence program failed"),
        Notice::Buried { node, by, after_ms } => info!(%node, by, after_ms, "death handled"),
        Notice::Unguarded { node, volumes } => {
            warn!(%node, volumes = list(volumes), "unguarded: dlm_controld cannot be told of this failure, mount these volumes anew")
        }
        Notice::NodeEnded { node, after_ms } => {
            warn!(%node, after_ms, "asked corosync to end the node: its agent is gone")
        }
        Notice::ShutdownAnswered { yes, pins } => info!(yes, pins = list(pins), "corosync asked to shut down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::ids::NodeId;
    use agent_core::notice::Loudness;
    use std::sync::{Arc, Mutex};
    use tracing::{Event, Level, Subscriber, subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    fn one_of_each_loudness() -> Vec<Notice> {
        let text = String::new;
        vec![
            Notice::Ready,
            Notice::CorosyncUp { nodeid: 1 },
            Notice::Table { step: 1, change: text() },
            Notice::NodeLeft { node: NodeId(3), how: text() },
            Notice::WaitStarted { what: text(), fix: text() },
            Notice::Mounts { mounts: vec![] },
            Notice::CorosyncLost { why: text() },
            Notice::Refused { node: NodeId(3), what: text(), cause: text(), fix: text() },
            Notice::WaitStill { what: text(), for_s: 60 },
            Notice::KernelRefused { what: text() },
            Notice::Unguarded { node: NodeId(3), volumes: vec![] },
            Notice::Drift { what: text() },
            Notice::Dropped { from: 1, why: text() },
            Notice::Slept { ms: 1 },
            Notice::Step { round: 1, what: text() },
            Notice::WaitEnded { what: text(), after_ms: 1 },
        ]
    }

    #[test]
    fn a_line_is_as_loud_as_the_core_says() {
        let levels = Levels::default();
        let notices = one_of_each_loudness();
        subscriber::with_default(tracing_subscriber::registry().with(levels.clone()), || {
            notices.iter().for_each(tell);
        });
        let expected: Vec<Level> = notices
            .iter()
            .map(|notice| match notice.loudness() {
                Loudness::Debug => Level::DEBUG,
                Loudness::Info => Level::INFO,
                Loudness::Warn => Level::WARN,
            })
            .collect();
        assert_eq!(*levels.0.lock().unwrap(), expected);
    }
}
