//! The kernel thread: applies batches to configfs, reads it back, looks at the mounts, and reports.
//!
//! A store can block for seconds and cannot be interrupted, so all of it happens here and nowhere else. One job after
//! another, in the order they came.

mod control;
mod dlmc;
mod model_dir;
mod modules;
mod mounts;
mod stack;
mod watch;

use agent_core::Event;
use agent_core::event::{ControlOp, KernelOutcome, KernelRefusal, KernelView};
use agent_core::ids::{NodeId, OpId};
use configfs::{Backend, Op};
use proto::peer::VolumeId;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, trace, warn};

use crate::inputs::Input;
pub(crate) use control::FD_NAME as CONTROL_FD_NAME;
use model_dir::ModelDir;
use mounts::Mounts;
pub(crate) use watch::Watch;

/// Jobs that wait: the core has one batch in the kernel and one with the control device at a time, and looks are put
/// together, those that are answered and those that only tell news.
const JOBS_MAX: usize = 4;

/// Which tree is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The running kernel's; the path of its `cluster` directory.
    Kernel(PathBuf),
    /// One in memory, kept in this directory.
    Model(PathBuf),
}

impl Choice {
    /// The word for status.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Choice::Kernel(_) => "kernel",
            Choice::Model(_) => "model",
        }
    }
}

/// Why the kernel's side cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// configfs is not there, or the module is not.
    #[error("the node tree of the kernel is not there; as root: {command}")]
    NotThere {
        /// What makes it appear.
        command: String,
        /// What was found.
        source: configfs::Error,
    },
    /// The model's directory cannot be used.
    #[error("the model's directory {path}")]
    ModelDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread.
    #[error("starting the kernel thread")]
    Thread(#[source] io::Error),
}

/// One thing to do.
enum Job {
    /// Do these and report; `Err`: nothing is to be done, report that.
    Apply(OpId, Result<Vec<Op>, KernelRefusal>),
    /// Do these with the control device and report.
    Control(OpId, Vec<ControlOp>),
    /// Ask dlm_controld how these lockspaces stand to the node and report.
    Lockspaces(OpId, NodeId, BTreeSet<VolumeId>),
    /// Report what is there. Unasked looks report only what is new.
    Look { asked: bool },
}

/// How the rest of the daemon reaches the thread.
#[derive(Clone)]
pub(crate) struct Kernel {
    jobs: SyncSender<Job>,
    looks: Arc<Looks>,
}

/// Which looks wait in the queue.
#[derive(Default)]
struct Looks {
    asked: AtomicBool,
    unasked: AtomicBool,
}

impl Looks {
    fn queued(&self, asked: bool) -> &AtomicBool {
        if asked { &self.asked } else { &self.unasked }
    }
}

impl Kernel {
    /// Opens the tree, starts the thread, and says what is there.
    pub(crate) fn start(
        choice: &Choice,
        may_load: bool,
        delay: Duration,
        inputs: mpsc::Sender<Input>,
    ) -> Result<(Kernel, KernelView, Option<Watch>), Error> {
        let tree = open(choice, may_load)?;
        let watch = Watch::new(choice).map_err(|error| debug!(%error, "configfs is not watched")).ok();
        let mut worker = Worker {
            tree,
            mounts: Mounts::of(choice),
            stack: stack::Place::of(choice),
            control: control::Control::default(),
            watch: watch.as_ref().map(Watch::again),
            delay,
            last: KernelView::default(),
            inputs,
        };
        let found = worker.look();
        let (jobs, received) = sync_channel(JOBS_MAX);
        let looks = Arc::new(Looks::default());
        let queued = looks.clone();
        let thread = std::thread::Builder::new().name("o2cpgd-kernel".into());
        thread.spawn(move || worker.run(&received, &queued)).map_err(Error::Thread)?;
        Ok((Kernel { jobs, looks }, found, watch))
    }

    /// Hands a batch over. Its end is [`Event::KernelDone`].
    pub(crate) fn apply(&self, op: OpId, ops: Result<Vec<Op>, KernelRefusal>) {
        let taken = self.jobs.try_send(Job::Apply(op, ops));
        taken.expect("the core has one batch in the kernel at a time, and the thread lives as long as the daemon");
    }

    /// Hands over what the control device is to do. Its end is [`Event::ControlDone`].
    pub(crate) fn control(&self, op: OpId, ops: Vec<ControlOp>) {
        let taken = self.jobs.try_send(Job::Control(op, ops));
        taken.expect(
            "the core has one thing with the control device at a time, and the thread lives as long as the daemon",
        );
    }

