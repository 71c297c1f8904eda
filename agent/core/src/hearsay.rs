//! Deaths that an agent was not there for: found when it comes back, or told by those who were.
//!
//! | what the others say in their Hellos | what whoever was away does |
//! |---|---|
//! | `unfenced`: died, and the gate is closed | waits with them, and mounts nothing, until the gate opens or the dead is back |
//! | `died`: died, and writes no more | buries it as well, if it uses volumes |
//!
//! And what nobody says, because nobody knows it any more: whoever was away from a kernel that uses volumes buries each node
//! that comes with nothing in use and was not let in since, whether it has died or not. If it has not, DOWN has no effect.
//!
//! `died` is said for as long as an agent is away from a live kernel, or is not in (`outsiders`): that agent may not have
//! heard of a mount which came just before. It cannot know what the dead used, so each of its own volumes may be concerned.

use crate::agent::Agent;
use crate::deaths::Death;
use crate::effect::Effects;
use crate::ids::{Member, NodeId};
use crate::notice::Notice;
use crate::policy::Fence;
use crate::saved::{Saved, SavedDeath};
use crate::table::{Agreed, Standing};
use proto::peer::{Died, Hello, VolumeId};
use std::collections::{BTreeMap, BTreeSet};

/// Who opens the gate of a node that is back.
const RESTARTED: &str = "its own restart";

impl Agent {
    /// Whoever used volumes when we last heard of it, and is not in the ring; and whoever has been off in between: it died
    /// while we were not there ourselves, or not connected.
    pub(crate) fn find_the_dead(&mut self, hellos: &BTreeMap<Member, Hello>) {
        let boots = boots_of(hellos);
        let other_boot = |node: &NodeId| boots.get(node).zip(self.boots.get(node)).is_some_and(|(now, old)| now != old);
        let died = |(node, volumes): (&NodeId, &BTreeSet<VolumeId>)| {
            (other_boot(node) || !self.view.in_ring(*node) && !volumes.is_empty()).then_some(*node)
        };
        let died: Vec<NodeId> = self.uses.iter().filter_map(died).collect();
        // Who has not been in the ring with us as what it was died before we used anything that it could use as well.
        self.unheard.retain(|node, was_silent| *was_silent || !boots.contains_key(node));
        died.into_iter().for_each(|node| self.node_died(node));
    }

    /// Nodes that were in the ring before, without an agent, and are not in this one. Of the others that we have not heard
    /// since we are here, nobody knows whether they were up at all.
    pub(crate) fn silent_nodes_died(&mut self, ring: &BTreeSet<NodeId>) {
        let silent = self.absent.keys().chain(self.unheard.keys()).copied();
        let died: BTreeSet<NodeId> = silent.filter(|node| self.view.in_ring(*node) && !ring.contains(node)).collect();
        self.absent.retain(|node, _| ring.contains(node));
        died.into_iter().for_each(|node| self.node_died(node));
    }

    /// Without corosync: what becomes of the others is not known from here on. Whose Goodbye we have heard may be back, and
    /// leave without one.
    pub(crate) fn nobody_is_heard(&mut self) {
        self.absent.clear();
        self.left.clear();
        self.unheard = self.uses.keys().map(|node| (*node, false)).collect();
    }

    /// Who has said Hello is known; who has not, and is in the ring, may use anything by now.
    pub(crate) fn note_silent(&mut self, agreed: &Agreed) {
        self.unheard.retain(|node, _| agreed.of_node(*node).is_none());
        self.unheard.iter_mut().for_each(|(node, was_silent)| *was_silent |= self.view.in_ring(*node));
    }

    /// Its agent ended after its last volume.
    pub(crate) fn is_done_with_volumes(&mut self, node: NodeId) {
        self.uses.remove(&node);
        self.unheard.remove(&node);
    }

    /// After a start: what was known when the daemon ended, and the deaths that were not handled. Of another boot only who
    /// was up: those who died since were buried with our own kernel.
    pub(crate) fn recall(&mut self, saved: &Saved, boot_id: [u8; 16]) {
        self.boots = by_node(&saved.boots);
        if saved.boot_id != boot_id {
            return;
        }
        self.uses = by_node(&saved.volumes);
        self.nobody_is_heard();
        self.obituaries = by_node(&saved.died);
        self.control.unguarded.clone_from(&saved.unguarded);
        let why = self.gate_word();
        let deaths = saved.deaths.iter().map(|(node, saved)| {
            let SavedDeath { volumes, learned, boot, fenced_by } = saved.clone();
            let death = Death { volumes, learned, boot, fenced_by, why: why.clone(), ..Death::default() };
            (NodeId(*node), Death { since: self.now, ..death })
        });
        self.deaths = deaths.collect();
    }

