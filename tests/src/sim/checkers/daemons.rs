//! Sentences about one daemon: its clients, its end, its restart, and what it says of itself.

use super::{LOOK_TIME, Ledger, NEWS_TIME, Outcome, Seen};
use crate::sim::agenda::MS;
use agent_core::notice::Notice;
use agent_core::step::StepKind;
use agent_core::table::Standing;
use agent_core::wait::Wait;
use agent_core::{Effect, Event};
use configfs::{Op, Tree};
use proto::control::api::response::Answer;
use std::collections::BTreeSet;

/// Timers of one daemon that may ring in one second, also those that were given up; and messages that it may say. With two dozen
/// faults in a second these are 51 (seed 90287, brief).
const IN_ONE_SECOND_MAX: usize = 100;

/// S14, P2: neither its own end nor corosync's while the volume is mounted.
pub(super) fn a_pinned_daemon_stays(_ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    use agent_core::effect::ShutdownVerdict::Yes;
    let Some(host) = seen.cluster.hosts.get(&seen.node).filter(|host| host.kernel.is_mounted()) else { return Ok(()) };
    let ends = |effect: &&Effect| matches!(effect, Effect::Exit(_) | Effect::LeaveGroup | Effect::AnswerShutdown(Yes));
    match seen.record.effects.iter().find(ends) {
        Some(effect) if host.mounted_since + LOOK_TIME < seen.cluster.now() => {
            Err(format!("n{}: {effect:?} with the volume mounted", seen.node))
        }
        Some(_) | None => Ok(()),
    }
}

/// S18. That none is left open is checked at the end.
pub(super) fn every_request_is_answered_once(ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    if let Event::Asked(client, _) = &seen.record.event {
        ledger.asked.insert(client.0);
    }
    if let Event::ClientGone(client) = &seen.record.event {
        ledger.gone.insert(client.0);
    }
    for effect in &seen.record.effects {
        let Effect::Reply(client, _) = effect else { continue };
        if !ledger.asked.contains(&client.0) || !ledger.answered.insert(client.0) {
            return Err(format!("n{}: a second answer, or one that nobody asked for: {effect:?}", seen.node));
        }
    }
    Ok(())
}

/// S18.
pub(super) fn nobody_is_answered_after_it_has_gone(ledger: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match replies(seen).find(|(client, _)| ledger.gone.contains(client)) {
        Some((client, _)) => Err(format!("n{}: client {client}", seen.node)),
        None => Ok(()),
    }
}

fn replies<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = (u64, &'a Answer)> {
    seen.record.effects.iter().filter_map(|effect| match effect {
        Effect::Reply(client, response) => Some((client.0, response.answer.as_ref()?)),
        _ => None,
    })
}

/// What clients that waited for it were told.
fn said<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a str> {
    replies(seen).filter_map(|(_, answer)| match answer {
        Answer::Done(done) => Some(done.text.as_str()),
        _ => None,
    })
}

/// S19.
pub(super) fn settled_is_said_only_of_a_quiet_agent(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match said(seen).find(|text| *text == "settled") {
        Some(_) if !seen.agent.is_quiet() => Err(format!("n{}: {:?}", seen.node, seen.agent.waits())),
        Some(_) | None => Ok(()),
    }
}

/// S19: unless it has died since and its corosync has not been missed yet, or another program has taken the entry out:
/// the others learn that by its next Hello.
pub(super) fn a_node_is_said_to_be_ready_only_when_it_is(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    for name in said(seen).filter_map(|text| text.strip_suffix(" is ready")) {
        let host = seen.cluster.hosts.values().find(|host| crate::sim::cluster::name(host.node) == name);
        let Some(host) = host.filter(|host| host.powered && !host.is_meddled) else { continue };
        let ring = seen.cluster.corosync.ring_of(host.node).map(|(ring, _)| ring);
        if ring == seen.told.ring && host.kernel.tree().is_ok() && host.kernel.local().is_none() {
            return Err(format!("n{} says it of {name}", seen.node));
        }
    }
    Ok(())
}

