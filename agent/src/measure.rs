//! What `./x bench spine` and `./x bench mounts` measure from inside: the daemon's own recorder, core and kernel thread on one node of three,
//! the other two cores beside it in the same process, and no corosync, whose times are not ours.
//!
//! Node 1 is measured. Node 3 joins and goes again, as often as asked; its entry goes too (`forget = "gone"`).

mod death;

pub use death::bury;

use crate::inputs::Input;
use crate::kernel::{Choice, Kernel};
use crate::recorder::Recorder;
use crate::run_dir::StateFile;
use agent_core::event::{
    ClusterConfig, ConfiguredNode, Connected, KernelOutcome, KernelRefusal, KernelView, Reason, Started, ViewChange,
};
use agent_core::ids::{Member, NodeId, RingId, Tick};
use agent_core::policy::{Forget, Policy};
use agent_core::{Agent, Effect, Effects, Event};
use configfs::Op;
use proto::peer::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// For each join, in nanoseconds: from the joiner's Hello at node 1 until its entry is written there, and until the tree
/// was read back.
pub type Installs = Vec<(u64, u64)>;

const NODES: u32 = 3;
const JOINER: u32 = 3;
/// Inputs of the kernel thread under way; it has one batch at a time.
const QUEUE_MAX: usize = 16;

/// Lets node 3 join and go `rounds` times. `applied` tells when the kernel thread has made its last change.
pub fn run(
    choice: &Choice,
    run_dir: &Path,
    own: Ipv4Addr,
    rounds: u32,
    applied: fn() -> Instant,
) -> io::Result<Installs> {
    let mut cluster = Cluster::new(choice, run_dir, own, applied)?;
    cluster.meet(&[1, 2]);
    for _ in 0..rounds {
        cluster.power_on(JOINER);
        cluster.meet(&[1, 2, 3]);
        cluster.meet(&[1, 2]);
    }
    Ok(cluster.installs)
}

struct Cluster {
    own: Ipv4Addr,
    nodes: BTreeMap<u32, Node>,
    order: VecDeque<(Member, Vec<u8>)>,
    members: BTreeSet<Member>,
    ring: u64,
    measured: Measured,
    installs: Installs,
    since: Instant,
}

/// What only node 1 has.
struct Measured {
    recorder: Recorder,
    state: StateFile,
    kernel: Kernel,
    done: mpsc::Receiver<Input>,
    applied: fn() -> Instant,
    hello_at: Option<Instant>,
    view_at: Option<Instant>,
    downs: Vec<u64>,
}

struct Node {
    core: Agent,
    tree: configfs::Model,
}

impl Cluster {
    fn new(choice: &Choice, run_dir: &Path, own: Ipv4Addr, applied: fn() -> Instant) -> io::Result<Cluster> {
        let (inputs, done) = mpsc::channel(QUEUE_MAX);
        let (kernel, found, _) = Kernel::start(choice, false, Duration::ZERO, inputs)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let recorder = Recorder::open(run_dir.join("recorder"), 8 << 20)?;
        let state = StateFile::at(run_dir);
        let mut cluster = Cluster {
            own,
            nodes: BTreeMap::new(),
            order: VecDeque::new(),
            members: BTreeSet::new(),
            ring: 4,
            measured: Measured {
                recorder,
                state,
                kernel,
                done,
                applied,
                hello_at: None,
                view_at: None,
                downs: Vec::new(),
            },
            installs: Installs::new(),
            since: Instant::now(),
        };
        cluster.start(1, found);
        cluster.power_on(2);
        Ok(cluster)
    }

    fn power_on(&mut self, id: u32) {
        self.start(id, KernelView { tree: Some(Ok(None)), mounts: Some(vec![]), stack: None });
    }

    fn start(&mut self, id: u32, kernel: KernelView) {
        let tree = configfs::Model::new().with_host_addresses([address(self.own, id)]);
        self.nodes.insert(id, Node { core: Agent::new(), tree });
        let started = Started {
            boot_id: [id as u8; 16],
            started_ms: 0,
            release: env!("CARGO_PKG_VERSION").into(),
            backend: "bench".into(),
            hostname: format!("n{id}"),
            kernel_release: String::new(),
            policy: Policy { forget: Forget::Gone, ..Policy::default() },
            saved: Ok(None),
            kernel,
            pid: id,
        };
        self.handle(id, Event::Started(Box::new(started)));
        self.handle(id, Event::ConfigChanged(config(self.own)));
        self.handle(id, Event::CorosyncUp(Connected { member: member(id), nonce: u64::from(id) + self.ring }));
    }

