//! One node of a recorded case: the recorded inputs go into a machine, what it asks for is kept by stream.

use crate::original::{Node, Original};
use crate::transcript::{Confchg, Line, shown_frame, shown_record};
use groupd_compat::cpg_message::Message;
use groupd_compat::frame::FrameReader;
use groupd_compat::ids::{ClientId, CpgId, Member, NodeId, RingId, Tick};
use groupd_compat::machine::{
    Access, Caller, Compat, Effect, Effects, Event, Exit, Machine, OnClientDeath, QuorumReport, Settings, ViewChange,
};
use groupd_compat::names::CpgName;
use groupd_compat::records::Reply;
use groupd_compat::verbs::Request;
use std::collections::BTreeMap;

/// What came out, by stream: a connection's label, `cpg:<name>`, `calls` or `kills`.
pub type Streams = BTreeMap<String, Vec<String>>;

pub struct Player {
    daemon: Node,
    clients: BTreeMap<String, (ClientId, FrameReader)>,
    last_client: u64,
    cpgs: BTreeMap<String, CpgId>,
    labels: BTreeMap<CpgId, String>,
    timer: Option<u64>,
    pub out: Streams,
}

/// Which machine plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ours,
    Original,
}

/// Which machine plays, and with which options.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub who: Who,
    pub compat: Compat,
    /// Of the original (`-d`).
    pub delay_ms: u64,
}

/// Process ids are not recorded: each life of a node's daemon gets one.
pub type Lives = BTreeMap<NodeId, u32>;

pub fn member(node: NodeId, lives: &Lives) -> Member {
    Member { node, pid: 1000 * lives.get(&node).copied().unwrap_or(1) + node.0 }
}

impl Player {
    pub fn new(me: NodeId, how: How) -> Self {
        // Recordings show clients that die without any consequence; only `Hold` has none.
        let held = Settings { on_client_death: OnClientDeath::Hold, ..Settings::libgroup(me) };
        let settings = Settings { compat: how.compat, ..held };
        let mut player = Player {
            daemon: match how.who {
                Who::Ours => Node::Ours(Box::new(Machine::new(settings))),
                Who::Original => {
                    Node::Original(Box::new(Original::new(Settings { delay_ms: how.delay_ms, ..settings })))
                }
            },
            clients: BTreeMap::new(),
            last_client: 0,
            cpgs: BTreeMap::from([("cpg:groupd".to_owned(), CpgId::CONTROL)]),
            labels: BTreeMap::from([(CpgId::CONTROL, "cpg:groupd".to_owned())]),
            timer: None,
            out: Streams::new(),
        };
        player.feed(0, Event::Started);
        player
    }

    /// A daemon that runs since before the case begins: it has seen these nodes, quorate.
    pub fn settled(me: NodeId, how: How, nodes: &[NodeId], lives: &Lives) -> Self {
        let mut player = Player::new(me, how);
        let members = nodes.iter().map(|&node| member(node, lives)).collect();
        let joined = vec![(member(me, lives), groupd_compat::machine::Reason::Join)];
        player.feed(0, Event::ViewChanged(CpgId::CONTROL, ViewChange { members, left: vec![], joined }));
        player.quorum(0, true, 1, nodes);
        player.out.clear();
        player
    }

    fn quorum(&mut self, now: u64, quorate: bool, seq: u64, nodes: &[NodeId]) {
        let representative = nodes.iter().min().map_or(0, |node| node.0);
        let ring = RingId { representative, seq };
        self.feed(now, Event::QuorumChanged(QuorumReport { quorate, ring, nodes: nodes.to_vec(), left: vec![] }));
        self.feed(now, Event::RingChanged { ring, nodes: nodes.to_vec() });
    }

    /// Hands one recorded line in, if it is an input.
    pub fn play(&mut self, line: &Line, lives: &Lives) {
        let now = line.t_ms as u64;
        self.ring_timer(now);
        match line.dir.as_str() {
            "open" => self.open(now, &line.conn),
            "c2d" => self.read(now, line),
            "close" => {
                if let Some((client, _)) = self.clients.remove(&line.conn) {
                    self.feed(now, Event::ClientGone(client));
                }
            }
            "cpg_confchg" => {
                let Some(&cpg) = self.cpgs.get(&line.conn) else { return };
                self.feed(now, Event::ViewChanged(cpg, view_change(&line.confchg(), lives)));
            }
            "cpg_deliver" => {
                let Some(&cpg) = self.cpgs.get(&line.conn) else { return };
                let (from, body) = (member(line.peer(), lives), Message::decode(&line.bytes()));
                self.feed(now, Event::Delivered { cpg, from, body });
            }
            "cpg_leave" if line.conn == "cpg:groupd" => self.feed(now, Event::StopAsked),
            "quorum" => {
                let (quorate, seq, nodes) = line.quorum();
                self.quorum(now, quorate, seq, &nodes);
            }
            _ => {}
        }
    }

