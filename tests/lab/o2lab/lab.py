"""A lab: its nodes and everything that can be done to them. The command line and the tests both use this."""
import json
import os
import shutil
import signal
import subprocess
import threading
import time

from . import corosync as corosync_conf
from . import ns, uml, wait
from .agent import Agent
from .corosync import Corosync
from .errors import LabError, NodeDown, OverTime
from .host import NetNs, lacks
from .net import Network
from .nodes import Processes
from .remote import Remote
from .settings import NODES_MAX, Settings, cluster_address, lab_folder, lab_name
from .state import State

GUEST = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "guest")
BOOT_S = 60
OFF_S = 5
STOP_S = 5
COMMAND_S = 20
COLLECT_S = 5


class Lab:
    """The lab called `name` (LAB_NAME), up or not; owner: the process that it ends with (owner.py)."""

    def __init__(self, name=None, owner=None):
        self.name = name or lab_name()
        self.owner = owner
        self.state = State(lab_folder(self.name))
        self.netns = NetNs("o2cpg-" + self.name)
        self.network = Network(self.netns, self.state)
        self.processes = Processes(self.state)
        self.remote = Remote(self.netns, self.processes)
        self.corosync = Corosync(self.remote, self.state)
        self.agent = Agent(self.remote, self.state)
        self.journal = None         # a list here gets a line for everything that is done
        self._born = time.monotonic()
        self._unshares = {}

    def note(self, text):
        """A line in the journal, with the seconds since this object was made."""
        if self.journal is not None:
            self.journal.append("%9.3f  %s" % (time.monotonic() - self._born, text))

    # ---- up and down --------------------------------------------------------

    def up(self, count, kind="uml", of=None, conf=None, corosync=True, mkfs=None, settings=None):
        """Boots nodes 1..count and, with corosync, waits until each sees them all.

        of: how many nodes corosync.conf lists. conf: changes to it (corosync.py). mkfs: words for mkfs.ocfs2, or
        None for blank disks. A lab that does not come up is taken down again.
        """
        settings = settings or Settings.from_environment()
        if not 0 < count <= NODES_MAX:
            raise LabError("a lab has 1 to %d nodes" % NODES_MAX)
        if self.state.exists():
            raise LabError("a lab is up in %s; `lab down` first" % self.state.folder)
        self.state.create(kind, settings, corosync_conf.for_cluster(of or count, conf or {}), self.owner)
        try:
            self._fill_share()
            if kind == "uml":
                uml.disks(self.state, settings, mkfs)
            self.network.up()
            self.start(*range(1, count + 1), corosync=corosync)
            if corosync:
                self.corosync.wait_members(range(1, count + 1), count)
        except BaseException as error:
            said = self._last_words()
            self.down()
            if isinstance(error, LabError):
                raise type(error)("%s\n%s" % (error, said)) from error
            raise

    def _fill_share(self):
        shutil.copytree(GUEST, os.path.join(self.state.share, "guest"), dirs_exist_ok=True)
        with open(os.path.join(self.state.share, "hosts"), "w") as target:
            target.write("127.0.0.1 localhost\n")
            target.writelines("%s node%d\n" % (cluster_address(node), node) for node in range(1, NODES_MAX + 1))

    def _last_words(self, lines=15):
        """The ends of the consoles, for a lab that did not come up."""
        text = []
        for node in self.processes.known():
            text.append("--- console of node %d" % node)
            text += self.console(node).splitlines()[-lines:]
        return "\n".join(text)

    def down(self, keep_logs=None):
        """Ends every node and leaves nothing behind; keep_logs: a folder that gets the logs first."""
        if keep_logs and self.state.exists():
            self.collect(keep_logs)
        for node in self.processes.running():
            self.crash(node)
        self.netns.delete()
        self.state.remove()

    def leave(self, keep=False):
        """Takes down what this lab's owner brought up; with keep, leaves it to a person. Another's lab is not touched."""
        if self.state.exists() and self.state.facts.get("owner") == self.owner:
            if keep:
                self.state.disown()
            else:
                self.down()

    # ---- one node's life ----------------------------------------------------

    def start(self, *nodes, corosync=True):
        """Powers nodes on; they have an empty memory and the disk they had."""
        self.note("start %s" % (nodes,))
        for node in nodes:
            self._boot(node)
        self.in_parallel(lambda node: self._until_booted(node, corosync), nodes)

    def _boot(self, node):
        if self.processes.alive(node):
            raise LabError("node %d is running" % node)
        kind = self.state.kind
        self.state.make_node(node)
        self.corosync.write(node)
        self.network.attach(node, kind)
        shutil.rmtree(os.path.join(self.state.folder, "uml", uml.umid(node)), ignore_errors=True)
        boots = os.path.join(self.state.node_share(node), "boots")
        if os.path.exists(boots):
            os.unlink(boots)
        with open(self.state.console(node), "ab") as log:
            if kind == "uml":
                self._unshares[node] = uml.start(node, self.state, self.netns, log)
                self.processes.started(node, self._unshares[node])
            else:
                self._unshares[node] = ns.start(node, self.state, log)
                self.network.hand_over(node, self.processes.started(node, self._unshares[node]))
                ns.go(self._unshares[node])

    def _until_booted(self, node, corosync):
        def ready():
            if not self.processes.alive(node):
                raise LabError("node %d ended while booting; `lab console %d` says why" % (node, node))
            return self.remote.answers(node)
        wait.until(ready, BOOT_S, "boot of node %d" % node)
        if corosync:
            self.corosync.start(node)

    def crash(self, *nodes):
        """Power cut."""
        self.note("crash %s" % (nodes,))
        for node in nodes:
            self.processes.kill(node)
            unshare = self._unshares.pop(node, None)
            if unshare:
                try:
                    unshare.wait(1)
                except subprocess.TimeoutExpired:
                    pass            # it is a child of ours only when this process booted the node

    def off(self, *nodes):
        """Orderly power off: what was written reaches the disk, nothing is told to anybody."""
        how = "sync; echo o > /proc/sysrq-trigger" if self.state.kind == "uml" else "kill -TERM -1"
        for node in nodes:
            try:
                self.remote.call(node, ["sh", "-c", how], OFF_S)
            except (NodeDown, OverTime):
                pass                # a node that goes off does not answer
            try:
                wait.until(lambda: not self.processes.alive(node), OFF_S, "node %d is off" % node)
            except OverTime:
                self.crash(node)

    def pause(self, *nodes):
        """The whole node stands still, as a guest that its host does not schedule."""
        self.note("pause %s" % (nodes,))
        for node in nodes:
            self.processes.signal(node, signal.SIGSTOP)
        for node in nodes:
            wait.until(lambda: self.processes.is_paused(node), STOP_S, "node %d stands still" % node)

    def resume(self, *nodes):
        self.note("resume %s" % (nodes,))
        for node in nodes:
            self.processes.signal(node, signal.SIGCONT)

    def partition(self, *groups):
        """Each group of nodes hears itself only: partition([1, 2], [3])."""
        self.note("partition %s" % (groups,))
        self.network.partition(groups)

    def heal(self):
        self.note("heal")
        self.network.heal()

    def running(self):
        return self.processes.running()

    def wait_members(self, count, nodes=None, seconds=corosync_conf.QUORUM_S):
        """Until each of the nodes (default: all that run) sees `count` members."""
        self.corosync.wait_members(nodes or self.running(), count, seconds)

    def in_parallel(self, todo, nodes):
        """todo(node) for each node at once; raises the first error when all have ended."""
        errors = []

        def one(node):
            try:
                todo(node)
            except LabError as error:
                errors.append(error)
        threads = [threading.Thread(target=one, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    # ---- in a node ----------------------------------------------------------

    def try_run(self, node, command, seconds=COMMAND_S, stdin=b""):
        """Runs a command in a node; a string is a shell line. Returns the Result whatever it is."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        done = self.remote.call(node, argv, seconds, stdin=stdin)
        self.note("node %d: %s -> %d\n%s%s" % (node, command, done.code, done.out, done.err))
        return done

    def run(self, node, command, seconds=COMMAND_S, stdin=b""):
        """The same for a command that must succeed; returns its standard output without the last newline."""
        done = self.try_run(node, command, seconds, stdin)
        if not done.ok:
            said = (done.err or done.out).strip()
            raise LabError("node %d: %s: exit status %d: %s" % (node, command, done.code, said))
        return done.out.rstrip("\n")

    def json(self, node, command, seconds=COMMAND_S):
        """The same for a command that prints JSON, such as `o2cpg -o json status`."""
        printed = self.run(node, command, seconds)
        try:
            return json.loads(printed)
        except ValueError as error:
            raise LabError("node %d: %s: no JSON: %s" % (node, command, error)) from error

    def wait_for(self, node, condition, seconds, what=None):
        """Until a shell line succeeds in the node, or a function of no arguments gives something true."""
        if callable(condition):
            return wait.until(condition, seconds, what or condition.__name__)
        return wait.until(lambda: self.try_run(node, condition, seconds).ok, seconds,
                          "node %d: %s" % (node, what or condition), poll_s=0.1)

    def share(self, *paths, into=""):
        """Copies files and folders to where each node sees them: /lab/NAME, or /lab/INTO/NAME (bin is in PATH)."""
        folder = os.path.join(self.state.share, into)
        os.makedirs(folder, exist_ok=True)
        for path in paths:
            target = os.path.join(folder, os.path.basename(os.path.normpath(path)))
            if os.path.isdir(path):
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copy(path, target + ".new")  # a running program's file is replaced, not written to
                os.rename(target + ".new", target)

    # ---- looking ------------------------------------------------------------

    def console(self, node):
        """What the node's kernel, and its first process, have printed."""
        try:
            with open(self.state.console(node), errors="replace") as source:
                return source.read()
        except FileNotFoundError:
            return ""

    def collect(self, folder):
        """Copies consoles, logs and configurations of all nodes; asks the living for what only they know."""
        os.makedirs(folder, exist_ok=True)
        for node in self.processes.known():
            self._collect_files(node, os.path.join(folder, "node%d" % node))
            if self.processes.alive(node):
                self._collect_answers(node, os.path.join(folder, "node%d" % node))

    def _collect_files(self, node, target):
        os.makedirs(target, exist_ok=True)
        if self.processes.alive(node):
            self._quietly(node, ["sync"])
        for name in ("corosync.conf", "corosync.log", "o2cpg.toml", "agent.log"):
            source = os.path.join(self.state.node_share(node), name)
            if os.path.exists(source):
                shutil.copy(source, target)
        if os.path.exists(self.state.console(node)):
            shutil.copy(self.state.console(node), target)

    def _collect_answers(self, node, target):
        asked = {"quorum.txt": "corosync-quorumtool -s", "cpg.txt": "corosync-cpgtool -n", "dmesg.txt": "dmesg",
                 "processes.txt": "ps axo pid,ppid,stat,wchan:32,args || ls /proc",
                 "mounts.txt": "cat /proc/mounts",
                 "journal.txt": "test ! -d /run/systemd/system || journalctl -b -o short-monotonic --no-pager",
                 "tree.txt": "cd /sys/kernel/config && find . -type f | while read -r f; do "
                             "echo \"$f: $(cat $f 2>&1)\"; done",
                 "status.json": "o2cpg -o json status"}
        for name, command in asked.items():
            done = self._quietly(node, ["sh", "-c", command])
            if done:
                with open(os.path.join(target, name), "w") as out:
                    out.write(done.out + done.err)

    def _quietly(self, node, argv):
        try:
            return self.remote.call(node, argv, COLLECT_S)
        except (NodeDown, OverTime):
            return None


def check(kind):
    """What this machine lacks for a lab of this kind."""
    return lacks(kind, Settings.from_environment())
