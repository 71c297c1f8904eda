//! Read-only snapshots for the command, the recorder and people. Nothing here changes anything.

use crate::agent::Agent;
use crate::event::errno_text;
use crate::ids::{Member, NodeId, Tick};
use crate::leave::Leaving;
use crate::pins::Pin;
use crate::refusal::Refusal;
use crate::step::StepKind;
use crate::table::{Agreed, Standing};
use proto::control::api;
use proto::handshake::{Blocks, Mismatch, differing};
use proto::peer::{Entry, Hello};
use std::collections::BTreeSet;

/// Name of our control group.
pub const CONTROL_GROUP: &str = "o2cpg";

impl Agent {
    /// Everything on one screen.
    #[must_use]
    pub fn status(&self) -> api::Status {
        let started = self.started.as_deref();
        api::Status {
            schema: "o2cpg.status/1".into(),
            cluster: self.config.as_ref().map_or_else(String::new, |config| config.cluster_name.clone()),
            stack: self.kernel.stack.word().to_owned(),
            kernel: started.map_or_else(String::new, |started| started.kernel_release.clone()),
            agent: started.map(|started| api::Agent {
                release: started.release.clone(),
                pid: started.pid,
                up_ms: self.now.0.saturating_sub(started.started_ms),
                backend: started.backend.clone(),
                state: self.state().into(),
            }),
            corosync: Some(self.corosync_status()),
            table: self.table.as_ref().map(|table| api::Table {
                step: table.version.step,
                ring: table.version.ring.to_string(),
                entries: table.entries.values().map(entry_status).collect(),
            }),
            nodes: self.nodes(),
            waits: self.wait_status(),
            troubles: self.troubles(),
            pins: self.pin_status(),
            mounts: self.mount_status(),
            health: self.health().into(),
            adopted: self.found.verdicts.iter().map(verdict_status).collect(),
            counters: Some(self.counter_status()),
            change: self.change_status(),
        }
    }

    /// Whether this node's agent is a full member and its kernel local.
    #[must_use]
    pub fn is_ready(&self, node: NodeId) -> bool {
        let agreed = self.agreed.as_ref().filter(|agreed| agreed.quorate);
        agreed.is_some_and(|agreed| {
            agreed.of_node(node).is_some_and(|(member, _)| agreed.standing.get(member) == Some(&Standing::Established))
                && agreed.table.entries.values().any(|entry| entry.nodeid == node.0)
        })
    }

    fn state(&self) -> api::agent::State {
        use api::agent::State;
        if self.leaving != Leaving::No && self.pins().is_empty() {
            return State::Leaving;
        }
        if self.started.is_none() {
            return State::Starting;
        }
        let standing = self.agreed.as_ref().zip(self.member()).and_then(|(agreed, me)| agreed.standing.get(&me));
        match standing {
            Some(Standing::Refused(_)) => State::Refused,
            Some(Standing::Joining) if self.agreed.as_ref().is_some_and(|agreed| agreed.step.is_some()) => {
                State::Joining
            }
            Some(Standing::Established) if self.agreed.as_ref().is_some_and(|agreed| agreed.quorate) => State::Ready,
            Some(Standing::Joining | Standing::Established) | None => State::Waiting,
        }
    }

    /// OK, or the worst of what stands.
    #[must_use]
    pub fn health(&self) -> api::Health {
        let refused = self.state() == api::agent::State::Refused;
        let no_quorum = self.agreed.as_ref().map_or(self.view.lacks_quorum(), |agreed| !agreed.quorate);
        let cut = self.link.up.is_none() || no_quorum;
        if (refused || cut || self.kernel.stack.deserted) && !self.pins().is_empty() {
            return api::Health::Crit;
        }
        let waits = !self.waits().is_empty() || !self.waits.legacy.is_empty();
        if refused || cut || waits || !self.troubles().is_empty() {
            return api::Health::Warn;
        }
        api::Health::Ok
    }

    fn corosync_status(&self) -> api::Corosync {
        let config = self.config.as_ref();
        api::Corosync {
            connected: self.link.up.is_some(),
            ring: self.view.ring().map_or_else(String::new, |ring| ring.to_string()),
            quorate: self.view.is_quorate(),
            members: count(self.view.ring_nodes().len()),
            expected: count(config.map_or(0, |config| config.nodes.len())),
            since_ms: self.now.since(self.link.view_since),
            token_ms: config.map_or(0, |config| config.token_ms),
            consensus_ms: config.map_or(0, |config| config.consensus_ms),
        }
    }

