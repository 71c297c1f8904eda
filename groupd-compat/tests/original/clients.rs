//! Commands, and the table of connections: a new connection takes the first free place, with all that hangs on it (Q2).

use super::Original;
use super::group::Group;
use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::error::DecodeError;
use groupd_compat::event_id::Phase;
use groupd_compat::ids::{ClientId, CpgId, EventNr};
use groupd_compat::machine::{Effect, Effects};
use groupd_compat::names::{ClientKind, GroupKey, GroupName, Level};
use groupd_compat::records::Reply;
use groupd_compat::verbs::{Query, Request};

/// More data than this was seen to kill it; as much as this was not (t10, t16).
pub(super) const DATA_MAX: i64 = 2184;
/// So long a name was seen to kill it; of 64 bytes was not (t16).
const NAME_FATAL: usize = 120;

/// A connection.
pub(super) struct Slot {
    pub(super) client: ClientId,
    /// None before `setup`, and after one with a level that cannot be.
    level: Option<Level>,
    kind: ClientKind,
}

impl Original {
    pub(super) fn client_came(&mut self, client: ClientId) {
        let slot = Some(Slot { client, level: None, kind: ClientKind::default() });
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
    }

    /// It is simply forgotten (Q1).
    pub(super) fn client_gone(&mut self, client: ClientId) {
        if let Some(at) = self.slot_of(client) {
            self.slots[at] = None;
            self.groups.iter_mut().filter(|group| group.slot == Some(at)).for_each(|group| group.orphaned = true);
        }
    }

    fn slot_of(&self, client: ClientId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.client == client))
    }

    pub(super) fn asked(&mut self, client: ClientId, request: Request, fx: &mut Effects) {
        let Some(at) = self.slot_of(client) else { return };
        match request {
            Request::Setup { kind, level } => self.set_up(at, kind, Some(level)),
            Request::Join { name } => self.join(at, name, fx),
            Request::Leave { name } => self.leave(at, &name, fx),
            Request::StopDone { name } => self.stop_done(at, &name, fx),
            Request::StartDone { name, nr } => self.start_done(at, &name, nr, fx),
            Request::Send { name, data } => {
                if let Some(group) = self.group_at(at, &name) {
                    let message = Message::Data { key: None, global_id: group.global_id, data };
                    fx.push(Effect::Multicast(group.cpg, message));
                }
            }
            Request::GetGroups { max } => fx.push(Effect::Reply(client, Reply::Records(self.records(max)))),
            Request::GetGroup(Query::Nothing) => self.crash("a level that cannot be"),
            Request::GetGroup(query) => {
                fx.push(Effect::Reply(client, Reply::Record(Box::new(self.record_of(&query)))));
            }
            Request::GetVersion => fx.push(Effect::Reply(client, Reply::Version(self.versions.mode.version()))),
            Request::Dump => fx.push(Effect::Dump(client)),
            Request::Log { .. } => {}
        }
    }

    /// What the decoder refuses: the original goes on, or dies of it (Q6).
    pub(super) fn asked_badly(&mut self, client: ClientId, error: &DecodeError) {
        match error {
            DecodeError::Missing { command, field } if command != "get_group" || field == "level" => {
                self.crash("an argument is missing");
            }
            DecodeError::Level { .. } => {
                if let Some(at) = self.slot_of(client) {
                    self.set_up(at, ClientKind::default(), None);
                }
            }
            DecodeError::DataLength { len, .. } if !(0..=DATA_MAX).contains(len) => {
                self.crash("a length that cannot be")
            }
            DecodeError::Name { len } if *len >= NAME_FATAL => self.crash("a name that overwrites memory"),
            _ => {}
        }
    }

    fn set_up(&mut self, at: usize, kind: ClientKind, level: Option<Level>) {
        if let Some(slot) = &mut self.slots[at] {
            (slot.kind, slot.level) = (kind, level);
        }
    }

    fn join(&mut self, at: usize, name: GroupName, fx: &mut Effects) {
        let Some(slot) = &self.slots[at] else { return };
        let Some(level) = slot.level else { return self.crash("a level that cannot be") };
        let (key, kind) = (GroupKey { level, name }, slot.kind.clone());
        if !self.groups.iter().any(|group| group.key == key) {
            self.create(key, Some(at), kind, fx);
        }
    }

    pub(super) fn create(&mut self, key: GroupKey, slot: Option<usize>, kind: ClientKind, fx: &mut Effects) {
        self.last_cpg += 1;
        let cpg = CpgId(self.last_cpg);
        fx.push(Effect::JoinCpg(cpg, key.cpg_name()));
        self.groups.push(Group::new(key, cpg, slot, kind));
    }

    /// The group of that name on this connection's level: any connection of the level may act for it (K10).
    fn group_at(&self, at: usize, name: &GroupName) -> Option<&Group> {
        let level = self.slots[at].as_ref()?.level?;
        self.groups.iter().find(|group| group.key.level == level && group.key.name == *name)
    }

    fn leave(&mut self, at: usize, name: &GroupName, fx: &mut Effects) {
        let (Some(cpg), me) = (self.group_at(at, name).map(|group| group.cpg), self.me) else { return };
        let group = self.group_mut(cpg);
        let ours = group.current.as_ref().is_some_and(|change| change.node == me);
        if !group.joining && !group.leaving && !ours {
            group.leaving = true;
            fx.push(Effect::LeaveCpg(cpg));
        }
    }

    /// It answers whatever is current, asked for or not (K2, Q5).
    fn stop_done(&mut self, at: usize, name: &GroupName, fx: &mut Effects) {
        let Some(group) = self.group_at(at, name) else { return self.crash("stop_done of a group that is not here") };
        match &group.current {
            Some(change) => say(group, Step::Stopped, change.id, fx),
            None => self.crash("stop_done without a stop"),
        }
    }

    fn start_done(&mut self, at: usize, name: &GroupName, nr: EventNr, fx: &mut Effects) {
        let Some(group) = self.group_at(at, name) else { return };
        if let Some(change) = group.current.as_ref().filter(|it| it.nr == nr && it.phase == Phase::StartWait) {
            say(group, Step::Started, change.id, fx);
        }
    }

    pub(super) fn group_mut(&mut self, cpg: CpgId) -> &mut Group {
        self.groups.iter_mut().find(|group| group.cpg == cpg).expect("a group that is here")
    }

    pub(super) fn group(&self, cpg: CpgId) -> &Group {
        self.groups.iter().find(|group| group.cpg == cpg).expect("a group that is here")
    }
}

/// A step of a group goes through the control CPG, so that it is ordered against failures.
pub(super) fn say(group: &Group, step: Step, id: groupd_compat::event_id::EventId, fx: &mut Effects) {
    let message = Message::Step { step, key: group.key.clone(), global_id: group.global_id, id };
    fx.push(Effect::Multicast(CpgId::CONTROL, message));
}
