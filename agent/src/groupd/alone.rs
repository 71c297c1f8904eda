//! The program `groupd`: the original's options, lock file and way into the background, with true exit codes.
//!
//! Left out on purpose: real-time priority. The original needs it because everything waits for its one loop; here no
//! client can hold that up, and a daemon that could spin at priority 99 is worse than one that is late.

use super::lock_file::{self, LockFile};
use super::server::{Order, Server, connect};
use super::{DELAY_MS, Error as ServerError, Options, Place, SOCKET, WAIT_MS, group, more_descriptors};
use crate::telemetry::{self, Writer};
use clap::{ArgAction, Parser, ValueEnum};
use cpg_glue::run_on_owner_thread;
use groupd_compat::machine::{Compat, Exit, OnClientDeath};
use nix::unistd::{dup2_stdout, setsid};
use std::error::Error as StdError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tracing::{debug, error, info, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// How long corosync is waited for at the start: the original tries three times, a second apart.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// What a child in the background says when it serves.
const READY: &[u8] = b"ready\n";
/// As the original: its -16 of -17 on the scale that ends at -1000.
const OOM_SCORE_ADJ: &str = "-941";
/// Who may query besides root, if the group exists.
const READERS: &str = "haclient";
/// Log file of `-L`.
const LOG_FILE: &str = "/var/log/cluster/groupd.log";

/// Tells programs that speak libgroup when their groups stop, start and have finished, alike on all nodes.
///
/// Takes the place of the groupd of cluster 3. Ends with 0 when asked to (SIGTERM, and no client has a group), 1 when it
/// could not start or corosync is gone, 2 when the options make no sense. In the background the start is over when it
/// serves: the exit status of the command is that of the start.
#[derive(Clone, Debug, Parser)]
#[command(name = "groupd", version)]
pub struct Args {
    /// Stay in the foreground and log to standard error, with debug messages
    #[arg(short = 'D')]
    foreground: bool,
    /// Debug messages to the log file
    #[arg(short = 'L')]
    log_file: bool,
    /// 0: no service, clients are expected to use libcpg; 1: libgroup; 2: what all daemons of the cluster can do
    #[arg(short = 'g', value_name = "NUM", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    groupd_compat: u8,
    /// With -g 2: seconds until a silent daemon counts as an old one
    #[arg(short = 'w', value_name = "SECONDS", default_value_t = WAIT_MS / 1000)]
    wait_s: u64,
    /// With -g 2: seconds until libcpg is proposed
    #[arg(short = 'd', value_name = "SECONDS", default_value_t = DELAY_MS / 1000)]
    delay_s: u64,
    /// Log more; twice: every message of corosync
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
    /// What becomes of the groups of a client that dies; not an option of the original, which holds them
    #[arg(long, value_name = "POLICY", default_value = "kill-node")]
    on_client_death: ClientDeath,
    /// Abstract name of the client socket
    #[arg(long, value_name = "NAME", default_value = SOCKET)]
    socket: String,
    /// Lock file
    #[arg(long, value_name = "PATH", default_value = lock_file::PATH)]
    lock_file: PathBuf,
    /// What `groupd` starts in the background
    #[arg(long, hide = true)]
    detached: bool,
}

/// Values of `--on-client-death` and `legacy.on_client_death`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClientDeath {
    /// Leave for it: its groups guard nothing that outlives it.
    Leave,
    /// Let its groups hang, as the original does.
    Hold,
    /// Have this node killed if a group had started; else leave for it.
    KillNode,
}

