//! The loop of `tests/bench/cpg/bench.c` through the public interface of cpg-glue: what the glue costs.
//!
//! `glue_bench GROUP COUNT MILLIS SIZE...` prints one JSON line per figure:
//! ```text
//! {"peer":"glue","figure":"rtt","size":S,"p50_us":X,"p99_us":X}     COUNT messages, one at a time
//! {"peer":"glue","figure":"throughput","size":S,"per_s":X}          as many as corosync takes in MILLIS
//! ```
#![allow(clippy::print_stdout)] // its figures are its output

use std::error::Error;
use std::time::{Duration, Instant};

use cpg_glue::{Event, Events, Glue, GroupName, Member, Options, Refused};

/// The end of events before the figures are complete.
#[derive(Debug, thiserror::Error)]
#[error("corosync went away, or the group could not be joined: {0:?}")]
struct Interrupted(Option<Event>);

/// `SEND_BATCH` of the C loop.
const QUEUED: usize = 64;

struct Bench {
    glue: Glue,
    events: Events,
    group: GroupName,
    me: Option<Member>,
}

pub(crate) fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [group, count, millis, sizes @ ..] = args.as_slice() else {
        return Err("usage: glue_bench GROUP COUNT MILLIS SIZE...".into());
    };
    let group = GroupName::new(group)?;
    let (count, span) = (count.parse()?, Duration::from_millis(millis.parse()?));
    let sizes = sizes.iter().map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    cpg_glue::run_on_owner_thread("glue-bench", async move || run(group, count, span, &sizes).await)?
}

async fn run(
    group: GroupName,
    count: usize,
    span: Duration,
    sizes: &[usize],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (glue, events) = Glue::start(Options::default());
    glue.join(&group)?;
    let mut bench = Bench { glue, events, group, me: None };
    bench.wait_for_own_join().await?;
    for &size in sizes {
        bench.round_trips(size, count).await?;
        bench.throughput(size, span).await?;
    }
    bench.glue.close();
    while bench.events.next().await.is_some() {}
    Ok(())
}

impl Bench {
    async fn wait_for_own_join(&mut self) -> Result<(), Interrupted> {
        loop {
            match self.events.next().await {
                Some(Event::Up { nodeid, pid, .. }) => self.me = Some(Member { nodeid, pid }),
                Some(Event::View { members, .. }) if self.me.is_some_and(|me| members.contains(&me)) => {
                    return Ok(());
                }
                Some(Event::Down { .. } | Event::Lost { .. } | Event::GroupRefused { .. }) | None => {
                    return Err(Interrupted(None));
                }
                Some(_) => {}
            }
        }
    }

    /// Waits for one message of our own.
    async fn own_delivery(&mut self) -> Result<(), Interrupted> {
        loop {
            match self.events.next().await {
                Some(Event::Message { from, .. }) if Some(from) == self.me => return Ok(()),
                lost @ (Some(Event::Lost { .. }) | None) => return Err(Interrupted(lost)),
                Some(_) => {}
            }
        }
    }

    /// Waits for a message of our own, and takes what came with it.
    async fn own_deliveries(&mut self) -> Result<u64, Interrupted> {
        self.own_delivery().await?;
        let mut count = 1;
        while let Some(event) = self.events.try_next() {
            count += u64::from(matches!(&event, Event::Message { from, .. } if Some(*from) == self.me));
        }
        Ok(count)
    }

    async fn round_trips(&mut self, size: usize, count: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let message = vec![0; size];
            let start = Instant::now();
            self.glue.multicast(&self.group, message)?;
            self.own_delivery().await?;
            took.push(start.elapsed());
        }
        took.sort_unstable();
        let us = |at: usize| took[at].as_secs_f64() * 1e6;
        println!(
            r#"{{"peer":"glue","figure":"rtt","size":{size},"p50_us":{:.1},"p99_us":{:.1}}}"#,
            us(count / 2),
            us(count * 99 / 100)
        );
        Ok(())
    }

    async fn throughput(&mut self, size: usize, span: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (mut sent, mut returned) = (0_u64, 0_u64);
        let start = Instant::now();
        while start.elapsed() < span {
            sent += self.fill(size)?;
            returned += self.own_deliveries().await?;
        }
        while returned < sent {
            returned += self.own_deliveries().await?;
        }
        let per_s = sent as f64 / start.elapsed().as_secs_f64();
        println!(r#"{{"peer":"glue","figure":"throughput","size":{size},"per_s":{per_s:.0}}}"#);
        Ok(())
    }

    /// Keeps as many messages queued as the C loop offers in one turn.
    fn fill(&self, size: usize) -> Result<u64, Refused> {
        let room = QUEUED.saturating_sub(self.glue.waiting(&self.group));
        for _ in 0..room {
            self.glue.multicast(&self.group, vec![0; size])?;
        }
        Ok(room as u64)
    }
}
