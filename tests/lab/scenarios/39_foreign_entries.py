"""A tree made by another program is left alone and named, or adopted if equal; a second daemon does not start."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in
from o2lab.settings import cluster_address

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240
MEMBERS, NODE = (1, 2), 3

# As o2cb register-cluster makes it of /etc/ocfs2/cluster.conf.
CLUSTER = """
set -e
mkdir %(root)s/lab && cd %(root)s/lab
echo 7 > heartbeat/dead_threshold
echo 10000 > idle_timeout_ms
""" % {"root": ocfs2.ROOT}
ENTRY = """
mkdir node/%(name)s
echo 7777 > node/%(name)s/ipv4_port
echo %(address)s > node/%(name)s/ipv4_address
echo %(number)d > node/%(name)s/num
"""


def run(lab):
    other_entries_are_left_alone(lab)
    an_equal_tree_is_adopted(lab)
    a_second_daemon_does_not_start(lab)


def by_hand(lab, entries, local=""):
    script = CLUSTER + "".join(ENTRY % dict(name=name, number=number, address=cluster_address(number))
                               for name, number in entries)
    lab.run(NODE, script + ("echo 1 > node/%s/local\n" % local if local else ""))


def other_entries_are_left_alone(lab):
    ocfs2.blank(lab)
    by_hand(lab, [("stray", 9)])
    watches = ocfs2.watch(lab, (NODE,))
    ocfs2.ready(lab, MEMBERS)
    lab.agent.start(NODE, ocfs2.CONFIG)
    said = ocfs2.until_refused(lab, NODE, NODE, "foreign-entries")
    expect_in("it names the entry", "stray", said["what"])
    expect("it says why, and what to do", (True, True), ("cluster.conf" in said["cause"], "rmdir" in said["fix"]))
    expect_in("so does plan", "stray", lab.run(NODE, "o2cpg plan"))
    verdicts = {one["thing"].split()[0]: one["verdict"] for one in ocfs2.status(lab, NODE)["adopted"]}
    expect("what was found at the start", {"cluster": "foreign", "node": "foreign"}, verdicts)
    lab.wait_for(NODE, lambda: ocfs2.status(lab, NODE)["agent"]["state"] == "refused", 20, "node %d is refused" % NODE)
    for node in MEMBERS:
        ocfs2.until_refused(lab, node, NODE, "kernel")
        ocfs2.until(lab, node, "ready")
    ocfs2.expect_unchanged(lab, watches)
    expect("operations", 0, ocfs2.kernel_ops(lab, NODE))

    lab.run(NODE, "rmdir %s/lab/node/stray" % ocfs2.ROOT)
    ocfs2.ready(lab)
    expect("without it the node joins", ["node1", "node2", "node3"], sorted(ocfs2.equal_entries(lab)))


def an_equal_tree_is_adopted(lab):
    ocfs2.blank(lab)
    by_hand(lab, [("node%d" % node, node) for node in ocfs2.NODES], "node%d" % NODE)
    watches = ocfs2.watch(lab, (NODE,))
    ocfs2.ready(lab)
    expect("all are the same", ["node1", "node2", "node3"], sorted(ocfs2.equal_entries(lab)))
    ocfs2.expect_unchanged(lab, watches)
    expect("operations", 0, ocfs2.kernel_ops(lab, NODE))
    expect("nothing is wrong", "ok", ocfs2.status(lab, NODE)["health"])


def a_second_daemon_does_not_start(lab):
    pid = lab.agent.pid(NODE)
    done = lab.try_run(NODE, "o2cpgd --config /lab/node%d/o2cpg.toml" % NODE)
    expect("exit status of the second", 1, done.code)
    expect_in("it says who was first", "another o2cpgd (pid %d) runs" % pid, done.err + done.out)
    expect("the first goes on", ("ready", pid), (ocfs2.status(lab, NODE)["agent"]["state"], lab.agent.pid(NODE)))
