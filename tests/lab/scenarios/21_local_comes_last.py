"""A joiner's kernel counts its own entry as local only after every member's kernel holds that entry, however slow one is."""
import time

from o2lab import ocfs2
from o2lab.scenario import Broken, expect
from o2lab.settings import cluster_address

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
FAST, SLOW, JOINER = 1, 2, 3
DELAY_MS = 4000
LOG = "/tmp/sampler.log"
CLOCKS_S = 0.5          # a node's clock may be so far from the host's; a quarter of it is what a loaded machine shows


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, (FAST, SLOW))
    ocfs2.slow(lab, SLOW, DELAY_MS)
    for node in ocfs2.NODES:
        expect("the clock of node %d is the host's" % node, True, is_in_time(lab, node))
    samplers = {node: sample(lab, node) for node in ocfs2.NODES}
    ocfs2.ready(lab, (JOINER,))
    ocfs2.equal_entries(lab)

    entry = "%d %s" % (JOINER, cluster_address(JOINER))
    fast, slow, joiner = (samples(lab, node, samplers[node]) for node in ocfs2.NODES)
    expect("the entry comes once, and complete, to the fast member", [entry + " 0"], complete(fast))
    expect("the same on the slow one", [entry + " 0"], complete(slow))
    installed = {FAST: first(fast, entry + " 0"), SLOW: first(slow, entry + " 0")}
    local = first(joiner, entry + " 1")
    expect("the slow member was slow", True, installed[SLOW][0] - installed[FAST][1] > DELAY_MS / 1000 - 2 * CLOCKS_S)
    for node, (_, there) in installed.items():
        if local[0] < there - 2 * CLOCKS_S:
            raise Broken("local at %.3f, but node %d has had the entry since %.3f only" % (local[1], node, there))
    ocfs2.mount(lab)
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)
    ocfs2.blank(lab)


def is_in_time(lab, node):
    """Whether the node's clock lies between two looks at the host's, give or take."""
    before = time.time()
    there = float(lab.run(node, ["date", "+%s.%N"]))
    return before - CLOCKS_S < there < time.time() + CLOCKS_S


def sample(lab, node):
    lab.run(node, ["rm", "-f", LOG])
    folder = "%s/lab/node/node%d" % (ocfs2.ROOT, JOINER)
    pid = lab.remote.spawn(node, ["/usr/bin/python3", "-I", "-S", "/lab/guest/sampler", folder], LOG)
    lab.wait_for(node, "grep -q absent " + LOG, 10, "the sampler looks")
    return pid


def samples(lab, node, pid):
    """(before, at, state) of each change: somewhere between the two times it happened."""
    rows = [row.split(" ", 2) for row in lab.run(node, "kill %d; cat %s" % (pid, LOG)).splitlines()]
    return [(float(before), float(at), state) for before, at, state in rows]


def complete(found):
    return [state for _, _, state in found if state != "absent" and not state.startswith("0 ")]


def first(found, wanted):
    for before, at, state in found:
        if state == wanted:
            return before, at
    raise Broken("never seen: %r in %r" % (wanted, found))
