//! One machine, fed by hand.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use crate::cluster::{level, name};
use groupd_compat::cpg_message::{Message, Step};
use groupd_compat::event_id::{Cause, EventId};
use groupd_compat::ids::{ClientId, CpgId, GlobalId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Access, Caller, Effect, Effects, Event, Machine, QuorumReport, Reason, Settings, ViewChange, Wait,
};
use groupd_compat::names::{ClientKind, GroupKey};
use groupd_compat::verbs::Request;

/// One machine, fed by hand.
pub struct Bench {
    pub machine: Machine,
    pub fx: Effects,
}

pub const CLIENT: ClientId = ClientId(1);
pub const ALPHA: CpgId = CpgId(1);

pub fn member(node: u32) -> Member {
    Member { node: NodeId(node), pid: 100 + node }
}

pub fn view(members: &[u32], left: &[(u32, Reason)], joined: &[(u32, Reason)]) -> ViewChange {
    let change = |list: &[(u32, Reason)]| list.iter().map(|&(node, why)| (member(node), why)).collect();
    ViewChange { members: members.iter().map(|&n| member(n)).collect(), left: change(left), joined: change(joined) }
}

pub fn alpha() -> GroupKey {
    GroupKey { level: level(1), name: name("alpha") }
}

impl Bench {
    pub fn new(settings: Settings, nodes: &[u32]) -> Self {
        let mut bench = Bench { machine: Machine::new(settings), fx: Effects::default() };
        bench.feed(Event::Started);
        bench.feed(Event::ViewChanged(CpgId::CONTROL, view(nodes, &[], &[(1, Reason::Join)])));
        bench.quorum(4, nodes);
        bench.ask_for_alpha();
        bench
    }

    pub fn ask_for_alpha(&mut self) {
        self.feed(Event::ClientCame(CLIENT, Caller { uid: 0, access: Access::Full }));
        self.feed(Event::Asked(CLIENT, Ok(Request::Setup { kind: ClientKind::new(b"test"), level: level(1) })));
        self.feed(Event::Asked(CLIENT, Ok(Request::Join { name: name("alpha") })));
    }

    pub fn quorum(&mut self, seq: u64, nodes: &[u32]) {
        let (ring, nodes) = (RingId { representative: 1, seq }, nodes.iter().copied().map(NodeId).collect::<Vec<_>>());
        self.feed(Event::QuorumChanged(QuorumReport { quorate: true, ring, nodes: nodes.clone(), left: vec![] }));
        self.feed(Event::RingChanged { ring, nodes });
    }

    pub fn feed(&mut self, event: Event) -> Vec<Effect> {
        self.machine.handle(Tick(0), event, &mut self.fx);
        self.fx.drain().collect()
    }

    pub fn step(&mut self, from: u32, step: Step, id: EventId) -> Vec<Effect> {
        let body = Ok(Message::Step { step, key: alpha(), global_id: GlobalId(0x10002), id });
        self.feed(Event::Delivered { cpg: CpgId::CONTROL, from: member(from), body })
    }

    pub fn told(effects: &[Effect]) -> Vec<String> {
        let told = effects.iter().filter_map(|effect| match effect {
            Effect::Tell(_, callback) => Some(crate::cluster::shown_callback(callback)),
            _ => None,
        });
        told.collect()
    }

    pub fn wait(&self) -> Option<Wait> {
        self.machine.status().groups[0].waits.clone()
    }
}

pub fn join_of(node: u32, count: usize) -> EventId {
    EventId::new(NodeId(node), count, Cause::Join)
}

/// Node 1 alone in its group, node 2 about to join or dead.
pub fn alone_in_alpha() -> Bench {
    let mut bench = Bench::new(Settings::libgroup(NodeId(1)), &[1, 2]);
    bench.feed(Event::ViewChanged(ALPHA, view(&[1], &[], &[(1, Reason::Join)])));
    bench.step(1, Step::Started, join_of(1, 1));
    assert_eq!(bench.wait(), None);
    bench
}
