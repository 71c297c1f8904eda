//! The kernel of one machine: configfs as modelled by `configfs`, and one OCFS2 volume.
//!
//! A mount makes the volume's region and starts its heartbeat, and connects to the kernels that have the volume
//! mounted; entries in use are EBUSY until the umount, or until the disk heartbeat has declared the peer dead.
//! Not modelled: fencing of itself, locks, data.

use agent_core::event::{KernelRefusal, KernelView, Mount, Stack};
use configfs::{Backend, Errno, Model, NodeName, NodeNum, Op, RegionName, Tree, apply, read_tree};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The one volume.
pub const VOLUME: &str = "A0000000000000000000000000000000";
/// What the volume is on.
pub const DEVICE: &str = "/dev/sdb";
const MOUNT_POINT: &str = "/mnt";

/// What a joining mount compares with every member: number → address and port.
pub type NodeTable = BTreeMap<NodeNum, (Ipv4Addr, u16)>;

/// See the module.
#[derive(Clone, Debug)]
pub struct Kernel {
    model: Model,
    mounted_as: Option<NodeNum>,
    /// The cluster stack. The simulator's own mounts are those of o2cb.
    pub stack: Stack,
    /// What the control device answers instead of doing anything.
    pub control_errno: Option<i32>,
    /// Mounted on a user stack, which needs no node tree.
    pub is_user_mounted: bool,
    /// As last read; a change of the model empties it.
    read: OnceCell<Result<Option<Tree>, KernelRefusal>>,
}

impl Default for Kernel {
    fn default() -> Self {
        Kernel {
            model: Model::new(),
            mounted_as: None,
            stack: Stack::default(),
            control_errno: None,
            is_user_mounted: false,
            read: OnceCell::new(),
        }
    }
}

impl Kernel {
    /// The model, to be changed from outside.
    pub fn model(&mut self) -> &mut Model {
        self.read.take();
        &mut self.model
    }

    /// Whether calls are made to fail.
    #[must_use]
    pub fn is_tampered(&self) -> bool {
        !self.model.faults().is_empty()
    }

    /// o2net connects to a peer. The tree does not show it: entries in use cannot go.
    pub fn connect(&mut self, peer: NodeNum) {
        self.model.connect(peer);
    }

    /// The peer unmounted, or the disk heartbeat has declared it dead.
    pub fn disconnect(&mut self, peer: NodeNum) {
        self.model.disconnect(peer);
    }

