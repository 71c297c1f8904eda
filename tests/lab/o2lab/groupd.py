"""groupd on the nodes of a lab of kind ns, and clients of its socket (guest/libgroup)."""
import os

from . import wait
from .errors import LabError

PROGRAMS = ("groupd", "o2cpg")
NODES = (1, 2, 3)
TOLD_S = 10
END_S = 10


def start(lab, node, *words):
    """groupd in the foreground, serving libgroup; its log is /lab/nodeN/groupd.log. Returns its pid."""
    argv = ["/lab/bin/groupd", "-D"] + (list(words) or ["-g", "1"])
    pid = lab.remote.spawn(node, argv, "/lab/node%d/groupd.log" % node, env={"RUST_BACKTRACE": "1"})
    wait.until(lambda: "groupd serves its clients" in log(lab, node), TOLD_S, "groupd serves on node %d" % node)
    return pid


def log(lab, node):
    """What groupd has logged there."""
    return read(os.path.join(lab.state.node_share(node), "groupd.log"))


def pid(lab, node):
    """Of the running groupd, or None."""
    found = lab.try_run(node, ["pidof", "groupd"]).out.split()
    return int(found[0]) if found else None


def withheld(lab, slow_node, other):
    """A group in which the client of one node has not said stop_done to the join of another's; returns that client."""
    slow = Client(lab, slow_node, "slow", manual=True)
    slow.say("join s")
    number = slow.wait_start("s")
    slow.say("start_done s %d" % number)
    slow.wait("finish s %d" % number)
    Client(lab, other, "quick").say("join s")
    slow.wait("stop s")
    return slow


def answered(slow):
    """It says what it owes, to the end of the change."""
    after = len(slow.heard())
    slow.say("stop_done s")
    number = slow.wait_start("s", after)
    slow.say("start_done s %d" % number)
    slow.wait("finish s %d" % number)


def waits(lab, node, group="s"):
    """What `o2cpg groups --legacy` says that this group waits for, or None."""
    found = lab.json(node, "o2cpg -o json groups --legacy")["groups"]
    return [one["waits"] for one in found if one["name"] == group][0]


def read(path):
    try:
        with open(path, errors="replace") as source:
            return source.read()
    except FileNotFoundError:
        return ""


class Client:
    """One connection, in a process of its own on the node."""

    def __init__(self, lab, node, name, level=1, kind="test", manual=False, as_user=()):
        self.lab, self.node, self.name = lab, node, name
        self.folder = lab.state.node_share(node)
        self.fifo = os.path.join(self.folder, name + ".in")
        self.out = os.path.join(self.folder, name + ".out")
        for path in (self.fifo, self.out):
            if os.path.exists(path):
                os.unlink(path)
        os.mkfifo(self.fifo)
        inside = "/lab/node%d/%s" % (node, name)
        argv = list(as_user) + ["/usr/bin/python3", "-I", "-S", "/lab/guest/libgroup", inside + ".in", kind, str(level)]
        self.pid = lab.remote.spawn(node, argv + ["manual"] * manual, inside + ".out")
        self.wait("connected")

    def say(self, *lines):
        """Commands of the socket, one frame each."""
        self.lab.note("node %d: %s says %s" % (self.node, self.name, lines))
        target = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(target, "".join(line + "\n" for line in lines).encode())
        except OSError as error:
            raise LabError("client %s on node %d is gone: %s" % (self.name, self.node, error)) from error
        finally:
            os.close(target)

    def heard(self):
        """Every line it has printed."""
        return read(self.out).splitlines()

    def wait(self, line, seconds=TOLD_S, after=0):
        """Until it has printed this line behind the first `after` ones; returns how many lines there are up to it."""
        def there():
            heard = self.heard()
            return heard.index(line, after) + 1 if line in heard[after:] else 0
        try:
            return wait.until(there, seconds, "")
        except LabError:
            raise LabError("client %s on node %d was not told %r but %r within %g s"
                           % (self.name, self.node, line, self.heard()[after:], seconds)) from None

    def wait_start(self, group, after=0):
        """Until it is told to start; returns the number that its answer has to name."""
        def told():
            return [line for line in self.heard()[after:] if line.startswith("start %s " % group)]
        return int(wait.until(told, TOLD_S, "%s is told to start" % group)[0].split()[2])

    def kill(self):
        self.lab.run(self.node, "kill -KILL %d" % self.pid)
