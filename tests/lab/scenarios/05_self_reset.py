"""A node whose kernel resets itself stays off, so that nobody mistakes a fence for a pause."""
from o2lab.errors import NodeDown, OverTime
from o2lab.scenario import Cluster, expect_in

SUITES = {"lab-uml": Cluster(3)}
LIMIT_S = 30


def run(lab):
    try:
        lab.run(3, "echo b > /proc/sysrq-trigger", seconds=2)
    except (NodeDown, OverTime):
        pass
    lab.wait_for(3, lambda: not lab.processes.alive(3), 20, "node 3 is off")
    expect_in("the console says why", "the kernel restarted itself", lab.console(3))
    lab.wait_members(2, [1, 2])
