//! What daemons and their clients do with what they are told.

use super::{Cluster, Handle, shown_callback, shown_message};
use groupd_compat::cpg_message::Message;
use groupd_compat::ids::{ClientId, Member, NodeId, Tick};
use groupd_compat::machine::{Access, Caller, Effect, Effects, Event, Reason};
use groupd_compat::names::{ClientKind, Level};
use groupd_compat::verbs::{Callback, Request};

impl Cluster {
    pub(super) fn client(&mut self, node: u32, at: Level) -> Option<ClientId> {
        if let Some(&client) = self.daemons.get(&node)?.clients.get(&at) {
            return Some(client);
        }
        self.next_client += 1;
        let client = ClientId(self.next_client);
        self.daemons.get_mut(&node)?.clients.insert(at, client);
        self.handle(node, Event::ClientCame(client, Caller { uid: 0, access: Access::Full }));
        let kind = ClientKind::new(b"test");
        self.handle(node, Event::Asked(client, Ok(Request::Setup { kind, level: at })));
        Some(client)
    }

    pub(super) fn take(&mut self, node: u32, handle: Handle) -> bool {
        let event = self.daemons.get_mut(&node).and_then(|daemon| daemon.handles.get_mut(&handle)?.pop_front());
        if let Some(event) = event {
            self.handle(node, event);
        }
        true
    }

    pub(super) fn handle(&mut self, node: u32, event: Event) {
        let mut fx = Effects::default();
        let now = Tick(self.now);
        let Some(daemon) = self.daemons.get_mut(&node) else { return };
        daemon.machine.handle(now, event, &mut fx);
        let crash = daemon.machine.crash();
        for effect in fx.drain().collect::<Vec<_>>() {
            self.perform(node, effect);
        }
        if let Some(why) = crash {
            self.log.push(format!("n{node} ! crash: {why}"));
            self.daemon_ends(node, Reason::ProcDown);
        }
    }

    pub(super) fn perform(&mut self, node: u32, effect: Effect) {
        match effect {
            Effect::JoinCpg(cpg, name) => self.order_join(node, cpg, name.as_bytes().to_vec()),
            Effect::LeaveCpg(cpg) => self.order_leave(node, cpg),
            Effect::CloseCpg(cpg) => {
                let Some(daemon) = self.daemons.get_mut(&node) else { return };
                daemon.names.remove(&cpg);
                daemon.handles.remove(&Handle::Cpg(cpg));
                daemon.arrivals.retain(|&handle| handle != Handle::Cpg(cpg));
            }
            Effect::Multicast(cpg, message) => {
                self.log.push(format!("n{node} * {}", shown_message(&message)));
                let Some(daemon) = self.daemons.get(&node) else { return };
                let from = Member { node: NodeId(node), pid: daemon.pid };
                let Some(name) = daemon.names.get(&cpg).cloned() else { return };
                self.order_message(node, from, &name, &Message::decode(&message.encode()));
            }
            Effect::Tell(client, callback) => self.tell(node, client, callback),
            Effect::Reply(_, reply) => self.replies.push((node, reply)),
            Effect::Kill(victim, why) => {
                self.log.push(format!("n{node} ! kill {victim} ({why:?})"));
                self.kills.insert(victim.0);
            }
            Effect::SetTimer(ms) => _ = self.timers.insert(node, self.now + ms),
            Effect::AnswerShutdown(yes) => self.log.push(format!("n{node} ! shutdown {yes}")),
            Effect::Exit(exit) => {
                self.log.push(format!("n{node} ! exit {exit:?}"));
                self.daemon_ends(node, Reason::ProcDown);
            }
            Effect::Dump(_) | Effect::Notice(_) => {}
        }
    }

    pub(super) fn tell(&mut self, node: u32, client: ClientId, callback: Callback) {
        callback.encode().expect("every callback fits a frame");
        let Some(daemon) = self.daemons.get(&node) else { return };
        let Some(at) = daemon.clients.iter().find(|&(_, &id)| id == client).map(|(&at, _)| at) else {
            panic!("node {node} tells client {client}, which is gone: {callback:?}");
        };
        self.log.push(format!("n{node} > {}", shown_callback(&callback)));
        self.told.entry((node, at)).or_default().push(callback.clone());
        let served = daemon.serves(at, callback.name());
        if self.manual.contains(&(node, at)) || !served {
            return;
        }
        let answer = match callback {
            Callback::Stop { name } => Request::StopDone { name },
            Callback::Start { name, nr, .. } => Request::StartDone { name, nr },
            _ => return,
        };
        self.queue(node, Handle::Clients, Event::Asked(client, Ok(answer)));
    }

    pub(super) fn queue(&mut self, node: u32, handle: Handle, event: Event) {
        if let Some(daemon) = self.daemons.get_mut(&node) {
            daemon.handles.entry(handle).or_default().push_back(event);
            daemon.arrivals.push_back(handle);
        }
    }
}
