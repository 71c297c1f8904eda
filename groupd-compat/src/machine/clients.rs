//! Clients: what they ask for, what they own, and how they die.

use super::effect::{Effect, Effects, Ignored, KillReason, Notice};
use super::event::{Access, Caller};
use super::group::{Group, Heir, Keeper};
use super::modes::{Mode, PLACEHOLDERS};
use super::{CLIENTS_MAX, GROUPS_MAX, Machine, OnClientDeath};
use crate::cpg_message::Message;
use crate::ids::{ClientId, CpgId, EventNr};
use crate::names::{ClientKind, GroupKey, GroupName, Level};
use crate::verbs::Request;
use serde::{Deserialize, Serialize};

/// One connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Client {
    caller: Caller,
    /// Set by `setup`; nothing can be joined before it (deviation Q7).
    level: Option<Level>,
    kind: ClientKind,
}

/// What came of a command.
type Done = Result<(), Ignored>;

impl Machine {
    pub(crate) fn client_came(&mut self, client: ClientId, caller: Caller) {
        if self.clients.len() < CLIENTS_MAX {
            self.clients.entry(client).or_insert(Client { caller, level: None, kind: ClientKind::default() });
        }
    }

    /// Carries out a command. None but a query is answered; what is ignored is ignored in silence (kept, K1).
    pub(crate) fn asked(&mut self, client: ClientId, request: Request, fx: &mut Effects) {
        let Some(Client { caller, .. }) = self.clients.get(&client) else { return };
        let is_query =
            matches!(request, Request::GetGroups { .. } | Request::GetGroup(_) | Request::GetVersion | Request::Dump);
        if caller.access == Access::Queries && !is_query {
            return fx.notice(Notice::NotAllowed { client, access: Access::Queries });
        }
        let done = match request {
            Request::Setup { kind, level } => self.setup(client, kind, level),
            Request::Join { name } => self.join(client, name, fx),
            Request::Leave { name } => self.leave(client, name, fx),
            Request::StopDone { name } => self.stop_done(client, name, fx),
            Request::StartDone { name, nr } => self.start_done(client, name, nr, fx),
            Request::Send { name, data } => self.send(client, name, data, fx),
            Request::GetGroups { .. } | Request::GetGroup(_) | Request::GetVersion | Request::Dump => {
                self.query(client, &request, fx);
                Ok(())
            }
            Request::Log { text } => {
                fx.notice(Notice::ClientLog { client, text });
                Ok(())
            }
        };
        if let Err(why) = done {
            fx.notice(Notice::Ignored { client, why });
        }
    }

    /// May be repeated: groups already joined keep their level.
    fn setup(&mut self, client: ClientId, kind: ClientKind, level: Level) -> Done {
        if let Some(known) = self.clients.get_mut(&client) {
            known.level = Some(level);
            known.kind = kind;
        }
        Ok(())
    }

    fn join(&mut self, client: ClientId, name: GroupName, fx: &mut Effects) -> Done {
        let Some(Client { caller, level, kind }) = self.clients.get(&client) else { return Err(Ignored::NoLevel) };
        let key = GroupKey { level: level.ok_or(Ignored::NoLevel)?, name };
        let (uid, kind) = (caller.uid, kind.clone());
        let here = self.index.get(&key).and_then(|cpg| self.groups.get_mut(cpg));
        if let Some(orphan) = here.filter(|group| group.keeper == Keeper::Ourselves && group.heir.is_none()) {
            orphan.heir = Some(Heir { client, uid, kind });
            return Ok(());
        }
        self.create(key, Keeper::Client(client), uid, kind, fx)
    }

    fn create(&mut self, key: GroupKey, keeper: Keeper, uid: u32, kind: ClientKind, fx: &mut Effects) -> Done {
        if self.index.contains_key(&key) {
            return Err(Ignored::Exists);
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(Ignored::Full);
        }
        self.last_cpg += 1;
        let cpg = CpgId(self.last_cpg);
        let mut group = Group::new(key.clone(), cpg, keeper, uid, kind);
        if self.may_join() {
            group.ask(fx);
        }
        self.index.insert(key, cpg);
        self.groups.insert(cpg, group);
        Ok(())
    }

    /// May CPGs of groups be joined? A booting node is alone until its ring has merged: what it created there would be another
    /// group of the same name. So nothing is joined before the first quorum (part of deviation B4), but for what is only
    /// occupied.
    fn may_join(&self) -> bool {
        match self.modes.mode {
            Mode::Libgroup => self.node.quorum.was_ever() && self.node.control.knows_us(),
            Mode::Pending => self.node.control.knows_us(),
            Mode::Libcpg => true,
        }
    }

    /// What forbade to join may be over.
    pub(crate) fn join_what_waits(&mut self, fx: &mut Effects) {
        if self.may_join() {
            self.groups.values_mut().filter(|group| !group.asked).for_each(|group| group.ask(fx));
        }
    }

    /// The own leave of a group is complete. Whoever waits for that joins.
    pub(crate) fn succeed(&mut self, cpg: CpgId, fx: &mut Effects) {
        let heir = self.groups.get_mut(&cpg).and_then(|group| Some((group.key.clone(), group.heir.take()?)));
        self.forget(cpg);
        if let Some((key, Heir { client, uid, kind })) = heir {
            // It fits: one group has just gone, and the name with it.
            _ = self.create(key, Keeper::Client(client), uid, kind, fx);
        }
    }

