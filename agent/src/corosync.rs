//! Events of cpg-glue → events of the core. Wraps, and judges one thing only: processes of this node that have ended are not
//! handed in (`ended`, docs/decisions/0010). What is of another group or connection is dropped.

use crate::ended::Ended;
use agent_core::Event;
use agent_core::event::{Connected, Reason, ViewChange};
use agent_core::ids::{Member, NodeId, RingId};
use agent_core::status::CONTROL_GROUP;
use cpg_glue::{Call, Config, Connection, Event as Glue, GroupName, Loss};
use proto::peer::Message;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use tracing::{debug, info, warn};

/// What one event of the glue means.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// For the core.
    Event(Event),
    /// corosync's configuration; host names are not resolved yet.
    Config(Box<Config>),
    /// No event follows.
    Closed,
    /// Nothing, or only a line of the log.
    Nothing,
}

/// What has to be remembered between events.
#[derive(Default)]
pub(crate) struct Corosync {
    connection: Option<Connection>,
    /// The core knows that there is no connection, and why.
    loss_told: bool,
    ended: Ended,
    stuck: BTreeSet<(Call, Option<GroupName>)>,
}

impl Corosync {
    pub(crate) fn take(&mut self, event: Glue) -> Taken {
        if let Some(connection) = connection_of(&event) {
            if !matches!(event, Glue::Up { .. }) && self.connection != Some(connection) {
                debug!(?event, "of another connection");
                return Taken::Nothing;
            }
        }
        match event {
            Glue::Down { why } => self.lost(why.to_string()),
            Glue::Lost { why, unsent, .. } => {
                debug!(unsent, "messages that were never sent");
                self.connection = None;
                self.lost(loss_text(&why))
            }
            Glue::Up { connection, nodeid, pid, attempt } => {
                debug!(%connection, attempt, "connected");
                (self.connection, self.loss_told) = (Some(connection), false);
                let member = Member { nodeid: nodeid.0, pid };
                self.ended = Ended::of(member);
                Taken::Event(Event::CorosyncUp(Connected { member, nonce: nonce() }))
            }
            Glue::Stuck { call, group, since_ms } => {
                debug!(%call, since_ms, "stuck");
                self.stuck.insert((call, group));
                Taken::Event(Event::CorosyncStuck { call: call.to_string() })
            }
            Glue::Unstuck { call, group, after_ms } => {
                info!(%call, after_ms, "corosync has answered");
                self.stuck.remove(&(call, group));
                self.unstuck()
            }
            Glue::Config { config, .. } => Taken::Config(config),
            Glue::ConfigUnreadable { why, .. } => {
                warn!(why, "corosync's configuration cannot be read");
                Taken::Event(Event::ConfigUnreadable { why })
            }
            Glue::GroupRefused { why, .. } if why.group.as_ref().is_some_and(ours) => {
                warn!(%why, "corosync refuses the group, tried again");
                Taken::Event(Event::JoinRefused { why: why.to_string() })
            }
            Glue::ShutdownAsked { flags, .. } => {
                debug!(flags, "corosync asks to shut down");
                Taken::Event(Event::ShutdownAsked)
            }
            Glue::Closed { clean } => {
                debug!(clean, "left corosync");
                Taken::Closed
            }
            Glue::View { .. } | Glue::Ring { .. } | Glue::Message { .. } | Glue::Quorum { .. } => {
                self.without_the_ended(membership(event))
            }
            Glue::Nodelist { .. }
            | Glue::ShutdownAnswered { .. }
            | Glue::KillOrdered { .. }
            | Glue::GroupRefused { .. }
            | Glue::Left { .. }
            | Glue::Odd { .. } => {
                log(&event);
                Taken::Nothing
            }
        }
    }

    fn without_the_ended(&mut self, taken: Taken) -> Taken {
        let Taken::Event(Event::ViewChanged(mut change)) = taken else { return taken };
        self.ended.leave_out(&mut change);
        Taken::Event(Event::ViewChanged(change))
    }

