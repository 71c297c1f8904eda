//! The one tracing subscriber: the journal under systemd, otherwise stderr; its level can change while the daemon runs.
//!
//! Directives are those of `tracing_subscriber`'s `EnvFilter`: `info`, `info,cpg_glue=trace`, `agent_core=debug`.

mod lines;
mod notices;
mod writer;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

pub(crate) use lines::Lines;
pub(crate) use notices::tell;
pub use writer::Writer;

const STDERR: &str = "/proc/self/fd/2";
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Why nothing can be logged, or not like that.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directives make no sense.
    #[error("log directives {text:?}: {why}")]
    Directives {
        /// As given.
        text: String,
        /// What the parser said.
        why: String,
    },
    /// Another subscriber is there already.
    #[error("installing the log")]
    Installed(#[from] TryInitError),
    /// The journal's socket does not work, or there is no thread to write on.
    #[error("opening the journal, or starting the thread that writes the log")]
    Opened(#[from] io::Error),
}

/// Whether these are directives.
pub(crate) fn check(directives: &str) -> Result<(), Error> {
    filter(directives).map(drop)
}

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    let refused = |why: String| Error::Directives { text: directives.to_owned(), why };
    if directives.trim().is_empty() {
        return Err(refused("nothing is said".into()));
    }
    EnvFilter::try_new(directives).map_err(|error| refused(error.to_string()))
}

/// The filter of the installed subscriber; can be handed to the thread that runs the daemon.
#[derive(Debug)]
pub struct Installed {
    handle: reload::Handle<EnvFilter, Registry>,
    directives: String,
}

/// Installs the subscriber of this process. What it writes is written until the writer is dropped.
pub fn install(directives: &str) -> Result<(Installed, Option<Writer>), Error> {
    let (filter, handle) = reload::Layer::new(filter(directives)?);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = Installed { handle, directives: directives.to_owned() };
    if is_silenced() && Path::new(JOURNAL_SOCKET).exists() {
        // Without a thread of its own: where no service manager started it, none ends it for standing still.
        let journal = tracing_journald::layer()?.with_field_prefix(Some("O2CPG".into()));
        registry.with(journal.with_syslog_identifier("o2cpgd".into())).try_init()?;
        return Ok((installed, None));
    }
    let for_journal = is_journal_stream();
    let warning = if for_journal { lines::priority(tracing::Level::WARN) } else { "o2cpgd: " };
    let (lines, writer) = to_stderr(warning, for_journal)?;
    let lines = fmt::layer().with_writer(lines);
    if for_journal {
        // The journal has time and level of its own.
        registry.with(lines.with_ansi(false).without_time().with_level(false)).try_init()?;
    } else {
        registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init()?;
    }
    Ok((installed, Some(writer)))
}

/// Lines for stderr that wait for no reader. They are written until the writer is dropped.
pub(crate) fn to_stderr(warning: &'static str, with_priority: bool) -> io::Result<(Lines, Writer)> {
    let (queue, writer) = writer::start(io::stderr(), warning)?;
    Ok((Lines { queue, with_priority }, writer))
}

/// Under systemd stderr is a stream to the journal, and JOURNAL_STREAM names it (systemd.exec(5)).
fn is_journal_stream() -> bool {
    let Ok(stderr) = Path::new(STDERR).metadata() else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|it| it == format!("{}:{}", stderr.st_dev(), stderr.st_ino()))
}

/// A daemon that was started without any stderr speaks to the journal itself. Everybody else has redirected it on purpose.
fn is_silenced() -> bool {
    let Ok(stderr) = Path::new(STDERR).metadata() else { return true };
    let null = Path::new("/dev/null").metadata().is_ok_and(|null| null.st_rdev() == stderr.st_rdev());
    null && stderr.st_rdev() != 0
}

/// The level as it is, as it is configured, and the way back.
#[derive(Clone)]
pub(crate) struct Level {
    state: Rc<RefCell<State>>,
}

