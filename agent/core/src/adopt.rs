//! What was found at start: ours, unused, foreign, or in conflict (rule R1). One verdict per thing, and
//! nothing is wiped.

use crate::event::Started;
use crate::saved::Saved;
use crate::tree;
use configfs::{Node, Tree};
use proto::peer::{Entry, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was made of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// adopted, dropped, foreign or conflict.
    pub verdict: Word,
    /// Which thing.
    pub thing: String,
    /// Why.
    pub why: String,
}

/// The four verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Ours and consistent: taken over as it is.
    Adopted,
    /// Ours, and nothing needs it: not taken over.
    Dropped,
    /// Not ours: left alone and named.
    Foreign,
    /// Cannot be reconciled: this node takes part in nothing until a person has looked.
    Conflict,
}

impl Word {
    /// As in status and the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Adopted => "adopted",
            Word::Dropped => "dropped",
            Word::Foreign => "foreign",
            Word::Conflict => "conflict",
        }
    }
}

/// The result of looking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// One per thing.
    pub verdicts: Vec<Verdict>,
    /// The table as agreed before, if it still means something.
    pub table: Option<Table>,
    /// Entries that are ours.
    pub written: BTreeSet<Entry>,
    /// Why this node may not take part.
    pub conflict: Option<String>,
}

/// Compares the state file with the kernel.
#[must_use]
pub fn look(started: &Started) -> Found {
    let mut found = Found::default();
    let saved = match &started.saved {
        Ok(saved) => saved.as_ref().filter(|saved| fits(saved, started, &mut found)),
        Err(why) => {
            found.say(Word::Conflict, "state file", why);
            found.conflict = Some(format!("state file: {why}"));
            None
        }
    };
    match &started.kernel.tree {
        Some(Ok(Some(tree))) => compare(tree, saved, &mut found),
        Some(Ok(None)) => forget(saved, &mut found),
        Some(Err(refusal)) => {
            found.say(Word::Conflict, "kernel tree", &refusal.to_string());
            found.conflict = Some(format!("kernel tree: {refusal}"));
            keep(saved, &mut found);
        }
        None => {}
    }
    found
}

/// A state file of another boot says nothing about this kernel.
fn fits(saved: &Saved, started: &Started, found: &mut Found) -> bool {
    let same_boot = saved.boot_id == started.boot_id;
    if !same_boot {
        found.say(Word::Dropped, "state file", "it is of an earlier boot");
    }
    same_boot
}

fn forget(saved: Option<&Saved>, found: &mut Found) {
    if saved.is_some_and(|saved| !saved.written.is_empty()) {
        found.say(Word::Dropped, "state file", "the kernel holds no cluster any more");
    }
}

/// What could not be looked at may all be there: the state file keeps saying that it is ours.
fn keep(saved: Option<&Saved>, found: &mut Found) {
    let Some(saved) = saved else { return };
    found.table.clone_from(&saved.table);
    found.written.clone_from(&saved.written);
}

fn compare(tree: &Tree, saved: Option<&Saved>, found: &mut Found) {
    let Some(saved) = saved.filter(|saved| saved.cluster == tree.name) else {
        found.say(
            Word::Foreign,
            &format!("cluster {}", tree.name),
            "made by another program; compared when this node is to join",
        );
        for node in tree.nodes.values() {
            found.say(Word::Foreign, &thing(node), "not in our state file");
        }
        return;
    };
    found.say(Word::Adopted, &format!("cluster {}", tree.name), "ours");
    found.table.clone_from(&saved.table);
    let tree = &tree::with_half_made(tree.clone(), &saved.written);
    for node in tree.nodes.values() {
        match saved.written.iter().find(|entry| tree::same(entry, node)) {
            Some(entry) => {
                found.say(Word::Adopted, &thing(node), "as we wrote it");
                found.written.extend([entry.clone()].into_iter().filter(|_| !planted!(NothingIsAdopted)));
            }
            None => found.say(Word::Foreign, &thing(node), "not in our state file"),
        }
    }
    for name in tree.incomplete.keys() {
        let ours: BTreeSet<Entry> = saved.written.iter().filter(|entry| entry.name == name.as_str()).cloned().collect();
        if ours.is_empty() {
            found.say(Word::Foreign, &format!("node {name}"), "half made, not by us");
        } else {
            found.say(Word::Adopted, &format!("node {name}"), "half made by us");
            found.written.extend(ours);
        }
    }
    for (name, region) in &tree.regions {
        let state = if region.heartbeats() { "heartbeats" } else { "does not heartbeat" };
        found.say(Word::Foreign, &format!("region {name}"), &format!("made by mount.ocfs2 or o2cb; {state}"));
    }
    let lost = saved.written.difference(&found.written).cloned();
    for entry in lost.collect::<Vec<_>>() {
        found.say(Word::Dropped, &format!("node {}", entry.name), "no longer in the kernel");
    }
}

fn thing(node: &Node) -> String {
    format!("node {node}")
}

impl Found {
    fn say(&mut self, verdict: Word, thing: &str, why: &str) {
        self.verdicts.push(Verdict { verdict, thing: thing.into(), why: why.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agent;
    use crate::effect::{Effect, Effects};
    use crate::event::{KernelRefusal, KernelView};
    use crate::policy::Policy;

    fn entry() -> Entry {
        Entry { nodeid: 3, number: 3, name: "n3".into(), address: [10, 0, 0, 3].into(), port: 7777 }
    }

    fn started(saved: Result<Option<Saved>, String>) -> Started {
        let refusal = KernelRefusal { errno: 5, path: "cluster/lab".into(), what: "reading".into() };
        Started {
            boot_id: [7; 16],
            started_ms: 1,
            release: "1.0.0".into(),
            backend: "model".into(),
            hostname: "n3".into(),
            kernel_release: "6.1".into(),
            policy: Policy::default(),
            saved,
            kernel: KernelView { tree: Some(Err(refusal)), ..KernelView::default() },
            pid: 4,
        }
    }

    #[test]
    fn what_could_not_be_looked_at_stays_ours() {
        let saved = Saved { boot_id: [7; 16], written: [entry()].into(), ..Saved::default() };
        let found = look(&started(Ok(Some(saved.clone()))));
        assert!(found.conflict.is_some());
        assert_eq!(found.written, saved.written);
        let of_another_boot = Saved { boot_id: [8; 16], ..saved };
        assert_eq!(look(&started(Ok(Some(of_another_boot)))).written, BTreeSet::new());
    }

    #[test]
    fn a_state_file_that_could_not_be_read_is_not_replaced() {
        let saves = |saved| {
            let mut agent = Agent::new();
            agent.started = Some(Box::new(started(saved)));
            let mut fx = Effects::default();
            agent.save(&mut fx);
            fx.drain().filter(|effect| matches!(effect, Effect::Save(_))).count()
        };
        assert_eq!(saves(Err("it has form 9".into())), 0);
        assert_eq!(saves(Ok(None)), 1);
    }
}
