//! What happens to nodes, their daemons, and the net between them.

use super::Cluster;
use groupd_compat::ids::{CpgId, RingId};
use groupd_compat::machine::Reason;
use std::collections::BTreeSet;

impl Cluster {
    /// Power cut.
    pub fn crash(&mut self, node: u32) {
        self.crash_all(&[node]);
    }

    /// Several at once: one ring change.
    pub fn crash_all(&mut self, nodes: &[u32]) {
        for node in nodes {
            self.log.push(format!("-- node {node} crashes"));
            self.lose(*node);
            self.starts.remove(node);
        }
        let sides = std::mem::take(&mut self.sides);
        let alive = |side: &BTreeSet<u32>| side.iter().copied().filter(|n| !nodes.contains(n)).collect::<BTreeSet<_>>();
        let after: Vec<_> = sides.iter().map(alive).filter(|side: &BTreeSet<u32>| !side.is_empty()).collect();
        self.change_sides(&sides, after);
    }

    /// A process that is in the control CPG and never says a word: an old daemon.
    pub fn silent_member(&mut self, node: u32) {
        self.order_join(node, CpgId::CONTROL, b"groupd\0".to_vec());
    }

    /// corosync of the node runs again, without a daemon.
    pub fn boot(&mut self, node: u32) {
        let before = self.sides.clone();
        let mut after = before.clone();
        match after.first_mut() {
            Some(side) => _ = side.insert(node),
            None => after.push(BTreeSet::from([node])),
        }
        self.kills.remove(&node);
        self.change_sides(&before, after);
    }

    /// corosync of the node restarts so quickly that libquorum never tells the others that it went: corosync compares with the
    /// last ring that it has completed, and the one without the node was not. Source: corosync 3.1.7 under chaos.
    pub fn blink(&mut self, node: u32) {
        let side = self.side_of(node);
        if side.is_empty() {
            return;
        }
        self.log.push(format!("-- node {node} restarts, and quorum does not see it"));
        self.lose(node);
        self.kills.remove(&node);
        self.seq += 4;
        let representative = side.first().copied().unwrap_or(0);
        for &member in &side {
            self.rings.insert(member, RingId { representative, seq: self.seq });
            self.tell_views(member, &side);
            self.tell_ring(member, &side, &[]);
        }
    }

    /// corosync of the node restarts under a daemon that goes on, as o2cpgd does: it joins again as the process that it was. To
    /// `deaf`, which stood still and whose synchronisations were broken off, corosync shows that in the groups, and nothing of it in
    /// the control CPG. Source: corosync 3.1.7 under chaos.
    pub fn lapse(&mut self, node: u32, deaf: u32) {
        self.log.push(format!("-- corosync of node {node} restarts under its daemon, and node {deaf} stands still"));
        let before = std::mem::take(&mut self.sides);
        let awake = |side: &BTreeSet<u32>| side.iter().copied().filter(|&n| n != deaf).collect::<BTreeSet<_>>();
        self.sides = before.iter().map(awake).chain([BTreeSet::from([deaf])]).collect();
        self.crash(node);
        self.log.pop();
        self.boot(node);
        self.starts.insert(node, self.pids[&node] - 1001);
        self.again = Some(node);
        self.start_daemon(node);
        self.sides = before;
        let side = self.side_of(deaf);
        self.seq += 4;
        for &member in &side {
            self.rings.insert(member, RingId { representative: 1, seq: self.seq });
            self.tell_views(member, &side);
            self.tell_ring(member, &side, &[]);
        }
    }

    /// The daemon ends, as its process does not: it joins again under the same process id. o2cpgd does so when its groupd has to
    /// begin anew.
    pub fn begin_anew(&mut self, node: u32) {
        self.again = Some(node);
        self.log.push(format!("-- groupd of node {node} begins anew, in the same process"));
        self.daemon_ends(node, Reason::ProcDown);
        self.starts.insert(node, self.pids[&node] - 1001);
        self.start_daemon(node);
    }

    /// All that ran on this node is gone.
    fn lose(&mut self, node: u32) {
        self.daemons.remove(&node);
        self.departing.retain(|&(of, ..)| of != node);
        self.ghosts.lose(node);
        self.cpgs.values_mut().for_each(|members| _ = members.remove(&node));
    }

    /// Whatever is missing on this node runs again.
    pub fn revive(&mut self, node: u32) {
        if !self.sides.iter().any(|side| side.contains(&node)) {
            self.boot(node);
        }
        if !self.daemons.contains_key(&node) && !self.kills.contains(&node) {
            self.start_daemon(node);
        }
    }

    /// One node alone, the others together.
    pub fn cut_off(&mut self, node: u32) {
        let all: BTreeSet<u32> = self.sides.iter().flatten().copied().collect();
        let (alone, rest): (Vec<u32>, Vec<u32>) = all.into_iter().partition(|&n| n == node);
        if !alone.is_empty() && !rest.is_empty() {
            self.partition(&[&rest, &alone]);
        }
    }

    /// The daemon ends without leaving; corosync lives.
    pub fn kill_daemon(&mut self, node: u32) {
        self.log.push(format!("-- daemon {node} is killed"));
        self.daemon_ends(node, Reason::ProcDown);
    }

    /// The daemon ends while `deaf` stands still: corosync does not show it that before the next ring, and there behind the
    /// nodes that went. Source: corosync 3.1.7 under chaos.
    pub fn kill_daemon_unheard(&mut self, node: u32, deaf: u32) {
        self.log.push(format!("-- daemon {node} is killed, and node {deaf} stands still"));
        let shown = self.daemons.get(&deaf).map(|it| (it.handles.clone(), it.arrivals.clone(), it.views.clone()));
        self.daemon_ends(node, Reason::ProcDown);
        if let (Some(daemon), Some(shown)) = (self.daemons.get_mut(&deaf), shown) {
            (daemon.handles, daemon.arrivals, daemon.views) = shown;
        }
    }

    /// The daemon ends as the original may: leaves the control CPG although it has groups.
    pub fn daemon_leaves(&mut self, node: u32) {
        self.log.push(format!("-- daemon {node} ends in spite of its groups"));
        self.daemon_ends(node, Reason::Leave);
    }

    pub fn partition(&mut self, sides: &[&[u32]]) {
        self.log.push(format!("-- partition {sides:?}"));
        let before = self.sides.clone();
        let after = sides.iter().map(|side| side.iter().copied().collect()).collect();
        self.change_sides(&before, after);
    }

    pub fn heal(&mut self) {
        self.log.push("-- the partition heals".to_owned());
        let before = self.sides.clone();
        let after = vec![before.iter().flatten().copied().collect()];
        self.change_sides(&before, after);
    }
}