    /// A loss, and that no new connection can be made, are one outage.
    fn lost(&mut self, why: String) -> Taken {
        self.stuck.clear();
        if std::mem::replace(&mut self.loss_told, true) {
            debug!(why, "still no corosync");
            return Taken::Nothing;
        }
        Taken::Event(Event::CorosyncLost { why })
    }

    /// The core knows of one stuck call at a time.
    fn unstuck(&self) -> Taken {
        Taken::Event(match self.stuck.first() {
            Some((call, _)) => Event::CorosyncStuck { call: call.to_string() },
            None => Event::CorosyncUnstuck,
        })
    }
}

/// Views, rings and messages of our group; quorum has no group.
fn membership(event: Glue) -> Taken {
    match event {
        Glue::View { group, members, left, joined, .. } if ours(&group) => {
            let members = members.into_iter().map(member).collect();
            let (left, joined) = (changes(left), changes(joined));
            Taken::Event(Event::ViewChanged(ViewChange { members, left, joined }))
        }
        Glue::Ring { group, ring, members, .. } if ours(&group) => {
            let nodes = members.into_iter().map(|node| NodeId(node.0)).collect();
            Taken::Event(Event::RingChanged { ring: ring_id(ring), nodes })
        }
        Glue::Message { group, from, bytes, .. } if ours(&group) => {
            Taken::Event(Event::Delivered { from: member(from), body: Message::decode(&bytes) })
        }
        Glue::Quorum { quorate, ring, .. } => Taken::Event(Event::QuorumChanged { quorate, ring: ring_id(ring) }),
        other => {
            debug!(event = ?other, "of another group");
            Taken::Nothing
        }
    }
}

fn ours(group: &GroupName) -> bool {
    group.as_bytes() == CONTROL_GROUP.as_bytes()
}

fn connection_of(event: &Glue) -> Option<Connection> {
    match event {
        Glue::Up { connection, .. }
        | Glue::Lost { connection, .. }
        | Glue::View { connection, .. }
        | Glue::Ring { connection, .. }
        | Glue::Message { connection, .. }
        | Glue::Quorum { connection, .. }
        | Glue::Nodelist { connection, .. }
        | Glue::Config { connection, .. }
        | Glue::ConfigUnreadable { connection, .. }
        | Glue::ShutdownAsked { connection, .. }
        | Glue::ShutdownAnswered { connection, .. }
        | Glue::GroupRefused { connection, .. }
        | Glue::Left { connection, .. }
        | Glue::Odd { connection, .. } => Some(*connection),
        Glue::Down { .. }
        | Glue::Stuck { .. }
        | Glue::Unstuck { .. }
        | Glue::KillOrdered { .. }
        | Glue::Closed { .. } => None,
    }
}

fn member(member: cpg_glue::Member) -> Member {
    Member { nodeid: member.nodeid.0, pid: member.pid }
}

fn ring_id(ring: cpg_glue::RingId) -> RingId {
    RingId { nodeid: ring.nodeid.0, seq: ring.seq }
}

fn changes(list: Vec<(cpg_glue::Member, cpg_glue::Reason)>) -> Vec<(Member, Reason)> {
    list.into_iter().map(|(who, why)| (member(who), reason(why))).collect()
}

fn reason(reason: cpg_glue::Reason) -> Reason {
    match reason {
        cpg_glue::Reason::Join => Reason::Join,
        cpg_glue::Reason::Leave => Reason::Leave,
        cpg_glue::Reason::NodeDown => Reason::NodeDown,
        cpg_glue::Reason::NodeUp => Reason::NodeUp,
        cpg_glue::Reason::ProcDown => Reason::ProcDown,
        cpg_glue::Reason::Unknown(other) => Reason::Unknown(other),
    }
}

fn loss_text(loss: &Loss) -> String {
    match loss {
        Loss::Corosync(failure) => failure.to_string(),
        Loss::CallbackPanicked(call) => format!("a callback of {call} panicked, the connection is made anew"),
        Loss::Watch(why) => format!("watching its descriptor: {why}"),
    }
}

