//! groupd: its sockets, its wire and its machine, without any I/O.

pub mod cpg_message;
pub mod error;
pub mod event_id;
pub mod frame;
pub mod ids;
pub mod machine;
pub mod names;
pub mod records;
pub mod verbs;
