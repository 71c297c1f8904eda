//! Why all wait: from each group that does not go on, along who waits for whom, to the known defects of the original.

use super::Life;
use groupd_compat::event_id::Cause;
use groupd_compat::machine::{GroupStatus, Wait};
use groupd_compat::names::GroupKey;
use std::collections::{BTreeMap, BTreeSet};

/// A group on a node.
type Place = (u32, GroupKey);

impl Life {
    /// Groups that do not go on, and for each the rows of docs/COMPAT.md that it comes to.
    pub fn blame(&self) -> BTreeMap<Place, BTreeSet<&'static str>> {
        let hung = self.hung();
        hung.keys().map(|place| (place.clone(), self.roots(place, &hung))).collect()
    }

    /// Is there an original that has met others after a partition? Then groups of one name may have become one (B4).
    pub fn has_merged(&self) -> bool {
        let mut originals = self.cluster.daemons.values().filter_map(|daemon| daemon.machine.original());
        originals.any(|original| original.has_merged())
    }

    fn hung(&self) -> BTreeMap<Place, GroupStatus> {
        let all = self.cluster.daemons.iter().flat_map(|(&node, daemon)| {
            daemon.machine.status().groups.into_iter().map(move |group| ((node, group.key.clone()), group))
        });
        all.filter(|(_, group)| group.waits.is_some()).collect()
    }

    fn roots(&self, from: &Place, hung: &BTreeMap<Place, GroupStatus>) -> BTreeSet<&'static str> {
        let (mut open, mut seen, mut found) = (vec![from.clone()], BTreeSet::new(), BTreeSet::new());
        while let Some(place) = open.pop() {
            if !seen.insert(place.clone()) {
                continue;
            }
            found.extend(self.defect(&place, hung));
            open.extend(self.waits_for(&place, hung));
        }
        found
    }

    /// Those whose word or recovery it waits for.
    fn waits_for(&self, place: &Place, hung: &BTreeMap<Place, GroupStatus>) -> Vec<Place> {
        let (node, key) = place;
        let on_this_node = |below: bool| {
            let others = hung.keys().filter(|(on, other)| on == node && (!below || other.level < key.level));
            others.cloned().collect()
        };
        match hung.get(place).and_then(|group| group.waits.as_ref()) {
            Some(Wait::Stopped { by } | Wait::Started { by }) => by.iter().map(|it| (it.0, key.clone())).collect(),
            Some(Wait::LowerLevel { .. }) => on_this_node(true),
            Some(Wait::StopOfAll { .. }) => on_this_node(false),
            Some(Wait::Survivors { .. }) => hung.keys().filter(|(_, other)| other == key).cloned().collect(),
            _ => vec![],
        }
    }

    fn defect(&self, place: &Place, hung: &BTreeMap<Place, GroupStatus>) -> Option<&'static str> {
        let (node, key) = place;
        let original = self.cluster.daemons.get(node).and_then(|daemon| daemon.machine.original());
        let local = original.and_then(|original| original.defect(key)).or_else(|| self.between(place, hung));
        local.or_else(|| original.filter(|original| original.has_merged()).map(|_| "B4"))
    }

    /// Two that wait for each other in one failure, an original among them: at different places (B8), or under ids that it does
    /// not take for the same (B14).
    fn between(&self, place: &Place, hung: &BTreeMap<Place, GroupStatus>) -> Option<&'static str> {
        let (node, key) = place;
        let ours = hung.get(place)?.record.change.filter(|change| change.cause == Cause::Fail)?;
        let is_original = |node: u32| self.cluster.originals.contains(&node);
        let others = self.waits_for(place, hung).into_iter().map(|(other, _)| other);
        others.filter(|&other| is_original(*node) || is_original(other)).find_map(|other| {
            let theirs = hung.get(&(other, key.clone()))?.record.change?;
            match (theirs.id == ours.id, theirs.id.is_same(ours.id)) {
                (true, _) => (theirs.phase != ours.phase).then_some("B8"),
                (_, true) => Some("B14"),
                _ => None,
            }
        })
    }
}
