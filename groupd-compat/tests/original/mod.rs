//! The original groupd as a model: the same events in, the same kind of effects out, its defects included.
//!
//! Made from its specification and from recordings of it, which it replays (`tests/replay`); no line of it was at hand. Where both
//! are silent, it does what lets a group go on, so that it is never blamed for more than is known:
//!
//! * a group that ends is forgotten by the recovery sets too;
//! * a group that has recovered holds up no other of its set;
//! * a client that is gone is written to without any harm (the original may be ended by it, Q4).
//!
//! What it cannot show: whatever the decoders refuse before any machine sees it (Q7, Q8, Q9), and frames that it never reads (Q3).
//!
//! | file | what it knows |
//! |---|---|
//! | `node` | either daemon |
//! | `clients` | commands, and the table of connections |
//! | `views` | view changes of the control CPG and of the groups' CPGs |
//! | `group` | a group and its changes: saved steps, what each asks for |
//! | `work` | one group's next step; a failure behind a change |
//! | `recovery` | recovery sets |
//! | `versions` | the mode |
//! | `status` | records, and what each group waits for |
//! | `blame` | which known defect a group hangs on |

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of it")]

mod blame;
mod clients;
mod group;
pub mod node;
mod recovery;
mod status;
mod versions;
mod views;
mod work;

pub use node::Node;

use clients::Slot;
use group::{Group, Saved};
use groupd_compat::cpg_message::Message;
use groupd_compat::error::DecodeError;
use groupd_compat::ids::{CpgId, EventNr, GlobalId, Member, NodeId, Tick};
use groupd_compat::machine::{Effect, Effects, Event, Exit, Mode, QuorumReport, Settings};
use groupd_compat::names::CpgName;
use groupd_compat::verbs::Callback;
use recovery::Recovery;
use versions::Versions;

/// One daemon.
pub struct Original {
    settings: Settings,
    me: NodeId,
    now: Tick,
    ended: bool,
    /// What it died of.
    pub crash: Option<&'static str>,
    slots: Vec<Option<Slot>>,
    /// In the order of their creation.
    groups: Vec<Group>,
    recovery: Recovery,
    quorate: bool,
    /// As quorum's last word had them.
    nodes: Vec<NodeId>,
    /// Members of the control CPG.
    control: Vec<NodeId>,
    /// Was there a view change of the control CPG while the mode was libgroup?
    seen_control: bool,
    /// For blame.
    merged: bool,
    versions: Versions,
    last_cpg: u64,
    last_nr: u32,
    last_created: u16,
}

impl Original {
    pub fn new(settings: Settings) -> Self {
        Original {
            me: settings.me,
            versions: Versions::new(settings.compat),
            settings,
            now: Tick::default(),
            ended: false,
            crash: None,
            slots: Vec::new(),
            groups: Vec::new(),
            recovery: Recovery::default(),
            quorate: false,
            nodes: Vec::new(),
            control: Vec::new(),
            seen_control: false,
            merged: false,
            last_cpg: CpgId::CONTROL.0,
            last_nr: 0,
            last_created: 0,
        }
    }

    /// One unit of its main loop: one frame, or one callback; then all groups until none moves.
    pub fn handle(&mut self, now: Tick, event: Event, fx: &mut Effects) {
        if self.ended {
            return;
        }
        self.now = now;
        match event {
            Event::Started => fx.push(Effect::JoinCpg(CpgId::CONTROL, CpgName::control())),
            Event::ClientCame(client, _) => self.client_came(client),
            Event::Asked(client, Ok(request)) => self.asked(client, request, fx),
            Event::Asked(client, Err(error)) => self.asked_badly(client, &error),
            Event::ClientGone(client) => self.client_gone(client),
            Event::ViewChanged(CpgId::CONTROL, change) => self.control_changed(&change, fx),
            Event::ViewChanged(cpg, change) => self.group_changed(cpg, &change),
            Event::Delivered { cpg, from, body: Ok(message) } => self.delivered(cpg, from, message, fx),
            Event::Delivered { cpg, body: Err(error), .. } => self.delivered_badly(cpg, &error),
            Event::QuorumChanged(report) => self.quorum_changed(&report),
            Event::JoinFailed(_) | Event::RingChanged { .. } | Event::GroupRingChanged(..) | Event::TimerFired => {}
            Event::StopAsked => self.stop_asked(fx),
            Event::ShutdownAsked => fx.push(Effect::AnswerShutdown(true)),
            Event::CorosyncLost => self.end(Exit::CorosyncLost, fx),
        }
        if !self.ended {
            self.turn(fx);
            self.check_clock(fx);
        }
    }

