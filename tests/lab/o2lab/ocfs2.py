"""OCFS2 on the nodes of a lab: agents made ready, the shared volume, and the kernel's node tree as it is."""
import json

from . import wait
from .scenario import Broken, Cluster, expect

NODES = (1, 2, 3)
ROOT = "/sys/kernel/config/cluster"
VOLUME = "/dev/ubda"
MOUNT = "/mnt/shared"
MOUNT_WORDS = "mkdir -p %s && mount.ocfs2 %s %s" % (MOUNT, VOLUME, MOUNT)
READY_S = 40
MOUNT_S = 40

# A node is dead to the kernels (dead_threshold - 1) x 2 s after its last heartbeat on the disk.
CONFIG = "[o2cb]\ndead_threshold = 7\nidle_timeout_ms = 10000\n"

MKFS = ("-b", "4096", "-C", "4096", "-N", "4", "-J", "size=4M", "-L", "shared",
        "--cluster-stack=o2cb", "--cluster-name=lab")
VOLUME_FOR_THREE = Cluster(3, mkfs=MKFS, settings=(("modprobe", "configfs,ocfs2,ocfs2_stack_o2cb"),))
PROGRAMS = ("o2cpgd", "o2cpg")


def ready(lab, nodes=NODES, config=CONFIG):
    """Starts o2cpgd where it does not run, and waits until each of the nodes is a full member."""
    for node in nodes:
        if not lab.agent.pid(node):
            lab.agent.start(node, config)
    lab.in_parallel(lambda node: until(lab, node, "ready"), nodes)


def until(lab, node, what, seconds=READY_S):
    """`o2cpg wait --for WHAT`. A daemon that was just started has no socket yet: asked again."""
    words = "o2cpg wait --timeout %ds --for %s" % (seconds, what)
    wait.until(lambda: lab.try_run(node, words, seconds + 5).ok, seconds, "node %d: %s" % (node, words), 0.2)


def status(lab, node):
    """What o2cpgd says there."""
    return lab.json(node, "o2cpg -o json status")


def each(lab, of, nodes=NODES):
    """of(lab, node) of all the nodes at once: {node: what it gave}."""
    found = {}
    lab.in_parallel(lambda node: found.__setitem__(node, of(lab, node)), nodes)
    return found


def kernel_ops(lab, node):
    """Operations that the daemon has handed to the kernel since its start."""
    return status(lab, node)["counters"].get("kernel_ops", 0)


def blank(lab, nodes=NODES):
    """No o2cpgd and no node tree, as after a boot but without one. Kills the daemons: nothing is told to anybody."""
    lab.in_parallel(lambda node: lab.run(node, BLANK, seconds=MOUNT_S), nodes)


# The local entry goes by rmdir, as any other: a 0 written to `local` could not be taken back.
BLANK = """
kill -9 $(pidof o2cpgd) 2>/dev/null; while pidof o2cpgd >/dev/null; do :; done
rm -rf /run/o2cpg
umount -a -t ocfs2
cd %s || exit 0
for cluster in *; do [ -d "$cluster" ] && rmdir "$cluster"/node/* "$cluster"; done
! ls | grep .
""" % ROOT


def slow(lab, node, ms, config=CONFIG):
    """From here on this node's kernel takes so long for every batch: a new daemon that has what the old one had."""
    lab.agent.signal(node, "KILL")
    lab.wait_for(node, "! pidof o2cpgd", 10)
    lab.agent.start(node, config, ["--test-kernel-delay-ms", str(ms)])
    until(lab, node, "ready")


def until_changing(lab, node, step, missing, seconds=READY_S):
    """Until this node says that a step is on, and that it still lacks the answers of just these nodes."""
    def is_on():
        change = status(lab, node)["change"] or {}
        return (change.get("step"), change.get("missing")) == (step, missing)
    wait.until(is_on, seconds, "node %d: %s, still without node %s" % (node, step, missing))


def until_waiting(lab, node, kind, by, seconds=READY_S):
    """Until this node says that it waits for something of node `by`; returns the sentence."""
    def found():
        return [one["text"] for one in status(lab, node)["waits"] if (one["kind"], one["nodes"]) == (kind, [by])]
    return wait.until(found, seconds, "node %d: %s by node %d" % (node, kind, by))[0]


def until_refused(lab, node, whom, kind, seconds=READY_S):
    """Until this node says that node `whom` is refused for a reason of this kind; returns all that it says of it."""
    lab.wait_for(node, "test -S /run/o2cpg/control.sock", seconds)      # the daemon may have been started just now

    def found():
        return [one for one in status(lab, node)["troubles"] if (one["kind"], one["nodeid"]) == (kind, whom)]
    return wait.until(found, seconds, "node %d: node %d is refused: %s" % (node, whom, kind))[0]


