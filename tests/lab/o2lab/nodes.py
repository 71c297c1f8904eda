"""The processes of a node, as the host sees them: found, counted, stopped, killed."""
import os
import re
import signal

from . import wait
from .errors import LabError

START_S = 10
KILL_S = 10


class Processes:
    """The processes of all nodes of one lab. A node is alive while process 1 of its pid namespace is."""

    def __init__(self, state):
        self.state = state

    def _pid_file(self, node):
        return os.path.join(self.state.node_folder(node), "pid")

    def started(self, node, unshare):
        """Remembers the node that the `unshare --pid --fork` process `unshare` has begun; returns its leader."""
        leader = wait.until(lambda: child_in_new_namespace(unshare), START_S, "process 1 of node %d" % node)
        with open(self._pid_file(node), "w") as target:
            target.write("%d %d\n" % (leader, start_time(leader) or 0))
        return leader

    def leader(self, node):
        """The process 1 of the node's pid namespace, as seen here; None when it is gone."""
        try:
            with open(self._pid_file(node)) as source:
                pid, started = map(int, source.read().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if start_time(pid) == started and not is_zombie(pid) else None

    def known(self):
        """Nodes that were ever started."""
        if not os.path.isdir(self.state.folder):
            return []
        names = (re.fullmatch(r"node(\d+)", name) for name in os.listdir(self.state.folder))
        return sorted(int(got.group(1)) for got in names if got)

    def alive(self, node):
        return self.leader(node) is not None

    def running(self):
        return [node for node in self.known() if self.alive(node)]

    def members(self, node):
        """All processes in the node's pid namespace, its leader included."""
        leader = self.leader(node)
        if leader is None:
            return []
        space = os.readlink("/proc/%d/ns/pid" % leader)
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if namespace_of(pid) == space]

    def kill(self, node):
        """Power off, now: the kernel ends a pid namespace as a whole with its process 1."""
        leader = self.leader(node)
        if leader is None:
            return
        started = start_time(leader)
        os.kill(leader, signal.SIGKILL)
        wait.until(lambda: start_time(leader) != started or is_zombie(leader), KILL_S,
                   "end of node %d" % node, poll_s=0.005)

    def signal(self, node, number):
        """To every process of the node but those that a debugger holds.

        A UML kernel runs each guest process in a traced helper; those stand still when the kernel does, and
        a signal of ours to one would reach the guest process instead.
        """
        for pid in self.members(node):
            if fact(pid, "TracerPid") == "0":
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass

    def is_paused(self, node):
        states = {fact(pid, "State")[:1] for pid in self.members(node) if fact(pid, "TracerPid") == "0"}
        return states == {"T"}

    def resident_mb(self, node):
        return max((resident_kb(pid) for pid in self.members(node)), default=0) // 1024


def child_in_new_namespace(unshare):
    if unshare.poll() is not None:
        raise LabError("a node ended as it started; its console says why")
    try:
        with open("/proc/%d/task/%d/children" % (unshare.pid, unshare.pid)) as source:
            children = [int(word) for word in source.read().split()]
    except FileNotFoundError:
        return None
    own = os.readlink("/proc/self/ns/pid")
    return next((child for child in children if namespace_of(child) not in (None, own)), None)


def namespace_of(pid):
    try:
        return os.readlink("/proc/%d/ns/pid" % pid)
    except OSError:
        return None


def stat_fields(pid):
    """/proc/PID/stat from its third field on; None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid) as source:
            return source.read().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None


def start_time(pid):
    """Tells a process from a later one with the same pid."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def is_zombie(pid):
    fields = stat_fields(pid)
    return fields is None or fields[0] == "Z"


def fact(pid, name):
    """A line of /proc/PID/status; empty when there is none."""
    try:
        with open("/proc/%d/status" % pid) as source:
            got = re.search(r"^%s:\s+(.*)$" % name, source.read(), re.M)
    except OSError:
        return ""
    return got.group(1) if got else ""


def resident_kb(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as source:
            return int(re.search(r"^Rss:\s+(\d+)", source.read(), re.M).group(1))
    except (OSError, AttributeError):
        return 0