    /// All groups, until a whole pass changes nothing.
    fn turn(&mut self, fx: &mut Effects) {
        if self.versions.mode != Mode::Libgroup {
            return;
        }
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for cpg in self.groups.iter().map(|group| group.cpg).collect::<Vec<_>>() {
                moved |= self.work(cpg, fx);
            }
        }
    }

    fn delivered(&mut self, cpg: CpgId, from: Member, message: Message, fx: &mut Effects) {
        match message {
            Message::Step { step, key, global_id, id } if cpg == CpgId::CONTROL => {
                if let Some(group) = self.groups.iter_mut().find(|group| group.key == key) {
                    group.saved.push(Saved { from: from.node, step, id, global_id });
                }
            }
            Message::Data { key, data, .. } if self.versions.mode == Mode::Libgroup => {
                let of_key = |group: &&Group| key.as_ref() == Some(&group.key);
                let mut groups = self.groups.iter();
                let group =
                    if cpg == CpgId::CONTROL { groups.find(of_key) } else { groups.find(|group| group.cpg == cpg) };
                if let Some(group) = group {
                    self.tell(group, Callback::Deliver { name: group.key.name.clone(), from: from.node, data }, fx);
                }
            }
            Message::GlobalId(id) if id.made_by(self.me) => self.last_created = self.last_created.max(id.counter()),
            Message::Version(version) => self.version_heard(&version, fx),
            Message::Step { .. } | Message::Data { .. } | Message::GlobalId(_) => {}
        }
    }

    /// Q9, Q11.
    fn delivered_badly(&mut self, cpg: CpgId, error: &DecodeError) {
        match error {
            DecodeError::DataLength { len, .. } if *len > clients::DATA_MAX => {
                self.crash("more data than a frame holds")
            }
            DecodeError::Short { .. } | DecodeError::Level { .. } if cpg == CpgId::CONTROL => {
                self.crash("an odd control message");
            }
            _ => {}
        }
    }

    /// Believed at once, whatever ring it speaks of.
    fn quorum_changed(&mut self, report: &QuorumReport) {
        for gone in self.nodes.iter().filter(|node| !report.nodes.contains(node)) {
            self.recovery.quorum_saw(*gone, self.control.contains(gone));
        }
        self.quorate = report.quorate;
        self.nodes.clone_from(&report.nodes);
    }

    fn stop_asked(&mut self, fx: &mut Effects) {
        if self.groups.is_empty() || self.versions.mode == Mode::Libcpg {
            fx.push(Effect::LeaveCpg(CpgId::CONTROL));
            self.end(Exit::Asked, fx);
        }
    }

    fn end(&mut self, exit: Exit, fx: &mut Effects) {
        self.ended = true;
        fx.push(Effect::Exit(exit));
    }

    fn crash(&mut self, why: &'static str) {
        self.ended = true;
        self.crash = Some(why);
    }

    fn tell(&self, group: &Group, callback: Callback, fx: &mut Effects) {
        if let Some(slot) = group.slot.and_then(|at| self.slots.get(at)?.as_ref()) {
            fx.push(Effect::Tell(slot.client, callback));
        }
    }

    fn next_nr(&mut self) -> EventNr {
        self.last_nr += 1;
        EventNr(self.last_nr)
    }

    fn next_global_id(&mut self) -> GlobalId {
        self.last_created += 1;
        GlobalId::new(self.last_created, self.me)
    }
}
