"""Two labs with two names live side by side, and one that goes leaves the other alone."""
from o2lab.lab import Lab
from o2lab.scenario import Cluster, expect

SUITES = {"lab-ns": Cluster(3, "ns")}
SHARED = True
LIMIT_S = 30


def run(lab):
    other = Lab(lab.name + "-other", lab.owner)
    other.up(1, "ns")
    try:
        expect("each has its own members", (1, 3), (other.corosync.members(1)[0], lab.corosync.members(1)[0]))
    finally:
        other.down()
    expect("nothing of it is left", False, other.state.exists())
    expect("the first goes on", 3, lab.corosync.members(1)[0])
