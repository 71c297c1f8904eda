"""corosync can be stopped, killed and configured anew while its node goes on."""
from o2lab.scenario import Cluster, expect

SUITES = {"lab-ns": Cluster(3, "ns"), "lab-uml": Cluster(3)}
SHARED = True
LIMIT_S = 60


def run(lab):
    lab.corosync.kill(3, "STOP")
    lab.wait_members(2, [1, 2])
    expect("its node still answers", "node3", lab.run(3, ["hostname"]))
    lab.corosync.kill(3, "CONT")
    lab.wait_members(3)
    lab.corosync.kill(3)
    lab.wait_for(3, "! pidof corosync", 5)
    lab.corosync.start(3)
    lab.wait_members(3)
    reload(lab, {"o2cpg.dead_threshold": "7"})
    for node in (1, 2, 3):
        lab.wait_for(node, "corosync-cmapctl -g o2cpg.dead_threshold | grep -q '= 7$'", 5)
    reload(lab, {"o2cpg.dead_threshold": ""})


def reload(lab, changes):
    lab.corosync.change(None, changes)
    for node in lab.running():
        lab.corosync.write(node)
    lab.corosync.reload(1)
