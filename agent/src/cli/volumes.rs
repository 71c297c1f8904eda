//! `mounts` and `regions`: the volumes as the cluster uses them, and the heartbeats on their disks as this kernel has them.

use std::collections::BTreeMap;

use proto::control::{Ask, api};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{Session, local, render};

/// Before the uuid in the name of a volume's group.
const GROUP_PREFIX: &str = "ocfs2:";

/// A volume that some node uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Capital hex; empty where it cannot be read.
    pub uuid: String,
    /// The device here; empty where it is not mounted here.
    pub device: String,
    /// Mount points here.
    pub paths: Vec<String>,
    /// Nodes that use it, by nodeid; empty where only the daemon would know.
    pub nodes: Vec<u32>,
    /// "stable", "mounting", "recovering", "stands still", "broken off"; empty where only the daemon would know.
    pub state: String,
    /// What is waited for.
    pub waits: String,
    /// How long this state stands.
    pub since_ms: u64,
}

/// A heartbeat region of this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Its name, which is the volume's uuid.
    pub uuid: String,
    /// The block device's name in the kernel; empty before the heartbeat starts.
    pub device: String,
    /// The heartbeat thread, while it runs.
    pub pid: Option<u32>,
    /// Mount points of the volume here.
    pub paths: Vec<String>,
}

#[derive(Serialize)]
struct Mounts<'a> {
    schema: &'static str,
    volumes: &'a [Volume],
}

#[derive(Serialize)]
struct Regions<'a> {
    schema: &'static str,
    regions: &'a [Region],
}

impl Session {
    pub(super) fn mounts(&self) -> Result<Exit, Failure> {
        let status = self.any_status()?;
        let groups = if self.global.local { api::Groups::default() } else { self.ask(Ask::Groups)? };
        let volumes = volumes(&status.mounts, &groups.groups);
        let mounts = Mounts { schema: "o2cpg.mounts/1", volumes: &volumes };
        self.output.answer(&mounts, |width| render::mounts(&volumes, width))?;
        Ok(Exit::Ok)
    }

    /// The kernel's own word; the daemon only knows which volume is mounted where.
    pub(super) fn regions(&self) -> Result<Exit, Failure> {
        let found = local::regions()?;
        let regions = with_paths(found, &self.any_status()?.mounts);
        let answer = Regions { schema: "o2cpg.regions/1", regions: &regions };
        self.output.answer(&answer, |width| render::regions(&regions, width))?;
        Ok(Exit::Ok)
    }
}

/// Volumes of the cluster, with their mounts here; then what is mounted here and in no group.
fn volumes(mounts: &[api::Mount], groups: &[api::Group]) -> Vec<Volume> {
    let mut volumes: BTreeMap<(String, String), Volume> = BTreeMap::new();
    for group in groups {
        let Some(uuid) = group.name.strip_prefix(GROUP_PREFIX) else { continue };
        let volume = Volume {
            uuid: uuid.to_owned(),
            nodes: group.members.clone(),
            state: group.state.clone(),
            waits: group.waits.clone(),
            since_ms: group.since_ms,
            ..Volume::default()
        };
        volumes.insert((volume.uuid.clone(), String::new()), volume);
    }
    for mount in mounts {
        // Without a uuid, what is mounted from one device is one volume.
        let key = if mount.uuid.is_empty() { mount.device.clone() } else { String::new() };
        let volume = volumes.entry((mount.uuid.clone(), key)).or_default();
        volume.uuid.clone_from(&mount.uuid);
        volume.device.clone_from(&mount.device);
        volume.paths.push(mount.path.clone());
    }
    volumes.into_values().collect()
}

fn with_paths(mut regions: Vec<Region>, mounts: &[api::Mount]) -> Vec<Region> {
    for region in &mut regions {
        let own = mounts.iter().filter(|mount| mount.uuid == region.uuid);
        region.paths = own.map(|mount| mount.path.clone()).collect();
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "DCDA2845177F4D59A0F2DCD8DE507CC3";

    fn mount(device: &str, path: &str, uuid: &str) -> api::Mount {
        api::Mount { device: device.into(), path: path.into(), uuid: uuid.into() }
    }

    #[test]
    fn mounts_and_groups_of_one_volume_are_brought_together() {
        let group = |name: &str, members: &[u32]| api::Group {
            name: name.into(),
            state: "stable".into(),
            members: members.to_vec(),
            ..api::Group::default()
        };
        let elsewhere = "E".repeat(32);
        let groups = [
            group("o2cpg", &[1, 2]),
            group(&format!("ocfs2:{UUID}"), &[1, 2]),
            group(&format!("ocfs2:{elsewhere}"), &[2]),
        ];
        let mounts = [mount("/dev/sdb", "/a", UUID), mount("/dev/sdb", "/b", UUID), mount("/dev/sdc", "/c", "")];
        let volumes = volumes(&mounts, &groups);
        let seen: Vec<_> = volumes
            .iter()
            .map(|it| (it.uuid.as_str(), it.device.as_str(), it.paths.join(" "), it.nodes.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("", "/dev/sdc", "/c".into(), 0),
                (UUID, "/dev/sdb", "/a /b".into(), 2),
                (elsewhere.as_str(), "", String::new(), 1),
            ]
        );
    }

    #[test]
    fn a_region_is_used_by_the_mounts_of_its_volume() {
        let region = |uuid: &str| Region { uuid: uuid.into(), device: "sdb".into(), pid: Some(9), paths: vec![] };
        let regions = with_paths(vec![region(UUID), region("F")], &[mount("/dev/sdb", "/a", UUID)]);
        assert_eq!((regions[0].paths.as_slice(), regions[1].paths.len()), (["/a".to_owned()].as_slice(), 0));
    }
}
