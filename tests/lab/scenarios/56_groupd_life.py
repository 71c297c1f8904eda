"""groupd's clients on three nodes are stopped, started and finished alike through joins, a leave and two deaths."""
import json

from o2lab import groupd
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = groupd.PROGRAMS
LIMIT_S = 90


def run(lab):
    lab.in_parallel(lambda node: groupd.start(lab, node), groupd.NODES)
    one, two, three = (groupd.Client(lab, node, "a") for node in groupd.NODES)
    one.say("join a")
    one.wait("finish a 1")
    expect("a life alone", ["connected", "setid a 65537", "start a 1 2 1 1", "finish a 1"], one.heard())
    two.say("join a")
    one.wait("finish a 2")
    two.wait("finish a 1")
    three.say("join a")
    three.wait("finish a 1")
    told = one.wait("finish a 3"), two.wait("finish a 2")
    expect("the first", ["stop a", "start a 2 2 2 2 1", "finish a 2", "stop a", "start a 3 2 3 3 2 1", "finish a 3"],
           one.heard()[4:])
    expect("the second", ["setid a 65537", "start a 1 2 2 1 2", "finish a 1", "stop a", "start a 2 2 3 3 1 2",
                          "finish a 2"], two.heard()[1:])
    expect("the third", ["setid a 65537", "start a 1 2 3 1 2 3", "finish a 1"], three.heard()[1:])
    data_in_one_order(one, two, three)
    two.say("leave a")
    two.wait("terminate a")
    one.wait("finish a 4", after=told[0])
    three.wait("finish a 2")
    expect("after a leave", "start a 4 3 2 3 1", one.heard()[-2])
    tools(lab)
    a_client_dies(lab, one, three)
    a_node_is_back(lab, one)
    a_node_dies(lab, one, two)
    a_client_withholds_its_answer(lab)


def data_in_one_order(*clients):
    for client in clients:
        client.say(*("send a %s-%d" % (client.node, number) for number in range(15)))
    last = ["deliver a %d %d %d-14" % (client.node, len("%d-14" % client.node), client.node) for client in clients]
    for client in clients:
        for line in last:
            client.wait(line)
    delivered = [[line for line in client.heard() if line.startswith("deliver")] for client in clients]
    expect("15 words of each", 45, len(delivered[0]))
    expect("in one order", [delivered[0]] * 3, delivered)


def tools(lab):
    """The lists, and a client by hand that leaves what it has joined."""
    expect("as group_tool shows it", "type             level name id       state       \n"
           "test             1     a  00010001 none        \n[1 3]",
           lab.run(1, "o2cpg groups --legacy --style group_tool"))
    group = lab.json(3, "o2cpg -o json groups --legacy")["groups"][0]
    expect("in JSON", (1, "a", 65537, True, [1, 3], "none"),
           tuple(group[key] for key in ("level", "name", "id", "member", "members", "state")))
    said = lab.run(1, ["o2cpg", "groupctl", "--auto", "join b", "wait finish b", "send b two words", "wait deliver"])
    expect("groupctl", ["setid b 00020001", "start b nr 5 joined members 1", "finish b nr 5",
                        "deliver b from 1: two words", "stop b", "terminate b"], said.splitlines())
    said = lab.run(2, "o2cpg groupctl --level 1 -o jsonl", stdin=b"join c\nwait start c\nstarted c\nwait finish\n")
    expect("from standard input", ["setid", "start", "finish", "stop", "terminate"],
           [json.loads(line)["say"] for line in said.splitlines()])
    expect("a command that is none", 2, lab.try_run(1, ["o2cpg", "groupctl", "jion b"]).code)
    expect("nothing is left", 1, len(lab.json(1, "o2cpg -o json groups --legacy")["groups"]))


def a_client_dies(lab, one, three):
    """Its node is killed once its group has started: the others recover as from any failure (on_client_death)."""
    three.kill()
    lab.wait_for(3, "! pidof corosync", 10, "corosync of node 3 is killed")
    one.wait("finish a 7", seconds=20)
    expect("as from any failure", ["stop a", "start a 7 1 1 1", "finish a 7"], one.heard()[-3:])
    lab.wait_for(3, lambda: not groupd.pid(lab, 3), 10, "groupd of node 3 ends with its corosync")


def a_node_is_back(lab, one):
    lab.corosync.start(3)
    lab.wait_members(3)
    groupd.start(lab, 3)
    three = groupd.Client(lab, 3, "again")
    three.say("join a")
    one.wait("finish a 8")
    expect("a second life", ["connected", "setid a 65537", "start a 1 2 2 1 3", "finish a 1"], three.heard())


def a_node_dies(lab, one, two):
    two.say("join a")
    two.wait("finish a 6")
    lab.crash(3)
    one.wait("finish a 10", seconds=20)
    two.wait("finish a 7")
    expect("after a death", ["stop a", "start a 10 1 2 2 1", "finish a 10"], one.heard()[-3:])
    expect("alike", ["stop a", "start a 7 1 2 1 2", "finish a 7"], two.heard()[-3:])


def a_client_withholds_its_answer(lab):
    """Who waits for whom, since when, and what to do: asked on both nodes, and in the log once the wait is long."""
    slow = groupd.withheld(lab, 2, other=1)
    ours, theirs = groupd.waits(lab, 2), groupd.waits(lab, 1)
    expect("on its node", ("stopped", [2], slow.pid), (ours["kind"], ours["nodes"], ours["pid"]))
    expect_in("the process is named", "pid %d" % slow.pid, lab.run(2, "o2cpg groups --legacy"))
    expect("elsewhere", ("stopped", [2], None), (theirs["kind"], theirs["nodes"], theirs["pid"]))
    expect_in("the node is named", "s: stop_done of its client on node 2", lab.run(1, "o2cpg groups --legacy"))
    expect("group_tool's layout has no more lines", 1 + 2 * 2,
           len(lab.run(1, "o2cpg groups --legacy --style group_tool").splitlines()))
    for node in (1, 2):
        lab.wait_for(node, lambda: "a group stands still" in groupd.log(lab, node), 20, "the log says so")
    groupd.answered(slow)
    for node in (1, 2):
        lab.wait_for(node, lambda: groupd.waits(lab, node) is None, 10, "it goes on")
        lab.wait_for(node, lambda: "the group goes on" in groupd.log(lab, node), 10, "the log says so")
        expect("once", (1, 1), tuple(groupd.log(lab, node).count(line) for line in ("stands still", "group goes on")))