fn log(event: &Glue) {
    match event {
        Glue::GroupRefused { why, .. } => warn!(%why, "corosync refuses the group, tried again"),
        Glue::Odd { group, oddity, .. } => warn!(%group, ?oddity, "corosync did something odd"),
        Glue::ShutdownAnswered { verdict, by_deadline, result, .. } => {
            debug!(?verdict, by_deadline, ?result, "corosync has our answer");
        }
        other => debug!(event = ?other, "not for the core"),
    }
}

/// Tells two lives of one (nodeid, pid) apart; never 0, which stands for "not known".
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    match File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)) {
        Ok(()) => u64::from_le_bytes(bytes).max(1),
        // A chroot without /dev: the time since boot differs between two lives too.
        Err(_) => crate::clock::now().0.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpg_glue::{Code, Failure};

    fn up(corosync: &mut Corosync, number: u64) {
        let up = Glue::Up { connection: Connection(number), nodeid: cpg_glue::NodeId(3), pid: 7, attempt: 1 };
        let Taken::Event(Event::CorosyncUp(connected)) = corosync.take(up) else { panic!("not up") };
        assert_eq!(connected.member, Member { nodeid: 3, pid: 7 });
    }

    fn message(connection: u64, group: &str, bytes: &[u8]) -> Glue {
        Glue::Message {
            connection: Connection(connection),
            group: GroupName::new(group).unwrap(),
            from: cpg_glue::Member { nodeid: cpg_glue::NodeId(1), pid: 9 },
            bytes: bytes.to_vec(),
        }
    }

    fn failure() -> Failure {
        Failure::of(Call::CpgInitialize, Code::LIBRARY)
    }

    #[test]
    fn garbage_in_our_group_is_an_event_and_other_groups_are_not() {
        let mut corosync = Corosync::default();
        up(&mut corosync, 1);
        let taken = corosync.take(message(1, "o2cpg", b"garbage"));
        assert!(matches!(taken, Taken::Event(Event::Delivered { body: Err(_), .. })), "{taken:?}");
        assert_eq!(corosync.take(message(1, "groupd", b"x")), Taken::Nothing);
    }

    #[test]
    fn what_belongs_to_a_former_connection_is_dropped() {
        let mut corosync = Corosync::default();
        up(&mut corosync, 1);
        corosync.take(Glue::Lost { connection: Connection(1), why: Loss::Corosync(failure()), unsent: 0 });
        assert_eq!(corosync.take(message(1, "o2cpg", b"late")), Taken::Nothing);
        up(&mut corosync, 2);
        assert_eq!(corosync.take(message(1, "o2cpg", b"late")), Taken::Nothing);
    }

    #[test]
    fn an_outage_is_told_once() {
        let mut corosync = Corosync::default();
        assert!(matches!(corosync.take(Glue::Down { why: failure() }), Taken::Event(Event::CorosyncLost { .. })));
        up(&mut corosync, 1);
        let lost = Glue::Lost { connection: Connection(1), why: Loss::Corosync(failure()), unsent: 0 };
        assert!(matches!(corosync.take(lost), Taken::Event(Event::CorosyncLost { .. })));
        assert_eq!(corosync.take(Glue::Down { why: failure() }), Taken::Nothing);
    }

    #[test]
    fn two_stuck_calls_are_over_when_both_have_returned() {
        let mut corosync = Corosync::default();
        let stuck = |call| Glue::Stuck { call, group: None, since_ms: 1000 };
        let unstuck = |call| Glue::Unstuck { call, group: None, after_ms: 2000 };
        corosync.take(stuck(Call::CpgJoin));
        corosync.take(stuck(Call::CfgTrackstart));
        let still = Event::CorosyncStuck { call: Call::CfgTrackstart.to_string() };
        assert_eq!(corosync.take(unstuck(Call::CpgJoin)), Taken::Event(still));
        assert_eq!(corosync.take(unstuck(Call::CfgTrackstart)), Taken::Event(Event::CorosyncUnstuck));
    }
}
