//! Volumes: which node uses which one, and the tools that ask before they mount (rule O1).
//!
//! A node uses a volume while its kernel does (mount, heartbeat region, lockspace), while a tool is mounting it, and while a
//! tool that speaks the whole ocfs2_controld protocol has not taken its word back. Each agent tells its set whenever it
//! changes, in agreed order; so everybody knows the members of every volume at every moment, and a tool that asked may go
//! on when our own word has come back. What the kernel says wins over what a tool said.
//!
//! What the tools ask, and what becomes of one that dies: [`crate::mounting`].

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::ids::{ClientId, Member, NodeId, Tick};
use crate::pins::Pin;
use crate::timers::{PUBLISH_AFTER_MS, Timer};
use proto::peer::limits::VOLUMES_MAX;
use proto::peer::{Body, Hello, Live, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// This node's side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volumes {
    /// Mounts under way; one of a volume at a time.
    pub attempts: BTreeMap<VolumeId, Attempt>,
    /// Services that said they are on, and have not said that they are off.
    pub services: BTreeMap<VolumeId, BTreeMap<String, Service>>,
    /// Tools that wait for the end of our part.
    pub leaving: BTreeMap<ClientId, Leave>,
    /// What the kernel used when it was last looked at.
    #[serde(default)]
    pub used: BTreeSet<VolumeId>,
    /// What the kernel used before, and since when it no longer does.
    #[serde(default)]
    pub ended: BTreeMap<VolumeId, Tick>,
    /// What the others were last told.
    pub told: BTreeSet<VolumeId>,
    /// Shown as CPG groups.
    pub published: BTreeSet<VolumeId>,
}

/// A mount under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Who asked; `None` once it is gone.
    pub client: Option<ClientId>,
    /// What it called itself.
    pub service: String,
    /// Path of the device, for people.
    pub device: String,
    /// Major and minor.
    pub number: (u64, u64),
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub since: Tick,
}

/// How far a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The others are being told; the tool waits.
    Joining,
    /// The tool was told to go on, and mounts.
    Running,
    /// The tool is gone without a word: what the kernel shows by then decides.
    Deciding {
        /// The last look.
        by: Tick,
    },
}

/// A service that is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Of the device.
    pub number: (u64, u64),
    /// The kernel has shown that the volume is in use since; when it no longer does, the service is over.
    pub seen: bool,
    /// The last look for it. What is mounted and unmounted again between two looks is never seen.
    #[serde(default)]
    pub by: Tick,
}

/// A tool that waits for the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leave {
    /// Of which volume.
    pub volume: VolumeId,
    /// The kernel was looked at since.
    pub looked: bool,
}

impl Agent {
    /// Volumes that the kernel has mounted.
    pub(crate) fn mounted_volumes(&self) -> BTreeSet<VolumeId> {
        self.kernel.mounts.iter().filter_map(|mount| mount.uuid.as_ref()?.parse().ok()).collect()
    }

    /// Volumes that the kernel uses, mounted or not.
    pub(crate) fn kernel_uses(&self) -> BTreeSet<VolumeId> {
        let mut used = self.mounted_volumes();
        let regions = self.kernel.regions();
        used.extend(
            regions.filter(|(_, it)| it.heartbeats()).filter_map(|(name, _)| name.as_str().parse::<VolumeId>().ok()),
        );
        used.extend(self.kernel.stack.lockspaces.iter().copied());
        used
    }

    /// Volumes that the kernel may use: a tool that still waits for the others has not touched it.
    pub(crate) fn volumes_in_kernel(&self) -> BTreeSet<VolumeId> {
        let mut used = self.kernel_uses();
        used.extend(self.attempts_in_flight().chain(self.volumes.services.keys()));
        used
    }

    /// What must not be disturbed here: what the kernel has mounted; what is in mount(2), where it shows a lockspace at most; and
    /// what a tool says is mounted since the last look.
    pub(crate) fn live(&self) -> Live {
        let (mounted, live) = (self.mounted_volumes(), self.kernel.live());
        let is_new = |services: &BTreeMap<String, Service>| services.values().any(|service| !service.seen);
        let new = self.volumes.services.iter().filter(|(_, services)| is_new(services)).map(|(volume, _)| volume);
        let unseen: BTreeSet<_> = self.attempts_in_flight().chain(&self.kernel.stack.lockspaces).chain(new).collect();
        let unseen = unseen.into_iter().filter(|volume| !mounted.contains(volume)).count();
        Live { mounts: live.mounts.saturating_add(unseen as u32), ..live }
    }

    /// Volumes whose tool has had our word and is in mount(2), or was when it was last heard of.
    fn attempts_in_flight(&self) -> impl Iterator<Item = &VolumeId> {
        self.volumes.attempts.iter().filter(|(_, attempt)| attempt.phase != Phase::Joining).map(|(volume, _)| volume)
    }

    /// Volumes that this node uses, or is about to.
    #[must_use]
    pub fn volumes_here(&self) -> BTreeSet<VolumeId> {
        let mut here = self.kernel_uses();
        here.extend(self.volumes.attempts.keys().chain(self.volumes.services.keys()));
        while here.len() > VOLUMES_MAX {
            here.pop_last();
        }
        here
    }

    /// Tells the others which volumes are in use here, when that has changed.
    pub(crate) fn tell_volumes(&mut self, fx: &mut Effects) {
        if self.agreed.is_none() || self.exchange.outstanding > 0 || self.leaving.has_spoken() {
            return;
        }
        let here = self.volumes_here();
        if here != self.volumes.told {
            self.volumes.told.clone_from(&here);
            self.say(Body::Volumes(here), fx);
        }
    }

