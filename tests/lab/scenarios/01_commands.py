"""A command run in a node behaves as if run at home: streams, exit status, time limit, standard input."""
from o2lab.errors import OverTime
from o2lab.scenario import Broken, Cluster, expect

SUITES = {"lab-ns": Cluster(3, "ns"), "lab-uml": Cluster(3)}
SHARED = True
LIMIT_S = 30


def run(lab):
    done = lab.try_run(2, "echo 'a b'; echo x >&2; exit 7")
    expect("exit status and both streams", (7, "a b\n", "x\n"), (done.code, done.out, done.err))
    expect("a missing command", 127, lab.try_run(2, ["/no/such/command"]).code)
    expect("a command that was killed", 137, lab.try_run(2, "kill -9 $$").code)
    expect("standard input", "5", lab.run(2, ["wc", "-c"], stdin=b"12345"))
    expect("large output", 3_000_000, len(lab.run(2, "head -c 3000000 /dev/zero | tr '\\0' x")))
    expect("each node is itself", ["node1", "node2", "node3"], [lab.run(node, ["hostname"]) for node in (1, 2, 3)])
    over_time_kills(lab)
    expect("a detached command outlives its call", "0", detached(lab))


def over_time_kills(lab):
    try:
        lab.run(2, "sleep 300", seconds=0.5)
    except OverTime:
        lab.wait_for(2, "! pidof sleep", 5, "nothing is left of a command over its time")
        return
    raise Broken("a command over its time ended well")


def detached(lab):
    lab.remote.spawn(2, ["sh", "-c", "sleep 0.1; echo 0 > /tmp/detached"], "/dev/null")
    lab.wait_for(2, "test -s /tmp/detached", 5)
    return lab.run(2, ["cat", "/tmp/detached"])
