"""A power cut ends a node at once; it comes back with an empty memory, and its agent's log is still there."""
from o2lab.errors import NodeDown
from o2lab.scenario import Broken, Cluster, expect, expect_in

SUITES = {"lab-ns": Cluster(3, "ns"), "lab-uml": Cluster(3)}
SHARED = True
LIMIT_S = 60


def run(lab):
    log = "/dev/ttyS0" if lab.state.kind == "uml" else "/lab/node2/agent.log"
    lab.run(2, "echo last words > %s; touch /etc/was-here /var/lib/was-here" % log)
    lab.crash(2)
    expect_in("the log outlives the node", "last words\n", lab.agent.log(2))
    try:
        lab.run(2, ["true"])
    except NodeDown:
        pass
    else:
        raise Broken("a node without power answered")
    lab.wait_members(2, [1, 3])
    lab.start(2)
    lab.wait_members(3)
    expect("nothing of the former life is left", 2, lab.try_run(2, "ls /etc/was-here").code)
    expect("the host was not written to", 2, lab.try_run(1, "ls /var/lib/was-here").code)
