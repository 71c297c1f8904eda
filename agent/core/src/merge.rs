//! The Hellos of one view → what all its members hold in common. Pure, and the same on every member.
//!
//! Who was what before does not matter, only what each says of itself: the newest table wins (a side
//! without quorum cannot have made one), everybody whose kernel is local takes part, and everybody else is
//! judged. Verdicts are therefore the same everywhere (rules T4, S7).

use crate::ids::{Member, NodeId};
use crate::refusal::Refusal;
use crate::table::{Agreed, Standing, clash};
use proto::handshake::{self, Blocks};
use proto::peer::{Entry, Hello, Identity, Live, RingId, Table, Version};
use std::collections::{BTreeMap, BTreeSet};

/// Computes the common state.
#[must_use]
pub fn merge(hellos: BTreeMap<Member, Hello>, ring_nodes: &BTreeSet<NodeId>) -> Agreed {
    let established: BTreeSet<Member> = established(&hellos);
    let mut table = newest_table(&hellos);
    table.entries.retain(|_, entry| !is_outdated(entry, &hellos, &established));
    let (standing, mut troubles) = judge(&hellos, &established, &table);
    troubles.extend(cut_off(&hellos, &established));
    let by_number = |entries: &[Entry]| entries.iter().map(|e| (e.number, e.clone())).collect();
    Agreed {
        held: established.iter().map(|member| (*member, by_number(&hellos[member].held))).collect(),
        absent: absent(&hellos, ring_nodes),
        quorate: hellos.values().all(|hello| hello.quorate || planted!(QuorumIsNotAsked)),
        standing,
        troubles,
        table,
        hellos,
        refused: BTreeMap::new(),
        misaligned: BTreeMap::new(),
        kept: BTreeMap::new(),
        proposals: BTreeMap::new(),
        step: None,
    }
}

/// The table before the first: nobody has agreed on anything.
#[must_use]
pub fn no_table() -> Table {
    Table { version: Version { step: 0, ring: RingId { nodeid: 0, seq: 0 } }, entries: BTreeMap::new() }
}

/// The ring decides, then the step: nodes that lost their memory in a restart count steps from the beginning, but
/// corosync's ring sequence never goes back, and only rings with quorum make tables.
fn newest_table(hellos: &BTreeMap<Member, Hello>) -> Table {
    let tables = hellos.values().filter_map(|hello| hello.table.as_ref());
    if planted!(OldestTableWins) {
        return tables.min_by_key(|table| table.version).cloned().unwrap_or_else(no_table);
    }
    tables.max_by_key(|table| table.version).cloned().unwrap_or_else(no_table)
}

/// A node that is in is what its own kernel says, whatever those agreed on who had not heard of it: the entry it goes
/// by is installed anew.
fn is_outdated(entry: &Entry, hellos: &BTreeMap<Member, Hello>, established: &BTreeSet<Member>) -> bool {
    let owner = established.iter().find(|member| member.nodeid == entry.nodeid);
    owner.is_some_and(|owner| !hellos[owner].held.contains(entry) && !planted!(TableBeforeKernel))
}

/// Whose kernel has its own entry, local, from an earlier agreement.
fn established(hellos: &BTreeMap<Member, Hello>) -> BTreeSet<Member> {
    let is = |(member, hello): (&Member, &Hello)| {
        let own = hello.held.iter().any(|entry| entry.nodeid == member.nodeid);
        ((hello.local || planted!(WhoHasAnEntryIsIn)) && hello.table.is_some() && own && !hello.incomplete)
            .then_some(*member)
    };
    let mut nodes = BTreeSet::new();
    hellos.iter().filter_map(is).filter(|member| nodes.insert(member.nodeid) || planted!(TwoAgentsAreIn)).collect()
}

type Judgement = (BTreeMap<Member, Standing>, Vec<(Member, Refusal)>);

fn judge(hellos: &BTreeMap<Member, Hello>, established: &BTreeSet<Member>, table: &Table) -> Judgement {
    let reference = reference(hellos, established);
    let mut standing = BTreeMap::new();
    let mut troubles = Vec::new();
    let mut accepted: Vec<&Entry> = table.entries.values().collect();
    accepted.extend(established.iter().flat_map(|member| &hellos[member].held));
    for (member, hello) in hellos {
        let refusal = second_agent(*member, hellos, established)
            .or_else(|| unfit(hello))
            .or_else(|| mismatch(hello, reference))
            .or_else(|| changed(*member, hello))
            .or_else(|| match &hello.identity {
                Identity::Entry(entry) => taken(entry, accepted.iter().copied()),
                Identity::Unfit(_) => None,
            });
        if established.contains(member) {
            troubles.extend(refusal.map(|refusal| (*member, refusal)));
            standing.insert(*member, Standing::Established);
        } else if let Some(refusal) = refusal {
            standing.insert(*member, Standing::Refused(refusal));
        } else {
            standing.insert(*member, Standing::Joining);
            if let Identity::Entry(entry) = &hello.identity {
                accepted.push(entry);
            }
        }
    }
    (standing, troubles)
}