/// S19.
pub(super) fn can_stop_says_what_the_kernel_was_seen_to_hold(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let yes = replies(seen).any(|(_, answer)| matches!(answer, Answer::CanStop(can) if can.yes));
    if yes && seen.told.mounted { Err(format!("n{} says yes with the volume mounted", seen.node)) } else { Ok(()) }
}

/// S10: who is in stays in, mounted or not.
pub(super) fn no_member_loses_its_entry(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let (Some(agreed), Some(StepKind::Erase { entry })) = (seen.agent.agreed(), seen.step()) else { return Ok(()) };
    let of_entry = |node: &&configfs::Node| node.num.as_u8() == entry.number;
    let mut in_ = agreed.standing.iter().filter(|(_, standing)| **standing == Standing::Established);
    match seen.ops().filter_map(super::removed).find(of_entry) {
        Some(node) if in_.any(|(member, _)| member.nodeid == entry.nodeid) => Err(format!("n{}: {node}", seen.node)),
        Some(_) | None => Ok(()),
    }
}

/// S10, T3: the step before is the vote on that very entry, and nobody had pinned it here when this node answered.
pub(super) fn an_entry_is_erased_only_after_a_vote_that_nothing_held_up(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let begins = seen.notices().any(|notice| matches!(notice, Notice::Step { .. }));
    let Some(StepKind::Erase { entry }) = seen.step().filter(|_| begins) else { return Ok(()) };
    match &seen.told.voted {
        Some((name, decided)) if *name == entry.name && *decided != Some(true) => Ok(()),
        voted => Err(format!("n{} erases {}, the vote was {voted:?}", seen.node, entry.name)),
    }
}

/// S9, R2: a node in the ring whose agent is gone and that had volumes mounted when it was last heard.
pub(super) fn changes_wait_for_kernels_whose_agent_is_gone(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let begins = seen.notices().any(|notice| matches!(notice, Notice::Step { .. }));
    let Some(StepKind::Install { add }) = seen.step().filter(|_| begins) else { return Ok(()) };
    let held = |entry| {
        seen.agent.agreed().is_some_and(|it| it.held.values().flat_map(|held| held.values()).any(|e| e == entry))
    };
    if add.iter().all(held) {
        return Ok(());
    }
    for (node, live) in &seen.told.lives {
        let mounted = seen
            .cluster
            .hosts
            .get(&node.0)
            .filter(|host| !host.needs_restart) // without its state file it could not tell
            .is_some_and(|host| host.kernel.is_mounted() && host.mounted_since + NEWS_TIME < seen.cluster.now());
        if mounted && live.is_live() && seen.told.is_absent(*node) {
            return Err(format!("n{} begins {:?} without n{node}", seen.node, seen.step()));
        }
    }
    Ok(())
}

/// S11, T4: peers compare them when they connect.
pub(super) fn whoever_is_let_in_has_the_time_outs_of_the_others(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let (true, Some(agreed)) = (seen.notices().any(|notice| *notice == Notice::Ready), seen.agent.agreed()) else {
        return Ok(());
    };
    let tree = |node: u32| -> Option<&Tree> { seen.cluster.hosts.get(&node)?.kernel.tree().ok().flatten() };
    let Some(own) = tree(seen.node) else { return Ok(()) };
    let others = agreed.standing.iter().filter(|(_, standing)| **standing == Standing::Established);
    let differs = |node: &u32| {
        let local = |tree: &&Tree| tree.local().is_some();
        tree(*node).filter(local).is_some_and(|tree| tree.attributes.dead_threshold != own.attributes.dead_threshold)
    };
    let others: BTreeSet<u32> = others.map(|(member, _)| member.nodeid).filter(differs).collect();
    // Members may differ among each other: the settings of one that is in are changed under it.
    let all = agreed.established().len() - 1;
    if all > 0 && others.len() == all { Err(format!("n{} differs from {others:?}", seen.node)) } else { Ok(()) }
}

/// S26, M6.
pub(super) fn whoever_slept_does_nothing_before_it_has_heard_itself(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    match seen.ops().find(|_| seen.told.slept) {
        Some(op) => Err(format!("n{}: {op}", seen.node)),
        None => Ok(()),
    }
}

