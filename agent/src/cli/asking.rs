//! The commands that are one question and one answer.

use std::time::{Duration, Instant};

use proto::control::{Ask, Condition, LogChange, api};
use serde::Serialize;

use super::args;
use super::client::Client;
use super::exit::{Exit, Failure, judged};
use super::{Session, WAIT_TIMEOUT, local, render};

/// Between two looks for a daemon that is not there yet.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long `wait` looks for the reason once its own time is over.
const EXPLAIN_WITHIN: Duration = Duration::from_secs(1);
/// `status --check` when there is nothing to judge by.
const CHECK_UNKNOWN: u8 = 3;

#[derive(Serialize)]
struct Nodes<'a> {
    schema: &'static str,
    nodes: &'a [api::Node],
}

impl Session {
    pub(super) fn status(&self, check: bool) -> Result<u8, Failure> {
        let shown = self.any_status().and_then(|status| judged(self.show_status(&status), status.health()));
        match (shown, check) {
            (Ok(health), true) => Ok(check_code(health)),
            (Ok(_), false) => Ok(Exit::Ok.code()),
            (Err(failure), true) => {
                self.output.failure(&failure);
                Ok(CHECK_UNKNOWN)
            }
            (Err(failure), false) => Err(failure),
        }
    }

    fn show_status(&self, status: &api::Status) -> Result<(), Failure> {
        self.output.answer(status, |width| render::status(status, self.global.verbose, width))
    }

    pub(super) fn any_status(&self) -> Result<api::Status, Failure> {
        if self.global.local { Ok(local::status(self.within(super::TIMEOUT))) } else { self.ask(Ask::Status) }
    }

    pub(super) fn nodes(&self) -> Result<Exit, Failure> {
        let status = self.any_status()?;
        let nodes = Nodes { schema: "o2cpg.nodes/1", nodes: &status.nodes };
        self.output.answer(&nodes, |width| render::nodes(&status, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn plan(&self) -> Result<Exit, Failure> {
        let plan = if self.global.local { local::plan()? } else { self.ask(Ask::Plan)? };
        self.output.answer(&plan, |width| render::plan(&plan, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn can_stop(&self) -> Result<Exit, Failure> {
        let answer: api::CanStop = self.ask(Ask::CanStop)?;
        let exit = if answer.yes { Exit::Ok } else { Exit::Refused };
        judged(self.output.answer(&answer, |width| render::can_stop(&answer, width)), exit)
    }

    pub(super) fn wait(&self, condition: args::Condition, node: Option<String>) -> Result<Exit, Failure> {
        let wanted = wanted(condition, node)?;
        let what = sentence(&wanted);
        match self.ask_when_there(&Ask::Wait(wanted), WAIT_TIMEOUT) {
            Ok(done) => self.tell_done(&done),
            Err(failure) if failure.exit == Exit::TimedOut => Err(self.still_waiting(what, failure)),
            Err(failure) => Err(failure),
        }
    }

    /// At boot the command may be there before the daemon, and a daemon may be started again: who waits, waits for that too.
    fn ask_when_there(&self, ask: &Ask, default: Duration) -> Result<api::Done, Failure> {
        let mut left = self.within(default);
        let until = Instant::now() + left;
        loop {
            match self.connect(left).and_then(|mut client| client.ask_while_there(ask.clone())) {
                Err(failure) if failure.exit == Exit::NotRunning && Instant::now() < until => {
                    std::thread::sleep(CONNECT_AGAIN_AFTER);
                    left = until.saturating_duration_since(Instant::now()).max(CONNECT_AGAIN_AFTER);
                }
                settled => return settled,
            }
        }
    }

    /// Who waits for whom, if the daemon says so quickly; a silent daemon keeps the failure as it is.
    fn still_waiting(&self, what: String, failure: Failure) -> Failure {
        let asked = Client::connect(&self.global.socket, EXPLAIN_WITHIN).and_then(|mut client| client.ask(Ask::Status));
        let Ok(status): Result<api::Status, Failure> = asked else { return failure };
        let waits: Vec<String> = status.waits.into_iter().map(|wait| wait.text).collect();
        let cause = if waits.is_empty() { failure.cause } else { waits.join("; ") };
        Failure { what, cause, ..failure }
    }

    pub(super) fn log(&self, change: Option<(String, Option<Duration>)>) -> Result<Exit, Failure> {
        let log: api::Log = self.ask(Ask::Log(change.map(log_change).transpose()?))?;
        self.output.tagged("o2cpg.log/1", &log, |width| render::log(&log, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn config(&self) -> Result<Exit, Failure> {
        let config: api::Config = self.ask(Ask::Config)?;
        self.output.answer(&config, |width| render::config(&config, width))?;
        Ok(Exit::Ok)
    }

    pub(super) fn cpg_list(&self, options: &args::CpgList) -> Result<Exit, Failure> {
        let list =
            if self.global.local { local::cpg_list(self.within(super::TIMEOUT))? } else { self.ask(Ask::CpgList)? };
        match self.output.format {
            super::output::Format::Text => self.output.text_bytes(&render::cpg_list(&list, options))?,
            _ => self.output.answer(&list, |_| String::new())?,
        }
        Ok(Exit::Ok)
    }
}

/// As monitoring plugins have it.
fn check_code(health: api::Health) -> u8 {
    match health {
        api::Health::Ok => 0,
        api::Health::Warn => 1,
        api::Health::Crit => 2,
        api::Health::Unspecified => CHECK_UNKNOWN,
    }
}

fn wanted(condition: args::Condition, node: Option<String>) -> Result<Condition, Failure> {
    use args::Condition as Word;
    Ok(match (condition, node) {
        (Word::Quorate, None) => Condition::Quorate,
        (Word::Ready, None) => Condition::Ready,
        (Word::Settled, None) => Condition::Settled,
        (Word::NodeGone, Some(node)) => Condition::NodeGone(node),
        (Word::NodeReady, Some(node)) => Condition::NodeReady(node),
        (Word::NodeGone | Word::NodeReady, None) => {
            return Err(Failure::usage(
                "which node is not said",
                "o2cpg wait --for node-gone NODE; o2cpg nodes lists them",
            ));
        }
        (Word::Quorate | Word::Ready | Word::Settled, Some(node)) => {
            let what = format!("{node}: this condition is about no node");
            return Err(Failure::usage(what, "leave the node out, or use node-gone or node-ready"));
        }
    })
}

/// What has not come.
fn sentence(condition: &Condition) -> String {
    match condition {
        Condition::Quorate => "still not quorate".into(),
        Condition::Ready => "this node is still not ready".into(),
        Condition::Settled => "still not settled".into(),
        Condition::NodeGone(node) => format!("{node} is still there"),
        Condition::NodeReady(node) => format!("{node} is still not ready"),
    }
}

fn log_change((directives, for_time): (String, Option<Duration>)) -> Result<LogChange, Failure> {
    let seconds = |time: Duration| match u32::try_from(time.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(Failure::usage("--for must be from 1s to 49710d", "o2cpg log set DIRECTIVES --for 10m")),
    };
    Ok(LogChange { directives, for_s: for_time.map(seconds).transpose()? })
}
