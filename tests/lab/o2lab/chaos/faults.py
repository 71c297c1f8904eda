"""The faults themselves: each begins, and ends by giving back what it took. `begin` tells whether it broke anything."""
import json
import os
import time

from .. import net
from ..errors import LabError
from ..settings import cluster_address
from .programs import AGENT, CLIENT, CONT, COROSYNC, DLM, KILL, POWER, STOP, TERM, TOOLS

COMMAND_S = 15
# About 5 s in a guest.
KILL_A_TOOL = """
for try in $(seq 40); do
    kill -KILL $(pidof %s) && exit
    sleep 0.05
done 2>/dev/null
false""" % " ".join(TOOLS)
CLOCK_JUMP_S = 3600                 # and back when the fault ends: corosync and o2cpgd must go by the other clock
NOWHERE = "02:78:ff:00:00:00"       # frames to it arrive nowhere
MOUNTED = "36 22 98:0 / /srv/chaos rw - ocfs2 /nonexistent/disk rw\n"
REFUSALS = "mkdir lab/node/* 12\n"


class Faults:
    """Does faults to the nodes of one lab."""

    def __init__(self, lab, programs, keeper):
        self.lab, self.programs, self.keeper = lab, programs, keeper

    def begin(self, fault):
        """True if something broke. What is ended stays so until the fault does."""
        return FAULTS[fault.kind.name][0](self, fault.where)

    def end(self, fault):
        """Whatever has become of the node since."""
        FAULTS[fault.kind.name][1](self, fault.where)

    # ---- programs -----------------------------------------------------------

    def end_program(self, node, name, number):
        self.keeper.hold(node, name)
        return self.programs.signal(node, name, number)

    def release(self, node, name):
        """The fault is over when what it ended has been started again."""
        self.keeper.release(node, name)
        if not self.keeper.is_held(node, name):
            self.keeper.keep(node)

    def kill_one_client(self, where):
        self.keeper.hold(where[0], CLIENT)
        return self.programs.signal(where[0], CLIENT, KILL)

    def kill_tools(self, where):
        """The next one that is at work: most of them are quick. Not mount.ocfs2: killed while it starts the heartbeat it leaves
        half a region, and Linux crashes in whoever mounts with that (story 71; scenario 66 kills it in each phase)."""
        return self.lab.remote.call(where[0], ["sh", "-c", KILL_A_TOOL], COMMAND_S).ok

    def end_agent(self, where):
        """Asked first. One that stayed is killed: the next must find itself at home all the same."""
        self.programs.signal(where[0], AGENT, KILL)
        self.release(where[0], AGENT)

    # ---- nodes --------------------------------------------------------------

    def power_off(self, where):
        node = where[0]
        self.keeper.hold(node, POWER)
        self.keeper.save_recording_from_host(node)
        return self.keeper.cut_power(node)

    def power_on(self, where):
        self.release(where[0], POWER)

    def pause(self, where):
        self.keeper.hold(where[0], "paused")
        self.lab.pause(where[0])
        return True

    def resume(self, where):
        self.lab.resume(where[0])
        self.release(where[0], "paused")

    def jump(self, node, seconds):
        """The guest's own clock of the day; a guest that was switched on since begins with the host's."""
        words = ["sh", "-c", "date -s @$(($(date +%%s) + %d))" % seconds]
        return self.lab.remote.call(node, words, COMMAND_S).ok

    def set_clock(self, where):
        """To the host's."""
        self.lab.remote.call(where[0], ["date", "-s", "@%.3f" % time.time()], COMMAND_S)

    def cut_off(self, where):
        """From all others, which end it, if it used a volume."""
        others = [node for node in self.lab.processes.known() if node != where[0]]
        self.lab.partition(list(where), others)
        return True

    # ---- network ------------------------------------------------------------

    def link(self, node, state):
        return self.lab.netns.ip("link", "set", net.port(node, net.CLUSTER), state, check=False).returncode == 0

    def deafen(self, listener, speaker):
        """What `speaker` sends to `listener` is lost. Nothing comes back that would tell it."""
        words = ["ip", "neigh", "replace", cluster_address(listener), "lladdr", NOWHERE, "dev", "cluster",
                 "nud", "permanent"]
        return self.lab.remote.call(speaker, words, COMMAND_S).ok

    def hear(self, listener, speaker):
        words = ["ip", "neigh", "del", cluster_address(listener), "dev", "cluster"]
        self.lab.remote.call(speaker, words, COMMAND_S)

    def hear_both(self, one, other):
        """A node that is off does not answer, and has forgotten it; the other has not."""
        try:
            again(lambda: self.hear(one, other))
        finally:
            again(lambda: self.hear(other, one))

    def cut(self, sides):
        self.lab.partition(*map(list, sides))
        return True

    # ---- the modelled kernel ------------------------------------------------

    def model(self, node, name):
        """A file of the model's folder, reached through the node's process 1."""
        leader = self.lab.processes.leader(node)
        return "/proc/%d/root/tmp/configfs/%s" % (leader, name) if leader else None

    def write(self, node, name, text):
        path = self.model(node, name)
        if path is None or not os.path.isdir(os.path.dirname(path)):
            return False
        with open(path + ".new", "w") as target:
            target.write(text)
        os.rename(path + ".new", path)
        return True

    def mount(self, where):
        """A kernel mounts only when it knows itself."""
        path = self.model(where[0], "tree.json")
        try:
            with open(path or "") as source:
                nodes = json.load(source)["nodes"].values()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return any(one.get("local") for one in nodes) and self.write(where[0], "mountinfo", MOUNTED)