    /// Every node that corosync, the table or a Hello knows.
    fn nodes(&self) -> Vec<api::Node> {
        let configured = self.config.iter().flat_map(|config| config.nodes.keys().copied());
        let in_table = self.table.iter().flat_map(|table| table.entries.values()).map(|entry| NodeId(entry.nodeid));
        let known: BTreeSet<NodeId> =
            configured.chain(in_table).chain(self.view.ring_nodes().iter().copied()).collect();
        known.into_iter().map(|node| self.node_status(node)).collect()
    }

    fn node_status(&self, node: NodeId) -> api::Node {
        let agreed = self.agreed.as_ref();
        let entry = self.entry_of(node);
        let configured = self.config.as_ref().and_then(|config| config.nodes.get(&node));
        let spoken = agreed.and_then(|agreed| agreed.of_node(node));
        let address = entry.map(|entry| entry.address).or_else(|| configured?.address.clone().ok());
        // Of the others only what they said is known, in the view in force.
        let own = (self.own_node == Some(node)).then(|| self.live());
        let live = own.or(spoken.map(|(_, hello)| hello.live)).unwrap_or_default();
        api::Node {
            name: self.name_of(node),
            nodeid: node.0,
            number: entry.map(|entry| u32::from(entry.number)),
            address: address.map_or_else(String::new, |address| address.to_string()),
            port: entry.map_or(u32::from(self.policy.port), |entry| u32::from(entry.port)),
            this_node: self.own_node == Some(node),
            corosync: self.corosync_word(node).into(),
            agent: self.agent_word(node, spoken.map(|(_, hello)| hello)),
            standing: self.standing_word(node, spoken.map(|(member, _)| member)).into(),
            in_table: self.table_word(node).into(),
            since_ms: self.seen_since.get(&node).map_or(0, |since| self.now.since(*since)),
            mounts: live.mounts,
            regions: live.regions,
            in_kernel: entry.is_some_and(|entry| self.kernel.holds(entry)),
        }
    }