struct State {
    handle: reload::Handle<EnvFilter, Registry>,
    configured: String,
    current: String,
    back_at: Option<Instant>,
}

/// What `o2cpg log` shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) directives: String,
    pub(crate) configured: String,
    pub(crate) back_in: Option<Duration>,
}

impl Level {
    pub(crate) fn of(installed: Installed) -> Level {
        let Installed { handle, directives } = installed;
        let state = State { handle, configured: directives.clone(), current: directives, back_at: None };
        Level { state: Rc::new(RefCell::new(state)) }
    }

    pub(crate) fn show(&self) -> Shown {
        let state = self.state.borrow();
        Shown {
            directives: state.current.clone(),
            configured: state.configured.clone(),
            back_in: state.back_at.map(|at| at.saturating_duration_since(Instant::now())),
        }
    }

    /// A new configured level; a level set by hand for a time stays for that time.
    pub(crate) fn configure(&self, directives: &str) -> Result<(), Error> {
        self.state.borrow_mut().configured = directives.to_owned();
        if self.state.borrow().back_at.is_none() { self.use_now(directives) } else { Ok(()) }
    }

    /// Sets a level by hand. With a time it goes back to the configured one by itself.
    pub(crate) fn set(&self, directives: &str, back_after: Option<Duration>) -> Result<(), Error> {
        self.use_now(directives)?;
        let back_at = back_after.map(|after| Instant::now() + after);
        self.state.borrow_mut().back_at = back_at;
        if let Some(at) = back_at {
            let level = self.clone();
            tokio::task::spawn_local(async move { level.go_back(at).await });
        }
        Ok(())
    }

    async fn go_back(&self, at: Instant) {
        tokio::time::sleep_until(at).await;
        if self.state.borrow().back_at != Some(at) {
            return; // set again since
        }
        self.state.borrow_mut().back_at = None;
        let configured = self.state.borrow().configured.clone();
        if let Err(error) = self.use_now(&configured) {
            tracing::warn!(%error, "the log keeps its level");
        }
    }

    fn use_now(&self, directives: &str) -> Result<(), Error> {
        let filter = filter(directives)?;
        let mut state = self.state.borrow_mut();
        let refused = |error: reload::Error| Error::Directives { text: directives.into(), why: error.to_string() };
        state.handle.reload(filter).map_err(refused)?;
        state.current = directives.to_owned();
        drop(state);
        info!(directives, "log level");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level() -> (Level, reload::Layer<EnvFilter, Registry>) {
        let (layer, handle) = reload::Layer::new(filter("info").unwrap());
        (Level::of(Installed { handle, directives: "info".into() }), layer)
    }

    fn in_local_set(test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test());
    }

    #[test]
    fn directives_that_make_no_sense_are_refused() {
        assert!(check("info,cpg_glue=trace").is_ok());
        for bad in ["", "  ", "cpg_glue=loud", "[["] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_level_set_for_a_time_goes_back_by_itself() {
        in_local_set(async || {
            let (level, _layer) = level();
            level.set("debug", Some(Duration::from_secs(600))).unwrap();
            assert_eq!(level.show().directives, "debug");
            assert_eq!(level.show().back_in, Some(Duration::from_secs(600)));
            level.configure("warn").unwrap();
            tokio::time::sleep(Duration::from_secs(601)).await;
            let shown = Shown { directives: "warn".into(), configured: "warn".into(), back_in: None };
            assert_eq!(level.show(), shown);
        });
    }

    #[test]
    fn the_last_level_set_decides_when_to_go_back() {
        in_local_set(async || {
            let (level, _layer) = level();
            level.set("debug", Some(Duration::from_secs(10))).unwrap();
            level.set("trace", None).unwrap();
            tokio::time::sleep(Duration::from_secs(11)).await;
            assert_eq!(level.show().directives, "trace");
        });
    }
}
