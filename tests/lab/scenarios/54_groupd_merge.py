"""A node that was away and comes back with groups starts nothing: it ends, and the others go on as if it had died."""
from o2lab import groupd
from o2lab.scenario import Broken, Cluster, expect

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = groupd.PROGRAMS
LIMIT_S = 90
AWAY = 3


def run(lab):
    lab.in_parallel(lambda node: groupd.start(lab, node), groupd.NODES)
    corosync_stands_still(lab)
    lab.wait_for(AWAY, "! pidof corosync", 10)
    lab.wait_for(AWAY, lambda: is_back(lab), 60, "corosync is back")
    groupd.start(lab, AWAY)
    the_network_is_cut(lab)


def is_back(lab):
    """What is killed right after it came back, or while its former life still holds the pid file, is started again."""
    if not lab.try_run(AWAY, "pidof corosync").ok:
        lab.corosync.start(AWAY)
    return lab.corosync.members(AWAY)[0] == len(groupd.NODES)


def joined(lab, name):
    clients = [groupd.Client(lab, node, name) for node in groupd.NODES]
    for client in clients:
        client.say("join " + name)
        client.wait("finish %s" % " ".join([name, numbers(client, name)]))
    return clients


def numbers(client, name):
    """The number of the first start, which depends on what the daemon has done before."""
    client.lab.wait_for(client.node, lambda: starts(client, name), 10, "%s starts" % name)
    return starts(client, name)[0].split()[2]


def starts(client, name):
    return [line for line in client.heard() if line.startswith("start %s " % name)]


def corosync_stands_still(lab):
    one, two, three = joined(lab, "a")
    lab.corosync.kill(AWAY, "STOP")
    recovered(lab, (one, two), "a")
    lab.corosync.kill(AWAY, "CONT")
    ended(lab, three, "a")


def the_network_is_cut(lab):
    one, two, three = joined(lab, "b")
    lab.partition([1, 2], [AWAY])
    recovered(lab, (one, two), "b")
    lab.wait_for(AWAY, lambda: "stop b" in three.heard(), 10, "the lonely node is stopped")
    lab.heal()
    ended(lab, three, "b")
    for client in (one, two):
        expect("nothing has started since", 2, len(starts(client, "b")[-1].split()) - 5)


def recovered(lab, clients, name):
    for client in clients:
        lab.wait_for(client.node, lambda c=client: starts(c, name)[-1].split()[3:5] == ["1", "2"]
                     and c.heard()[-1] == "finish %s %s" % (name, starts(c, name)[-1].split()[2]), 20, "recovered")


def ended(lab, client, name):
    lab.wait_for(AWAY, lambda: not groupd.pid(lab, AWAY), 20, "groupd ends where it was away")
    client.wait("end")
    if [line for line in starts(client, name) if line.split()[3] == "1"]:
        raise Broken("it started alone: %s" % client.heard())
