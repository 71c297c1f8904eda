//! Generated requests ↔ validated ones. Both directions have the same rules, so a command that asks something wrong is
//! told before it connects.

use super::{
    Ask, Condition, ControlError, DEADLINE_MAX_MS, DIRECTIVES_LEN_MAX, LogChange, NODE_LEN_MAX, PIN_LEN_MAX, Request,
    api,
};
use crate::version::{CONTROL_CURRENT, CONTROL_MIN};

impl TryFrom<api::Request> for Request {
    type Error = ControlError;

    fn try_from(wire: api::Request) -> Result<Request, ControlError> {
        if !(CONTROL_MIN..=CONTROL_CURRENT).contains(&wire.version) {
            return Err(ControlError::Version { theirs: wire.version });
        }
        if !(1..=DEADLINE_MAX_MS).contains(&wire.deadline_ms) {
            return Err(invalid("deadline_ms", &wire.deadline_ms.to_string(), format!("1 to {DEADLINE_MAX_MS}")));
        }
        let ask = ask(wire.ask.ok_or(ControlError::Unknown)?)?;
        Ok(Request { version: wire.version, deadline_ms: wire.deadline_ms, ask })
    }
}

fn ask(wire: api::request::Ask) -> Result<Ask, ControlError> {
    use api::request::Ask as Wire;
    Ok(match wire {
        Wire::Status(_) => Ask::Status,
        Wire::Plan(_) => Ask::Plan,
        Wire::Wait(it) => Ask::Wait(condition(it)?),
        Wire::CanStop(_) => Ask::CanStop,
        Wire::Pin(it) => Ask::Pin { text: pin_text(it.text)?, node: node_or_daemon(it.node)? },
        Wire::Unpin(it) => Ask::Unpin { text: pin_text(it.text)?, node: node_or_daemon(it.node)? },
        Wire::Events(it) => Ask::Events { since: it.since, all: it.all, follow: it.follow },
        Wire::Log(it) => Ask::Log(log_change(it)?),
        Wire::Config(_) => Ask::Config,
        Wire::Dump(_) => Ask::Dump,
        Wire::CpgList(_) => Ask::CpgList,
        Wire::Groups(_) => Ask::Groups,
        Wire::Forget(it) => Ask::Forget { node: node(it.node)? },
        Wire::AckDead(it) => Ask::AckDead { node: node(it.node)?, by: line("by", it.by, NODE_LEN_MAX)? },
    })
}

fn condition(wire: api::WaitRequest) -> Result<Condition, ControlError> {
    use api::wait_request::Condition as Wire;
    let condition = match wire.condition() {
        Wire::NodeGone => return node(wire.argument).map(Condition::NodeGone),
        Wire::NodeReady => return node(wire.argument).map(Condition::NodeReady),
        Wire::Quorate => Condition::Quorate,
        Wire::Ready => Condition::Ready,
        Wire::Settled => Condition::Settled,
        Wire::Unspecified => {
            return Err(invalid("condition", &wire.condition.to_string(), "1 to 5"));
        }
    };
    match wire.argument.as_str() {
        "" => Ok(condition),
        argument => Err(invalid("argument", &format!("{argument:?}"), "empty: this condition is about no node")),
    }
}

fn log_change(wire: api::LogRequest) -> Result<Option<LogChange>, ControlError> {
    match (wire.directives.is_empty(), wire.for_s) {
        (true, 0) => Ok(None),
        (true, seconds) => Err(invalid("for_s", &seconds.to_string(), "0 without directives")),
        (false, seconds) => {
            let directives = line("directives", wire.directives, DIRECTIVES_LEN_MAX)?;
            Ok(Some(LogChange { directives, for_s: (seconds > 0).then_some(seconds) }))
        }
    }
}

fn pin_text(text: String) -> Result<String, ControlError> {
    line("text", text, PIN_LEN_MAX)
}

fn node(node: String) -> Result<String, ControlError> {
    line("node", node, NODE_LEN_MAX)
}

fn node_or_daemon(name: String) -> Result<Option<String>, ControlError> {
    if name.is_empty() { Ok(None) } else { node(name).map(Some) }
}

/// Text that fits on one line of status: it is shown there, on terminals and in journals.
fn line(field: &str, text: String, len_max: usize) -> Result<String, ControlError> {
    let fits = (1..=len_max).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(invalid(field, &format!("{text:?}"), format!("1 to {len_max} bytes without control characters")))
}

fn invalid(field: &str, held: &str, rule: impl Into<String>) -> ControlError {
    ControlError::Invalid { field: field.into(), held: crate::error::shortened(held), rule: rule.into() }
}

impl From<Request> for api::Request {
    fn from(request: Request) -> api::Request {
        api::Request { version: request.version, deadline_ms: request.deadline_ms, ask: Some(request.ask.into()) }
    }
}

impl From<Ask> for api::request::Ask {
    fn from(ask: Ask) -> api::request::Ask {
        use api::request::Ask as Wire;
        match ask {
            Ask::Status => Wire::Status(api::StatusRequest {}),
            Ask::Plan => Wire::Plan(api::PlanRequest {}),
            Ask::Wait(condition) => Wire::Wait(condition.into()),
            Ask::CanStop => Wire::CanStop(api::CanStopRequest {}),
            Ask::Pin { text, node } => Wire::Pin(api::PinRequest { text, node: node.unwrap_or_default() }),
            Ask::Unpin { text, node } => Wire::Unpin(api::UnpinRequest { text, node: node.unwrap_or_default() }),
            Ask::Events { since, all, follow } => Wire::Events(api::EventsRequest { since, all, follow }),
            Ask::Log(change) => Wire::Log(change.map(Into::into).unwrap_or_default()),
            Ask::Config => Wire::Config(api::ConfigRequest {}),
            Ask::Dump => Wire::Dump(api::DumpRequest {}),
            Ask::CpgList => Wire::CpgList(api::CpgListRequest {}),
            Ask::Groups => Wire::Groups(api::GroupsRequest {}),
            Ask::Forget { node } => Wire::Forget(api::ForgetRequest { node }),
            Ask::AckDead { node, by } => Wire::AckDead(api::AckDeadRequest { node, by }),
        }
    }
}

impl From<Condition> for api::WaitRequest {
    fn from(condition: Condition) -> api::WaitRequest {
        use api::wait_request::Condition as Wire;
        let (condition, argument) = match condition {
            Condition::Quorate => (Wire::Quorate, String::new()),
            Condition::Ready => (Wire::Ready, String::new()),
            Condition::Settled => (Wire::Settled, String::new()),
            Condition::NodeGone(node) => (Wire::NodeGone, node),
            Condition::NodeReady(node) => (Wire::NodeReady, node),
        };
        api::WaitRequest { condition: condition.into(), argument }
    }
}

impl From<LogChange> for api::LogRequest {
    fn from(change: LogChange) -> api::LogRequest {
        api::LogRequest { directives: change.directives, for_s: change.for_s.unwrap_or(0) }
    }
}
