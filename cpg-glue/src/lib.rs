//! corosync behind one owner thread: typed, owned values out; bounded, non-blocking commands in.

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
pub mod retry;
mod session;
mod sys;
mod thread;
mod watched;

pub use config::Config;
pub use error::{Call, Code, Error, Failure, Refused};
pub use event::{Event, Loss, Oddity, Verdict};
pub use glue::{
    ANSWER_WITHIN, CLOSE_WITHIN, EVENTS_MAX, Events, GROUPS_MAX, Glue, KILLS_MAX, Options, Probe, STUCK_AFTER,
};
pub use ids::{Connection, GROUP_NAME_LEN_MAX, GroupName, InvalidGroupName, Member, NodeId, RawName, Reason, RingId};
pub use outbound::{MESSAGE_LEN_MAX, OUTBOUND_BYTES_MAX, OUTBOUND_MESSAGES_MAX, UNRETURNED_MAX};
pub use sys::MEMBERS_MAX;
pub use thread::{OWNER_STACK_LEN, run_on_owner_thread};