    pub(crate) fn join_placeholders(&mut self, fx: &mut Effects) {
        for (level, name) in PLACEHOLDERS {
            if let (Ok(level), Ok(name)) = (Level::try_from(level), GroupName::new(name)) {
                // One that a client has joined already does the same service.
                _ = self.create(GroupKey { level, name }, Keeper::Nobody, 0, ClientKind::default(), fx);
            }
        }
    }

    /// Any connection of the same level and user may leave (kept, K10).
    fn leave(&mut self, client: ClientId, name: GroupName, fx: &mut Effects) -> Done {
        let (me, mode) = (self.node.me, self.modes.mode);
        let group = self.group_for(client, name)?;
        if mode != Mode::Libgroup {
            let cpg = group.cpg;
            self.drop_silently(cpg, fx);
            return Ok(());
        }
        if !group.may_leave(me) {
            return Err(Ignored::NotNow);
        }
        group.leave(fx);
        Ok(())
    }

    /// Leaves without a word to anybody: nobody was told anything.
    fn drop_silently(&mut self, cpg: CpgId, fx: &mut Effects) {
        if self.groups.get(&cpg).is_some_and(|group| group.asked) {
            fx.push(Effect::LeaveCpg(cpg));
            fx.push(Effect::CloseCpg(cpg));
        }
        self.forget(cpg);
    }

    fn stop_done(&mut self, client: ClientId, name: GroupName, fx: &mut Effects) -> Done {
        let group = self.owned_by(client, name)?;
        if group.stop_done(fx) { Ok(()) } else { Err(Ignored::NotAsked) }
    }

    fn start_done(&mut self, client: ClientId, name: GroupName, nr: EventNr, fx: &mut Effects) -> Done {
        let group = self.owned_by(client, name)?;
        let current = group.current.as_ref().is_some_and(|change| change.nr == nr);
        if current && group.start_done(fx) { Ok(()) } else { Err(Ignored::NotAsked) }
    }

    /// Any connection of the same level and user may send (kept, K10).
    fn send(&mut self, client: ClientId, name: GroupName, data: Vec<u8>, fx: &mut Effects) -> Done {
        let group = self.group_for(client, name)?;
        if !group.asked {
            return Err(Ignored::NotNow);
        }
        fx.push(Effect::Multicast(group.cpg, Message::Data { key: None, global_id: group.global_id, data }));
        Ok(())
    }

    /// The group of this name on the client's level, if the client's user joined it or is root.
    fn group_for(&mut self, client: ClientId, name: GroupName) -> Result<&mut Group, Ignored> {
        let Some(Client { caller, level, .. }) = self.clients.get(&client) else { return Err(Ignored::NoLevel) };
        let key = GroupKey { level: level.ok_or(Ignored::NoLevel)?, name };
        let cpg = self.index.get(&key).ok_or(Ignored::NoGroup)?;
        let group = self.groups.get_mut(cpg).ok_or(Ignored::NoGroup)?;
        if caller.uid == group.uid || caller.uid == 0 { Ok(group) } else { Err(Ignored::NotOwner) }
    }

    /// The group of this name on the client's level, if this very client joined it. Only who runs the
    /// application can know that it has stopped (deviation from K10: the original takes anybody's word).
    fn owned_by(&mut self, client: ClientId, name: GroupName) -> Result<&mut Group, Ignored> {
        let group = self.group_for(client, name)?;
        if group.keeper == Keeper::Client(client) { Ok(group) } else { Err(Ignored::NotOwner) }
    }

    /// A client is gone, and no later one inherits what it owned (deviation Q2).
    pub(crate) fn client_gone(&mut self, client: ClientId, fx: &mut Effects) {
        if self.clients.remove(&client).is_none() {
            return;
        }
        for group in self.groups.values_mut() {
            group.heir.take_if(|heir| heir.client == client);
        }
        let owned = self.groups.values().filter(|group| group.keeper == Keeper::Client(client));
        for cpg in owned.map(|group| group.cpg).collect::<Vec<_>>() {
            self.orphan(cpg, client, fx);
        }
    }

    fn orphan(&mut self, cpg: CpgId, client: ClientId, fx: &mut Effects) {
        let Some(group) = self.groups.get_mut(&cpg) else { return };
        fx.notice(Notice::Orphaned { group: group.key.clone(), client });
        if self.modes.mode != Mode::Libgroup || !group.asked {
            return self.drop_silently(cpg, fx);
        }
        let harmless = !group.id_told || group.leaving;
        match self.settings.on_client_death {
            OnClientDeath::Hold => group.keeper = Keeper::Nobody,
            OnClientDeath::KillNode if !harmless => {
                group.keeper = Keeper::Nobody;
                if !std::mem::replace(&mut self.killed_self, true) {
                    fx.push(Effect::Kill(self.node.me, KillReason::ClientGone));
                }
            }
            OnClientDeath::Leave | OnClientDeath::KillNode => {
                group.keeper = Keeper::Ourselves;
                self.busy.insert(cpg);
            }
        }
    }
}
