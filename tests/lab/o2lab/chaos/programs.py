"""The programs of a node that faults are aimed at: which of them run, and signals to them."""
import contextlib
import os
import signal

from ..errors import LabError
from ..nodes import is_zombie

COROSYNC, DLM, AGENT, CLIENT = "corosync", "dlm_controld", "o2cpgd", "chaos_client"
FENCE = "/lab/guest/fence"
POWER = "node"             # what is held when a node is to stay off
WRITER, TOOLS = "chaos_writer", ("umount", "umount.ocfs2")
QUERY_S = 5
PREFERRED = -15


class Programs:
    """Of one lab. Nodes of namespaces are looked at from the host, guests are asked."""

    def __init__(self, lab):
        self.lab = lab
        self.is_ns = lab.state.kind == "ns"

    def alive(self, node):
        """The names of those that run, each as often as it does."""
        return [name for name, _ in self._all(node)]

    def signal(self, node, name, number):
        """To all of that name; tells whether there was one."""
        found = [pid for program, pid in self._all(node) if program == name]
        if not found:
            return False
        if self.is_ns:
            return any([sent(pid, number) for pid in found])
        words = "kill -%d %s" % (number, " ".join(map(str, found)))
        return self.lab.remote.call(node, ["sh", "-c", words], QUERY_S).ok

    def prefer(self, node, name):
        """Ahead of other work of this machine, as corosync's real-time priority does where it is alone."""
        for program, pid in self._all(node) if self.is_ns else ():
            if program == name:
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, pid, PREFERRED)

    def _all(self, node):
        if self.is_ns:
            found = ((program(read(pid)), pid) for pid in self.lab.processes.members(node) if not is_zombie(pid))
            return [(name, pid) for name, pid in found if name]
        listing = self.lab.remote.call(node, ["sh", "-c", LISTING], QUERY_S)
        if not listing.ok:
            raise LabError("node %d: its processes cannot be listed: %s" % (node, listing.err))
        rows = (row.split(" ", 1) for row in listing.out.splitlines())
        return [(name, int(pid)) for pid, words in rows for name in [program(words.split(" "))] if name]


# Without a process for each process: a guest is slow.
LISTING = """cd /proc && for p in [0-9]*; do
{ IFS= read -r words < $p/comm; } 2>/dev/null && case $words in
python3*) words=$(tr '\\0' ' ' < $p/cmdline) ;; esac && echo "$p $words"; done; true"""


def program(words):
    """Which of ours a command line is, if any. Python's name is that of its script."""
    if not words or not words[0]:
        return None
    named = [os.path.basename(word) for word in words]
    if named[0].startswith("python3"):
        named = [name for name in named[1:] if not name.startswith("-")] or [""]
    return named[0] if named[0] in (COROSYNC, DLM, AGENT, CLIENT, WRITER) + TOOLS else None


def read(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as source:
            return source.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def sent(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


KILL, TERM, STOP, CONT = signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT
