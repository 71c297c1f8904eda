"""The number, name and address of an entry that kernels still hold go to no other node; it is told why, and nothing is written."""
import json

from o2lab import ocfs2
from o2lab.scenario import expect, expect_in
from o2lab.settings import cluster_address

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
STAY, MACHINE, NEWCOMER = (1, 2), 3, 4      # machine 3 comes back as the cluster's node 4
OTHER_ADDRESS = cluster_address(33)

# Each newcomer has exactly one thing of the old node 3: its own lines in the nodelist, and in its o2cpg.toml.
NUMBER = ({"ring0_addr": OTHER_ADDRESS, "name": "node4"}, "[numbers]\n4 = 3\n")
NAME = ({"ring0_addr": OTHER_ADDRESS, "name": "node3"}, "")
ADDRESS = ({"ring0_addr": cluster_address(MACHINE), "name": "node4"}, "")


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab)
    before = ocfs2.equal_entries(lab)
    lab.run(1, "o2cpg pin --node node3 'its disk is being looked at'")
    lab.crash(MACHINE)
    lab.wait_members(2)
    lab.start(MACHINE, corosync=False)
    lab.run(MACHINE, ["ip", "address", "add", OTHER_ADDRESS + "/24", "dev", "cluster"])
    for (entry, numbers), words in ((NUMBER, "o2cb number 3"), (NAME, "name node3"), (ADDRESS, "address 10.78.2.3")):
        come(lab, entry, numbers)
        for node in (*STAY, MACHINE):
            is_refused(lab, node, words)
        expect("the members have what they had", before, ocfs2.equal_entries(lab, STAY))
        expect("the newcomer wrote nothing", {}, ocfs2.tree(lab, MACHINE))

    lab.run(1, "o2cpg unpin --node node3 'its disk is being looked at'")
    ocfs2.until(lab, MACHINE, "ready")
    rest = {name: before[name] for name in ("node1", "node2")}
    wanted = {**rest, "node4": ("4", cluster_address(MACHINE), "7777")}
    for node in (*STAY, MACHINE):
        expect("on machine %d" % node, wanted, ocfs2.entries(ocfs2.tree(lab, node)))
    ocfs2.mount(lab)
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)


def come(lab, entry, numbers):
    """Machine 3 starts corosync as node 4 with these lines, and the agent."""
    lab.run(MACHINE, "kill -9 $(pidof o2cpgd corosync); rm -rf /dev/shm/* /run/o2cpg; true")
    lab.wait_for(MACHINE, "! pidof o2cpgd corosync", 10)
    lab.wait_members(2, STAY)
    lines = {"node.4." + key: value for key, value in entry.items()}
    for changes in ({"nodes": "1,2"}, {"nodes": "1,2,4", **lines}):     # a running corosync changes no address in place
        lab.corosync.change(None, changes)
        for node in (*STAY, MACHINE):
            lab.corosync.write(node)
        lab.corosync.reload(STAY[0])
    lab.corosync.start(MACHINE)
    lab.wait_members(3)
    lab.agent.start(MACHINE, ocfs2.CONFIG + numbers)


def is_refused(lab, node, words):
    def found():
        troubles = lab.try_run(node, "o2cpg -o json status")        # a daemon that was just started has no socket yet
        return troubles.ok and [one for one in json.loads(troubles.out)["troubles"]
                                if (one["kind"], one["nodeid"]) == ("taken", NEWCOMER) and words in one["what"]]
    trouble = lab.wait_for(node, found, 30, "machine %d says %r" % (node, words))[0]
    expect_in("who has it", "belongs to node 3", trouble["what"])
    expect("why that matters", True, bool(trouble["cause"]))
    expect_in("what to do", "corosync.conf", trouble["fix"])