    /// A ring of these nodes forms; everything that follows from it is done before this returns.
    fn meet(&mut self, ids: &[u32]) {
        let members: BTreeSet<Member> = ids.iter().copied().map(member).collect();
        let before = std::mem::replace(&mut self.members, members.clone());
        self.nodes.retain(|id, _| ids.contains(id));
        self.ring += 4;
        let ring = RingId { nodeid: 1, seq: self.ring };
        let went = |with| before.difference(&members).map(move |member| (*member, with)).collect();
        let came = |with| members.difference(&before).map(move |member| (*member, with)).collect();
        let change =
            ViewChange { members: members.clone(), left: went(Reason::NodeDown), joined: came(Reason::NodeUp) };
        for id in ids {
            self.handle(*id, Event::ViewChanged(change.clone()));
            let nodes = ids.iter().copied().map(NodeId).collect();
            self.handle(*id, Event::RingChanged { ring, nodes });
            self.handle(*id, Event::QuorumChanged { quorate: true, ring });
        }
        self.deliver(ids);
    }

    /// Every message in its order, those included that follow from them.
    fn deliver(&mut self, ids: &[u32]) {
        while let Some((from, bytes)) = self.order.pop_front() {
            for id in ids {
                self.handle(*id, Event::Delivered { from, body: Message::decode(&bytes) });
            }
        }
    }

    fn handle(&mut self, id: u32, event: Event) {
        let hello = id == 1 && matches!(&event, Event::Delivered { from, .. } if from.nodeid == JOINER);
        let begun = Instant::now();
        if hello {
            self.measured.hello_at.get_or_insert(begun);
        }
        if id == 1 && matches!(event, Event::ViewChanged(_)) {
            self.measured.view_at = Some(begun);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let now = Tick(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut fx = Effects::default();
        if id == 1 {
            self.measured.recorder.before(now, &event, &node.core);
        }
        node.core.handle(now, event, &mut fx);
        let (mut batches, mut done) = (Vec::new(), Vec::new());
        for effect in fx.as_slice() {
            match effect {
                Effect::Multicast(message) => self.order.push_back((member(id), message.encode())),
                Effect::Save(saved) if id == 1 => self.measured.state.write(saved).expect("/run takes a small file"),
                Effect::Kernel(op, ops) => {
                    batches.push((*op, ops.clone()));
                    if id == 1 {
                        self.measured.kernel.apply(*op, Ok(ops.clone()));
                    }
                }
                Effect::Control(op, ops) => done.push(self.control(id, *op, ops)),
                Effect::LookAtLockspaces(op, _, volumes) => done.push(death::no_lockspaces(*op, volumes)),
                _ => {}
            }
        }
        if id == 1 {
            self.measured.recorder.after(fx.as_slice());
        }
        done.into_iter().for_each(|event| self.handle(id, event));
        for (op, ops) in batches {
            let done = if id == 1 { self.on_kernel_thread(&ops) } else { self.on_model(id, op, &ops) };
            self.handle(id, done);
        }
    }

    fn on_kernel_thread(&mut self, ops: &[Op]) -> Event {
        let adds = ops.iter().any(|op| matches!(op, Op::MakeNode { node, .. } if node.as_str() == "n3"));
        loop {
            if let Some(Input::Event(event @ Event::KernelDone(..))) = self.measured.done.blocking_recv() {
                let begun = self.measured.hello_at.take();
                if let Some(begun) = begun.filter(|_| adds) {
                    let written = (self.measured.applied)().saturating_duration_since(begun);
                    self.installs.push((nanoseconds(written), nanoseconds(begun.elapsed())));
                }
                return event;
            }
        }
    }

    fn on_model(&mut self, id: u32, op: agent_core::ids::OpId, ops: &[Op]) -> Event {
        let refusal = |error: &configfs::Error| KernelRefusal {
            errno: error.errno().unwrap_or(0),
            path: error.path().display().to_string(),
            what: error.to_string(),
        };
        let tree = &mut self.nodes.get_mut(&id).expect("who acts is there").tree;
        let result = configfs::apply(tree, ops).map_err(|failed| refusal(&failed.error));
        let tree = configfs::read_tree(tree).map_err(|error| refusal(&error));
        Event::KernelDone(op, KernelOutcome { result, tree })
    }
}

fn member(id: u32) -> Member {
    Member { nodeid: id, pid: 100 + id }
}

/// Node 1 has the address of the machine, the others the next ones.
fn address(own: Ipv4Addr, id: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(own) + id - 1)
}

fn config(own: Ipv4Addr) -> ClusterConfig {
    let node = |id| (NodeId(id), ConfiguredNode { name: Some(format!("n{id}")), address: Ok(address(own, id)) });
    let nodes = (1..=NODES).map(node).collect();
    ClusterConfig {
        cluster_name: "bench".into(),
        nodes,
        token_ms: 1000,
        consensus_ms: 1200,
        ..ClusterConfig::default()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
