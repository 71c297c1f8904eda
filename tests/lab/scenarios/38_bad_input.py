"""Garbage on the control socket, in the CPG group, in the settings and in corosync.conf is refused; nothing falls over or is lost."""
import os
import threading

from o2lab import ocfs2
from o2lab.scenario import Broken, Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 120
TREE = "cat /tmp/configfs/tree.json"
# Whoever may look is in this group, and is not root.
CONFIG = ocfs2.CONFIG + '[control]\ngroup = "nogroup"\n'
AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "
SOCKET = "/run/o2cpg/control.sock"


def run(lab):
    ocfs2.ready(lab, config=CONFIG)
    pids, before = ocfs2.each(lab, lambda lab, node: lab.agent.pid(node)), ocfs2.each(lab, facts)
    control_socket(lab, "")
    control_socket(lab, AS_NOBODY)
    stranger(lab)
    unknown_key(lab)
    a_name_in_another_character_set(lab)
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    expect("the daemons are the same", pids, ocfs2.each(lab, lambda lab, node: lab.agent.pid(node)))
    expect("trees, tables and operations are the same", before, ocfs2.each(lab, facts))
    a_section_with_a_mistake(lab)


def facts(lab, node):
    said = ocfs2.status(lab, node)
    return lab.run(node, TREE), said["table"]["step"], said["counters"]["kernel_ops"], said["health"]


# ---- the control socket ---------------------------------------------------------

def control_socket(lab, who):
    """Others than root cannot lock root out, whatever they do; root can, for as long as it holds on."""
    pest = Pest(lab, who + "/usr/bin/python3 -I -S /lab/guest/pest " + SOCKET)
    lab.wait_for(1, lambda: b"half a frame" in pest.said, 30, "the pest has done its work")
    if who:
        expect("root is answered all the same", "ready", ocfs2.status(lab, 1)["agent"]["state"])
    expect("no daemon ended", True, bool(lab.agent.pid(1)))
    pest.stop()
    lab.wait_for(1, "o2cpg status", 10, "its connections are free again")


class Pest:
    def __init__(self, lab, command):
        self.said, (reader, self.word) = b"", os.pipe()
        self.thread = threading.Thread(target=self._run, args=(lab, command, reader), daemon=True)
        self.thread.start()

    def _run(self, lab, command, reader):
        lab.remote.stream(1, ["/bin/sh", "-c", command], 60, self._heard, stdin=reader)
        os.close(reader)

    def _heard(self, data, _is_err):
        self.said += data

    def stop(self):
        os.close(self.word)
        self.thread.join(10)


# ---- the group ------------------------------------------------------------------

def stranger(lab):
    """A member that says nothing that can be understood is named, and blocks changes only while it is there."""
    log = "/tmp/stranger.log"
    pid = lab.remote.spawn(3, ["/usr/bin/python3", "-I", "-S", "/lab/guest/stranger", "o2cpg"], log)
    lab.wait_for(3, "grep -q silent " + log, 30, "the stranger has said everything")
    for node in ocfs2.NODES:
        text = ocfs2.until_waiting(lab, node, "hello", 3)
        expect_in("node %d names the process" % node, "pid %d" % pid, text)
        if ocfs2.status(lab, node)["counters"]["undecodable"] < 20:
            raise Broken("node %d did not count what it could not read" % node)
        dropped = [event for event in ocfs2.events(lab, node) if event["kind"] == "dropped"]
        expect("node %d tells it once" % node, 1, len(dropped))
    lab.run(3, "kill %d" % pid)
    ocfs2.ready(lab)


# ---- settings -------------------------------------------------------------------