    /// The dead that may still write, for those who were not there.
    pub(crate) fn unfenced(&self) -> Vec<u32> {
        self.deaths.iter().filter(|(_, death)| !self.is_gate_open(death)).map(|(node, _)| node.0).collect()
    }

    /// The dead that write no more, for those who were not there.
    pub(crate) fn died(&self) -> Vec<Died> {
        let open = self.deaths.iter().filter(|(_, death)| self.is_gate_open(death));
        let open = open.filter_map(|(node, death)| Some((*node, death.boot?)));
        let all: BTreeMap<NodeId, [u8; 16]> =
            self.obituaries.iter().map(|(node, boot)| (*node, *boot)).chain(open).collect();
        all.into_iter().map(|(node, boot_id)| Died { nodeid: node.0, boot_id }).collect()
    }

    /// Nothing points to this node any more. Agents that are away from live kernels have to hear of it.
    pub(crate) fn is_buried(&mut self, node: NodeId, fx: &mut Effects) {
        let Some(death) = self.deaths.remove(&node) else { return };
        self.control.words.remove(&node);
        self.buried.insert(node);
        self.has_met(node);
        if let Some(boot) = death.boot.filter(|_| self.deaths_are_missed()) {
            self.obituaries.insert(node, boot);
        }
        fx.notice(Notice::Buried {
            node,
            by: death.fenced_by.unwrap_or_default(),
            after_ms: self.now.since(death.since),
        });
        self.keep_uses(fx);
    }

    /// What the others say and we have not said: we were not there.
    pub(crate) fn learn_of_deaths(&mut self) {
        let (Some(agreed), Some(me)) = (self.agreed.take(), self.member()) else { return };
        let others: Vec<&Hello> =
            agreed.established().iter().filter(|it| **it != me).filter_map(|it| agreed.hellos.get(it)).collect();
        let own = agreed.hellos.get(&me);
        let is_known = |node: u32| {
            own.is_some_and(|own| own.unfenced.contains(&node) || own.died.iter().any(|died| died.nodeid == node))
        };
        self.drop_what_nobody_waits_for(&agreed, &others);
        if self.policy.fence != Fence::None {
            let news = others.iter().flat_map(|hello| &hello.unfenced).filter(|node| !is_known(**node));
            news.for_each(|node| self.learn_unfenced(NodeId(*node), &agreed));
        }
        if self.buries() {
            let news = others.iter().flat_map(|hello| &hello.died).filter(|died| !is_known(died.nodeid));
            news.for_each(|died| self.learn_died(*died, &agreed));
        }
        self.buried.retain(|node| agreed.of_node(*node).is_none());
        self.agreed = Some(agreed);
        if !self.deaths_are_missed() {
            self.obituaries.clear(); // our Hello had them, and all that they are for have heard it
        }
    }

    /// One that is back was only out of sight, or off in between: the others say so of it before they say Hello again.
    fn drop_what_nobody_waits_for(&mut self, agreed: &Agreed, others: &[&Hello]) {
        let told = |node: &NodeId| others.iter().any(|hello| hello.unfenced.contains(&node.0));
        let waited_for = |node: &NodeId| agreed.of_node(*node).is_none() && (told(node) || others.is_empty());
        let heard_of_here = |death: &Death| {
            !death.learned || death.boot.is_some() || !death.volumes.is_empty() || death.fenced_by.is_some()
        };
        self.deaths.retain(|node, death| heard_of_here(death) || waited_for(node));
    }

    /// What we have buried ourselves is no news: a Hello may be older than the end of it.
    fn learn_unfenced(&mut self, node: NodeId, agreed: &Agreed) {
        let is_back = agreed.is_back_with_nothing(node);
        let may_be_dead = is_back || agreed.of_node(node).is_none();
        if may_be_dead && !self.buried.contains(&node) && self.own_node != Some(node) {
            let death = self.learned(node);
            death.fenced_by = death.fenced_by.take().or(is_back.then(|| RESTARTED.into()));
        }
    }

    fn learn_died(&mut self, died: Died, agreed: &Agreed) {
        let node = NodeId(died.nodeid);
        let is_buried = self.buried.contains(&node) && self.boots.get(&node) == Some(&died.boot_id);
        if !is_buried && !self.is_over(died, agreed) && self.own_node != Some(node) {
            let death = self.learned(node);
            if death.boot.replace(died.boot_id).is_some_and(|before| before != died.boot_id) {
                death.down.clear();
            }
            death.fenced_by.get_or_insert_with(|| "those who were there".into());
        }
    }