    pub fn has_crashed(&self) -> bool {
        self.daemon.crash().is_some()
    }

    fn ring_timer(&mut self, now: u64) {
        while let Some(due) = self.timer.filter(|&due| due <= now) {
            self.timer = None;
            self.feed(due, Event::TimerFired);
        }
    }

    fn open(&mut self, now: u64, label: &str) {
        self.last_client += 1;
        let client = ClientId(self.last_client);
        self.clients.insert(label.to_owned(), (client, FrameReader::default()));
        self.feed(now, Event::ClientCame(client, Caller { uid: 0, access: Access::Full }));
    }

    fn read(&mut self, now: u64, line: &Line) {
        let mut bytes = line.bytes();
        bytes.resize(line.len.unwrap_or(bytes.len()), 0);
        let mut requests = Vec::new();
        let Some((client, reader)) = self.clients.get_mut(&line.conn) else { return };
        let (client, mut rest) = (*client, bytes.as_slice());
        while let Some(frame) = reader.next_frame(&mut rest) {
            requests.push(Request::decode(&frame));
        }
        for request in requests {
            self.feed(now, Event::Asked(client, request));
        }
    }

    fn feed(&mut self, now: u64, event: Event) {
        let mut fx = Effects::default();
        self.daemon.handle(Tick(now), event, &mut fx);
        for effect in fx.drain().collect::<Vec<_>>() {
            self.perform(now, effect);
        }
    }

    fn perform(&mut self, now: u64, effect: Effect) {
        match effect {
            Effect::JoinCpg(cpg, name) => {
                let label = label(&name);
                self.put("calls", format!("join {label} namelen {}", name.as_bytes().len()));
                self.cpgs.insert(label.clone(), cpg);
                self.labels.insert(cpg, label);
            }
            Effect::LeaveCpg(cpg) => self.put("calls", format!("leave {}", self.labels[&cpg])),
            Effect::CloseCpg(_) | Effect::AnswerShutdown(_) | Effect::Notice(_) | Effect::Dump(_) => {}
            Effect::Multicast(cpg, message) => {
                let label = self.labels[&cpg].clone();
                self.put(&label, shown_message(&message.encode()));
            }
            Effect::Tell(client, callback) => {
                let frame = callback.encode().expect("fits");
                self.put(&self.label_of(client), shown_frame(frame.as_bytes()));
            }
            Effect::Reply(client, reply) => {
                let label = self.label_of(client);
                shown_reply(&reply).into_iter().for_each(|line| self.put(&label, line));
            }
            Effect::Kill(node, _) => self.put("kills", node.to_string()),
            Effect::SetTimer(ms) => self.timer = Some(now + ms),
            Effect::Exit(Exit::Asked) => {}
            Effect::Exit(exit) => self.put("calls", format!("exit {exit:?}")),
        }
    }

    fn label_of(&self, client: ClientId) -> String {
        let found = self.clients.iter().find(|(_, (id, _))| *id == client);
        found.map_or_else(|| format!("gone {client}"), |(label, _)| label.clone())
    }

    pub fn put(&mut self, stream: &str, line: String) {
        self.out.entry(stream.to_owned()).or_default().push(line);
    }
}

fn view_change(confchg: &Confchg, lives: &Lives) -> ViewChange {
    ViewChange {
        members: confchg.members.iter().map(|&node| member(node, lives)).collect(),
        left: confchg.left.iter().map(|&(node, reason)| (member(node, lives), reason)).collect(),
        joined: confchg.joined.iter().map(|&(node, reason)| (member(node, lives), reason)).collect(),
    }
}

fn label(name: &CpgName) -> String {
    let text = &name.as_bytes()[..name.as_bytes().len() - 1];
    let shown = text.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '?' });
    format!("cpg:{}", shown.collect::<String>())
}

/// A message as bytes, and what it says where it can be read.
pub fn shown_message(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn shown_reply(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Record(record) => vec![shown_record(record)],
        Reply::Records(records) => records.iter().map(shown_record).chain(["record none".to_owned()]).collect(),
        Reply::Version(version) => vec![format!("version {version}")],
    }
}
