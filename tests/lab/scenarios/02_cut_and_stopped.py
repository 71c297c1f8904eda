"""A partition and a pause are seen by corosync, and healed ones too."""
from o2lab.scenario import Cluster, expect

SUITES = {"lab-ns": Cluster(3, "ns"), "lab-uml": Cluster(3)}
SHARED = True
LIMIT_S = 60


def run(lab):
    lab.partition([1, 2], [3])
    lab.wait_members(2, [1, 2])
    lab.wait_members(1, [3])
    expect("quorum is with the two", [True, True, False], [lab.corosync.members(node)[1] for node in (1, 2, 3)])
    lab.heal()
    lab.wait_members(3)
    lab.pause(2)
    expect("a paused node is known as such", True, lab.processes.is_paused(2))
    lab.wait_members(2, [1, 3])
    lab.resume(2)
    lab.wait_members(3)