/// Why the program could not start, or ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Lock(#[from] lock_file::Error),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Thread(#[from] cpg_glue::Error),
    #[error("installing the log")]
    Log(#[from] TryInitError),
    #[error("opening {path}")]
    LogFile { path: &'static str, source: io::Error },
    #[error("{what}")]
    System { what: &'static str, source: io::Error },
    #[error("corosync is gone")]
    CorosyncLost,
    #[error("this node had groups and no quorum, and met nodes that went on without it")]
    Merged,
    #[error("more is going on than can be remembered")]
    Overwhelmed,
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { what, source }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    // Writes the last lines when it is dropped, so it lives as long as the process.
    let mut log = None;
    let ran = if args.foreground || args.detached { in_this_process(&args, &mut log) } else { in_the_background() };
    ran.unwrap_or_else(|error| {
        say(args.detached, log.is_some(), &line(&error));
        ExitCode::FAILURE
    })
}

/// A child in the background has its standard output read by whoever started it. Where standard error is the log's it is
/// not written to directly: who does not read the log would hold up the end.
fn say(detached: bool, has_log: bool, line: &str) {
    error!("{}", line.trim_end());
    // Nobody is left to tell if it is closed.
    _ = match (detached, has_log) {
        (true, _) => io::stdout().write_all(line.as_bytes()),
        (false, true) => Ok(()),
        (false, false) => io::stderr().write_all(line.as_bytes()),
    };
}

/// What, and every cause.
fn line(error: &Error) -> String {
    let mut line = format!("groupd: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line + "\n"
}

/// Starts this program again, detached from the terminal, and waits until it serves or has failed.
fn in_the_background() -> Result<ExitCode, Error> {
    let mut child = Command::new("/proc/self/exe")
        .arg0("groupd")
        .args(std::env::args_os().skip(1))
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(system("going to the background"))?;
    let mut said = Vec::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_end(&mut said).map_err(system("waiting for the daemon"))?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    _ = io::stderr().write_all(&said);
    let ended = child.wait().map_err(system("waiting for the daemon"))?;
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn in_this_process(args: &Args, log: &mut Option<Writer>) -> Result<ExitCode, Error> {
    if args.detached {
        setsid().map_err(|errno| system("leaving the terminal")(errno.into()))?;
        std::env::set_current_dir("/").map_err(system("changing to /"))?;
    }
    *log = install_log(args)?;
    let _lock = LockFile::take(&args.lock_file)?;
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        debug!(%error, "the kernel may take this process when memory is short");
    }
    more_descriptors();
    let (options, detached) = (args.options(), args.detached);
    match run_on_owner_thread("groupd", async move || life(&options, detached).await)?? {
        Exit::Asked => Ok(ExitCode::SUCCESS),
        Exit::CorosyncLost => Err(Error::CorosyncLost),
        Exit::MergedWithoutQuorum => Err(Error::Merged),
        Exit::Overwhelmed => Err(Error::Overwhelmed),
    }
}

async fn life(options: &Options, detached: bool) -> Result<Exit, Error> {
    let mut orders = signals().map_err(system("taking signals"))?;
    let place = Place::take(&options.socket, None)?;
    let (glue, reports, me) = tokio::select! {
        connected = connect(Some(PATIENCE)) => connected?,
        _ = orders.recv() => return Ok(Exit::Asked),
    };
    let server = Server::new(options, &place, glue, reports, me);
    if detached {
        ready().map_err(system("telling that the daemon is ready"))?;
    }
    let exit = server.run(&mut orders).await;
    info!(?exit, "groupd ends");
    Ok(exit)
}

/// The start is over: whoever waits for it need not wait any longer.
fn ready() -> io::Result<()> {
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    Ok(dup2_stdout(File::open("/dev/null")?)?)
}

/// SIGTERM, and what terminals send: the machine decides whether groups are in the way.
fn signals() -> io::Result<mpsc::Receiver<Order>> {
    let (given, orders) = mpsc::channel(1);
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let (mut come, given) = (signal(kind)?, given.clone());
        spawn_local(async move {
            while come.recv().await.is_some() {
                if given.send(Order::Stop).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(orders)
}

/// In the foreground standard error; in the background the journal, if there is one; with `-L` the log file too.
/// What writes to standard error is to be kept until the end.
fn install_log(args: &Args) -> Result<Option<Writer>, Error> {
    let directives = match (args.foreground, args.log_file, args.verbose) {
        (_, _, 2..) => "trace",
        (true, _, _) | (_, true, _) | (_, _, 1) => "debug",
        _ => "info",
    };
    let lines = args.foreground.then(|| telemetry::to_stderr("groupd: ", false)).transpose();
    let (lines, writer) = lines.map_err(system("starting the thread that writes the log"))?.unzip();
    let lines = lines.map(|lines| fmt::layer().with_writer(lines).with_ansi(false));
    let journal = if args.foreground { None } else { tracing_journald::layer().ok() };
    let journal = journal.map(|journal| journal.with_syslog_identifier("groupd".into()));
    let file = args.log_file.then(|| log_file(Path::new(LOG_FILE))).transpose();
    let file = file.map_err(|source| Error::LogFile { path: LOG_FILE, source })?;
    let file = file.map(|file| fmt::layer().with_writer(Arc::new(file)).with_ansi(false));
    let registry = tracing_subscriber::registry().with(EnvFilter::new(directives));
    registry.with(lines).with(journal).with(file).try_init()?;
    Ok(writer)
}

fn log_file(path: &Path) -> io::Result<File> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    OpenOptions::new().append(true).create(true).open(path)
}

impl Args {
    fn options(&self) -> Options {
        let readers = group(READERS);
        if readers.is_none() {
            debug!(READERS, "no such group: only root may query");
        }
        if self.groupd_compat == 0 {
            warn!("no service: clients will not be told anything (-g 1 gives it)");
        }
        Options {
            socket: self.socket.clone(),
            compat: [Compat::Libcpg, Compat::Libgroup, Compat::Detect][usize::from(self.groupd_compat)],
            wait_ms: self.wait_s.saturating_mul(1000),
            delay_ms: self.delay_s.saturating_mul(1000),
            on_client_death: match self.on_client_death {
                ClientDeath::Leave => OnClientDeath::Leave,
                ClientDeath::Hold => OnClientDeath::Hold,
                ClientDeath::KillNode => OnClientDeath::KillNode,
            },
            readers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn options(words: &[&str]) -> Options {
        Args::try_parse_from(["groupd"].iter().chain(words)).unwrap().options()
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_original_s_defaults() {
        let options = options(&[]);
        assert_eq!((options.compat, options.wait_ms, options.delay_ms), (Compat::Libcpg, 5000, 2000));
        assert_eq!(options.socket, "groupd_socket");
    }

    #[test]
    fn the_original_s_options() {
        let args = Args::try_parse_from(["groupd", "-D", "-L", "-g", "2", "-w", "7", "-d3", "-vv"]).unwrap();
        assert!(args.foreground && args.log_file && args.verbose == 2);
        let options = args.options();
        assert_eq!((options.compat, options.wait_ms, options.delay_ms), (Compat::Detect, 7000, 3000));
        assert_eq!(super::tests::options(&["-g1"]).compat, Compat::Libgroup);
    }

    #[test]
    fn a_mode_that_does_not_exist_is_refused() {
        for bad in [&["-g", "3"][..], &["-g", "x"], &["-w", "-1"], &["-q"], &["word"]] {
            assert_eq!(Args::try_parse_from(["groupd"].iter().chain(bad)).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