    /// Asks dlm_controld. Its end is [`Event::LockspacesSeen`].
    pub(crate) fn look_at_lockspaces(&self, op: OpId, node: NodeId, volumes: BTreeSet<VolumeId>) {
        let taken = self.jobs.try_send(Job::Lockspaces(op, node, volumes));
        taken.expect("the core asks instead of doing something with the control device, and the thread lives on");
    }

    /// Asks for a look; one that waits already sees what this one would. Its end is [`Event::KernelSeen`].
    pub(crate) fn look(&self, asked: bool) {
        if !self.looks.queued(asked).swap(true, Ordering::AcqRel) {
            // Only a thread that has ended with the daemon does not take it.
            _ = self.jobs.try_send(Job::Look { asked });
        }
    }
}

fn open(choice: &Choice, may_load: bool) -> Result<Tree, Error> {
    match choice {
        Choice::Kernel(root) => modules::open(root, may_load).map(Tree::Kernel),
        Choice::Model(folder) => ModelDir::open(folder)
            .map(|model| Tree::Model(Box::new(model)))
            .map_err(|source| Error::ModelDir { path: folder.clone(), source }),
    }
}

enum Tree {
    Kernel(configfs::Kernel),
    Model(Box<ModelDir>),
}

impl Tree {
    fn backend(&mut self) -> &mut dyn Backend {
        match self {
            Tree::Kernel(kernel) => kernel,
            Tree::Model(model) => model.backend(),
        }
    }

    /// What somebody wrote into the model's directory counts from here on.
    fn refresh(&mut self) {
        if let Tree::Model(model) = self {
            model.refresh();
        }
    }

    fn keep(&mut self) {
        if let Tree::Model(model) = self {
            model.keep();
        }
    }
}

struct Worker {
    tree: Tree,
    mounts: Mounts,
    stack: stack::Place,
    control: control::Control,
    watch: Option<Watch>,
    delay: Duration,
    last: KernelView,
    inputs: mpsc::Sender<Input>,
}

impl Worker {
    /// Ends when the daemon has dropped its side of either queue.
    fn run(&mut self, jobs: &Receiver<Job>, looks: &Looks) {
        while let Ok(job) = jobs.recv() {
            let event = match job {
                Job::Apply(op, ops) => Some(Event::KernelDone(op, self.apply(ops))),
                Job::Control(op, ops) => Some(Event::ControlDone(op, self.control.perform(&ops))),
                Job::Lockspaces(op, node, volumes) => Some(Event::LockspacesSeen(op, dlmc::look(volumes, node))),
                Job::Look { asked } => {
                    looks.queued(asked).store(false, Ordering::Release);
                    let before = self.last.clone();
                    let seen = self.look();
                    (asked || seen != before).then_some(Event::KernelSeen(seen))
                }
            };
            if event.is_some_and(|event| self.inputs.blocking_send(Input::Event(event)).is_err()) {
                return;
            }
        }
    }

    fn apply(&mut self, ops: Result<Vec<Op>, KernelRefusal>) -> KernelOutcome {
        self.tree.refresh();
        let result = ops.and_then(|ops| {
            std::thread::sleep(self.delay);
            configfs::apply(self.tree.backend(), &ops).map_err(|failed| refusal(&failed.error))
        });
        trace!("batch applied");
        self.tree.keep();
        let tree = self.read();
        self.last.tree = Some(tree.clone());
        KernelOutcome { result, tree }
    }

    fn look(&mut self) -> KernelView {
        self.tree.refresh();
        let tree = Some(self.read());
        let mounts = self.mounts.read().map_err(|error| warn!(%error, "the mounts cannot be read")).ok();
        let stack = self.stack.read(self.control.is_open());
        let stack = stack
            .map_err(|error| warn!(%error, "the cluster stack cannot be looked at; what was seen last counts"))
            .ok();
        self.last = KernelView { tree, mounts, stack };
        self.last.clone()
    }

    fn read(&mut self) -> Result<Option<configfs::Tree>, KernelRefusal> {
        let tree = configfs::read_tree(self.tree.backend()).map_err(|error| refusal(&error));
        if let (Some(watch), Ok(tree)) = (&self.watch, &tree) {
            watch.follow(tree.as_ref());
        }
        tree
    }
}

