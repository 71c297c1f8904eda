"""A node with another idle time-out, keepalive or dead threshold is refused with both values, its kernel untouched."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
MEMBERS, JOINER = (1, 2), 3
MOUNT_S = 30            # without our refusal it would hang for a minute

# What the joiner has instead, the setting that must be named, and both values.
VARIANTS = (
    ("idle_timeout_ms = 12000\ndead_threshold = 7\n", "o2cb.idle_timeout_ms", "10000", "12000"),
    ("keepalive_delay_ms = 1000\n" + ocfs2.CONFIG.partition("\n")[2], "o2cb.keepalive_delay_ms", "2000", "1000"),
    ("dead_threshold = 9\nidle_timeout_ms = 10000\n", "o2cb.dead_threshold", "7", "9"),
)


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, MEMBERS)
    before = ocfs2.equal_entries(lab, MEMBERS)
    for settings, key, ours, theirs in VARIANTS:
        lab.agent.start(JOINER, "[o2cb]\n" + settings)
        for node in ocfs2.NODES:
            said = ocfs2.until_refused(lab, node, JOINER, "mismatch")
            for value in (ours, theirs):
                expect_in("node %d says what differs" % node, " %s" % value, said["what"])
            expect_in("node %d says what to do" % node, "make %s equal in o2cpg.toml" % key, said["fix"])
            expect("and why it matters", True, bool(said["cause"]))
        expect("state of the joiner", "refused", ocfs2.status(lab, JOINER)["agent"]["state"])
        expect("the members go on", {1: "ready", 2: "ready"}, ocfs2.each(lab, state, MEMBERS))
        expect("the joiner's kernel has no cluster", {}, ocfs2.tree(lab, JOINER))
        expect("the members have no entry of it", before, ocfs2.equal_entries(lab, MEMBERS))
        lab.agent.stop(JOINER)
        for node in MEMBERS:
            lab.wait_for(node, lambda: not ocfs2.status(lab, node)["troubles"], 20, "node %d is content again" % node)

    mounting = "mkdir -p {1} && mount.ocfs2 {0} {1}".format(ocfs2.VOLUME, ocfs2.MOUNT)
    expect("a mount fails, and soon", False, lab.try_run(JOINER, mounting, seconds=MOUNT_S).ok)
    ocfs2.ready(lab)
    expect("after the correction it joins", ["node1", "node2", "node3"], sorted(ocfs2.equal_entries(lab)))
    expect("nobody is refused any more", [], ocfs2.status(lab, 1)["troubles"])


def state(lab, node):
    return ocfs2.status(lab, node)["agent"]["state"]
