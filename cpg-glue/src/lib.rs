//! corosync behind one owner thread: typed, owned values out; bounded, non-blocking commands in.

mod callbacks;
pub mod config;
mod error;
mod event;
mod glue;
mod ids;
mod outbound;
mod owner;
pub mod retry;
mod sys;
mod thread;

pub use config::Config;
pub use error::{Call, Code, Error, Failure, Refused};
pub use event::{Event, Loss, Oddity, Verdict};
pub use glue::{
    ANSWER_WITHIN, CLOSE_WITHIN, EVENTS_MAX, Events, GROUPS_MAX, Glue, KILLS_MAX, Options, Probe,
    STUCK_AFTER,
};
pub use ids::{
    Connection, GROUP_NAME_LEN_MAX, GroupName, InvalidGroupName, Member, NodeId, RawName, Reason,
    RingId,
};
pub use outbound::{MESSAGE_LEN_MAX, OUTBOUND_BYTES_MAX, OUTBOUND_MESSAGES_MAX, UNRETURNED_MAX};
pub use sys::MEMBERS_MAX;
pub use thread::{OWNER_STACK_LEN, run_on_owner_thread};