    fn corosync_word(&self, node: NodeId) -> &'static str {
        match self.link.up {
            None => "unknown",
            Some(_) if self.view.in_ring(node) => "member",
            Some(_) => "gone",
        }
    }

    fn agent_word(&self, node: NodeId, hello: Option<&Hello>) -> String {
        if self.link.up.is_none() {
            return "unknown".into();
        }
        let silent = self.view.live().iter().any(|member| member.nodeid == node.0);
        hello.map_or_else(|| if silent { "silent" } else { "none" }.to_owned(), |hello| hello.release.clone())
    }

    fn standing_word(&self, node: NodeId, member: Option<&Member>) -> &'static str {
        let standing = self.agreed.as_ref().zip(member).and_then(|(agreed, member)| agreed.standing.get(member));
        match standing {
            Some(Standing::Established) => "ready",
            Some(Standing::Joining) => "joining",
            Some(Standing::Refused(_)) => "refused",
            None if self.link.up.is_none() => "unknown",
            None if self.left.contains(&node) => "left",
            None if self.absent.contains_key(&node) => "absent",
            None if !self.view.in_ring(node) => "gone",
            None => "none",
        }
    }

    fn table_word(&self, node: NodeId) -> &'static str {
        let of_node = |entry: &Entry| entry.nodeid == node.0;
        let step = self.agreed.as_ref().and_then(|agreed| agreed.step.as_ref()).map(|step| &step.kind);
        match step {
            Some(StepKind::Install { add }) if add.iter().any(of_node) => "adding",
            Some(StepKind::Erase { entry }) if of_node(entry) => "removing",
            _ if self.entry_of(node).is_some() => "yes",
            _ => "no",
        }
    }

    fn entry_of(&self, node: NodeId) -> Option<&Entry> {
        let agreed = self.agreed.as_ref().map(|agreed| &agreed.table);
        agreed.or(self.table.as_ref())?.entries.values().find(|entry| entry.nodeid == node.0)
    }

    /// A node's name: from the nodelist, the table, or made of its nodeid.
    #[must_use]
    pub fn name_of(&self, node: NodeId) -> String {
        let configured = self.config.as_ref().and_then(|config| config.nodes.get(&node)?.name.clone());
        configured.or_else(|| Some(self.entry_of(node)?.name.clone())).unwrap_or_else(|| format!("node {node}"))
    }

    fn wait_status(&self) -> Vec<api::Wait> {
        let status = |standing: &crate::waits::Standing| api::Wait {
            kind: standing.wait.kind().into(),
            text: standing.wait.to_string(),
            nodes: standing.wait.nodes(),
            since_ms: self.now.since(standing.since),
            fix: standing.wait.fix(),
        };
        let legacy = self.waits.legacy.iter().map(|wait| wait.api(self.now));
        self.waits().iter().map(status).chain(legacy).collect()
    }

    /// Every refusal that stands, ours first.
    fn troubles(&self) -> Vec<api::Trouble> {
        let me = self.member();
        let own = self.own_troubles().into_iter().map(|refusal| trouble(me.map_or(0, |me| me.nodeid), &refusal));
        let Some(agreed) = &self.agreed else { return own.collect() };
        let refused = agreed.standing.iter().filter_map(|(member, standing)| match standing {
            Standing::Refused(refusal) if !(own_word(refusal) && Some(*member) == me) => {
                Some(trouble(member.nodeid, refusal))
            }
            Standing::Refused(_) | Standing::Established | Standing::Joining => None,
        });
        let others = agreed.troubles.iter().filter(|(member, refusal)| !(own_word(refusal) && Some(*member) == me));
        let others = others.map(|(member, refusal)| trouble(member.nodeid, refusal));
        own.chain(refused).chain(others).chain(self.ghost_troubles()).chain(self.differences(agreed)).collect()
    }

    fn ghost_troubles(&self) -> impl Iterator<Item = api::Trouble> {
        self.view.ghosts().into_iter().map(|ghost| trouble(ghost.nodeid, &Refusal::Ghost { pid: ghost.pid }))
    }

    /// What the others said in their Hello and we in ours: a change of the configuration is followed by a Hello.
    fn differences(&self, agreed: &Agreed) -> Vec<api::Trouble> {
        let Some(ours) = self.member().and_then(|me| agreed.hellos.get(&me)) else { return Vec::new() };
        let others = agreed.hellos.iter().filter(|(_, theirs)| theirs.handshake != ours.handshake);
        let found = others.flat_map(|(member, theirs)| differences(ours, theirs).map(|it| trouble(member.nodeid, &it)));
        found.collect()
    }

    /// What this node knows about itself without asking anybody.
    fn own_troubles(&self) -> Vec<Refusal> {
        let entry = self.config.as_ref().and_then(|_| self.member()).and_then(|_| self.own_entry().err());
        let tables = self.agreed.as_ref().map(|agreed| &agreed.table).or(self.table.as_ref());
        let known = |node: &configfs::Node| {
            tables.is_some_and(|t| t.entries.values().any(|e| crate::tree::node(e, node.local).as_ref() == Ok(node)))
        };
        let foreign = self.kernel.foreign();
        let complete = foreign.iter().filter(|node| !known(node)).map(ToString::to_string);
        let half_made = self.kernel.half_made_by_others().map(|(name, _)| format!("{name} (half made)"));
        let strangers: Vec<String> = complete.chain(half_made).collect();
        let foreign = (!strangers.is_empty()).then_some(Refusal::Foreign { entries: strangers });
        let drift = self.is_local().then(|| self.kernel.attribute_drift(&self.policy.attributes)).flatten();
        let broken = self.kernel.broken_regions().map(|region| Refusal::RegionBroken { region });
        let unguarded: Vec<String> = self.control.unguarded.iter().map(ToString::to_string).collect();
        let unguarded = (!unguarded.is_empty()).then_some(Refusal::Unguarded { volumes: unguarded });
        let is_old = self.config.is_some() && !self.config_why.is_empty();
        let config = is_old.then(|| Refusal::ConfigUnreadable { why: self.config_why.clone() });
        entry.into_iter().chain(config).chain(foreign).chain(drift).chain(broken).chain(unguarded).collect()
    }

    fn pin_status(&self) -> Vec<api::Pin> {
        let daemon = self.pins().into_iter().map(|pin| pin.api(""));
        let of_nodes = self.tokens.of_nodes();
        daemon.chain(of_nodes.map(|(node, text)| Pin::OperatorToken(text.into()).api(&self.name_of(node)))).collect()
    }

    fn mount_status(&self) -> Vec<api::Mount> {
        let mount = |mount: &crate::event::Mount| api::Mount {
            device: mount.device.clone(),
            path: mount.path.clone(),
            uuid: mount.uuid.clone().unwrap_or_default(),
        };
        self.kernel.mounts.iter().map(mount).collect()
    }

    fn counter_status(&self) -> api::Counters {
        let counters = &self.counters;
        api::Counters {
            views: counters.views,
            messages: counters.messages,
            stale_messages: counters.stale,
            undecodable: counters.undecodable,
            ghosts: counters.ghosts,
            kernel_ops: counters.kernel_ops,
            kernel_refusals: counters.kernel_refusals,
        }
    }

    fn change_status(&self) -> Option<api::Change> {
        let step = self.agreed.as_ref()?.step.as_ref()?;
        let nodes = |answered: bool| {
            let said = step.answers.iter().filter(|(_, answer)| answer.is_some() == answered);
            said.map(|(member, _)| member.nodeid).collect()
        };
        Some(api::Change { step: step.kind.text(), round: step.round, answered: nodes(true), missing: nodes(false) })
    }

    /// May this daemon end, and if not, what to do.
    #[must_use]
    pub fn can_stop(&self) -> api::CanStop {
        let pins = self.pins_for_sure();
        let mounts: Vec<&str> = self.kernel.mounts.iter().map(|mount| mount.path.as_str()).collect();
        let advice = match (pins.is_empty(), mounts.is_empty()) {
            (true, _) => String::new(),
            (false, false) => format!("umount {}, then ask again", mounts.join(" ")),
            (false, true) => {
                pins.iter().map(Pin::way_out).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
            }
        };
        api::CanStop {
            schema: "o2cpg.can-stop/1".into(),
            yes: pins.is_empty() || planted!(CanStopIsAYes),
            pins: pins.iter().map(|pin| pin.api("")).collect(),
            advice,
        }
    }

    /// The CPG groups of ours.
    #[must_use]
    pub fn groups(&self) -> api::Groups {
        let members: Vec<u32> = self.view.live().iter().map(|member| member.nodeid).collect();
        let state = match (&self.agreed, self.view.is_open()) {
            (Some(agreed), _) if agreed.step.is_some() => "changing",
            (Some(agreed), _) if agreed.quorate => "stable",
            (Some(_), _) => "no quorum",
            (None, true) => "hello",
            (None, false) => "not joined",
        };
        let waits = self.waits().first().map_or_else(String::new, |standing| standing.wait.to_string());
        let control = api::Group {
            name: CONTROL_GROUP.into(),
            state: state.into(),
            members,
            waits,
            since_ms: self.now.since(self.link.view_since),
        };
        let volumes = self.volumes_known().into_iter().map(|volume| self.volume_group(volume));
        api::Groups { schema: "o2cpg.groups/1".into(), groups: std::iter::once(control).chain(volumes).collect() }
    }

    /// A volume as a group of the nodes that use it.
    fn volume_group(&self, volume: proto::peer::VolumeId) -> api::Group {
        let members: Vec<u32> = self.members_of(volume).into_iter().map(|node| node.0).collect();
        let (state, waits, since) = self.volume_state(volume);
        api::Group {
            name: format!("ocfs2:{volume}"),
            state: state.into(),
            members,
            waits,
            since_ms: self.now.since(since),
        }
    }

    /// One word, who is waited for, and since when.
    fn volume_state(&self, volume: proto::peer::VolumeId) -> (&'static str, String, Tick) {
        let (stack, view_since) = (&self.kernel.stack, self.link.view_since);
        if let Some((node, death)) = self.deaths.iter().find(|(_, death)| death.concerns(volume)) {
            return ("recovering", format!("the death of node {node}"), death.since);
        }
        if stack.deserted && stack.lockspaces.contains(&volume) {
            return ("stands still", "dlm_controld".into(), view_since);
        }
        if self.kernel.broken_regions().any(|region| region == volume.to_string()) {
            return ("broken off", "a restart of this node".into(), view_since);
        }
        let attempt = self.volumes.attempts.get(&volume);
        attempt.map_or(("stable", String::new(), view_since), |attempt| ("mounting", String::new(), attempt.since))
    }

    /// Wanted against found, line by line.
    #[must_use]
    pub fn plan_view(&self) -> api::Plan {
        let cluster = self.config.as_ref().map_or("?", |config| config.cluster_name.as_str());
        let table = self.agreed.as_ref().map(|agreed| &agreed.table).or(self.table.as_ref());
        let wanted: Vec<&Entry> = table.iter().flat_map(|table| table.entries.values()).collect();
        let mut lines: Vec<api::plan::Line> = wanted.iter().map(|entry| self.plan_line(entry)).collect();
        let asked = self.agreed.as_ref().and_then(|agreed| agreed.step.as_ref()).map(|step| &step.kind);
        if let Some(StepKind::Install { add }) = asked {
            lines.extend(add.iter().map(|entry| line("+", &entry_text(entry), "being added on all members")));
        }
        let stray = |node: &&configfs::Node| !wanted.iter().any(|entry| entry.number == node.num.as_u8());
        for node in self.kernel.foreign().iter().filter(stray) {
            lines.push(line("!", &format!("node {node}"), "not ours: made by another program, left alone"));
        }
        for (name, _) in self.kernel.half_made_by_others() {
            lines.push(line("!", &format!("node {name}  half made"), "not ours: made by another program, left alone"));
        }
        for held in self.kernel.held().iter().filter(|held| !wanted.contains(held)) {
            lines.push(line("-", &entry_text(held), "not in the agreed table; goes by agreement only"));
        }
        lines.extend(self.attribute_lines());
        let of = |mark: &str| count(lines.iter().filter(|line| line.mark == mark).count());
        api::Plan {
            schema: "o2cpg.plan/1".into(),
            root: format!("/sys/kernel/config/cluster/{cluster}"),
            now: of("+"),
            deferred: of("-") + of("~"),
            conflicts: of("!"),
            lines,
        }
    }

    fn plan_line(&self, entry: &Entry) -> api::plan::Line {
        let clash = self.kernel.foreign().into_iter().find(|node| node.num.as_u8() == entry.number);
        match clash {
            _ if self.kernel.holds(entry) => line("=", &entry_text(entry), ""),
            Some(node) => line("!", &entry_text(entry), &format!("the kernel holds {node} under this number")),
            None => {
                let refusal =
                    self.agreed.as_ref().zip(self.member()).and_then(|(agreed, me)| agreed.misaligned.get(&me));
                let why = refusal.map_or_else(
                    || "to be added when this node is admitted".to_owned(),
                    |refusal| format!("the kernel refused: {}: {}", refusal.path, errno_text(refusal.errno)),
                );
                line("+", &entry_text(entry), &why)
            }
        }
    }

    fn attribute_lines(&self) -> Vec<api::plan::Line> {
        let drift = self.kernel.attribute_drift(&self.policy.attributes);
        drift.iter().map(|refusal| line("~", &refusal.to_string(), &refusal.cause())).collect()
    }

    /// The moment of the last event, for those who render.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }
}