/// S26, M6: whom it misses may have come back while it heard nothing.
pub(super) fn nobody_is_ended_on_old_news(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let ends = |effect: &&Effect| matches!(effect, Effect::KillNode(..));
    match seen.record.effects.iter().find(ends) {
        Some(effect) if seen.told.slept || seen.told.quiet => Err(format!("n{}: {effect:?}", seen.node)),
        Some(_) | None => Ok(()),
    }
}

/// L3, M6: twice the time after which corosync itself reports a broken ring.
pub(super) fn whoever_hears_nothing_of_its_own_says_so(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let config = seen.cluster.config();
    let limit = 2 * u64::from(config.token_ms + config.consensus_ms) * MS;
    let resumed = seen.cluster.hosts.get(&seen.node).map_or(0, |host| host.resumed_at);
    let silent = seen.told.unheard > 0 && seen.told.unheard_since.max(resumed) + limit < seen.cluster.now();
    if !silent || seen.agent.waits().iter().any(|standing| standing.wait == Wait::Deaf) {
        return Ok(());
    }
    Err(format!("n{} since {} ms", seen.node, (seen.cluster.now() - seen.told.unheard_since) / MS))
}

/// S25.
pub(super) fn every_change_has_a_later_version(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let changed = |notice: &Notice| match notice {
        Notice::Table { change, .. } => change.starts_with("added") || change.starts_with("removed"),
        _ => false,
    };
    let now = seen.agent.table().map(|table| table.version);
    let before = seen.told.version;
    if now < before || seen.notices().any(changed) && now <= before {
        return Err(format!("n{}: {before:?}, then {now:?}", seen.node));
    }
    Ok(())
}

/// S15, S17: after a crash at any moment the kernel holds nothing of ours that the state file does not name.
pub(super) fn what_is_to_be_written_is_saved_first(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    if seen.batches().next().is_none() {
        return Ok(());
    }
    let mut saved: BTreeSet<&str> = seen.told.saved.iter().map(String::as_str).collect();
    for effect in &seen.record.effects {
        match effect {
            Effect::Save(file) => saved = file.written.iter().map(|entry| entry.name.as_str()).collect(),
            Effect::Kernel(_, ops) => {
                let made = ops.iter().filter_map(|op| match op {
                    Op::MakeNode { node, .. } => Some(node.as_str()),
                    _ => None,
                });
                if let Some(name) = made.into_iter().find(|name| !saved.contains(name)) {
                    return Err(format!("n{} makes {name}", seen.node));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// S15, L4.
pub(super) fn what_a_daemon_has_written_stays_its_own_over_a_restart(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let Event::Started(started) = &seen.record.event else { return Ok(()) };
    let (Ok(Some(saved)), Some(Ok(Some(tree)))) = (&started.saved, &started.kernel.tree) else { return Ok(()) };
    let ours = |node: &configfs::Node| saved.written.iter().any(|entry| super::is_at(entry, node));
    let foreign = seen.notices().find_map(|notice| match notice {
        Notice::Verdict { verdict, thing, .. } if verdict == "foreign" => Some(thing),
        _ => None,
    });
    let own = tree.nodes.values().filter(|node| saved.boot_id == started.boot_id && ours(node)).count();
    let adopted = seen.notices().filter(|notice| {
        matches!(notice, Notice::Verdict { verdict, thing, .. } if verdict == "adopted" && thing.starts_with("node"))
    });
    if own > adopted.count() {
        return Err(format!("n{}: {own} entries are ours, foreign is {foreign:?}", seen.node));
    }
    let proposer = seen.agent.table().is_none() && saved.table.is_some() && own > 0;
    if proposer { Err(format!("n{} forgets the table", seen.node)) } else { Ok(()) }
}

/// L6.
pub(super) fn nobody_spins(_: &mut Ledger, seen: &Seen<'_>) -> Outcome {
    let now = seen.cluster.now();
    let (rings, said) = (seen.told.rung.within(now), seen.told.said.within(now));
    let spins = rings.max(said) > IN_ONE_SECOND_MAX;
    if spins { Err(format!("n{}: {rings} timers, {said} messages in one second", seen.node)) } else { Ok(()) }
}