/// The kernel's no, as the core and the other members are told.
fn refusal(error: &configfs::Error) -> KernelRefusal {
    use configfs::Error as E;
    let what = match error {
        E::Mkdir { .. } => "mkdir".to_owned(),
        E::Rmdir { .. } => "rmdir".to_owned(),
        E::Show { .. } => "read".to_owned(),
        E::List { .. } => "list".to_owned(),
        E::Store { value, .. } => format!("store {:?}", value.trim_end()),
        E::StartHeartbeat { device, .. } => format!("start the heartbeat on {}", device.display()),
        E::NotKept { .. } | E::Unexpected { .. } | E::NotMounted { .. } | E::NoNodemanager { .. } => error.to_string(),
    };
    KernelRefusal { errno: error.errno().unwrap_or(0), path: error.path().display().to_string(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfs::{Errno, Op};

    fn start(folder: &std::path::Path) -> (Kernel, KernelView, mpsc::Receiver<Input>) {
        start_slow(folder, Duration::ZERO)
    }

    fn start_slow(folder: &std::path::Path, delay: Duration) -> (Kernel, KernelView, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(16);
        let choice = Choice::Model(folder.to_owned());
        let (kernel, view, _) = Kernel::start(&choice, false, delay, sender).unwrap();
        (kernel, view, receiver)
    }

    fn event(inputs: &mut mpsc::Receiver<Input>) -> Event {
        match inputs.blocking_recv() {
            Some(Input::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn make(cluster: &str) -> Vec<Op> {
        vec![Op::MakeCluster { cluster: cluster.into() }]
    }

    #[test]
    fn a_batch_is_done_read_back_and_kept_for_the_next_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, view, mut inputs) = start(dir.path());
        assert_eq!(view.tree, Some(Ok(None)));
        kernel.apply(OpId(1), Ok(make("lab")));
        let Event::KernelDone(OpId(1), outcome) = event(&mut inputs) else { panic!("no end") };
        assert_eq!(outcome.result, Ok(()));
        assert_eq!(outcome.tree.unwrap().unwrap().name, "lab");
        let (_, view, _) = start(dir.path());
        assert_eq!(view.tree.unwrap().unwrap().unwrap().name, "lab");
    }

    #[test]
    fn it_stops_at_the_first_refusal_and_says_path_and_errno() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, _, mut inputs) = start(dir.path());
        kernel.apply(OpId(1), Ok([make("one"), make("two")].concat()));
        let Event::KernelDone(_, outcome) = event(&mut inputs) else { panic!("no end") };
        let refusal = outcome.result.expect_err("a second cluster");
        assert_eq!((refusal.errno, refusal.path.as_str(), refusal.what.as_str()), (28, "cluster/two", "mkdir"));
        assert_eq!(outcome.tree.unwrap().unwrap().name, "one");
    }

    #[test]
    fn what_must_not_be_done_is_only_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, _, mut inputs) = start(dir.path());
        let unsaved = KernelRefusal { errno: 28, path: "state.json".into(), what: "write".into() };
        kernel.apply(OpId(4), Err(unsaved.clone()));
        let expected = KernelOutcome { result: Err(unsaved), tree: Ok(None) };
        assert_eq!(event(&mut inputs), Event::KernelDone(OpId(4), expected));
    }

    #[test]
    fn an_unasked_look_tells_only_news() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, view, mut inputs) = start(dir.path());
        kernel.look(false);
        kernel.look(true);
        assert_eq!(event(&mut inputs), Event::KernelSeen(view));
        assert!(inputs.try_recv().is_err());
    }

    #[test]
    fn however_many_looks_are_asked_for_there_is_room_for_what_must_be_done() {
        let dir = tempfile::tempdir().unwrap();
        let (kernel, _, mut inputs) = start_slow(dir.path(), Duration::from_millis(200));
        kernel.apply(OpId(1), Ok(make("lab")));
        (0..100).for_each(|_| kernel.look(true));
        kernel.look(false);
        kernel.control(OpId(2), vec![]);
        assert!(matches!(event(&mut inputs), Event::KernelDone(OpId(1), _)));
        assert!(matches!(event(&mut inputs), Event::KernelSeen(_)));
        assert_eq!(event(&mut inputs), Event::ControlDone(OpId(2), Ok(())));
    }

    #[test]
    fn a_value_that_was_not_kept_has_no_errno_and_says_so() {
        let error = configfs::Error::NotKept { path: "x".into(), value: "7\n".into(), reads: "31\n".into() };
        let told = refusal(&error);
        assert!(told.errno == 0 && told.what.contains("without effect"), "{told}");
        let error = configfs::Error::Store { path: "x".into(), value: "7\n".into(), source: Errno::EINVAL };
        assert_eq!(refusal(&error).what, "store \"7\"");
    }
}
