//! `o2cpg stack`: the kernel's cluster stack. Done here and not in the daemon, so that it works without one; a daemon
//! that runs is asked what it knows.

use std::io;
use std::path::Path;
use std::time::Duration;

use configfs::kernel::DEFAULT_ROOT;
use configfs::{Backend, Kernel};
use proto::control::{Ask, api};
use serde::Serialize;

use super::client::Client;
use super::exit::{Exit, Failure, chain};
use super::{Session, TIMEOUT, render};
use crate::daemon::DEFAULT_RUN_DIR;
use crate::run_dir::{self, RunDir};
use crate::settings::Live as Settings;
use crate::stack::change::{self, Error, Modprobe};
use crate::stack::{self, Found, Label, Live};

/// Where the machine is.
const ROOT: &str = "/";
/// Pins of the daemon that the kernel shows too.
const SEEN_IN_KERNEL: [&str; 2] = ["mounted", "region"];
/// A pin that is about the daemon, whatever the stack.
const TOKEN: &str = "token";

/// What the daemon says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serves {
    /// The cluster.
    pub cluster: String,
    /// The stack.
    pub stack: String,
    /// `ready`, `waiting` and so on.
    pub state: String,
}

/// What `o2cpg stack show` shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// The machine.
    #[serde(flatten)]
    pub found: Found,
    /// The daemon; `None` where it cannot be asked.
    pub daemon: Option<Serves>,
    /// Why not.
    pub daemon_unasked: Option<String>,
}

impl Session {
    pub(super) fn stack_show(&self) -> Result<Exit, Failure> {
        let mut found = stack::look(Path::new(ROOT));
        let asked = if self.global.local { Ok(None) } else { self.daemon_status(self.within(TIMEOUT)) };
        let (status, unasked) = match asked {
            Ok(Some(status)) => (Some(status), None),
            Ok(None) => (None, None),
            Err(failure) => (None, Some(failure.what)),
        };
        found.live.extend(status.iter().flat_map(pins));
        let shown = Shown { found, daemon: status.as_ref().map(serves), daemon_unasked: unasked };
        self.output.tagged("o2cpg.stack/1", &shown, |width| render::stack(&shown, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn stack_set(&self, label: &str) -> Result<Exit, Failure> {
        let label: Label =
            label.parse().map_err(|error| Failure::new(Exit::Usage, chain(&error), "", "o2cpg stack show"))?;
        // A mount that is under way is known to the daemon only: one that runs and does not answer stands in the way.
        let status = self.daemon_status(self.within(TIMEOUT))?;
        let pins = status.iter().flat_map(pins).collect();
        let done = change::set(Path::new(ROOT), label, may_load()?, pins, &mut Modprobe);
        let done =
            done.map_err(|error| failure(format!("the cluster stack is not set to {}", label.as_str()), &error))?;
        self.output.tagged("o2cpg.stack-set/1", &done, |width| render::chosen(&done, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn stack_offline(&self) -> Result<Exit, Failure> {
        // What the daemon holds while it runs: none can begin meanwhile.
        let held = RunDir::take(Path::new(DEFAULT_RUN_DIR), None).map_err(|error| locked_out(&error))?;
        let mut tree = Kernel::open(DEFAULT_ROOT).ok();
        let tree = tree.as_mut().map(|tree| tree as &mut dyn Backend);
        let done = change::offline(Path::new(ROOT), tree, &mut Modprobe);
        drop(held);
        let done = done.map_err(|error| failure("the cluster stack is not taken down".into(), &error))?;
        self.output.tagged("o2cpg.stack-offline/1", &done, |width| render::offline(&done, width))?;
        Ok(Exit::Ok)
    }

    /// `None` if no daemon runs.
    fn daemon_status(&self, within: Duration) -> Result<Option<api::Status>, Failure> {
        match Client::connect(&self.global.socket, within).and_then(|mut client| client.ask(Ask::Status)) {
            Ok(status) => Ok(Some(status)),
            Err(failure) if failure.exit == Exit::NotRunning => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn serves(status: &api::Status) -> Serves {
    let state = status.agent.as_ref().map_or(api::agent::State::Unspecified, api::Agent::state);
    let state = state.as_str_name().to_lowercase();
    Serves { cluster: status.cluster.clone(), stack: status.stack.clone(), state }
}

/// What only the daemon knows to be live.
fn pins(status: &api::Status) -> impl Iterator<Item = Live> + '_ {
    let is_news =
        |pin: &&api::Pin| pin.node.is_empty() && pin.kind != TOKEN && !SEEN_IN_KERNEL.contains(&pin.kind.as_str());
    status.pins.iter().filter(is_news).map(|pin| Live::Pin { text: pin.text.clone() })
}

/// The daemon's own setting `modprobe`.
fn may_load() -> Result<bool, Failure> {
    let settings = Settings::start(None, &[]);
    let settings = settings.map_err(|error| Failure::new(Exit::Usage, chain(&error), "", "o2cpgd --check-config"))?;
    Ok(settings.in_force().modprobe)
}

fn failure(what: String, error: &Error) -> Failure {
    let cause = match error {
        Error::Live { live } => live.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Error::NoOcfs2 { why, .. } if !why.is_empty() => format!("{error}: {why}"),
        _ => chain(error),
    };
    let exit = match error {
        _ if error.is_refusal() => Exit::Refused,
        Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, what, cause, error.fix())
}

fn locked_out(error: &run_dir::Error) -> Failure {
    let exit = match error {
        run_dir::Error::Held { .. } => Exit::Refused,
        run_dir::Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, "the cluster stack is not taken down", chain(error), "systemctl stop o2cpgd, as root")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(kind: &str, node: &str) -> api::Pin {
        api::Pin { kind: kind.into(), text: format!("{kind} pin"), node: node.into() }
    }

    #[test]
    fn only_what_the_kernel_does_not_show_is_taken_from_the_daemon() {
        let pins =
            vec![pin("mounted", ""), pin("region", ""), pin("token", ""), pin("mounting", ""), pin("alive", "bravo")];
        let status = api::Status { pins, ..api::Status::default() };
        assert_eq!(super::pins(&status).collect::<Vec<_>>(), [Live::Pin { text: "mounting pin".into() }]);
    }

    #[test]
    fn what_is_live_is_a_refusal_with_all_of_it_as_the_cause() {
        let live = vec![Live::Region { uuid: "A0".into() }, Live::Pin { text: "x".into() }];
        let failure = failure("not set".into(), &Error::Live { live });
        assert_eq!((failure.exit, failure.cause.as_str()), (Exit::Refused, "heartbeat region A0; x"));
        let denied = Error::Io { what: "storing", path: "y".into(), source: io::ErrorKind::PermissionDenied.into() };
        assert_eq!(super::failure("not set".into(), &denied).exit, Exit::NotPermitted);
    }
}
