//! What must have been done to the nodes, concluded from what their daemons were told: commands of a golden story.
//!
//! A ring that shrinks is a partition or a death: a node with a recording of its own says which. One that has none is taken to
//! be cut off. Cuts that are not the same for all (one-way, non-transitive) come out as the partitions that corosync made of them.

use super::story::Heard;
use agent_core::Event;
use agent_core::effect::Effect;
use agent_core::event::Started;
use agent_core::policy::{Forget, Policy};
use proto::control::Ask;
use std::collections::{BTreeMap, BTreeSet};

/// A command, and when, in milliseconds of the first recording's clock.
pub type Deed = (i64, String);

/// Rings that change within this time are one change of the network.
const TOGETHER_MS: i64 = 400;

/// The commands, in order. `heard`: what each node's daemon was told, by time.
#[must_use]
pub fn concluded(heard: &BTreeMap<u32, Vec<Heard>>) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = heard.iter().flat_map(|(node, heard)| of_node(*node, heard)).collect();
    deeds.extend(of_network(heard));
    deeds.sort();
    deeds
}

fn of_node(node: u32, heard: &[Heard]) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let (mut connected, mut mounted, mut last, mut policy) = (true, None, None, None);
    for one in heard {
        let at = one.at_ms;
        let mut deed = |at: i64, text: &str| {
            // `config` has its node before the settings.
            let (verb, rest) =
                text.split_once(' ').map_or((text, String::new()), |(verb, rest)| (verb, format!(" {rest}")));
            deeds.push((at, format!("{verb} {node}{rest}")));
        };
        match &one.record.event {
            Event::Started(started) => {
                let now = settings(&started.policy);
                if policy.as_ref().is_some_and(|before| *before != now) {
                    deed(at - 1, &format!("config {now}"));
                }
                policy = Some(now);
                mounted = Some(started.kernel.mounts.as_ref().is_some_and(|mounts| !mounts.is_empty()));
                if let Some((ended, asked)) = last {
                    restarted(started, ended, asked, at, &mut deed);
                }
            }
            Event::CorosyncLost { .. } => {
                deed(at, "crash-corosync");
                connected = false;
            }
            Event::CorosyncUp(_) if !connected => {
                deed(at, "start-corosync");
                connected = true;
            }
            Event::Slept { ms } => {
                deed(at - i64::try_from(*ms).unwrap_or(0), "pause");
                deed(at, "resume");
            }
            Event::ShutdownAsked => deed(at, "ask-shutdown"),
            Event::StopAsked { .. } => deed(at, "stop-daemon"),
            Event::Asked(_, ask) => deeds.extend(asked(ask).map(|words| (at, format!("ask {node} {words}")))),
            Event::KernelSeen(view) => {
                let now = view.mounts.as_ref().map(|mounts| !mounts.is_empty());
                if now.is_some() && now != mounted {
                    if mounted.is_some() || now == Some(true) {
                        deed(at, if now == Some(true) { "mount" } else { "umount" });
                    }
                    mounted = now;
                }
            }
            _ => {}
        }
        last = Some((at, one.record.effects.iter().any(|effect| matches!(effect, Effect::Exit(_)))));
    }
    deeds
}

/// The settings that a story can have, as words of `config`.
#[must_use]
pub fn settings(policy: &Policy) -> String {
    let Policy { attributes, restart_grace_ms, forget, .. } = policy;
    format!(
        "dead_threshold={} idle_timeout_ms={} restart_grace_ms={restart_grace_ms} forget={}",
        attributes.dead_threshold,
        attributes.idle_timeout_ms,
        if *forget == Forget::Gone { "gone" } else { "unconfigured" }
    )
}

/// The life before ended after its last event: with the machine, of itself, or in the middle.
fn restarted(started: &Started, ended: i64, asked: bool, at: i64, deed: &mut impl FnMut(i64, &str)) {
    let is_new_boot = matches!(started.saved, Ok(None)) && matches!(started.kernel.tree, None | Some(Ok(None)));
    match (is_new_boot, asked) {
        (true, _) => deed(ended + 1, "kill"),
        (false, false) => deed(ended + 1, "crash-daemon"),
        (false, true) => {}
    }
    deed(at, if is_new_boot { "boot" } else { "start-daemon" });
}

/// Questions that change something.
fn asked(ask: &Ask) -> Option<String> {
    let of = |verb: &str, text: &str, node: &Option<String>| {
        let node = node.as_ref().map(|node| format!(" {node}")).unwrap_or_default();
        Some(format!("{verb} {}{node}", text.replace(' ', "-")))
    };
    match ask {
        Ask::Pin { text, node } => of("pin", text, node),
        Ask::Unpin { text, node } => of("unpin", text, node),
        Ask::Forget { node } => Some(format!("forget {node}")),
        Ask::AckDead { node, .. } => Some(format!("ack-dead {node}")),
        _ => None,
    }
}

/// Partitions and their ends, from the rings that the nodes were told.
fn of_network(heard: &BTreeMap<u32, Vec<Heard>>) -> Vec<Deed> {
    let mut rings: Vec<(i64, u32, BTreeSet<u32>)> = Vec::new();
    for (node, heard) in heard {
        for one in heard {
            if let Event::RingChanged { nodes, .. } = &one.record.event {
                rings.push((one.at_ms, *node, nodes.iter().map(|node| node.0).collect()));
            }
        }
    }
    rings.sort();
    let everybody: BTreeSet<u32> = rings.iter().flat_map(|(_, _, nodes)| nodes.iter().copied()).collect();
    let (mut of, mut sides, mut deeds) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (index, (at, node, nodes)) in rings.iter().enumerate() {
        of.insert(*node, nodes.clone());
        let more = rings.get(index + 1).is_some_and(|(next, ..)| next - at < TOGETHER_MS);
        let now = split(&everybody, &of);
        if more || now == sides || (sides.is_empty() && now.len() == 1) {
            continue;
        }
        let text = |side: &BTreeSet<u32>| side.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let command = match now.len() {
            1 => "heal".to_owned(),
            _ => format!("partition {}", now.iter().map(text).collect::<Vec<_>>().join(" ")),
        };
        deeds.push((*at, command));
        sides = now;
    }
    deeds
}

/// The sides that these rings make of all nodes: those a node hears are on its side.
fn split(everybody: &BTreeSet<u32>, of: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<BTreeSet<u32>> {
    let mut sides: Vec<BTreeSet<u32>> = Vec::new();
    for node in everybody {
        let own = of.get(node).cloned().unwrap_or_default();
        let with = sides.iter_mut().find(|side| {
            let hears_it = |other: &u32| of.get(other).is_some_and(|nodes| nodes.contains(node));
            side.iter().any(|other| own.contains(other) || (!of.contains_key(node) && hears_it(other)))
        });
        match with {
            Some(side) => _ = side.insert(*node),
            None => sides.push(BTreeSet::from([*node])),
        }
    }
    sides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u32]) -> BTreeSet<u32> {
        nodes.iter().copied().collect()
    }

    #[test]
    fn nodes_that_hear_each_other_are_one_side() {
        let of = BTreeMap::from([(1, set(&[1, 2])), (2, set(&[1, 2])), (3, set(&[3]))]);
        assert_eq!(split(&set(&[1, 2, 3]), &of), [set(&[1, 2]), set(&[3])]);
    }

    #[test]
    fn a_node_without_a_recording_is_where_it_is_heard() {
        let of = BTreeMap::from([(1, set(&[1, 3])), (2, set(&[2]))]);
        assert_eq!(split(&set(&[1, 2, 3]), &of), [set(&[1, 3]), set(&[2])]);
    }
}
