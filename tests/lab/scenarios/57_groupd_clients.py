"""Whatever clients and strangers do to groupd, it serves the others: half frames, floods, crash frames, no rights."""
from o2lab import groupd
from o2lab.scenario import Broken, Cluster, expect

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = groupd.PROGRAMS
LIMIT_S = 60
PEST = ["/usr/bin/python3", "-I", "/lab/guest/groupd_pest"]
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
# Not a measure of speed: the machine does other work. The original does not answer at all.
SLOWEST_MS = 1000


def run(lab):
    lab.in_parallel(lambda node: groupd.start(lab, node), groupd.NODES)
    pids = {node: groupd.pid(lab, node) for node in groupd.NODES}
    clients = [groupd.Client(lab, node, "a") for node in groupd.NODES]
    for client in clients:
        client.say("join a")
        client.wait("finish a 1")
    half = lab.remote.spawn(1, PEST + ["half"], "/tmp/half")
    flood = lab.remote.spawn(1, PEST + ["flood"], "/tmp/flood")
    lab.wait_for(1, "grep -q half /tmp/half && grep -q flooding /tmp/flood", 5)
    served_meanwhile(lab, clients)
    lab.wait_for(1, "grep -q done /tmp/flood", 20, "who never reads is dropped")
    stranger = groupd.Client(lab, 2, "stranger")
    stranger.say("stop_done a", "start_done a 3", "leave b", "join a")
    expect("a dead client's half frame goes with it", "", lab.run(1, "kill -KILL %d" % half))
    lab.run(1, PEST + ["frames"], seconds=20)
    lab.run(2, PEST + ["cpg"], seconds=20)
    refused = lab.try_run(1, AS_NOBODY + PEST + ["ask", "1"])
    if refused.ok:
        raise Broken("a user without rights is answered: %s" % refused.out)
    lab.run(1, AS_NOBODY + PEST + ["frames"], seconds=20)
    served_meanwhile(lab, clients)
    expect("nobody has died", pids, {node: groupd.pid(lab, node) for node in groupd.NODES})
    expect("nobody was killed", (3, True), lab.corosync.members(1))
    told = [client.heard() for client in clients]
    expect("no frame but those of the group", [[], [], []],
           [[line for line in heard[1:] if line.split()[1] != "a"] for heard in told])
    expect("the flood has ended by itself", True, lab.try_run(1, "! kill -0 %d" % flood).ok)


def served_meanwhile(lab, clients):
    """A whole round of the group, and questions on new connections, on the node that is molested."""
    slowest = float(lab.run(1, PEST + ["ask", "50"]).split()[0])
    if slowest > SLOWEST_MS:
        raise Broken("an answer took %.0f ms" % slowest)
    first, *others = clients
    told = [len(client.heard()) for client in clients]
    others[1].say("leave a")
    others[1].wait("terminate a", after=told[2])
    others[1].say("join a")
    for client, before in zip(clients, told):
        finishes = 1 if client is others[1] else 2
        lab.wait_for(client.node, lambda c=client, b=before, f=finishes:
                     sum(line.startswith("finish a") for line in c.heard()[b:]) == f, 10, "the round is over")
