"""o2cpgd serves groupd's clients beside its own work: their groups pin it, and a loss of corosync costs them only."""
import json

from o2lab import groupd, ocfs2
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 90
CONFIG = ocfs2.CONFIG + '[legacy]\ngroupd = "libgroup"\n'


def run(lab):
    ocfs2.ready(lab, config=CONFIG)
    clients = [groupd.Client(lab, node, "a") for node in groupd.NODES]
    for client in clients:
        client.say("join a")
        client.wait("finish a 1")
    pinned(lab, clients[0])
    a_loss_of_corosync(lab, clients)
    a_client_withholds_its_answer(lab)


def pinned(lab, client):
    held = lab.try_run(1, "o2cpg can-stop")
    expect("a group is a reason to stay", 5, held.code)
    expect_in("and is named", "legacy group 1:a", held.out + held.err)
    pid = lab.agent.pid(1)
    lab.agent.signal(1, "TERM")
    asked = lab.try_run(1, "corosync-cfgtool -H", seconds=15)
    expect_in("corosync may not shut down", "Could not shutdown", asked.out + asked.err)
    expect("it stays", pid, lab.agent.pid(1))
    client.say("leave a")
    client.wait("terminate a")
    lab.wait_for(1, "! pidof o2cpgd", 10, "asked before, it ends when the last group is gone")
    ocfs2.ready(lab, (1,), CONFIG)


def a_loss_of_corosync(lab, clients):
    lab.corosync.kill(3)
    clients[2].wait("end")
    clients[1].wait("finish a 4", seconds=20)
    expect("as from any failure", "start a 4 1 1 2", clients[1].heard()[-2])
    lab.corosync.start(3)
    lab.wait_members(3)
    ocfs2.ready(lab, (3,), CONFIG)
    again = groupd.Client(lab, 3, "again")
    again.say("join a")
    again.wait("finish a 1", seconds=20)
    expect("a new life with the same daemon", ["setid a 65537", "start a 1 2 2 2 3", "finish a 1"], again.heard()[1:])


def a_client_withholds_its_answer(lab):
    """Its group is a wait of the daemon's status once it is long, there and where it is waited for."""
    for node in (1, 3):
        lab.wait_for(node, "o2cpg status --check", 10, "all is well")
    slow = groupd.withheld(lab, 3, other=1)
    pid = groupd.waits(lab, 3)["pid"]
    expect("not long yet", [0, 0], [lab.try_run(node, "o2cpg status --check").code for node in (1, 3)])
    said = {node: ocfs2.until_waiting(lab, node, "legacy-stands", 3, seconds=20) for node in (1, 3)}
    expect("the node is named", "legacy group 1:s: stop_done of its client on node 3", said[1])
    expect_in("the process is named", "pid %d" % slow.pid, said[3])
    expect("in JSON too", slow.pid, pid)
    expect("health is not OK", [1, 1], [lab.try_run(node, "o2cpg status --check").code for node in (1, 3)])
    groupd.answered(slow)
    for node in (1, 3):
        lab.wait_for(node, "o2cpg status --check", 10, "all is well again")
        expect("events has its beginning and its end", ["wait_started", "wait_ended"], told_of(lab, node, said[node]))


def told_of(lab, node, wait):
    """Kinds of the events that speak of this wait."""
    lines = map(json.loads, lab.run(node, "o2cpg -o jsonl events").splitlines())
    return [line["kind"] for line in lines if line.get("what") == wait]
