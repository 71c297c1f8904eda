"""The user stack with a control daemon: stock mount.ocfs2 on three nodes, a death behind the fence gate and behind a legacy
group of level 0, recovery, fsck clean."""
from o2lab import ocfs2, userstack, wait
from o2lab.scenario import Broken, expect, expect_in

SUITES = {"cluster": userstack.CLUSTER}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 120
CONFIG = ocfs2.CONFIG.replace("[o2cb]", 'fence = "manual"\n[o2cb]') + '[legacy]\ngroupd = "libgroup"\n'
DEAD = 3
STAY = (1, 2)
REPLAY = "Begin replay journal (node %d" % DEAD


def run(lab):
    userstack.up(lab)
    ocfs2.ready(lab, config=CONFIG)
    expect("no mount, no control device", 0, open_devices(lab, 1))
    ocfs2.mount(lab)
    expect("the handshake is done where it is needed", 1, open_devices(lab, 1))
    volume = ocfs2.status(lab, 1)["mounts"][0]["uuid"]
    expect("the group of the volume", [1, 2, 3], members(lab, 1, volume))
    lab.wait_for(2, "corosync-cpgtool -n | grep -q ocfs2:" + volume, 5, "corosync-cpgtool shows it")
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    fencers = [Fencer(lab, node) for node in (1, 2, 3)]
    died_while_writing(lab, volume, fencers[0])
    for fencer in fencers[:2]:
        fencer.leave()
    back_again(lab, volume)
    ocfs2.umount(lab)
    lab.wait_for(1, lambda: members(lab, 1, volume) is None, 10, "the group is empty")
    checked = lab.try_run(1, "fsck.ocfs2 -fn " + ocfs2.VOLUME, 60)
    expect("fsck.ocfs2 -fn: %s%s" % (checked.out, checked.err), 0, checked.code)


class Fencer:
    """A program of level 0, as fenced was: its group recovers before the volumes do."""

    def __init__(self, lab, node):
        self.running = userstack.Running(lab, node, "o2cpg groupctl --level 0")
        self.say("auto on", "join default")
        self.hears("finish default")

    def say(self, *lines):
        for line in lines:
            self.running.tell(line)

    def hears(self, words):
        wait.until(lambda: self.running.lines()[-1:] and self.running.lines()[-1].startswith(words), 10,
                   "%r from groupctl: %s" % (words, self.running.lines()))

    def leave(self):
        self.say("quit")
        self.hears("terminate default")
        self.running.stop()


def died_while_writing(lab, volume, fencer):
    """Nothing is told to the kernels before somebody says that the node is off and the lower level has recovered; then both
    recover it, once."""
    written = "%s/of-the-dead" % ocfs2.MOUNT
    lab.run(DEAD, "echo x >> %s && sync %s" % (written, written))       # this one is on the disk
    lab.remote.spawn(DEAD, ["/bin/sh", "-c", "while :; do echo x >> %s; sync %s; done" % (written, written)], "/dev/null")
    fencer.say("auto off")
    lab.crash(DEAD)
    fencer.hears("stop default")
    for node in STAY:
        text = ocfs2.until_waiting(lab, node, "fence", DEAD)
        expect_in("node %d says what is missing" % node, "nobody has confirmed it", text)
        if REPLAY in lab.run(node, "dmesg"):
            raise Broken("node %d: recovered while the fence gate is closed" % node)
    for node in STAY:
        # Else a survivor would write with the locks of the dead before its journal is replayed, and lose what it wrote.
        lab.wait_for(node, "dlm_tool ls | grep -q 'wait.*fs'", 5, "node %d: the DLM waits for o2cpgd" % node)
    refused = lab.try_run(1, "o2cpg ack-dead node2 --yes-i-am-sure=node2")
    expect("a node that lives is not taken for dead", 5, refused.code)
    lab.run(2, "o2cpg ack-dead node3 --yes-i-am-sure=node3")
    fencer.say("stopped default")
    fencer.hears("start default")
    for node in STAY:
        text = ocfs2.until_waiting(lab, node, "legacy-group", DEAD)
        expect_in("node %d says what is missing" % node, "legacy group 0:default to recover", text)
        if REPLAY in lab.run(node, "dmesg"):
            raise Broken("node %d: recovered before the level below" % node)
    fencer.say("started default")
    fencer.hears("finish default")
    lab.wait_for(1, lambda: any(REPLAY in lab.run(node, "dmesg") for node in STAY), 20, "a survivor replays the journal")
    for node in STAY:
        ocfs2.until(lab, node, "settled")
        told = [one for one in ocfs2.events(lab, node) if one["kind"] == "buried"]
        expect("node %d: handled once, and who said so" % node, 1, len(told))
        expect_in("node %d" % node, "on node 2", str(told))
    expect("the group of the volume", list(STAY), members(lab, 1, volume))
    expect("the survivors go on", True, ocfs2.is_shared(lab, STAY))
    expect_in("what it had written is there", "x", lab.run(1, ["cat", written]))


def back_again(lab, volume):
    lab.start(DEAD)
    lab.wait_members(3)
    userstack.up(lab, (DEAD,))
    ocfs2.ready(lab, (DEAD,), CONFIG)
    ocfs2.mount(lab, (DEAD,))
    expect("it is back in the group", [1, 2, 3], members(lab, 1, volume))
    expect("the volume is shared by all", True, ocfs2.is_shared(lab))


def members(lab, node, volume):
    """Nodes in the volume's group, as o2cpgd there has it; None: no such group."""
    groups = lab.json(node, "o2cpg -o json groups")["groups"]
    return next((group["members"] for group in groups if group["name"] == "ocfs2:" + volume), None)


def open_devices(lab, node):
    """How often o2cpgd has the control device open."""
    return int(lab.run(node, "ls -l /proc/$(pidof o2cpgd)/fd | grep -c ocfs2_control; true"))
