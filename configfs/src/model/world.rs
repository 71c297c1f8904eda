//! What happens to a kernel from outside its configfs: addresses, peers, heartbeats, mounts.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Model, heartbeat};
use crate::backend::Backend;
use crate::error::{Errno, Error};
use crate::name::RegionName;
use crate::node::NodeNum;

impl Model {
    /// Only these addresses are this host's; `local` of an entry with another is EADDRNOTAVAIL.
    pub fn with_host_addresses(mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        self.cluster.host_addresses = Some(addresses.into_iter().collect());
        self
    }

    /// A peer has an o2net connection: its entry is EBUSY for rmdir, idle and keepalive refuse to change (EINVAL).
    pub fn connect(&mut self, peer: NodeNum) {
        self.cluster.peers.insert(peer.as_u8());
    }

    /// The disk heartbeat declared the peer dead, or the last mount went: no connection object is left.
    pub fn disconnect(&mut self, peer: NodeNum) {
        self.cluster.peers.remove(&peer.as_u8());
    }

    /// The peers connected.
    pub fn peers(&self) -> BTreeSet<u8> {
        self.cluster.peers.clone()
    }

    /// What mount.ocfs2 does before the mount: makes the region of a volume and starts its heartbeat. While it runs the
    /// local entry is EBUSY for rmdir.
    pub fn start_region(&mut self, region: &RegionName, device: &str) -> Result<(), Error> {
        let path = self.region_path(region)?;
        self.mkdir(&path)?;
        for (attribute, value) in [("block_bytes", "512\n"), ("start_block", "128\n"), ("blocks", "255\n")] {
            self.store(&format!("{path}/{attribute}"), value)?;
        }
        self.start_heartbeat(&path, device.as_ref())
    }

    /// mount.ocfs2 is killed while it starts the heartbeat: nothing may touch the region from here on.
    pub fn break_off_region(&mut self, region: &RegionName) -> Result<(), Error> {
        self.change_region(region, heartbeat::Region::break_off)
    }

    /// What ocfs2_hb_ctl does after the last umount. EBUSY while the region is held.
    pub fn stop_region(&mut self, region: &RegionName) -> Result<(), Error> {
        let path = self.region_path(region)?;
        self.rmdir(&path)
    }

    /// A mount depends on the region: rmdir of it is EBUSY until [`Model::release_region`].
    pub fn hold_region(&mut self, region: &RegionName) -> Result<(), Error> {
        self.change_region(region, |found| found.users = found.users.saturating_add(1))
    }

    /// One mount less.
    pub fn release_region(&mut self, region: &RegionName) -> Result<(), Error> {
        self.change_region(region, |found| found.users = found.users.saturating_sub(1))
    }

    /// 0 was stored to `local` with a heartbeat running, or a region was used that was broken off: a real node would be dead.
    pub fn has_oopsed(&self) -> bool {
        self.cluster.oopsed
    }

    fn change_region(&mut self, region: &RegionName, change: fn(&mut heartbeat::Region)) -> Result<(), Error> {
        let path = self.region_path(region)?;
        let missing = Error::Show { path: self.locate(&path), source: Errno::ENOENT };
        let id = self.tree.lookup_dir(&format!("cluster/{path}")).map_err(|_| missing.clone())?;
        change(self.cluster.heartbeat.regions.get_mut(&id).ok_or(missing)?);
        Ok(())
    }

    fn region_path(&self, region: &RegionName) -> Result<String, Error> {
        let missing = || Error::List { path: self.locate(""), source: Errno::ENOENT };
        let cluster = self.list("")?.into_iter().next().ok_or_else(missing)?;
        Ok(format!("{cluster}/heartbeat/{region}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{cluster, node};
    use crate::{apply, diff, read_tree, removal};

    fn region() -> RegionName {
        RegionName::new("A".repeat(32)).unwrap()
    }

    fn num(value: u32) -> NodeNum {
        NodeNum::new(value).unwrap()
    }

    /// Nodes a (local) and b.
    fn running() -> Model {
        let mut model = Model::new();
        apply(&mut model, &diff(None, &cluster(&[node("a", 1, true), node("b", 2, false)]))).unwrap();
        model
    }

    fn remove(model: &mut Model, value: u32) -> Result<(), Option<i32>> {
        let ops = removal(&read_tree(model).unwrap().unwrap(), num(value));
        assert_eq!(ops.len(), 1);
        apply(model, &ops).map_err(|failed| failed.error.errno())
    }

    #[test]
    fn the_local_entry_is_busy_while_a_region_heartbeats() {
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        assert_eq!(remove(&mut model, 1), Err(Some(Errno::EBUSY.0)));
        model.stop_region(&region()).unwrap();
        assert_eq!(remove(&mut model, 1), Ok(()));
    }

    #[test]
    fn a_connected_peer_pins_its_entry_and_the_timeouts() {
        let mut model = running();
        model.connect(num(2));
        assert_eq!(remove(&mut model, 2), Err(Some(Errno::EBUSY.0)));
        let changed = model.store("o2/idle_timeout_ms", "60000\n").unwrap_err();
        assert_eq!(changed.refusal(), Some(Errno::EINVAL));
        model.store("o2/idle_timeout_ms", "30000\n").unwrap();
        model.disconnect(num(2));
        assert_eq!(remove(&mut model, 2), Ok(()));
    }

    #[test]
    fn a_held_region_is_busy() {
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        model.hold_region(&region()).unwrap();
        assert!(model.stop_region(&region()).unwrap_err().is_busy());
        model.release_region(&region()).unwrap();
        model.stop_region(&region()).unwrap();
    }

    #[test]
    fn a_running_region_shows_device_and_thread() {
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        let tree = read_tree(&model).unwrap().unwrap();
        let found = &tree.regions[&region()];
        assert_eq!(found.device.as_deref(), Some("sdb"));
        assert!(found.heartbeats());
    }

    #[test]
    fn a_threshold_stored_over_a_region_is_not_kept_and_apply_says_so() {
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        let op = crate::Op::StoreAttribute {
            cluster: "o2".to_owned(),
            attribute: crate::Attribute::DeadThreshold(7),
            was: None,
        };
        let failed = apply(&mut model, &[op]).unwrap_err();
        assert!(matches!(failed.error, Error::NotKept { ref reads, .. } if reads == "31\n"), "{failed:?}");
    }

    #[test]
    fn storing_0_to_local_over_a_heartbeat_kills_the_node() {
        let mut model = running();
        model.store("o2/node/a/local", "0\n").unwrap();
        assert!(!model.has_oopsed());
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        model.store("o2/node/a/local", "0\n").unwrap();
        assert!(model.has_oopsed());
    }
    #[test]
    fn a_region_that_was_broken_off_shows_a_thread_without_a_device_and_kills_whoever_removes_it() {
        let mut model = running();
        model.start_region(&region(), "/dev/sdb").unwrap();
        assert!(!read_tree(&model).unwrap().unwrap().regions[&region()].is_broken_off());
        model.break_off_region(&region()).unwrap();
        assert!(read_tree(&model).unwrap().unwrap().regions[&region()].is_broken_off());
        assert!(!model.has_oopsed());
        model.stop_region(&region()).unwrap();
        assert!(model.has_oopsed());
    }
}
