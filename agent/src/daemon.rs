//! The loop: next event → record → core → perform.

use crate::clock;
use crate::controld::{self, Counter};
use crate::corosync::Corosync;
use crate::desk::Desk;
use crate::groupd;
use crate::hands::Hands;
use crate::inputs::{INPUTS_MAX, Input, Inputs, Reading};
use crate::kernel::{self, CONTROL_FD_NAME, Choice, Kernel};
use crate::latency::{self, Latency};
use crate::pulse::Pulse;
use crate::recorder::Recorder;
use crate::run_dir::{self, RunDir};
use crate::service::Service;
use crate::settings::{Live, Settings};
use crate::sockets;
use crate::sources;
use crate::telemetry::{Installed, Level};
use crate::timers::Timers;
use agent_core::event::{KernelView, Stack, Started};
use agent_core::ids::Tick;
use agent_core::status::CONTROL_GROUP;
use agent_core::{Agent, Effect, Effects, Event};
use cpg_glue::{Glue, GroupName, run_on_owner_thread};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Gid;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, trace, warn};

/// Where a packaged daemon runs.
pub const DEFAULT_RUN_DIR: &str = "/run/o2cpg";
/// At the end; a kernel that is busy for longer may be mounting.
const LAST_LOOK_WITHIN: Duration = Duration::from_secs(2);

/// What is decided before the daemon runs, and stays.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose node tree.
    pub backend: Choice,
    /// The run directory.
    pub run_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Tests only: wait so long before each batch of kernel operations.
    pub kernel_delay: Duration,
    /// Tests only: what stands before the names of the old daemons' sockets; they are opened then on any backend.
    pub controld_prefix: Option<String>,
    /// Bench only: the file for latencies.
    pub latency: Option<PathBuf>,
}