fn differences(ours: &Hello, theirs: &Hello) -> impl Iterator<Item = Refusal> + use<> {
    let blocks = |hello: &Hello| Blocks::parse(&hello.handshake).ok();
    let found = blocks(ours).zip(blocks(theirs)).map(|(ours, theirs)| differing(&ours, &theirs));
    let refusal = |Mismatch { block, ours, theirs }| Refusal::Differs { block, ours, theirs };
    found.into_iter().flatten().map(refusal)
}

/// Refusals that this node finds out about itself, and that the agreed verdict only repeats.
fn own_word(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::SaysUnfit(_))
}

fn line(mark: &str, thing: &str, why: &str) -> api::plan::Line {
    api::plan::Line { mark: mark.into(), thing: thing.into(), why: why.into() }
}

fn entry_text(entry: &Entry) -> String {
    format!("node {}  {}  {}:{}", entry.name, entry.number, entry.address, entry.port)
}

fn entry_status(entry: &Entry) -> api::Entry {
    api::Entry {
        nodeid: entry.nodeid,
        number: u32::from(entry.number),
        name: entry.name.clone(),
        address: entry.address.to_string(),
        port: u32::from(entry.port),
    }
}

fn verdict_status(verdict: &crate::adopt::Verdict) -> api::Verdict {
    api::Verdict { verdict: verdict.verdict.as_str().into(), thing: verdict.thing.clone(), why: verdict.why.clone() }
}

fn trouble(nodeid: u32, refusal: &Refusal) -> api::Trouble {
    api::Trouble {
        kind: refusal.kind().into(),
        nodeid,
        what: refusal.to_string(),
        cause: refusal.cause(),
        fix: refusal.fix(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
