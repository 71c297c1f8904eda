//! The shell around `agent-core`: what decodes on one side, what acts on the other, and the loop between them.
//!
//! ```text
//! corosync ─ cpg-glue ─ corosync.rs ┐
//! clients ─ sockets, client, desk ──┤
//! kernel thread, mounts, configfs ──┼─ inputs.rs ─ daemon.rs: record → core → perform ─ hands.rs ─┬─ cpg-glue
//! timers, signals, pulse ───────────┘                                                             ├─ kernel.rs ─ configfs
//!                                                                                                  └─ clients, journal, systemd
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`args`], [`settings`] | the command line; every setting and where it came from |
//! | [`daemon`] | the loop |
//! | `inputs`, `corosync`, `ended`, `resolve`, `sources`, `timers`, `pulse` | decode: what happens → events |
//! | `hands`, [`kernel`], `run_dir` | act: effects → the world |
//! | [`sockets`], `client`, `desk`, `events` | the control socket, and what the shell itself answers there |
//! | [`controld`] | the sockets of ocfs2_controld and o2cb_controld |
//! | [`recorder`], [`replay`] | the flight recorder, and stepping through what it holds |
//! | [`telemetry`], `service` | the log; what the service manager is told |
//! | [`stack`] | the cluster stack: what is chosen, there, live; choosing another |
//! | `mountinfo`, `superblock`, `clock` | formats and clocks of the machine |
//! | `latency` | a stopwatch for the bench |
//! | [`groupd`] | the legacy service, beside the loop or as a program of its own |
//! | [`cli`] | the command `o2cpg`, which is a client of all this |

pub mod args;
pub mod cli;
mod client;
mod clock;
pub mod controld;
mod corosync;
pub mod daemon;
mod desk;
mod ended;
mod events;
mod fence;
pub mod groupd;
mod hands;
mod inputs;
pub mod kernel;
mod latency;
#[doc(hidden)]
pub mod measure;
mod mountinfo;
mod pulse;
pub mod recorder;
pub mod replay;
mod resolve;
pub mod run_dir;
mod service;
pub mod settings;
pub mod sockets;
mod sources;
pub mod stack;
mod superblock;
pub mod telemetry;
mod timers;
