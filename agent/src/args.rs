//! The command line of o2cpgd.

use crate::daemon::{DEFAULT_RUN_DIR, Options};
use crate::kernel::Choice;
use crate::settings::{Error, Live};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// The cluster agent: keeps the OCFS2 node tree of this machine as corosync's membership wants it.
///
/// Runs in the foreground. Root is needed for the kernel's node tree only; with `--backend model` any user can run it.
/// Ends with 0 when asked to, 2 when the settings cannot be used, 1 otherwise.
#[derive(Debug, Parser)]
#[command(name = "o2cpgd", version)]
pub struct Args {
    /// Settings file; without it /etc/o2cpg/o2cpg.toml, which may be missing.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, as KEY=VALUE with the key of `o2cpg config show`; wins over every file.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Log directives such as info,cpg_glue=trace; the same as --set log.level=DIRECTIVES.
    #[arg(long, value_name = "DIRECTIVES")]
    pub log: Option<String>,
    /// Directory of the control socket, the state file and the recording.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Control socket; without it control.sock in the run directory.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Whose node tree: the running kernel's, or a model that is kept in the directory of --configfs-root.
    #[arg(long, value_enum, default_value_t = Backend::Kernel)]
    pub backend: Backend,
    /// Where the node tree is; for the kernel its `cluster` directory.
    #[arg(long, value_name = "DIR")]
    pub configfs_root: Option<PathBuf>,
    /// Check the settings, show them with their origin, and end.
    #[arg(long)]
    pub check_config: bool,
    /// Tests only: wait so long before each batch of kernel operations.
    #[arg(long, value_name = "MS", default_value_t = 0, hide = true)]
    pub test_kernel_delay_ms: u64,
    /// Tests only: open the sockets of ocfs2_controld and o2cb_controld whatever the node tree is, with PREFIX before
    /// their names.
    #[arg(long, value_name = "PREFIX", hide = true)]
    pub test_controld: Option<String>,
    /// Bench only: write there, at the end, how long each event took from corosync's callback to its effects.
    #[arg(long, value_name = "FILE", hide = true)]
    pub test_latency: Option<PathBuf>,
}

/// Values of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// configfs of the running kernel.
    Kernel,
    /// The model of it, in memory.
    Model,
}

impl Args {
    /// Reads the settings of the file and of the command line.
    pub fn settings(&self) -> Result<Live, Error> {
        let log = self.log.iter().map(|directives| format!("log.level={directives}"));
        let pairs: Vec<String> = self.set.iter().cloned().chain(log).collect();
        Live::start(self.config.as_deref(), &pairs)
    }

    /// Everything else.
    #[must_use]
    pub fn options(self) -> Options {
        let root = self.configfs_root;
        Options {
            backend: match self.backend {
                Backend::Kernel => Choice::Kernel(root.unwrap_or_else(|| configfs::kernel::DEFAULT_ROOT.into())),
                Backend::Model => Choice::Model(root.unwrap_or_else(|| self.run_dir.join("model"))),
            },
            socket: self.socket.unwrap_or_else(|| self.run_dir.join("control.sock")),
            run_dir: self.run_dir,
            kernel_delay: Duration::from_millis(self.test_kernel_delay_ms),
            controld_prefix: self.test_controld,
            latency: self.test_latency,
        }
    }
}
