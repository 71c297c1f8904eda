//! Which groups stand still, since when, and when that is worth a person's time.
//!
//! The machine says what a group waits for; time comes in here. It is looked at once a second while anything waits, and
//! whenever somebody asks, so a wait is dated to the second, and nothing wakes up while all groups rest.
//!
//! Who is told: the log and the journal, once when a wait is longer than [`LONG_MS`] and once when it is over; o2cpgd's core,
//! for `o2cpg status`; and whoever asks for a `dump`, in lines behind the journal's ([`WaitLine`]).

use super::wait_text::{Told, told};
use agent_core::ids::Tick;
use agent_core::legacy::LegacyWait;
use groupd_compat::ids::{ClientId, EventNr, NodeId};
use groupd_compat::machine::{Machine, Standstill, Wait};
use groupd_compat::names::GroupKey;
use proto::control::api;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::time::Duration;

/// A group that waits longer is told: corosync's default token and consensus, a fence of some seconds and a client that is
/// slow fit in.
pub(crate) const LONG_MS: u64 = 10_000;
/// Between two looks, while anything may wait.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Groups that one look names in the log, and that `o2cpg status` shows. Without quorum all groups wait for the same.
const NAMED_MAX: usize = 16;
/// Stands between a group and what it waits for, in the lines of a dump.
const MARK: &str = " waits ";

/// The groups that stood still at the last look.
#[derive(Debug)]
pub(super) struct Waits {
    me: NodeId,
    standing: BTreeMap<GroupKey, Standing>,
}

#[derive(Debug)]
struct Standing {
    wait: Wait,
    change: Option<EventNr>,
    since: Tick,
    told: Told,
}

/// What a look has found, for the log.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// It has waited longer than [`LONG_MS`].
    Long { group: GroupKey, what: String, fix: String },
    /// It does not wait for that any more.
    GoesOn { group: GroupKey, after_ms: u64 },
    /// So many groups more than are named.
    More { long: usize, go_on: usize },
}

/// A wait as a dump shows it: `UNIXTIME LEVEL:NAME waits JSON`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WaitLine {
    /// `LEVEL:NAME`.
    pub(crate) group: String,
    #[serde(flatten)]
    pub(crate) told: Told,
    /// How long.
    pub(crate) since_ms: u64,
}

impl Waits {
    pub(super) fn new(me: NodeId) -> Waits {
        Waits { me, standing: BTreeMap::new() }
    }

    /// Compares what waits now with what waited at the last look.
    pub(super) fn look(&mut self, machine: &Machine, pid: impl Fn(ClientId) -> Option<i32>, now: Tick) -> Vec<News> {
        let mut before = std::mem::take(&mut self.standing);
        let (mut long, mut over) = (Vec::new(), Vec::new());
        for standstill in machine.standstills() {
            let told = told(&standstill, self.me, &pid);
            let Standstill { key, wait, change, .. } = standstill;
            let known = before.remove(key).filter(|known| {
                let goes_on = known.is(&wait, change);
                over.extend((!goes_on).then(|| known.ended(key, now)).flatten());
                goes_on
            });
            let (since, was_long) = known.map_or((now, false), |known| (known.since, known.told.is_long));
            let told = Told { is_long: now.since(since) >= LONG_MS, ..told };
            if told.is_long && !was_long {
                long.push(News::Long { group: key.clone(), what: told.what.clone(), fix: told.fix.clone() });
            }
            self.standing.insert(key.clone(), Standing { wait, change, since, told });
        }
        over.extend(before.iter().filter_map(|(key, known)| known.ended(key, now)));
        named(long, over)
    }

    /// Does anything wait? If not, no look is needed until something happens.
    pub(super) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// The waits that are worth a person's time, oldest first.
    pub(super) fn long(&self) -> Vec<LegacyWait> {
        let mut long: Vec<_> = self.standing.iter().filter(|(_, standing)| standing.told.is_long).collect();
        long.sort_by_key(|(_, standing)| standing.since);
        let more = long.len().saturating_sub(NAMED_MAX);
        let since = long.first().map_or(Tick(0), |(_, standing)| standing.since);
        let named = long.into_iter().take(NAMED_MAX).map(|(key, standing)| standing.for_core(key));
        let rest = (more > 0).then(|| LegacyWait {
            group: String::new(),
            text: format!("{more} legacy groups more"),
            nodes: Vec::new(),
            since,
            fix: "o2cpg groups --legacy lists them".into(),
        });
        named.chain(rest).collect()
    }

    /// The lines for a dump, at this moment of the clock on the wall.
    pub(super) fn lines(&self, unix_s: u64, now: Tick) -> String {
        let line = |(key, standing): (&GroupKey, &Standing)| {
            let line =
                WaitLine { group: key.to_string(), told: standing.told.clone(), since_ms: now.since(standing.since) };
            line.encode(unix_s)
        };
        self.standing.iter().map(line).collect()
    }
}

impl Standing {
    /// Whether it is this wait still: its nodes may get fewer, or it may be looked at with other eyes.
    fn is(&self, wait: &Wait, change: Option<EventNr>) -> bool {
        self.change == change && discriminant(&self.wait) == discriminant(wait)
    }

    fn ended(&self, key: &GroupKey, now: Tick) -> Option<News> {
        self.told.is_long.then(|| News::GoesOn { group: key.clone(), after_ms: now.since(self.since) })
    }

    fn for_core(&self, key: &GroupKey) -> LegacyWait {
        LegacyWait {
            group: key.to_string(),
            text: format!("legacy group {key}: {}", self.told.what),
            nodes: self.told.nodes.clone(),
            since: self.since,
            fix: self.told.fix.clone(),
        }
    }
}

/// At most [`NAMED_MAX`] of each, and how many there are besides.
fn named(mut long: Vec<News>, mut over: Vec<News>) -> Vec<News> {
    let more = |list: &[News]| list.len().saturating_sub(NAMED_MAX);
    let (more_long, more_over) = (more(&long), more(&over));
    over.truncate(NAMED_MAX);
    long.truncate(NAMED_MAX);
    over.append(&mut long);
    if more_long + more_over > 0 {
        over.push(News::More { long: more_long, go_on: more_over });
    }
    over
}

impl WaitLine {
    /// As a screen shows it.
    pub(crate) fn api(&self) -> api::Wait {
        api::Wait {
            kind: self.told.kind.clone(),
            text: format!("{}: {}", self.group, self.told.what),
            nodes: self.told.nodes.clone(),
            since_ms: self.since_ms,
            fix: self.told.fix.clone(),
        }
    }

    fn encode(&self, unix_s: u64) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{unix_s} {}{MARK}{json}\n", self.group)
    }

    /// The waits of a dump: they are its last lines. None of an original's.
    pub(crate) fn of_dump(dump: &str) -> Vec<WaitLine> {
        let mut lines: Vec<WaitLine> = dump.lines().rev().map_while(WaitLine::decode).collect();
        lines.reverse();
        lines
    }

    /// A group's name may hold anything, so the two places that have it must agree.
    fn decode(line: &str) -> Option<WaitLine> {
        let (_, text) = line.split_once(' ')?;
        text.match_indices(MARK).find_map(|(at, _)| {
            let found: WaitLine = serde_json::from_str(&text[at + MARK.len()..]).ok()?;
            (found.group == text[..at]).then_some(found)
        })
    }
}

#[cfg(test)]
mod tests;