    /// Does one operation as the daemon's kernel thread does it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn perform(&mut self, op: &Op) -> Result<(), KernelRefusal> {
        let done = apply(self.model(), std::slice::from_ref(op));
        done.map_err(|failed| refusal(&failed.error, &failed.op.to_string()))
    }

    /// The whole tree.
    ///
    /// # Errors
    /// What could not be read.
    pub fn tree(&self) -> Result<Option<&Tree>, &KernelRefusal> {
        let read = || read_tree(&self.model).map_err(|error| refusal(&error, "reading"));
        let found = || {
            let found = self.model.read().map_or_else(read, Ok);
            debug_assert_eq!(found, read(), "the way through text ends elsewhere");
            found
        };
        self.read.get_or_init(found).as_ref().map(Option::as_ref)
    }

    /// As the daemon sees it.
    #[must_use]
    pub fn view(&self) -> KernelView {
        KernelView { tree: Some(self.owned_tree()), mounts: Some(self.mounts()), stack: Some(self.stack.clone()) }
    }

    /// Mounted on a user stack, or unmounted: the volume has a lockspace while it is mounted.
    pub fn user_mount(&mut self, on: bool) {
        self.is_user_mounted = on;
        self.lockspace(on);
    }

    /// It is there from the middle of mount(2) on.
    pub fn lockspace(&mut self, on: bool) {
        let volume = VOLUME.parse().expect("a constant that is a volume's id");
        self.stack.lockspaces = on.then_some(volume).into_iter().collect();
    }

    /// The control device is used.
    ///
    /// # Errors
    /// What it was told to answer.
    pub fn control(&mut self) -> Result<(), KernelRefusal> {
        if let Some(errno) = self.control_errno {
            let (path, what) = ("/dev/ocfs2_control".into(), "use the control device".into());
            return Err(KernelRefusal { errno, path, what });
        }
        self.stack.control = true;
        Ok(())
    }

    /// The tree as it goes into an event.
    ///
    /// # Errors
    /// What could not be read.
    pub fn owned_tree(&self) -> Result<Option<Tree>, KernelRefusal> {
        self.tree().map(Option::<&Tree>::cloned).map_err(Clone::clone)
    }

    fn mounts(&self) -> Vec<Mount> {
        let mount = Mount { device: DEVICE.into(), path: MOUNT_POINT.into(), uuid: Some(VOLUME.into()), number: None };
        (self.is_mounted() || self.is_user_mounted).then_some(mount).into_iter().collect()
    }

    /// Whether the volume is mounted here.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.mounted_as.is_some()
    }

    /// The number under which it is mounted.
    #[must_use]
    pub fn mounted_as(&self) -> Option<NodeNum> {
        self.mounted_as
    }

    /// The model says that a real kernel would be dead.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.model.has_oopsed()
    }

    /// The local entry's number.
    #[must_use]
    pub fn local(&self) -> Option<NodeNum> {
        self.tree().ok().flatten().and_then(Tree::local).map(|node| node.num)
    }

    /// Entries with a number, in its order. One without reads number 0, which no node of the simulator has.
    pub fn entries(&self) -> impl Iterator<Item = (NodeNum, (Ipv4Addr, u16))> + '_ {
        let nodes = self.tree().ok().flatten().into_iter().flat_map(|tree| tree.nodes.values());
        let nodes = nodes.filter(|node| node.num != NodeNum::ZERO);
        nodes.map(|node| (node.num, (node.address.as_ipv4(), node.port.as_u16())))
    }

    /// The same as a table.
    #[must_use]
    pub fn table(&self) -> NodeTable {
        self.entries().collect()
    }

    /// Entries without a number.
    #[must_use]
    pub fn half_made(&self) -> Vec<NodeName> {
        let Some(tree) = self.tree().ok().flatten() else { return vec![] };
        tree.incomplete.keys().chain(tree.nodes.get(&NodeNum::ZERO).map(|node| &node.name)).cloned().collect()
    }

    /// mount.ocfs2, after it has found that all members' tables are equal. `false` if there is no local entry or
    /// the volume is mounted already.
    pub fn mount(&mut self) -> bool {
        let (Some(local), false, Some(region)) = (self.local(), self.is_mounted(), region()) else { return false };
        let model = self.model();
        let started = model.start_region(&region, DEVICE).and_then(|()| model.hold_region(&region));
        self.mounted_as = started.is_ok().then_some(local);
        self.is_mounted()
    }

    /// mount.ocfs2 is killed while it starts the heartbeat.
    pub fn break_off(&mut self) {
        let model = self.model();
        if let Some(region) = region() {
            let _there = model.start_region(&region, DEVICE).and_then(|()| model.break_off_region(&region));
        }
    }

    /// Whether that has happened to this boot.
    #[must_use]
    pub fn has_broken_region(&self) -> bool {
        let tree = self.tree().ok().flatten();
        tree.is_some_and(|tree| tree.regions.values().any(configfs::Region::is_broken_off))
    }

    /// umount and the ocfs2_hb_ctl that follows it. Returns the number it was mounted as.
    pub fn umount(&mut self) -> Option<NodeNum> {
        let number = self.mounted_as.take()?;
        let model = self.model();
        for peer in model.peers() {
            NodeNum::new(u32::from(peer)).into_iter().for_each(|peer| model.disconnect(peer));
        }
        if let Some(region) = region() {
            let _gone = model.release_region(&region).and_then(|()| model.stop_region(&region));
        }
        Some(number)
    }

    /// Another program begins to make an entry by hand, and has stored at most the address.
    pub fn make_half(&mut self, cluster: &str, name: &str, address: Option<Ipv4Addr>) {
        let model = self.model();
        let dir = format!("{cluster}/node/{name}");
        let _exists = model.mkdir(&dir);
        if let Some(address) = address {
            let _taken = model.store(&format!("{dir}/ipv4_address"), &format!("{address}\n"));
        }
    }

    /// Another program takes its entry out.
    pub fn unmake(&mut self, cluster: &str, name: &str) {
        let _gone = self.model().rmdir(&format!("{cluster}/node/{name}"));
    }

    /// Another program makes an entry by hand.
    pub fn make_foreign(&mut self, cluster: &str, name: &str, num: u32, address: Ipv4Addr) {
        let model = self.model();
        let _exists = model.mkdir(cluster);
        let dir = format!("{cluster}/node/{name}");
        let _exists = model.mkdir(&dir);
        for (attribute, value) in
            [("ipv4_port", "7777".into()), ("ipv4_address", address.to_string()), ("num", num.to_string())]
        {
            let _taken = model.store(&format!("{dir}/{attribute}"), &format!("{value}\n"));
        }
    }
}

fn region() -> Option<RegionName> {
    RegionName::new(VOLUME).ok()
}

/// An error of the tree as the core takes it.
fn refusal(error: &configfs::Error, what: &str) -> KernelRefusal {
    KernelRefusal { errno: error.errno().unwrap_or(0), path: error.path().display().to_string(), what: what.to_owned() }
}

/// The errno with this name.
#[must_use]
pub fn errno(name: &str) -> Option<Errno> {
    let known = [
        Errno::EPERM,
        Errno::ENOENT,
        Errno::EIO,
        Errno::EACCES,
        Errno::EBUSY,
        Errno::EEXIST,
        Errno::EINVAL,
        Errno::ENOSPC,
        Errno::ERANGE,
        Errno::EADDRNOTAVAIL,
    ];
    known.into_iter().find(|errno| errno.name() == name)
}