def of_program(name, number, undo):
    """A signal to a program, and what ends the fault."""
    return (lambda faults, where: faults.end_program(where[0], name, number)), undo


def released(name):
    return lambda faults, where: faults.release(where[0], name)


def continued(name):
    def undo(faults, where):
        try:
            again(lambda: faults.programs.signal(where[0], name, CONT))
        finally:
            faults.release(where[0], name)
    return undo


def again(todo, times=3):
    """A busy guest may not answer in time."""
    for left in reversed(range(times)):
        try:
            return todo()
        except LabError:
            if not left:
                raise
    return None


FAULTS = {
    "corosync-kill": of_program(COROSYNC, KILL, released(COROSYNC)),
    "corosync-term": of_program(COROSYNC, TERM, released(COROSYNC)),
    "corosync-stop": of_program(COROSYNC, STOP, continued(COROSYNC)),
    "agent-kill": of_program(AGENT, KILL, released(AGENT)),
    "agent-stop": of_program(AGENT, STOP, continued(AGENT)),
    "agent-term": of_program(AGENT, TERM, Faults.end_agent),
    "dlm-kill": of_program(DLM, KILL, released(DLM)),
    "client-kill": (Faults.kill_one_client, released(CLIENT)),
    "client-stop": of_program(CLIENT, STOP, continued(CLIENT)),
    "tool-kill": (Faults.kill_tools, lambda faults, where: None),
    "node-off": (Faults.power_off, Faults.power_on),
    "node-pause": (Faults.pause, Faults.resume),
    "clock-ahead": (lambda faults, where: faults.jump(where[0], CLOCK_JUMP_S), Faults.set_clock),
    "clock-behind": (lambda faults, where: faults.jump(where[0], -CLOCK_JUMP_S), Faults.set_clock),
    "link-down": (lambda faults, where: faults.link(where[0], "down"), lambda faults, where: faults.link(where[0], "up")),
    "one-way": (lambda faults, where: faults.deafen(where[1], where[0]),
                lambda faults, where: faults.hear(where[1], where[0])),
    "apart": (lambda faults, where: all([faults.deafen(*where), faults.deafen(*where[::-1])]),
              lambda faults, where: faults.hear_both(*where)),
    "cut-off": (Faults.cut_off, lambda faults, where: faults.lab.heal()),
    "partition": (Faults.cut, lambda faults, where: faults.lab.heal()),
    "kernel-refuses": (lambda faults, where: faults.write(where[0], "faults", REFUSALS),
                       lambda faults, where: faults.write(where[0], "faults", "")),
    "mount": (Faults.mount, lambda faults, where: faults.write(where[0], "mountinfo", "")),
}