/// Why the daemon could not start. Exit status 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel can only be changed by root.
    #[error("the kernel's node tree needs root; run o2cpgd as root, or with --backend model to try it")]
    NotRoot,
    /// The run directory, or another daemon in it.
    #[error(transparent)]
    RunDir(#[from] run_dir::Error),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] sockets::Error),
    /// The sockets of the old daemons.
    #[error(transparent)]
    Controld(#[from] controld::listen::Error),
    /// The socket of the legacy service.
    #[error(transparent)]
    Groupd(#[from] groupd::Error),
    /// The node tree.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// The flight recorder's directory.
    #[error("opening the flight recorder in {path}")]
    Recorder {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something of the system that is always there.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// cpg-glue's own task has ended although nobody asked it to; its panic is in the log.
    #[error("the link to corosync has ended by itself")]
    LinkEnded,
    /// No thread to run on.
    #[error(transparent)]
    Thread(#[from] cpg_glue::Error),
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::System { what, source }
}

/// Runs the daemon to its end.
pub fn run(options: Options, settings: Live, log: Installed) -> Result<(), Error> {
    run_on_owner_thread("o2cpgd", async move || Daemon::start(options, settings, log)?.run().await)?
}

struct Daemon {
    core: Agent,
    fx: Effects,
    inputs: Inputs,
    hands: Hands,
    recorder: Rc<RefCell<Recorder>>,
    service: Rc<Service>,
    latency: Option<Latency>,
    socket: PathBuf,
    /// The legacy service, where it is wanted.
    groupd: Option<groupd::Service>,
    /// Locked until the end.
    _run_dir: RunDir,
}

impl Daemon {
    fn start(options: Options, settings: Live, log: Installed) -> Result<Daemon, Error> {
        let started_at = clock::now();
        let in_force = settings.in_force().clone();
        let (run_dir, recorder) = ground(&options, &in_force)?;
        let (queue_end, queue) = mpsc::channel(INPUTS_MAX);
        let (kernel, found, watch) =
            Kernel::start(&options.backend, in_force.modprobe, options.kernel_delay, queue_end.clone())?;
        let settings = Rc::new(RefCell::new(settings));
        let level = Level::of(log);
        let desk = Rc::new(Desk::new(settings.clone(), level.clone(), recorder.clone(), queue_end.clone()));
        let dump = dump_to(run_dir.join("dump.jsonl"), desk.clone());
        sources::signals(&queue_end, dump).map_err(system("taking signals"))?;
        if let Choice::Kernel(_) = options.backend {
            sources::mount_table(kernel.clone());
            sources::lockspaces(kernel.clone());
        }
        watch.into_iter().for_each(|watch| sources::configfs(watch, kernel.clone()));

        let probe = options.latency.as_ref().map(|_| latency::stamp as fn(cpg_glue::Probe));
        let (glue, reports) = Glue::start(cpg_glue::Options { probe, ..cpg_glue::Options::default() });
        let group = GroupName::new(CONTROL_GROUP).expect("a constant that is a group's name");
        glue.join(&group).expect("a new glue takes a first group");
        let service = Rc::new(Service::new(started_at));
        let timers = Timers::default();
        let started = started(&options, &in_force, &run_dir, found.clone(), started_at.0)?;
        let controld_prefix = controld_prefix(&options, &in_force);
        let mut daemon = Daemon {
            core: Agent::new(),
            fx: Effects::default(),
            inputs: Inputs {
                glue: reports,
                corosync_end: glue.clone(),
                queue,
                queue_end,
                timers: timers.clone(),
                kernel: kernel.clone(),
                settings,
                level,
                pulse: Pulse::new(clock::now(), service.watchdog()),
                service: service.clone(),
                corosync: Corosync::default(),
                read: Reading::default(),
                pending: VecDeque::new(),
                quiet: false,
                is_local: is_local(&found),
            },
            hands: Hands {
                glue,
                group,
                kernel,
                state: run_dir.state_file(),
                timers,
                desk: desk.clone(),
                mounts: Rc::new(Counter::default()),
                unsaved: None,
                exit: None,
            },
            recorder,
            service,
            latency: options.latency.map(Latency::new),
            socket: options.socket,
            groupd: None,
            _run_dir: run_dir,
        };
        daemon.handle(Event::Started(Box::new(started)));
        daemon.open_doors(&in_force, controld_prefix, &desk)?;
        daemon.service.lose_patience_later();
        Ok(daemon)
    }

    /// Every socket that clients come through; the control socket last: who can connect there finds the others open.
    fn open_doors(&mut self, in_force: &Settings, controld: Option<String>, desk: &Rc<Desk>) -> Result<(), Error> {
        let readers = self._run_dir.group();
        if let Some(prefix) = controld {
            controld::open(&prefix, readers, desk, &self.hands.mounts)?;
        }
        if let Some(options) = groupd_options(in_force, readers) {
            let queue = &self.inputs.queue_end;
            let groups = Box::new(sources::newest(queue, Event::LegacyGroups));
            let recovery = Box::new(sources::newest(queue, Event::LegacyRecovery));
            let waits = Box::new(sources::newest(queue, Event::LegacyWaits));
            self.groupd = Some(groupd::serve(options, groupd::Ears { groups, recovery, waits })?);
        }
        sockets::listen(&self.socket, &self._run_dir, desk)?;
        Ok(())
    }

    async fn run(mut self) -> Result<(), Error> {
        while let Some(event) = self.inputs.next().await {
            self.handle(event);
            if self.hands.exit.is_some() {
                self.leave().await;
                return Ok(());
            }
        }
        Err(Error::LinkEnded)
    }

    /// One event through the core. The only place that traces events and effects.
    fn handle(&mut self, event: Event) {
        let now = self.inputs.now();
        let source = Latency::source(&event);
        trace!(tick = now.0, ?event, "event");
        self.recorder.borrow_mut().before(now, &event, &self.core);
        self.core.handle(now, event, &mut self.fx);
        for effect in self.fx.as_slice() {
            trace!(?effect, "effect");
            self.hands.perform(effect);
        }
        if let (Some(latency), Some(source)) = (self.latency.as_mut(), source) {
            latency.handed_over(source);
        }
        self.afterwards(now);
    }

    /// What nobody in the cluster waits for: the recorder's digest, lines of the log, the service manager.
    fn afterwards(&mut self, now: Tick) {
        self.recorder.borrow_mut().after(self.fx.as_slice());
        let mut news = false;
        for effect in self.fx.drain() {
            if let Effect::Notice(notice) = effect {
                news = true;
                self.hands.tell(now, &notice);
            }
        }
        if news && self.service.listens() {
            self.service.tell(&self.core.status());
        }
    }

    /// Leaves corosync within the glue's own deadline; the answers that clients still get go out meanwhile.
    async fn leave(mut self) {
        self.service.stopping();
        if let Some(groupd) = self.groupd.take() {
            groupd.stop().await;
        }
        self.hands.glue.close();
        while self.inputs.glue.next().await.is_some() {}
        if timeout(LAST_LOOK_WITHIN, self.nothing_needs_control()).await.unwrap_or(false) {
            self.service.give_up(CONTROL_FD_NAME);
        }
        if let Err(error) = fs::remove_file(&self.socket) {
            warn!(socket = %self.socket.display(), %error, "the control socket stays behind");
        }
        info!("ended, the kernel is left as it is");
    }

    /// Who mounts in the very moment of our end needs the copy of the control device that the service manager keeps, and
    /// who takes the stack down needs it gone.
    async fn nothing_needs_control(&mut self) -> bool {
        self.hands.kernel.look(true);
        while let Some(input) = self.inputs.queue.recv().await {
            if let Input::Event(Event::KernelSeen(KernelView { mounts, stack, .. })) = input {
                let is_empty = |stack: Stack| stack.lockspaces.is_empty();
                return mounts.is_some_and(|mounts| mounts.is_empty()) && stack.is_some_and(is_empty);
            }
        }
        false
    }
}

/// What the daemon stands on: the right to run, the run directory, its memory and the recorder.
fn ground(options: &Options, in_force: &Settings) -> Result<(RunDir, Rc<RefCell<Recorder>>), Error> {
    if matches!(&options.backend, Choice::Kernel(_)) && !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    umask(Mode::from_bits_truncate(0o077)); // what others may see is given to them by name
    let run_dir = RunDir::take(&options.run_dir, in_force.control_group.as_deref())?;
    lock_memory(in_force.lock_memory);
    let folder = run_dir.join("recorder");
    let recorder = Recorder::open(folder.clone(), in_force.recorder_size_bytes)
        .map_err(|source| Error::Recorder { path: folder, source })?;
    let recorder = Rc::new(RefCell::new(recorder));
    Ok((run_dir, recorder))
}

fn groupd_options(in_force: &Settings, readers: Option<Gid>) -> Option<groupd::Options> {
    Some(groupd::Options {
        socket: in_force.groupd_socket.clone(),
        compat: in_force.groupd?,
        wait_ms: groupd::WAIT_MS,
        delay_ms: groupd::DELAY_MS,
        on_client_death: in_force.on_client_death,
        readers,
    })
}

/// A model has no volumes: the tools of this machine do not mean it.
fn controld_prefix(options: &Options, in_force: &Settings) -> Option<String> {
    let real = matches!(options.backend, Choice::Kernel(_)).then(String::new);
    options.controld_prefix.clone().or(real).filter(|_| in_force.controld)
}

fn is_local(found: &KernelView) -> bool {
    let tree = found.tree.as_ref().and_then(|tree| tree.as_ref().ok()).and_then(Option::as_ref);
    tree.is_some_and(|tree| tree.local().is_some())
}

fn started(
    options: &Options,
    settings: &Settings,
    run_dir: &RunDir,
    kernel: KernelView,
    started_ms: u64,
) -> Result<Started, Error> {
    let proc = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(system(path));
    let boot_id = proc("/proc/sys/kernel/random/boot_id")?;
    let not_an_id = || system("reading the boot id")(io::Error::new(io::ErrorKind::InvalidData, boot_id.clone()));
    Ok(Started {
        boot_id: parse_boot_id(&boot_id).ok_or_else(not_an_id)?,
        started_ms,
        release: env!("CARGO_PKG_VERSION").into(),
        backend: options.backend.as_str().into(),
        hostname: proc("/proc/sys/kernel/hostname")?,
        kernel_release: proc("/proc/sys/kernel/osrelease")?,
        policy: settings.policy.clone(),
        saved: run_dir.state_file().read(),
        kernel,
        pid: std::process::id(),
    })
}

/// `1b4e28ba-2fa1-11d2-883f-0016d3cca427`.
fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// Only what is in use: a stack of 8 MiB of which a page is touched costs a page.
fn lock_memory(wanted: bool) {
    const MCL_ONFAULT: i32 = 4; // linux asm-generic/mman-common.h
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(MCL_ONFAULT);
    if let Some(error) = wanted.then(|| mlockall(flags)).and_then(Result::err) {
        warn!(%error, "the memory is not locked");
    }
}

/// SIGUSR1.
fn dump_to(path: PathBuf, desk: Rc<Desk>) -> impl Fn() {
    move || match copy(&desk, &path) {
        Ok(len) => info!(path = %path.display(), len, "recording dumped"),
        Err(error) => warn!(path = %path.display(), %error, "the recording is not dumped"),
    }
}

fn copy(desk: &Desk, path: &Path) -> io::Result<usize> {
    let mut bytes = Vec::new();
    for mut file in desk.recording()? {
        file.read_to_end(&mut bytes)?;
    }
    // A part of it would be taken for all of it, and takes room where there is none.
    let written = fs::File::create(path)?.write_all(&bytes);
    written.inspect_err(|_| _ = fs::remove_file(path))?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_sixteen_bytes() {
        let id = parse_boot_id("1b4e28ba-2fa1-11d2-883f-0016d3cca427").unwrap();
        assert_eq!((id[0], id[15]), (0x1b, 0x27));
        for bad in ["", "1b4e28ba", "1b4e28ba-2fa1-11d2-883f-0016d3cca4277", "xb4e28ba-2fa1-11d2-883f-0016d3cca427"] {
            assert!(parse_boot_id(bad).is_none(), "{bad}");
        }
    }
}
