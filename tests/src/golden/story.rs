//! The commands of a story, on a cluster in which chance has no say.

use super::options;
use crate::lines::Lines;
use crate::sim::agenda::{Micros, SECOND};
use crate::sim::checkers::Ledger;
use crate::sim::cluster::{Cluster, MountOutcome, configured, user_stack};
use crate::sim::corosync::Chance;
use crate::sim::intruder::Manner;
use crate::sim::kernel::errno;
use agent_core::event::ClusterConfig;
use agent_core::ids::NodeId;
use configfs::model::Call;
use proto::control::api;

/// A block that does not come to rest in this time is broken.
const SETTLE_MAX: Micros = 600 * SECOND;
/// Nodes of a story that does not say otherwise.
const NODES: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Story {
    cluster: Cluster,
    ledger: Ledger,
    lines: Lines,
    /// The last command was `advance`: time stands where it was left.
    advanced: bool,
    broken: Option<String>,
}

impl Default for Story {
    fn default() -> Self {
        Story {
            cluster: Cluster::new(NODES, Chance::Off, 1),
            ledger: Ledger::default(),
            lines: Lines::default(),
            advanced: false,
            broken: None,
        }
    }
}

impl Story {
    /// Does one command.
    pub(super) fn command(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, arguments) = words.split_first().ok_or("no command")?;
        self.advanced = *name == "advance";
        let taken = self.time(name, arguments)? || self.machine(name, arguments)? || self.settings(name, arguments)?;
        if taken || self.stack(name, arguments)? || self.asks(name, arguments)? {
            Ok(())
        } else {
            Err(format!("no command {name:?}"))
        }
    }

    fn time(&mut self, name: &str, arguments: &[&str]) -> Result<bool, String> {
        match (name, arguments) {
            ("nodes", [count]) => self.cluster = Cluster::new(options::number(count)?, Chance::Off, 1),
            ("advance", [time]) => self.advance(options::time(time)?),
            ("running", nodes) => {
                self.machine("boot", nodes)?;
                self.run_while_active();
                let _what_every_story_begins_with = self.lines.take();
            }
            ("kill-in-sync", [node]) => self.in_sync(options::number(node)?, Cluster::power_off),
            ("crash-corosync-in-sync", [node]) => self.in_sync(options::number(node)?, Cluster::crash_corosync),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What happens to machines and links: `NAME NODE…`.
    fn machine(&mut self, name: &str, arguments: &[&str]) -> Result<bool, String> {
        let deed: fn(&mut Cluster, u32) = match name {
            "boot" | "start" => Cluster::power_on,
            "kill" => Cluster::power_off,
            "crash-daemon" => Cluster::crash_daemon,
            "start-daemon" => Cluster::start_daemon,
            "stop-daemon" => Cluster::stop_daemon,
            "crash-corosync" => Cluster::crash_corosync,
            "stop-corosync" => Cluster::stop_corosync,
            "start-corosync" => Cluster::start_corosync,
            "pause" => Cluster::pause,
            "pause-daemon" => Cluster::pause_daemon,
            "resume" => Cluster::resume,
            "pause-corosync" => Cluster::pause_corosync,
            "resume-corosync" => Cluster::resume_corosync,
            "ask-shutdown" => Cluster::ask_shutdown,
            "umount" => Cluster::umount,
            "partition" => {
                let sides: Result<Vec<Vec<u32>>, String> = arguments.iter().map(|side| options::nodes(side)).collect();
                self.cluster.corosync.partition(&sides?);
                return Ok(true);
            }
            "heal" => {
                self.cluster.heal();
                return Ok(true);
            }
            "mount" => return self.mount(arguments).map(|()| true),
            _ => return Ok(false),
        };
        for node in arguments {
            deed(&mut self.cluster, options::number(node)?);
        }
        Ok(true)
    }

    fn settings(&mut self, name: &str, arguments: &[&str]) -> Result<bool, String> {
        match (name, arguments) {
            ("lose-state-file", [node]) => {
                self.cluster.hosts.get_mut(&options::number(node)?).ok_or("no such node")?.saved = None;
            }
            ("busy-corosync", [node, time]) => {
                self.cluster.corosync.busy(options::number(node)?, options::time(time)?);
            }
            ("delay-kernel", [node, time]) => {
                let (node, time) = (options::number(node)?, options::time(time)?);
                self.cluster.hosts.entry(node).and_modify(|host| host.kernel_delay = time);
            }
            ("refuse", [node, call, pattern, errno, rest @ ..]) => {
                self.refuse(options::number(node)?, call, pattern, errno, !rest.is_empty())?;
            }
            ("allow", [node, pattern]) => {
                let host = self.cluster.hosts.get_mut(&options::number(node)?).ok_or("no such node")?;
                host.kernel.model().allow(pattern);
            }
            ("foreign", [node, name, num, address]) => {
                let address = address.parse().map_err(|_| format!("{address:?} is no address"))?;
                let cluster = self.cluster.config().cluster_name.clone();
                let number: u32 = options::number(node)?;
                let host = self.cluster.hosts.get_mut(&number).ok_or("no such node")?;
                host.kernel.make_foreign(&cluster, name, options::number(num)?, address);
                self.cluster.look(number);
            }
            ("half-made", [node, name, address @ ..]) => {
                let address = address.first().map(|text| text.parse().map_err(|_| format!("{text:?} is no address")));
                let address = address.transpose()?;
                let cluster = self.cluster.config().cluster_name.clone();
                let number: u32 = options::number(node)?;
                let host = self.cluster.hosts.get_mut(&number).ok_or("no such node")?;
                host.kernel.make_half(&cluster, name, address);
                self.cluster.look(number);
            }
            ("unmade", [node, name]) => {
                let cluster = self.cluster.config().cluster_name.clone();
                let number: u32 = options::number(node)?;
                let host = self.cluster.hosts.get_mut(&number).ok_or("no such node")?;
                host.kernel.unmake(&cluster, name);
                self.cluster.look(number);
            }
            ("config", [node, changes @ ..]) => {
                let mut outcome = Ok(());
                self.cluster.set_policy(options::number(node)?, |policy| {
                    outcome = changes.iter().try_for_each(|option| options::set(policy, option));
                });
                outcome?;
            }
            ("nodelist", change) => {
                let change = nodelist(change)?;
                self.cluster.configure(change);
            }
            ("nodelist-of", [node, change @ ..]) => {
                let change = nodelist(change)?;
                self.cluster.configure_one(options::number(node)?, change);
            }
            ("cluster-name", [name]) => {
                let name = name.replace('_', " ");
                self.cluster.configure(|config| config.cluster_name = name);
            }
            ("intrude", [node, manner]) => self.cluster.intrude(options::number(node)?, manner_of(manner)?),
            ("intruders-end", []) => self.cluster.intruders_end(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A user stack, the control device, and who is beside us: dlm_controld, legacy groups.
    fn stack(&mut self, name: &str, arguments: &[&str]) -> Result<bool, String> {
        match (name, arguments) {
            ("user-stack", nodes) => {
                for node in nodes {
                    let node = options::number(node)?;
                    self.cluster.hosts.entry(node).and_modify(|host| host.kernel.stack = user_stack(false));
                    self.cluster.look(node);
                }
            }
            ("control", [node, word]) => {
                let refuses = errno(word).map(|errno| errno.0);
                self.cluster.hosts.entry(options::number(node)?).and_modify(|host| host.kernel.control_errno = refuses);
            }
            ("dlm-controld", [node, "ends"]) => {
                let node = options::number(node)?;
                let host = self.cluster.hosts.get_mut(&node).ok_or("no such node")?;
                host.kernel.stack.deserted = !host.kernel.stack.lockspaces.is_empty();
            }
            ("mount-killed", [node]) => {
                let node = options::number(node)?;
                self.cluster.hosts.get_mut(&node).ok_or("no such node")?.kernel.break_off();
                self.cluster.look(node);
            }
            ("legacy-groups", [node, groups @ ..]) => {
                let groups = groups.iter().map(|group| (*group).to_owned()).collect();
                self.cluster.legacy_groups(options::number(node)?, groups);
            }
            ("legacy-says", [node, behind @ ..]) => {
                let behind: Result<_, String> = behind.iter().map(|pair| options::behind(pair)).collect();
                self.cluster.legacy_says(options::number(node)?, behind?);
            }
            ("kernel-mounts", [node]) => self.cluster.user_mount(options::number(node)?, true),
            ("kernel-umounts", [node]) => self.cluster.user_mount(options::number(node)?, false),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn asks(&mut self, name: &str, arguments: &[&str]) -> Result<bool, String> {
        match (name, arguments) {
            ("ask", [node, words @ ..]) => {
                let ask = options::ask(words)?;
                self.cluster.ask(options::number(node)?, ask);
            }
            ("tool", [node, "goes"]) => self.cluster.tool_ends(options::number(node)?),
            ("tool", [node, words @ ..]) => self.cluster.tool_says(options::number(node)?, options::tool(words)?),
            ("status", nodes) => {
                self.run_while_active();
                let all: Vec<u32> = self.cluster.hosts.keys().copied().collect();
                let asked: Result<Vec<u32>, String> = nodes.iter().map(|node| options::number(node)).collect();
                let asked = asked?;
                all.into_iter().filter(|n| asked.is_empty() || asked.contains(n)).for_each(|n| self.status(n));
                self.advanced = true;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn mount(&mut self, arguments: &[&str]) -> Result<(), String> {
        for node in arguments {
            let number = options::number(node)?;
            let outcome = match self.cluster.mount(number) {
                MountOutcome::Mounted => "mounted".to_owned(),
                MountOutcome::Impossible => "impossible".to_owned(),
                MountOutcome::NotLocal => "mount.ocfs2: no local node".to_owned(),
                MountOutcome::TablesDiffer { with } => format!("mount: EINVAL, the table of n{with} differs"),
            };
            self.lines.add(self.cluster.now(), format!("mount on n{number}: {outcome}"));
        }
        Ok(())
    }

    fn refuse(&mut self, node: u32, call: &str, pattern: &str, name: &str, once: bool) -> Result<(), String> {
        let call = match call {
            "mkdir" => Call::Mkdir,
            "rmdir" => Call::Rmdir,
            "store" => Call::Store,
            "show" => Call::Show,
            _ => return Err(format!("no call {call:?}")),
        };
        let errno = errno(name).ok_or_else(|| format!("no errno {name:?}"))?;
        let model = self.cluster.hosts.get_mut(&node).ok_or("no such node")?.kernel.model();
        if once {
            model.refuse_once(call, pattern, errno)
        } else {
            model.refuse(call, pattern, errno)
        }
        Ok(())
    }

    fn in_sync(&mut self, node: u32, ends: fn(&mut Cluster, u32)) {
        while !self.cluster.corosync.is_syncing(node) && self.step() {}
        self.cluster.corosync.want_ghost();
        ends(&mut self.cluster, node);
    }

    fn advance(&mut self, time: Micros) {
        let until = self.cluster.now() + time;
        while self.cluster.next_at().is_some_and(|at| at <= until) && self.step() {}
        self.cluster.pass(until);
    }

    /// Lets everything happen but timers that are still to ring.
    pub(super) fn settle(&mut self) {
        if !self.advanced {
            self.run_while_active();
        }
    }

    fn run_while_active(&mut self) {
        let until = self.cluster.now() + SETTLE_MAX;
        while self.cluster.is_active() && self.cluster.now() < until && self.step() {}
        if self.cluster.is_active() {
            self.broken = Some("the cluster does not come to rest".into());
        }
    }

    fn step(&mut self) -> bool {
        let Some(happening) = self.cluster.step() else { return false };
        if let (Err(broken), None) = (self.ledger.check(&self.cluster, &happening), &self.broken) {
            self.broken = Some(broken.to_string());
        }
        self.lines.tell(&self.cluster, &happening);
        true
    }

    fn status(&mut self, node: u32) {
        let now = self.cluster.now();
        let Some(host) = self.cluster.hosts.get(&node) else { return };
        let kernel = host.kernel.tree().ok().flatten().map_or_else(
            || "empty".to_owned(),
            |tree| {
                let entry = |n: &configfs::Node| format!("{}{}", n.name, if n.local { "*" } else { "" });
                tree.nodes.values().map(entry).collect::<Vec<_>>().join(" ")
            },
        );
        let Some(agent) = host.agent() else {
            return self.lines.add(now, format!("n{node}: no daemon; kernel: {kernel}"));
        };
        let status = agent.status();
        let state = status.agent.as_ref().map_or("", |agent| agent.state().as_str_name()).to_lowercase();
        let table: Vec<&str> = status.table.iter().flat_map(|t| &t.entries).map(|e| e.name.as_str()).collect();
        let health = status.health().as_str_name().to_lowercase();
        let mut told = vec![format!(
            "n{node}: {}, {}; table: {}; kernel: {kernel}",
            state.trim_start_matches("state_"),
            health.trim_start_matches("health_"),
            if table.is_empty() { "none".to_owned() } else { table.join(" ") },
        )];
        told.extend(status.waits.iter().map(|wait| format!("n{node}:   waits: {}", wait.text)));
        told.extend(
            status
                .troubles
                .iter()
                .map(|trouble: &api::Trouble| format!("n{node}:   trouble: node {}: {}", trouble.nodeid, trouble.what)),
        );
        told.into_iter().for_each(|line| self.lines.add(now, line));
    }

    /// What was told since the last time.
    pub(super) fn told(&mut self) -> String {
        self.lines.take()
    }

    /// Whether everything that must hold did so far.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.broken.take().map_or(Ok(()), Err)
    }

    /// The end: every daemon's life is replayed.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        for recording in self.cluster.hosts.values().flat_map(|host| &host.recordings) {
            recording.replay().map_err(|diverged| diverged.to_string())?;
        }
        Ok(())
    }
}

/// Somebody edits corosync.conf.
type Edit = Box<dyn FnOnce(&mut ClusterConfig)>;

/// `add N`, `remove N`, `address N A`, `name N NAME`.
fn nodelist(change: &[&str]) -> Result<Edit, String> {
    let (what, node) =
        change.split_first().and_then(|(what, rest)| Some((*what, rest.first()?))).ok_or("which node?")?;
    let node = NodeId(options::number(node)?);
    Ok(match (what, change.get(2)) {
        ("add", None) => Box::new(move |config| _ = config.nodes.insert(node, configured(node.0))),
        ("remove", None) => Box::new(move |config| _ = config.nodes.remove(&node)),
        ("address", Some(address)) => {
            let address = address.parse().map_err(|_| (*address).to_owned());
            Box::new(move |config| _ = config.nodes.entry(node).and_modify(|n| n.address = address))
        }
        ("name", Some(name)) => {
            let name = Some((*name).to_owned());
            Box::new(move |config| _ = config.nodes.entry(node).and_modify(|n| n.name = name))
        }
        (other, _) => return Err(format!("no change of the nodelist {other:?}")),
    })
}

fn manner_of(text: &str) -> Result<Manner, String> {
    Ok(match text {
        "silent" => Manner::Silent,
        "garbage" => Manner::Garbage,
        "bent" => Manner::Bent,
        "second-agent" => Manner::SecondAgent,
        "model" => Manner::Model,
        _ => return Err(format!("no manner {text:?}")),
    })
}