/// Whose values the others are compared with: those that most established members have (or most members,
/// where a cluster is being founded); of equally many, the lowest member's.
fn reference<'a>(hellos: &'a BTreeMap<Member, Hello>, established: &BTreeSet<Member>) -> Option<&'a Hello> {
    let asked = |member: &Member| established.is_empty() || established.contains(member);
    let candidates: Vec<&Hello> = hellos.iter().filter(|(member, _)| asked(member)).map(|(_, hello)| hello).collect();
    let agreeing = |hello: &Hello| candidates.iter().filter(|other| mismatch(other, Some(hello)).is_none()).count();
    candidates.iter().rev().max_by_key(|hello| agreeing(hello)).copied()
}

fn second_agent(member: Member, hellos: &BTreeMap<Member, Hello>, established: &BTreeSet<Member>) -> Option<Refusal> {
    let of_node = |other: &&Member| other.nodeid == member.nodeid;
    let first = established.iter().find(of_node).or_else(|| hellos.keys().find(of_node))?;
    (*first != member && !planted!(TwoAgentsAreIn))
        .then_some(Refusal::SecondAgent { pid: member.pid, first: first.pid })
}

fn unfit(hello: &Hello) -> Option<Refusal> {
    match &hello.identity {
        Identity::Unfit(text) => Some(Refusal::SaysUnfit(text.clone())),
        Identity::Entry(_) if hello.incomplete => Some(Refusal::Unreadable("see the journal on that node".into())),
        Identity::Entry(_) => None,
    }
}

fn mismatch(hello: &Hello, reference: Option<&Hello>) -> Option<Refusal> {
    let reference = reference?;
    if reference.handshake == hello.handshake || planted!(TimeOutsMayDiffer) {
        return None;
    }
    let parse = |hello: &Hello| Blocks::parse(&hello.handshake).map_err(|err| Refusal::Handshake(err.to_string()));
    let (ours, theirs) = match (parse(reference), parse(hello)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (_, Err(refusal)) | (Err(refusal), _) => return Some(refusal),
    };
    let first = handshake::compare(&ours, &theirs).into_iter().next()?;
    Some(Refusal::Mismatch { block: first.block, ours: first.ours, theirs: first.theirs })
}

/// Whether an established node is now configured with another entry than the one it goes by.
fn changed(member: Member, hello: &Hello) -> Option<Refusal> {
    let Identity::Entry(wanted) = &hello.identity else { return None };
    let held = hello.held.iter().find(|held| hello.local && held.nodeid == member.nodeid && *held != wanted)?;
    Some(Refusal::IdentityChanged { held: text(held), wanted: text(wanted) })
}

fn text(entry: &Entry) -> String {
    format!("{} {} {}:{}", entry.number, entry.name, entry.address, entry.port)
}

/// Whether another node has this entry's name, number or address.
pub(crate) fn taken<'a>(entry: &Entry, accepted: impl IntoIterator<Item = &'a Entry>) -> Option<Refusal> {
    let other = accepted.into_iter().find(|other| other.nodeid != entry.nodeid && clash(other, entry))?;
    let (field, value) = if other.number == entry.number {
        ("o2cb number", entry.number.to_string())
    } else if other.name == entry.name {
        ("name", entry.name.clone())
    } else {
        ("address", entry.address.to_string())
    };
    Some(Refusal::Taken { field: field.into(), value, by: NodeId(other.nodeid) })
}

/// Members that were without quorum and had volumes mounted while others, quorate, had too (rule M5).
fn cut_off(hellos: &BTreeMap<Member, Hello>, established: &BTreeSet<Member>) -> Vec<(Member, Refusal)> {
    let live = || established.iter().map(|member| (member, &hellos[member])).filter(|(_, hello)| hello.live.is_live());
    let went_on = |ring: RingId| {
        let quorate_elsewhere = |hello: &Hello| hello.previous.is_some_and(|p| p.quorate && p.ring != ring);
        live().any(|(_, hello)| quorate_elsewhere(hello))
    };
    let was_cut_off = |hello: &Hello| {
        hello.cut_off || hello.previous.is_some_and(|previous| !previous.quorate && went_on(previous.ring))
    };
    let trouble = |hello: &Hello| Refusal::LiveWithoutQuorum { mounts: hello.live.mounts };
    live().filter(|(_, hello)| was_cut_off(hello)).map(|(member, hello)| (*member, trouble(hello))).collect()
}

/// Nodes of the ring whose agent went without leaving and has not come back.
fn absent(hellos: &BTreeMap<Member, Hello>, ring_nodes: &BTreeSet<NodeId>) -> BTreeMap<NodeId, Live> {
    let present: BTreeSet<u32> = hellos.keys().map(|member| member.nodeid).collect();
    let mut absent: BTreeMap<NodeId, Live> = BTreeMap::new();
    for known in hellos.values().flat_map(|hello| &hello.absent) {
        let node = NodeId(known.nodeid);
        if ring_nodes.contains(&node) && !present.contains(&known.nodeid) && !planted!(AbsentIsNotShared) {
            let live = absent.entry(node).or_default();
            live.mounts = live.mounts.max(known.live.mounts);
            live.regions = live.regions.max(known.live.regions);
        }
    }
    absent
}
