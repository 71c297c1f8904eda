//! The tools of a mount: what they ask over the ocfs2_controld socket, in which phase each is, and what becomes of it when
//! it dies (rule O1).
//!
//! | the connection closes … | then |
//! |---|---|
//! | before the tool may go on | forgotten; we leave the volume |
//! | after that, and the kernel has it mounted | it is a mount like any other: the usual end with today's tools |
//! | after that, and the kernel uses it otherwise | the kernel's use keeps us in it until it ends |
//! | after that, and the kernel does not use it | after [`DECIDE_MS`] and a last look we leave |
//! | during an additional mount | as above; the volume is in use anyway |
//! | while an UNMOUNT waits for its answer | the end goes on without it |
//! | an answer that cannot be sent | changes nothing but that the client is gone |
//!
//! Source of the protocol's rules: ocfs2_controld.

use crate::agent::Agent;
use crate::effect::{Effect, Effects};
use crate::ids::{ClientId, NodeId, Tick};
use crate::mount_client::{MountAnswer, MountAsk};
use crate::notice::Notice;
use crate::table::Standing;
use crate::timers::Timer;
use crate::volumes::{Attempt, Leave, Phase, Service};
use crate::wait::Wait;
use proto::peer::VolumeId;
use proto::peer::limits::VOLUMES_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// How long the kernel has to show what came of a mount whose tool is gone. The call has ended by then, or never began;
/// only mountinfo may be read a moment before.
pub const DECIDE_MS: u64 = 3_000;
/// The kernel runs the tool that says UNMOUNT when its own part is over, and often we see that first. An UNMOUNT that comes
/// within this time is right.
pub const UNMOUNT_WITHIN_MS: u64 = 60_000;
/// The one file system served.
const FSTYPE: &str = "ocfs2";
/// What a mount calls itself; other services are tools, of which one each may use a volume.
const MOUNT_SERVICE: &str = "ocfs2";
/// Hex digits of a volume's uuid.
const UUID_LEN: usize = 32;

/// Errnos of the answers. Source: linux asm-generic/errno-base.h, errno.h.
mod errno {
    pub(super) const NOENT: i32 = 2;
    pub(super) const ACCES: i32 = 13;
    pub(super) const BUSY: i32 = 16;
    pub(super) const NODEV: i32 = 19;
    pub(super) const INVAL: i32 = 22;
    pub(super) const NOSPC: i32 = 28;
    pub(super) const RANGE: i32 = 34;
    pub(super) const NAMETOOLONG: i32 = 36;
    pub(super) const ALREADY: i32 = 114;
}

type No = (i32, String);

fn no<T>(errno: i32, text: impl Into<String>) -> Result<T, No> {
    Err((errno, text.into()))
}

impl Agent {
    /// One message of a tool: answered once, now or when what it waits for is true.
    pub(crate) fn mount_asked(&mut self, client: ClientId, ask: &MountAsk, fx: &mut Effects) {
        let answer = match ask {
            MountAsk::Mount { fstype, uuid, cluster, device, number, service } => {
                checked(fstype, uuid).and_then(|volume| {
                    self.check_cluster(cluster)?;
                    let number = number.clone().or_else(|why| no(errno::NODEV, format!("{device}: {why}")))?;
                    let asked = Attempt {
                        client: Some(client),
                        service: service.clone(),
                        device: device.clone(),
                        number,
                        phase: Phase::Joining,
                        since: self.now,
                    };
                    self.mount(volume, asked)
                })
            }
            MountAsk::Result { fstype, uuid, errno, service } => {
                checked(fstype, uuid).and_then(|volume| self.mounted(client, volume, errno, service, fx))
            }
            MountAsk::Unmount { fstype, uuid, service } => {
                checked(fstype, uuid).and_then(|volume| self.unmount(client, volume, service, fx))
            }
            MountAsk::ListVolumes { fstype, cluster } => check_fstype(fstype).and_then(|()| {
                self.check_cluster(cluster)?;
                Ok(Some(items(self.volumes_here().iter().map(ToString::to_string))))
            }),
            MountAsk::ListMounts { fstype, uuid } => checked(fstype, uuid).and_then(|volume| self.list_mounts(volume)),
            MountAsk::ListClusters => Ok(Some(items(self.config.iter().map(|config| config.cluster_name.clone())))),
            MountAsk::Dump => Ok(Some(items(self.volume_lines()))),
            MountAsk::Unreadable { why } => no(errno::INVAL, why),
        };
        match answer {
            Ok(None) => {} // answered later
            Ok(Some(answer)) => fx.push(Effect::MountReply(client, answer)),
            Err((errno, text)) => {
                fx.notice(Notice::MountRefused { what: summary(ask), errno, why: text.clone() });
                fx.push(Effect::MountReply(client, MountAnswer::Status { errno, text }));
            }
        }
    }