def unknown_key(lab):
    lab.run(2, "printf '[o2cb]\\nport = 7777\\ndead_treshold = 31\\n' > /tmp/bad.toml")
    done = lab.try_run(2, "o2cpgd --config /tmp/bad.toml")
    expect("a daemon with an unknown key does not start", 2, done.code)
    said = 'bad.toml:3: unknown setting "o2cb.dead_treshold"; did you mean "o2cb.dead_threshold"?'
    expect_in("and says which", said, done.err)
    good = lab.agent.config_file(2)
    with open(good) as source:
        text = source.read()
    with open(good, "w") as target:
        target.write(text + "dead_treshold = 31\n")
    heard = len(lab.agent.log(2))
    lab.agent.signal(2, "HUP")
    lab.wait_for(2, lambda: "dead_treshold" in lab.agent.log(2)[heard:], 10, "the log names the key")
    said = lab.wait_for(2, lambda: trouble(lab, 2, "config-unreadable"), 10, "so does status")
    expect_in("what is wrong", "dead_treshold", said["what"])
    expect_in("what to do", "systemctl reload o2cpgd", said["fix"])
    with open(good, "w") as target:
        target.write(text)
    lab.agent.signal(2, "HUP")
    lab.wait_for(2, lambda: not trouble(lab, 2, "config-unreadable"), 10, "what was mended is read")
    expect("a running one keeps what it has", "ready", ocfs2.status(lab, 2)["agent"]["state"])


# ---- corosync.conf ----------------------------------------------------------------

NAMES = "sed -i 's/name: node2$/name: n\\xf6de2/' /etc/corosync/corosync.conf"


def a_name_in_another_character_set(lab):
    """It hides its node, and all behind it, from whoever iterates: nobody may take them for removed."""
    ocfs2.each(lab, lambda lab, node: lab.run(node, NAMES))
    lab.corosync.reload(1)
    for node in ocfs2.NODES:
        said = lab.wait_for(node, lambda: trouble(lab, node, "config-unreadable"), 20, "node %d says so" % node)
        expect_in("what is wrong", "nodelist.node.1.nodeid is missing", said["what"])
        expect_in("what to do", "corosync.conf", said["fix"])
        names = [of["name"] for of in ocfs2.status(lab, node)["table"]["entries"]]
        expect("the table on node %d" % node, ["node1", "node2", "node3"], sorted(names))
    ocfs2.each(lab, lambda lab, node: lab.corosync.write(node))
    lab.corosync.reload(1)
    for node in ocfs2.NODES:
        lab.wait_for(node, lambda: not trouble(lab, node, "config-unreadable"), 20, "node %d has read it" % node)


SECTION = "printf 'o2cpg {\\n  fence: manual\\n  o2cb.dead_threshhold: 61\\n}\\n' >> /etc/corosync/corosync.conf"


def a_section_with_a_mistake(lab):
    """A daemon that starts with it does not know what the others go by, and is not let in: nobody waits for it. One that runs, or
    whose kernel is in, stays in and says so."""
    lab.agent.stop(2)
    ocfs2.each(lab, lambda lab, node: lab.run(node, SECTION))
    lab.corosync.reload(1)
    lab.agent.start(2)
    lab.wait_for(2, "o2cpg status", 20, "it answers")
    for node in (1, 3):
        lab.wait_for(node, lambda: trouble(lab, node, "config-unreadable"), 20, "node %d says so" % node)
    said = lab.wait_for(2, lambda: trouble(lab, 2, "settings-unknown"), 20, "node 2 says that it does not know")
    expect_in("what is wrong", 'did you mean "o2cb.dead_threshold"?', said["what"])
    expect_in("what to do", "corosync-cmapctl -d", said["fix"])
    lab.run(2, "o2cpg wait --for ready --timeout 10s")
    lab.agent.stop(2)
    lab.run(2, "rm -r /tmp/configfs")
    lab.agent.start(2)
    lab.wait_for(2, "o2cpg status", 20, "it answers")
    lab.wait_for(2, lambda: trouble(lab, 2, "settings-unknown"), 20, "node 2 says it again")
    expect("it is not let in", 6, lab.try_run(2, "o2cpg wait --for ready --timeout 2s").code)
    expect("nobody waits for it", [], ocfs2.status(lab, 1)["waits"])
    ocfs2.each(lab, lambda lab, node: lab.corosync.write(node))
    for key in ("fence", "o2cb.dead_threshhold"):       # a reload keeps keys that are no longer in the file
        ocfs2.each(lab, lambda lab, node: lab.run(node, "corosync-cmapctl -d o2cpg." + key))
    lab.corosync.reload(1)
    for node in ocfs2.NODES:
        lab.wait_for(node, lambda: not trouble(lab, node, "config-unreadable"), 20, "node %d has read it" % node)
    lab.run(2, "o2cpg wait --for ready --timeout 15s")


def trouble(lab, node, kind):
    return next((said for said in ocfs2.status(lab, node)["troubles"] if said["kind"] == kind), None)
