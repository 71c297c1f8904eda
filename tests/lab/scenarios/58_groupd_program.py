"""The program groupd takes the original's options, keeps its lock file, vetoes while groups exist, and ends truly."""
from o2lab import groupd
from o2lab.scenario import Broken, Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = groupd.PROGRAMS
LIMIT_S = 60
LOCK = "/var/run/groupd.pid"


def run(lab):
    the_command_line(lab)
    pid = in_the_background(lab)
    only_one(lab, pid)
    groups_are_in_the_way(lab, pid)
    an_end_in_good_order(lab, pid)
    corosync_is_gone(lab)
    modes_are_detected(lab)
    descriptors_run_out(lab)


def the_command_line(lab):
    for words, code in (("-h", 0), ("-V", 0), ("-q", 2), ("-g 3", 2), ("-w", 2)):
        expect("groupd %s" % words, code, lab.try_run(1, "groupd " + words).code)


def in_the_background(lab):
    lab.run(1, "groupd -L -g 1")
    pid = int(lab.run(1, "cat " + LOCK))
    expect("the start is over when it serves", pid, groupd.pid(lab, 1))
    expect("it has no terminal and no group of its starter", str(pid), lab.run(1, "ps -o sid= -p %d" % pid).strip())
    expect_in("its log file", "groupd serves its clients", lab.run(1, "cat /var/log/cluster/groupd.log"))
    return pid


def only_one(lab, pid):
    for words in ("-g 1", "-D -g 1"):
        second = lab.try_run(1, "groupd " + words)
        expect("a second one", 1, second.code)
        expect_in("a second one", "groupd runs already: it holds " + LOCK, second.err)
    other = lab.try_run(1, "groupd -D --lock-file /tmp/other.pid")
    expect("another lock file does not help", 1, other.code)
    expect_in("another lock file does not help", "@groupd_socket", other.err)
    expect("the first is not disturbed", pid, int(lab.run(1, "cat " + LOCK)))


def groups_are_in_the_way(lab, pid):
    client = groupd.Client(lab, 1, "a")
    client.say("join a")
    client.wait("finish a 1")
    lab.run(1, "kill -TERM %d; kill -INT %d; kill -HUP %d" % (pid, pid, pid))
    asked = lab.try_run(1, "corosync-cfgtool -H", seconds=15)
    expect_in("corosync may not shut down", "Could not shutdown", asked.out + asked.err)
    client.say("send a still-there")
    client.wait("deliver a 1 11 still-there")
    client.say("leave a")
    client.wait("terminate a")
    client.say("close")


def an_end_in_good_order(lab, pid):
    lab.run(1, "kill -TERM %d" % pid)
    lab.wait_for(1, "! kill -0 %d 2>/dev/null" % pid, 5)
    expect("the lock file is gone", 1, lab.try_run(1, "test -e " + LOCK).code)
    expect("it has left the CPG", "", lab.run(2, "corosync-cpgtool -n | grep groupd; true"))
    expect("exit status 0", 0, ended(lab, 1, "kill -TERM $!"))


def corosync_is_gone(lab):
    expect("exit status 1 when corosync is killed", 1, ended(lab, 2, "kill -KILL $(pidof corosync)"))
    began = lab.try_run(2, "groupd -g 1")
    expect("exit status 1 without corosync", 1, began.code)
    expect_in("and why", "no connection to corosync within 3 s", began.err)
    expect("no lock file is left", 1, lab.try_run(2, "test -e " + LOCK).code)
    lab.corosync.start(2)
    lab.wait_members(3)


def ended(lab, node, how):
    """Exit status of a groupd in the foreground that this ends."""
    line = ("groupd -D -g 1 2>/tmp/log & until grep -q 'serves its clients' /tmp/log; do sleep 0.05; done; "
            + how + "; wait $!")
    return lab.try_run(node, line, seconds=10).code


def modes_are_detected(lab):
    """All pending for -d seconds: libcpg, with the groups that an old daemon must not get."""
    lab.in_parallel(lambda node: groupd.start(lab, node, "-g", "2", "-d", "1"), groupd.NODES)
    for node in groupd.NODES:
        lab.wait_for(node, lambda n=node: "mode=3" in groupd.log(lab, n), 10, "libcpg is chosen")
    expect("placeholders", 3, lab.run(1, "corosync-cpgtool -n | grep -c '^[01]_'") and
           int(lab.run(1, "corosync-cpgtool -n | grep -c '^[01]_'")))
    for node in groupd.NODES:
        lab.run(node, "kill -TERM $(pidof groupd)")
        lab.wait_for(node, "! pidof groupd", 5, "nothing holds a daemon in libcpg mode")


def descriptors_run_out(lab):
    """Groups that cannot be had are refused, and can be joined once there is room; nothing spins."""
    lab.remote.spawn(1, ["/bin/sh", "-c", "ulimit -n 40; exec /lab/bin/groupd -D -g 1"], "/lab/node1/few.log")
    lab.wait_for(1, "o2cpg groups --legacy", 10)
    client = groupd.Client(lab, 1, "many")
    # Those that are asked for at once are joined in the order of their names: the last to be refused is g39.
    client.say(*("join g%02d" % number for number in range(40)))
    lab.wait_for(1, "grep -q 'cannot be joined group=1:g39' /lab/node1/few.log", 10)
    lab.wait_for(1, "grep -q 'refused.*g39.*EMFILE' /lab/node1/few.log", 10, "the log names what is short")
    listed = {group["name"] for group in lab.json(1, "o2cpg -o json groups --legacy")["groups"]}
    lab.wait_for(1, lambda: {line.split()[1] for line in client.heard() if line.startswith("finish")} == listed, 10,
                 "only those that are joined are listed")
    expect("some are joined, some are not", (True, True), ("g00" in listed, "g39" not in listed))
    before = cpu_ticks(lab)
    for name in ("g00", "g01"):
        client.say("leave " + name)
        client.wait("terminate " + name)
    client.say("join g39")
    client.wait("setid g39 %d" % ((len(listed) + 1) * 0x10000 + 1), seconds=5)
    if cpu_ticks(lab) - before > 50:
        raise Broken("it spins")


def cpu_ticks(lab):
    """Hundredths of a second that groupd has used."""
    fields = lab.run(1, "cat /proc/$(pidof groupd)/stat").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