    fn check_cluster(&self, cluster: &str) -> Result<(), No> {
        match self.config.as_ref().map(|config| config.cluster_name.as_str()) {
            Some(ours) if ours == cluster => Ok(()),
            Some(ours) => no(errno::INVAL, format!("the volume is of cluster {cluster:?}, this node of {ours:?}")),
            None => no(errno::INVAL, "corosync's configuration is not known yet; try again"),
        }
    }

    fn mount(&mut self, volume: VolumeId, asked: Attempt) -> Result<Option<MountAnswer>, No> {
        if let Some(other) = self.under_way(volume) {
            return no(errno::BUSY, format!("a mount of {volume} from {} is under way", other.device));
        }
        let services = self.volumes.services.get(&volume);
        if asked.service != MOUNT_SERVICE && services.is_some_and(|known| known.contains_key(&asked.service)) {
            return no(errno::BUSY, format!("{} works on {volume} already", asked.service));
        }
        if let Some((major, minor)) = self.device_of(volume).filter(|number| *number != asked.number) {
            let (device, number) = (&asked.device, asked.number);
            return no(
                errno::INVAL,
                format!("{volume} is in use from device {major}:{minor}; {device} is {}:{}", number.0, number.1),
            );
        }
        if let Some(refusal) = self.own_refusal() {
            return no(errno::ACCES, format!("this node is not in the cluster: {refusal}"));
        }
        let here = self.volumes_here();
        if here.len() >= VOLUMES_MAX && !here.contains(&volume) {
            return no(errno::NOSPC, format!("{VOLUMES_MAX} volumes are in use here"));
        }
        // A mount that failed or has not begun is no mount: whoever comes after it waits for all that the first one waited for.
        let is_mounted =
            self.mounted_volumes().contains(&volume) || services.is_some_and(|it| it.contains_key(MOUNT_SERVICE));
        let is_in = self.is_known_to_use(volume) && is_mounted;
        if !is_in && self.control.unguarded.contains(&volume) {
            let left = "an earlier mount is still under way in this kernel, or has left its lockspace behind";
            return no(errno::BUSY, format!("{volume}: {left}; try again, and if that stays so, restart this node"));
        }
        let phase = if is_in { Phase::Running } else { Phase::Joining };
        self.volumes.attempts.insert(volume, Attempt { phase, ..asked });
        let go_on = || status(errno::ALREADY, format!("{volume} is in use here already: go on"));
        Ok(is_in.then(go_on))
    }

    /// The mount of a tool that is there. A tool that is gone has ended its call before its connection: whoever comes next
    /// need not wait for what the kernel shows of it.
    fn under_way(&self, volume: VolumeId) -> Option<&Attempt> {
        self.volumes.attempts.get(&volume).filter(|attempt| attempt.client.is_some())
    }

    /// The device that this volume is in use from, as far as anybody said.
    fn device_of(&self, volume: VolumeId) -> Option<(u64, u64)> {
        let id = volume.to_string();
        let mut mounts = self.kernel.mounts.iter().filter(|mount| mount.uuid.as_deref() == Some(id.as_str()));
        let services = self.volumes.services.get(&volume).into_iter().flat_map(BTreeMap::values);
        mounts.find_map(|mount| mount.number).or_else(|| services.map(|service| service.number).next())
    }