    /// Of a node that is here: it was only out of sight; or we knew already that it had been off in between; or it was
    /// let in, as nobody is before all have buried what it was.
    fn is_over(&self, died: Died, agreed: &Agreed) -> bool {
        agreed.of_node(NodeId(died.nodeid)).is_some_and(|(member, hello)| {
            let boot = hello.incarnation.boot_id;
            let is_let_in = agreed.standing.get(member) == Some(&Standing::Established);
            is_let_in || boot == died.boot_id || self.boots.get(&NodeId(died.nodeid)) == Some(&boot)
        })
    }

    /// Its volumes as we knew them may not be all.
    pub(crate) fn learned(&mut self, node: NodeId) -> &mut Death {
        let death = Death { since: self.now, why: self.gate_word(), ..Death::default() };
        let death = self.deaths.entry(node).or_insert(death);
        death.learned = true;
        death
    }

    /// From here on nothing is known of those who came and went meanwhile.
    pub(crate) fn was_away(&mut self, from_volumes: bool) {
        self.met = from_volumes.then(BTreeSet::new).or(self.met.take());
    }

    /// What it was before is buried.
    pub(crate) fn has_met(&mut self, node: NodeId) {
        if let Some(met) = &mut self.met {
            met.insert(node);
        }
    }

    /// It may have used our volumes, died, and come back, with nobody there who still knows.
    pub(crate) fn bury_strangers(&mut self) {
        let (Some(agreed), Some(met)) = (&self.agreed, &self.met) else { return };
        let is_stranger = |node: &NodeId| {
            let is_other = self.own_node != Some(*node) && !met.contains(node) && !self.deaths.contains_key(node);
            is_other && agreed.is_back_with_nothing(*node)
        };
        let here = agreed.hellos.keys().map(|member| NodeId(member.nodeid));
        let strangers: Vec<NodeId> = here.filter(is_stranger).collect();
        if self.kernel.stack.needs_control() && !self.volumes_in_kernel().is_empty() {
            strangers.into_iter().for_each(|node| self.learned(node).fenced_by = Some(RESTARTED.into()));
        }
    }

    /// After all that asks what was known before.
    pub(crate) fn note_boots(&mut self) {
        let boots = self.agreed.iter().flat_map(|agreed| boots_of(&agreed.hellos));
        self.boots.extend(boots.collect::<Vec<_>>());
    }

    /// A node that is back with another boot id has been off in between. Where we do not know which boot died, it is enough
    /// that it uses nothing.
    pub(crate) fn rebooted_is_fenced(&mut self, fx: &mut Effects) {
        let Some(agreed) = &self.agreed else { return };
        let boots = boots_of(&agreed.hellos);
        self.deaths.retain(|node, death| match boots.get(node) {
            Some(now) if death.boot == Some(*now) => false, // it was only out of sight
            Some(_) if death.fenced_by.is_none() && (death.boot.is_some() || agreed.is_back_with_nothing(*node)) => {
                let by = RESTARTED.to_owned();
                fx.notice(Notice::FenceOpened { node: *node, by: by.clone() });
                death.fenced_by = Some(by);
                true
            }
            Some(_) | None => true,
        });
    }
}

impl Agreed {
    /// It is here, has not been let in, and its kernel uses nothing: what it was before writes no more.
    fn is_back_with_nothing(&self, node: NodeId) -> bool {
        self.of_node(node).is_some_and(|(member, hello)| {
            let is_in = self.standing.get(member) == Some(&Standing::Established);
            !is_in && !hello.incomplete && !hello.live.is_live()
        })
    }
}

fn by_node<T: Clone>(saved: &BTreeMap<u32, T>) -> BTreeMap<NodeId, T> {
    saved.iter().map(|(node, it)| (NodeId(*node), it.clone())).collect()
}

fn boots_of(hellos: &BTreeMap<Member, Hello>) -> BTreeMap<NodeId, [u8; 16]> {
    hellos.iter().map(|(member, hello)| (NodeId(member.nodeid), hello.incarnation.boot_id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Reason, ViewChange};
    use crate::ids::Tick;
    use proto::peer::Live;

    #[test]
    fn who_ends_unheard_may_use_anything() {
        let (node, member) = (NodeId(3), Member { nodeid: 3, pid: 7 });
        let mut agent = Agent::new();
        agent.policy.fence = Fence::Manual;
        agent.uses.insert(node, BTreeSet::new());
        agent.lives.insert(node, Live::default());
        let left = vec![(member, Reason::ProcDown)];
        let change = ViewChange { members: BTreeSet::new(), joined: vec![], left };
        agent.handle(Tick(1), Event::ViewChanged(change), &mut Effects::default());
        agent.node_died(node);
        assert!(agent.deaths[&node].learned, "its last words may have been lost");
    }
}
