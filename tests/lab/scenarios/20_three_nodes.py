"""Three agents become ready: every kernel holds the same node tree, and stock tools share a volume without a cluster.conf."""
from o2lab import ocfs2
from o2lab.scenario import expect
from o2lab.settings import cluster_address

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s

CONFIG = """
[o2cb]
dead_threshold = 7
idle_timeout_ms = 10000
keepalive_delay_ms = 1500
reconnect_delay_ms = 1700
port = 7788
fence_method = "panic"
"""
ATTRIBUTES = {"idle_timeout_ms": "10000", "keepalive_delay_ms": "1500", "reconnect_delay_ms": "1700",
              "fence_method": "panic", "heartbeat/dead_threshold": "7", "heartbeat/mode": "local"}
ENTRIES = {"node%d" % node: (str(node), cluster_address(node), "7788") for node in ocfs2.NODES}


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, config=CONFIG)
    expect("the entries of all kernels", ENTRIES, ocfs2.equal_entries(lab))
    for node in ocfs2.NODES:
        tree = ocfs2.tree(lab, node)
        attributes = {name: tree.get("lab/" + name) for name in ATTRIBUTES}
        expect("the attributes on node %d" % node, ATTRIBUTES, attributes)
        lab.run(node, "test ! -e /etc/ocfs2/cluster.conf")

    lab.run(1, ["dd", "if=/dev/zero", "of=" + ocfs2.VOLUME, "bs=1M", "count=4", "conv=fsync"])     # a new disk
    lab.run(1, ["mkfs.ocfs2", "-q", "-x", *ocfs2.MKFS, ocfs2.VOLUME])
    ocfs2.mount(lab)
    for node in ocfs2.NODES:
        expect("mounted on node %d" % node, [ocfs2.MOUNT], ocfs2.mounts(lab, node))
    lab.run(1, "echo written on node 1 > {0}/file && sync {0}/file".format(ocfs2.MOUNT))
    for node in (2, 3):
        expect("node %d reads it" % node, "written on node 1", lab.run(node, ["cat", ocfs2.MOUNT + "/file"]))
    ocfs2.umount(lab)
    expect("the tree is as it was", ENTRIES, ocfs2.equal_entries(lab))
    ocfs2.blank(lab)