    fn own_refusal(&self) -> Option<String> {
        let standing = self.agreed.as_ref()?.standing.get(&self.member()?)?;
        match standing {
            Standing::Refused(refusal) => Some(refusal.to_string()),
            Standing::Joining | Standing::Established => None,
        }
    }

    fn mounted(
        &mut self,
        client: ClientId,
        volume: VolumeId,
        word: &str,
        service: &str,
        fx: &mut Effects,
    ) -> Result<Option<MountAnswer>, No> {
        let result = result_of(word)?;
        let mine = |attempt: &Attempt| attempt.client == Some(client) && attempt.phase == Phase::Running;
        match self.volumes.attempts.get(&volume).filter(|attempt| mine(attempt)) {
            Some(attempt) if attempt.service == service => {}
            Some(attempt) => return no(errno::INVAL, format!("{} was asked for, not {service}", attempt.service)),
            None if self.volumes.attempts.values().any(mine) => {
                return no(errno::NOENT, format!("this connection does not mount {volume}"));
            }
            None => return no(errno::INVAL, "this connection has no mount under way"),
        }
        fx.push(Effect::LookAtKernel);
        let attempt = self.volumes.attempts.remove(&volume).filter(|_| result == 0);
        if let Some(attempt) = attempt {
            let service = Service { number: attempt.number, seen: false, by: Tick(self.now.0 + DECIDE_MS) };
            self.timers.set(Timer::MountDecides, DECIDE_MS, fx);
            self.volumes.services.entry(volume).or_default().insert(attempt.service, service);
            return Ok(Some(ok()));
        }
        if self.volumes_here().contains(&volume) {
            return Ok(Some(ok())); // an additional mount that failed: the others stay
        }
        self.volumes.leaving.insert(client, Leave { volume, looked: true });
        Ok(None)
    }

    fn unmount(
        &mut self,
        client: ClientId,
        volume: VolumeId,
        service: &str,
        fx: &mut Effects,
    ) -> Result<Option<MountAnswer>, No> {
        if let Some(attempt) = self.under_way(volume) {
            return no(errno::BUSY, format!("a mount of {volume} from {} is under way", attempt.device));
        }
        let known = self.volumes.services.get_mut(&volume).and_then(|services| services.remove(service));
        let is_used = service == MOUNT_SERVICE && self.kernel_uses().contains(&volume);
        let has_just_ended = self.volumes.ended.remove(&volume).is_some();
        if known.is_none() && !is_used && !has_just_ended {
            return no(errno::NOENT, format!("{service} does not use {volume} here"));
        }
        self.volumes.services.retain(|_, services| !services.is_empty());
        fx.push(Effect::LookAtKernel);
        self.volumes.leaving.insert(client, Leave { volume, looked: false });
        Ok(None)
    }

    fn list_mounts(&self, volume: VolumeId) -> Result<Option<MountAnswer>, No> {
        if !self.volumes_here().contains(&volume) {
            return no(errno::NOENT, format!("{volume} is not in use here"));
        }
        let services = self.volumes.services.get(&volume).into_iter().flat_map(BTreeMap::keys).cloned();
        Ok(Some(items(services.chain(self.mount_points(volume)))))
    }

    pub(crate) fn mount_points(&self, volume: VolumeId) -> Vec<String> {
        let id = volume.to_string();
        let mounts = self.kernel.mounts.iter().filter(|mount| mount.uuid.as_deref() == Some(id.as_str()));
        mounts.map(|mount| mount.path.clone()).collect()
    }

    /// A tool is gone. Before it was told to go on, nothing has happened: it is forgotten, and we leave. After that, what
    /// the kernel shows decides: a mount stays, anything else ends. Whoever waited for the end of a mount is not needed for it.
    pub(crate) fn mount_client_gone(&mut self, client: ClientId, fx: &mut Effects) {
        self.volumes.leaving.remove(&client);
        let by = Tick(self.now.0 + DECIDE_MS);
        let mine = |attempt: &Attempt| attempt.client == Some(client);
        self.volumes.attempts.retain(|_, attempt| !(mine(attempt) && attempt.phase == Phase::Joining));
        let mut running: Vec<&mut Attempt> = self.volumes.attempts.values_mut().filter(|it| mine(it)).collect();
        running.iter_mut().for_each(|attempt| (attempt.client, attempt.phase) = (None, Phase::Deciding { by }));
        if !running.is_empty() {
            fx.push(Effect::LookAtKernel);
            self.timers.set(Timer::MountDecides, DECIDE_MS, fx);
        }
    }

