//! Which daemon takes what next.

use super::{Cluster, Handle};
use groupd_compat::ids::CpgId;

impl Cluster {
    pub(super) fn step(&mut self) -> bool {
        let next = self.daemons.iter().find(|(_, daemon)| !daemon.arrivals.is_empty()).map(|(&node, _)| node);
        let Some(node) = next else { return false };
        self.step_of(node)
    }

    /// Hands the next event to one node.
    pub fn step_of(&mut self, node: u32) -> bool {
        let handle = self.daemons.get_mut(&node).and_then(|daemon| daemon.arrivals.pop_front());
        handle.is_some_and(|handle| self.take(node, handle))
    }

    /// Hands one node the next event of any handle: `pick` chooses one of so many that have one.
    pub fn step_any(&mut self, node: u32, pick: impl FnOnce(usize) -> usize) -> bool {
        let Some(daemon) = self.daemons.get(&node) else { return false };
        let waiting = daemon.handles.iter().filter(|(_, queue)| !queue.is_empty());
        let ready: Vec<Handle> = waiting.map(|(&handle, _)| handle).collect();
        !ready.is_empty() && self.step_at(node, ready[pick(ready.len())])
    }

    /// As [`Cluster::step_any`], but before one of the control CPG goes what corosync had written on the other handles by then.
    pub fn step_never_behind(&mut self, node: u32, pick: impl FnOnce(usize) -> usize) -> bool {
        let Some(daemon) = self.daemons.get(&node) else { return false };
        let waiting = daemon.handles.iter().filter(|(_, queue)| !queue.is_empty());
        let ready: Vec<Handle> = waiting.map(|(&handle, _)| handle).collect();
        let Some(&picked) = (!ready.is_empty()).then(|| &ready[pick(ready.len())]) else { return false };
        let control = Handle::Cpg(CpgId::CONTROL);
        let earlier = daemon.arrivals.iter().take_while(|&&handle| handle != control);
        let before = earlier.copied().find(|&handle| handle != Handle::Clients);
        self.step_at(node, before.filter(|_| picked == control).unwrap_or(picked))
    }

    /// Hands one node the next event of this handle, whatever came before it on others.
    pub fn step_at(&mut self, node: u32, handle: Handle) -> bool {
        let Some(daemon) = self.daemons.get_mut(&node) else { return false };
        let Some(at) = daemon.arrivals.iter().position(|&arrived| arrived == handle) else { return false };
        daemon.arrivals.remove(at);
        self.take(node, handle)
    }
}
