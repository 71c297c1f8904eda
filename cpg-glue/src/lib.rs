//! corosync behind one owner thread: typed, owned values out; bounded, non-blocking commands in.
//!
//! ```no_run
//! use cpg_glue::{Event, Glue, GroupName, Options, run_on_owner_thread};
//!
//! # fn main() -> Result<(), cpg_glue::Error> {
//! run_on_owner_thread("o2cpgd", async || {
//!     let (glue, mut events) = Glue::start(Options::default());
//!     let group = GroupName::new("o2cpg").expect("a valid name");
//!     glue.join(&group).expect("the first group");
//!     while let Some(event) = events.next().await {
//!         match event {
//!             Event::View { members, .. } if members.len() > 1 => drop(glue.multicast(&group, b"hello".to_vec())),
//!             Event::Message { from, bytes, .. } => tracing::info!(%from, len = bytes.len(), "delivered"),
//!             _ => {}
//!         }
//!     }
//! })
//! # }
//! ```
//!
//! # How it is cut
//! ```text
//!  owner thread (8 MiB stack, one tokio current-thread runtime)               calls thread, one a connection
//!  daemon loop ◄── Events (EVENTS_MAX) ── owner loop: descriptors → dispatch        initialize join leave finalize
//!              ─── Glue: wants, queues ──►            wants → calls, queues → send ◄──► every query of cfg and cmap
//! ```
//! `sys.rs` is libcpg, and all that is unsafe. `callbacks.rs` copies. `session.rs` is one connection, `session/dispatch.rs` who is
//! read in which order, `cpg.rs` one group on it, `ready.rs` which groups have something to read, `spare.rs` what is ready for the next group, `trail.rs` the
//! group that is told last, `owner.rs` the loop over connections. rust-corosync serves `quorum.rs`, `cfg.rs` and `cmap.rs`.
//!
//! # Life
//! `Down` (once) → `Up` → … → `Lost` → `Up` …, with a new [`Connection`] number each time. What is wanted stays wanted:
//! groups are joined again; what was queued, asked or known is gone, because it belonged to another incarnation.
//!
//! # Traps of corosync's libraries, the rule against each, and its test
//! Tests without a module are in `tests/real`, on real corosync.
//!
//! | trap | rule | test |
//! |---|---|---|
//! | rust-corosync's cpg calls back under a global lock, without state, aborts on a panic, ignores name lengths, and cannot ask for the first ring | libcpg through `sys.rs` | `sys`: `a_panic_stops_at_the_trampoline…`, `a_name_is_its_length…`; `views_rings_and_messages_reach_all_three_nodes` |
//! | the same lock in quorum, cfg, cmap | callbacks push an owned value behind `catch_unwind` and return | `callbacks`: `a_panic_in_a_notification_is_remembered_once` |
//! | a callback that panics has lost what it carried | the connection is made anew | `a_panic_in_a_callback_costs_one_connection` |
//! | lists of more than 128 entries do not exist, whatever their length says; names are not C strings; members come twice | cut, by length, each once; told as [`Oddity`] | `sys`: `a_list_of_200_is_cut…`; `callbacks`: `duplicates_are_told_once…` |
//! | groups "x" and "x\0" are mixed on node changes | one spelling, no NUL; another name on our handle is dropped and told | `ids`: `a_group_name_is_short_printable_ascii`; `a_foreign_name_with_a_trailing_nul_stays_another_group` |
//! | a handle that has left must not be used again | one handle, one join; a new wish makes a new handle | `a_leave_ends_with_our_own_view_and_a_new_join_is_a_new_handle` |
//! | `cpg_leave` before the own JOIN spins | the leave waits for that view | the same |
//! | `cpg_dispatch` writes below a small stack | the owner thread has 8 MiB | `thread`: `the_owner_thread_has_its_name_its_stack…` |
//! | a hand-over to another thread doubles a round trip | the daemon runs on the owner thread | `benches/glue.rs` |
//! | the runtime tells a descriptor once per change | readiness is given up only after `TRY_AGAIN` | `two_floods_at_once_lose_nothing` |
//! | initialize, join, leave, finalize and all queries have no time-out | calls thread, [`STUCK_AFTER`], `Stuck` and `Unstuck` | `a_corosync_stopped_while_we_connect…`, `…_while_we_join_and_send…`; `calls`: all |
//! | a late answer brings a handle that nobody wants | released on the calls thread | `calls`: `a_late_success_is_released…`; `a_corosync_killed_while_a_call_hangs_leaves_nothing_behind` |
//! | libqb spins in a multicast when corosync does not read its wake-ups: after some 280 of them | the socket is looked at before every 32 sends | `a_corosync_stopped_while_we_join_and_send_holds_nothing_up_and_loses_nothing` |
//! | `TRY_AGAIN` loses the message if it is not kept | it stays first in a bounded queue, paced by [`retry`] | `a_broken_ring_delays_messages_and_keeps_their_order`; `outbound`: all |
//! | long messages are cut up, block and fail under churn | [`MESSAGE_LEN_MAX`] | `outbound`: `exactly_64_kib_is_taken…` |
//! | who prefers sending sees its own views late | dispatch first, then send | `a_broken_ring_delays_messages…` (the view comes in the middle) |
//! | a slow reader fills memory | a full channel stops the dispatch; corosync keeps the rest | `a_daemon_that_does_not_read_loses_nothing`; `outlet`: all |
//! | a process without descriptors is told LIBRARY, as if corosync were gone | a failed call tries out whether there are any | `without_descriptors_the_failure_says_so` |
//! | initialize is most of a join | connections kept ready ([`Options::spares`]), which are never handed out when corosync has closed them | `a_spare_of_a_dead_corosync_is_thrown_away` |
//! | each handle has a ring of its own: who reads one first is ahead of the others | one group may be told last ([`Options::told_last`]) | `trail`: all; `the_group_that_is_told_last_is_never_ahead_of_another` |
//! | a wake-up that asks every descriptor costs what is joined, not what has happened | a waker for each, which names its group | `ready`: `who_rang_is_known…`; `two_hundred_groups_cost_nothing_while_nothing_happens` |
//! | corosync dies | `Lost` within milliseconds, everything released, reconnect with [`retry::CONNECT`] | `a_killed_corosync_is_lost_at_once…`, `a_corosync_that_is_not_up_yet_is_waited_for` |
//! | a deaf ring reports nothing | [`Glue::oldest_unreturned`] | `a_corosync_stopped_while_we_join_and_send…` |
//! | no answer to the shutdown question holds the tool for 5 s | No after [`ANSWER_WITHIN`] | `the_shutdown_question_is_vetoed…` |
//! | rust-corosync's `cmap::get` refuses strings of more than 15 bytes; its iterator ends silently; its notification swaps new and old | iteration only, two equal reads, values of notifications not looked at | `a_reload_and_a_key_set_at_run_time_are_told_whole` |
//! | a reload sets keys one by one | a read counts if nothing changed meanwhile and the flag is down | `config_watch`: all; the same |
//! | the end waits for a corosync that is stopped | [`CLOSE_WITHIN`] | `close_does_not_wait_for_a_stopped_corosync`, `close_leaves_every_group…` |
//!
//! Known and not cured: rust-corosync keeps one table entry per handle of a corosync that died (some 100 bytes a
//! connection). A value of our own section that is not UTF-8 hides the keys behind it. While corosync is stopped, a call on
//! the calls thread may spin there.

mod callbacks;
mod calls;
mod cfg;
mod cmap;
pub mod config;
mod config_watch;
mod cpg;
mod error;
mod event;
mod glue;
mod ids;
pub mod inspect;
mod outbound;
mod outlet;
mod owner;
mod quorum;
mod ready;
pub mod retry;
mod session;
mod shortage;
mod spare;
mod sys;
mod thread;
mod trail;
mod watched;

pub use config::Config;
pub use error::{Call, Code, Error, Failure, Refused};
pub use event::{Event, Loss, Oddity, Verdict};
pub use glue::{
    ANSWER_WITHIN, CLOSE_WITHIN, EVENTS_MAX, Events, GROUPS_MAX, Glue, KILLS_MAX, Options, Probe, STUCK_AFTER,
};
pub use ids::{Connection, GROUP_NAME_LEN_MAX, GroupName, InvalidGroupName, Member, NodeId, RawName, Reason, RingId};
pub use outbound::{MESSAGE_LEN_MAX, OUTBOUND_BYTES_MAX, OUTBOUND_MESSAGES_MAX, UNRETURNED_MAX};
pub use spare::SPARE_AFTER;
pub use sys::MEMBERS_MAX;
pub use thread::{OWNER_STACK_LEN, run_on_owner_thread};