def until_entries(lab, names, nodes=NODES, seconds=READY_S):
    """Until the kernels of all the nodes hold exactly these entries, and the same ones."""
    def is_so():
        return all(sorted(entries(tree(lab, node))) == sorted(names) for node in nodes)
    wait.until(is_so, seconds, "the kernels of %s hold %s" % (nodes, names), 0.2)
    return equal_entries(lab, nodes)


def events(lab, node):
    """Everything o2cpgd has told there since it started."""
    return [json.loads(line) for line in lab.run(node, "o2cpg -o jsonl events").splitlines()]


# ---- the volume -----------------------------------------------------------------

def mount(lab, nodes=NODES):
    """Stock mount.ocfs2, on all of the nodes at once."""
    lab.in_parallel(lambda node: lab.run(node, MOUNT_WORDS, seconds=MOUNT_S), nodes)


def begin_mount(lab, node, log="/tmp/mount.log"):
    """The same, without waiting for its end."""
    return lab.remote.spawn(node, ["/bin/sh", "-c", MOUNT_WORDS], log)


def umount(lab, nodes=NODES):
    lab.in_parallel(lambda node: lab.run(node, ["umount", MOUNT], seconds=MOUNT_S), nodes)


def mounts(lab, node):
    """Mount points of ocfs2, as the kernel has them."""
    return lab.run(node, "awk '/ - ocfs2 / {print $5}' /proc/self/mountinfo").split()


def is_shared(lab, nodes=NODES):
    """Each node appends to one file, and the last reads what all have written."""
    path = MOUNT + "/shared-by-all"
    lab.run(nodes[0], ["rm", "-f", path])
    for node in nodes:
        lab.run(node, "echo %d >> %s && sync %s" % (node, path, path))
    return lab.run(nodes[-1], ["cat", path]).split() == [str(node) for node in nodes]


# ---- the tree -------------------------------------------------------------------

def tree(lab, node):
    """Every attribute of the kernel's tree by its path: {"lab/node/node1/num": "1", ...}; {} without a cluster."""
    listing = lab.try_run(node, "cd %s && find . -type f -exec grep -Hs '' {} +" % ROOT).out
    rows = (row[2:].partition(":") for row in listing.splitlines())
    return {path: value for path, _, value in rows}


def entries(attributes):
    """The node entries of a tree: {"node1": ("1", "10.78.2.1", "7777"), ...}. `local` differs from node to node."""
    found = {}
    for path, value in attributes.items():
        words = path.split("/")
        if len(words) == 4 and words[1] == "node" and words[3] != "local":
            found.setdefault(words[2], {})[words[3]] = value
    return {name: tuple(of.get(key) for key in ("num", "ipv4_address", "ipv4_port")) for name, of in found.items()}


def local(attributes):
    """Which entries are marked as the node itself."""
    return [path.split("/")[2] for path, value in attributes.items() if path.endswith("/local") and value == "1"]


def equal_entries(lab, nodes=NODES):
    """The entries that the kernels of all the nodes hold; Broken if they differ, or if a node is not itself."""
    trees = each(lab, tree, nodes)
    found = {node: entries(of) for node, of in trees.items()}
    if any(of != found[nodes[0]] for of in found.values()):
        raise Broken("the kernels hold different entries: %s" % json.dumps(found))
    for node, of in trees.items():
        if local(of) != ["node%d" % node]:
            raise Broken("node %d: local is %s" % (node, local(of)))
    return found[nodes[0]]


class Watch:
    """Writes down every change anybody makes in one node's tree (guest/watcher), from here until `changes`."""

    LOG = "/tmp/watcher.log"

    def __init__(self, lab, node):
        self.lab, self.node = lab, node
        lab.run(node, ["rm", "-f", self.LOG])
        argv = ["/usr/bin/python3", "-I", "-S", "/lab/guest/watcher", ROOT]
        self.pid = lab.remote.spawn(node, argv, self.LOG)
        lab.wait_for(node, "grep -qx watching " + self.LOG, 20)

    def changes(self):
        """What was changed, one line each. The end is marked by a change of our own, which has to be among them."""
        self.lab.run(self.node, "cd %s/*/ && cat fence_method > /tmp/method && cat /tmp/method > fence_method" % ROOT)
        self.lab.wait_for(self.node, "grep -q 'modify .*/fence_method' " + self.LOG, 10, "the watcher sees our mark")
        changes = self.lab.run(self.node, "kill %d; cat %s" % (self.pid, self.LOG)).splitlines()[1:]
        mark = next(at for at, line in enumerate(changes) if line.endswith("/fence_method"))
        return changes[:mark]


def watch(lab, nodes=NODES):
    """A Watch on each of the nodes."""
    return each(lab, Watch, nodes)


def expect_unchanged(lab, watches):
    """Nobody wrote into one of the watched trees, not even what was there already."""
    changes = each(lab, lambda _, node: watches[node].changes(), tuple(watches))
    expect("writes in the kernels", {node: [] for node in watches}, changes)
