//! Scripts of file-system calls, and what came out of them: how the model is compared with a kernel.
//!
//! A script (`tests/kernel/*.ops`) has one operation a line; a recording (`*.jsonl`) has one JSON object for each, the
//! operation and its outcome. [`run`] plays a script on anything that has [`Calls`](crate::calls::Calls): the model, or the
//! real tree through [`Files`]. The program `cfsprobe` does the latter.

mod files;
mod record;
mod run;
mod script;

pub use files::Files;
pub use record::{Difference, Entry, Outcome, Value, compare, parse_recording};
pub use run::{Session, run};
pub use script::{Problem, Script, Step, unescape};