    /// The kernel was looked at: what tools left open is decided by it.
    pub(crate) fn settle_volumes(&mut self, fx: &mut Effects) {
        let (used, mounted) = (self.kernel_uses(), self.mounted_volumes());
        self.note_ended(&used);
        let now = self.now;
        for (volume, services) in &mut self.volumes.services {
            let in_use = used.contains(volume);
            services.retain(|_, service| in_use || !service.seen && now < service.by);
            services.values_mut().for_each(|service| service.seen |= in_use);
        }
        self.volumes.services.retain(|_, services| !services.is_empty());
        self.volumes.leaving.values_mut().for_each(|leave| leave.looked = true);
        let decided = |volume: &VolumeId, attempt: &Attempt| match attempt.phase {
            Phase::Deciding { by } => mounted.contains(volume) || now >= by,
            Phase::Joining | Phase::Running => false,
        };
        let over: Vec<VolumeId> = self
            .volumes
            .attempts
            .iter()
            .filter(|(volume, it)| decided(volume, it))
            .map(|(volume, _)| *volume)
            .collect();
        for volume in over {
            self.volumes.attempts.remove(&volume);
            fx.notice(Notice::MountDecided { volume: volume.to_string(), mounted: mounted.contains(&volume) });
        }
    }

    fn note_ended(&mut self, used: &BTreeSet<VolumeId>) {
        let (volumes, now) = (&mut self.volumes, self.now);
        let before = std::mem::replace(&mut volumes.used, used.clone());
        volumes.ended.extend(before.difference(used).map(|volume| (*volume, now)));
        volumes.ended.retain(|volume, since| !used.contains(volume) && now.since(*since) <= UNMOUNT_WITHIN_MS);
    }

    /// The last look for a mount whose tool is gone, and for one that no look has shown yet.
    pub(crate) fn mount_decides(&mut self, fx: &mut Effects) {
        let deciding = |attempt: &Attempt| matches!(attempt.phase, Phase::Deciding { .. });
        let is_unseen = |service: &Service| !service.seen;
        if self.volumes.attempts.values().any(deciding)
            || self.volumes.services.values().flat_map(BTreeMap::values).any(is_unseen)
        {
            fx.push(Effect::LookAtKernel);
        }
    }

    /// Answers the tools whose time has come, and shows the groups.
    pub(crate) fn answer_mounts(&mut self, fx: &mut Effects) {
        let ready: Vec<VolumeId> =
            self.volumes.attempts.keys().copied().filter(|volume| self.may_mount(*volume).is_ok()).collect();
        for volume in ready {
            let Some(attempt) = self.volumes.attempts.get_mut(&volume) else { continue };
            if let (Phase::Joining, Some(client)) = (attempt.phase, attempt.client) {
                attempt.phase = Phase::Running;
                fx.push(Effect::MountReply(client, ok()));
            }
        }
        self.wake_for_the_silent(fx);
        let here = self.volumes_here();
        let ended = |leave: &Leave| match here.contains(&leave.volume) {
            true => leave.looked,
            false => !self.uses_here(leave.volume),
        };
        let ended: Vec<ClientId> =
            self.volumes.leaving.iter().filter(|(_, leave)| ended(leave)).map(|(client, _)| *client).collect();
        for client in ended {
            self.volumes.leaving.remove(&client);
            fx.push(Effect::MountReply(client, ok()));
        }
    }

    /// Whether a tool may go on: all members know of us, nothing that died is left to be buried, and what the stack needs
    /// is there.
    fn may_mount(&self, volume: VolumeId) -> Result<(), Wait> {
        let is_let_in = self.admitted || self.live().is_live();
        let ready = is_let_in && self.member().is_some_and(|me| self.is_ready(NodeId(me.nodeid)));
        if !ready
            || self.kernel.stack_is_unknown
            || !self.is_known_to_use(volume)
            || self.shares_with_absent(volume)
            || self.shares_with_outsider(volume)
        {
            return Err(Wait::MountJoins { volume });
        }
        if let Some(node) = self.silent_node() {
            return Err(Wait::MountAfterHello { volume, node });
        }
        if let Some(node) = self.deaths.iter().find(|(_, death)| death.concerns(volume)).map(|(node, _)| *node) {
            return Err(Wait::MountAfterDeath { volume, node });
        }
        if self.kernel.stack.needs_control() && !self.kernel.stack.control {
            return Err(Wait::Control { why: self.control.why.clone() });
        }
        if !self.is_registered(volume) {
            return Err(Wait::Dlm { volume, why: self.control.why.clone() });
        }
        Ok(())
    }

    /// A node has the volume in use, or we do not know which, and no agent: nobody there would know of our death.
    fn shares_with_absent(&self, volume: VolumeId) -> bool {
        let is_heard = |node: &NodeId| self.uses.contains_key(node) && !self.unheard.contains_key(node);
        let may_use = |node: NodeId| !is_heard(&node) || self.uses[&node].contains(&volume);
        let mut absent = self.agreed.iter().flat_map(|agreed| agreed.blocking_absent());
        self.kernel.stack.needs_control() && absent.any(|(node, _)| may_use(node))
    }

    pub(crate) fn mount_waits(&self) -> Vec<Wait> {
        let wait = |(volume, attempt): (&VolumeId, &Attempt)| match attempt.phase {
            Phase::Joining => self.may_mount(*volume).err(),
            Phase::Running => None,
            Phase::Deciding { .. } => Some(Wait::MountDecides { volume: *volume }),
        };
        let mut waits: Vec<Wait> = self.volumes.attempts.iter().filter_map(wait).collect();
        waits.dedup();
        waits
    }
}

fn check_fstype(fstype: &str) -> Result<(), No> {
    if fstype == FSTYPE {
        Ok(())
    } else {
        no(errno::INVAL, format!("file system {fstype:?} is not served, only ocfs2"))
    }
}

fn checked(fstype: &str, uuid: &str) -> Result<VolumeId, No> {
    check_fstype(fstype)?;
    if uuid.len() > UUID_LEN {
        return no(errno::NAMETOOLONG, format!("a volume's uuid has {UUID_LEN} digits, this one {}", uuid.len()));
    }
    uuid.parse().or_else(|why: String| no(errno::INVAL, why))
}

fn result_of(word: &str) -> Result<i32, No> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return no(errno::INVAL, format!("{word:?} is not an errno"));
    }
    word.parse().or_else(|_| no(errno::RANGE, format!("{word} is out of range for an errno")))
}

fn ok() -> MountAnswer {
    status(0, "OK".into())
}

fn status(errno: i32, text: String) -> MountAnswer {
    MountAnswer::Status { errno, text }
}

fn items(items: impl IntoIterator<Item = String>) -> MountAnswer {
    MountAnswer::Items(items.into_iter().collect())
}

/// For the log: the tools show their user neither errno nor text.
fn summary(ask: &MountAsk) -> String {
    match ask {
        MountAsk::Mount { uuid, device, service, .. } => format!("MOUNT {uuid} from {device} by {service}"),
        MountAsk::Result { uuid, errno, .. } => format!("MRESULT {errno} of {uuid}"),
        MountAsk::Unmount { uuid, service, .. } => format!("UNMOUNT {uuid} by {service}"),
        MountAsk::ListVolumes { .. } => "LISTFS".into(),
        MountAsk::ListMounts { uuid, .. } => format!("LISTMOUNTS {uuid}"),
        MountAsk::ListClusters => "LISTCLUSTERS".into(),
        MountAsk::Dump => "DUMP".into(),
        MountAsk::Unreadable { .. } => "a message".into(),
    }
}