    pub(crate) fn heard_volumes(&mut self, from: Member, volumes: BTreeSet<VolumeId>, fx: &mut Effects) {
        let is_beside = |other: &Member| other.nodeid == from.nodeid && *other != from;
        let two = self.agreed.as_ref().is_some_and(|agreed| agreed.hellos.keys().any(is_beside));
        let used = self.uses.entry(NodeId(from.nodeid)).or_default();
        match two {
            true => used.extend(volumes),
            false => *used = volumes,
        }
        self.keep_uses(fx);
    }

    /// Of two agents on one node either may be the one with the mounts, whichever was there first: what one of them names is
    /// in use, and what both no longer name counts until one of them has gone. To bury too much may wait for a fence, too little
    /// costs data (story 156).
    pub(crate) fn hear_uses(&mut self, hellos: &BTreeMap<Member, Hello>) {
        let mut heard: BTreeMap<NodeId, BTreeSet<VolumeId>> = BTreeMap::new();
        for (member, hello) in hellos {
            heard.entry(NodeId(member.nodeid)).or_default().extend(&hello.volumes);
        }
        self.uses.extend(heard);
    }

    /// What a restarted daemon must know to bury a node that died while nobody watched.
    pub(crate) fn keep_uses(&mut self, fx: &mut Effects) {
        if self.buries() && self.started.is_some() {
            self.save(fx);
        }
    }

    /// Whether this node's last word is agreed, and says that it uses the volume.
    pub(crate) fn is_known_to_use(&self, volume: VolumeId) -> bool {
        self.link.volumes_unheard == 0 && self.uses_here(volume)
    }

    /// Whether this node's word that it uses the volume is agreed.
    pub(crate) fn uses_here(&self, volume: VolumeId) -> bool {
        let own = self.member().and_then(|me| self.uses.get(&NodeId(me.nodeid)));
        own.is_some_and(|own| own.contains(&volume))
    }

    /// Nodes that use a volume.
    #[must_use]
    pub fn members_of(&self, volume: VolumeId) -> BTreeSet<NodeId> {
        self.uses.iter().filter(|(_, volumes)| volumes.contains(&volume)).map(|(node, _)| *node).collect()
    }

    /// Every volume that somebody uses.
    #[must_use]
    pub fn volumes_known(&self) -> BTreeSet<VolumeId> {
        self.uses.values().flatten().copied().chain(self.volumes_here()).collect()
    }

    /// Volumes to be shown as CPG groups of their own: for people and for corosync-cpgtool, never a source of truth.
    fn to_publish(&self) -> BTreeSet<VolumeId> {
        let own = self.member().and_then(|me| self.uses.get(&NodeId(me.nodeid)));
        own.filter(|_| self.policy.publish).cloned().unwrap_or_default()
    }

    pub(crate) fn publish_later(&mut self, fx: &mut Effects) {
        if self.to_publish() != self.volumes.published {
            self.timers.set_unless_running(Timer::Publish, PUBLISH_AFTER_MS, fx);
        }
    }

    pub(crate) fn publish(&mut self, fx: &mut Effects) {
        let wanted = self.to_publish();
        let published = std::mem::replace(&mut self.volumes.published, wanted.clone());
        published.difference(&wanted).for_each(|gone| fx.push(Effect::Publish(*gone, false)));
        wanted.difference(&published).for_each(|new| fx.push(Effect::Publish(*new, true)));
    }

    /// Mounts whose tool has had our word.
    pub(crate) fn mounts_in_flight(&self) -> impl Iterator<Item = Pin> + '_ {
        self.attempt_pins(|phase| phase != Phase::Joining)
    }

    fn attempt_pins(&self, which: impl Fn(Phase) -> bool) -> impl Iterator<Item = Pin> {
        let attempts = self.volumes.attempts.iter().filter(move |(_, it)| which(it.phase));
        attempts.map(|(volume, it)| Pin::MountInFlight {
            uuid: volume.to_string(),
            device: it.device.clone(),
            service: it.service.clone(),
        })
    }

    /// What the tools keep in place, besides what the kernel shows.
    pub(crate) fn mount_pins(&self) -> impl Iterator<Item = Pin> + '_ {
        let attempts = self.attempt_pins(|_| true);
        let services = self.volumes.services.iter().flat_map(|(volume, services)| {
            services.keys().map(|service| Pin::Service { uuid: volume.to_string(), service: service.clone() })
        });
        attempts.chain(services).chain(self.lockspace_pins())
    }

    /// A mount(2) under way that a daemon before us gave its word for: with us the control device closes, and the kernel resets the
    /// node (brief seed 9162399).
    fn lockspace_pins(&self) -> impl Iterator<Item = Pin> + '_ {
        let mounted = self.mounted_volumes();
        let is_alone =
            move |volume: &&VolumeId| !mounted.contains(volume) && !self.volumes.attempts.contains_key(volume);
        let alone = self.kernel.stack.lockspaces.iter().filter(is_alone);
        alone.map(|volume| Pin::Lockspace { uuid: volume.to_string() })
    }

    /// One line each, for DUMP.
    pub(crate) fn volume_lines(&self) -> Vec<String> {
        let line = |volume: VolumeId| {
            let members: Vec<String> = self.members_of(volume).iter().map(ToString::to_string).collect();
            let here = if self.volumes_here().contains(&volume) { "in use here" } else { "not in use here" };
            let mounts = self.mount_points(volume).join(" ");
            format!("{volume} members {} {here} {mounts}", members.join(",")).trim_end().to_owned()
        };
        self.volumes_known().into_iter().map(line).collect()
    }
}
