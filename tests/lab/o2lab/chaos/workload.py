"""The work that goes on meanwhile, one class for each kind of lab."""
import os
import random
import threading
import time

from ..errors import LabError, NodeDown, OverTime
from .programs import AGENT, CLIENT, COROSYNC, DLM, FENCE, WRITER

GROUPS = (("a", 1), ("b", 2))
QUESTIONS = ("o2cpg -o json status", "o2cpg -o json groups --legacy", "o2cpg wait --timeout 2s --for settled",
             "o2cpg can-stop", "o2cpg -o json mounts")
ASKED_EVERY_S = 1.0
ANSWER_S = 20           # no question of ours may take longer, whatever has become of the daemon
JOIN_S = 30

O2CB = "[o2cb]\ndead_threshold = %d\nidle_timeout_ms = 10000\n"
RECORDER = "[recorder]\nsize_bytes = 67108864\n"


class Clients:
    """Namespaces: two clients of libgroup on each node."""

    services = (COROSYNC, AGENT)

    def __init__(self, lab, programs, legacy):
        self.lab, self.programs, self.legacy = lab, programs, legacy
        groupd = '[legacy]\ngroupd = "libgroup"\n' if legacy else ""
        self.config = "restart_grace_s = 5\n" + O2CB % 7 + RECORDER + groupd

    def keep(self, node, alive, is_held):
        if not self.legacy or alive.count(CLIENT) == len(GROUPS) or is_held(node, CLIENT):
            return
        self.programs.signal(node, CLIENT, 9)       # those that are left: then all of them are started
        for name, level in GROUPS:
            log = "/lab/node%d/client-%s.log" % (node, name)
            argv = ["/usr/bin/python3", "-I", "-S", "/lab/guest/chaos_client", name, str(level), log]
            self.lab.remote.spawn(node, argv, "/lab/node%d/clients.err" % node)

    def rest(self):
        """Nobody leaves any more; who is not in comes in."""
        with open(os.path.join(self.lab.state.share, "calm"), "w"):
            pass

    def go_on(self):
        path = os.path.join(self.lab.state.share, "calm")
        if os.path.exists(path):
            os.unlink(path)

    def stop(self):
        pass


class Writers:
    """Kernels: each node mounts, writes, unmounts, again and again. What was told as written stays on the host."""

    services = (COROSYNC, AGENT)
    config = O2CB % 7 + RECORDER
    legacy = False

    def __init__(self, lab, programs, _legacy):
        self.lab, self.programs = lab, programs
        self.written = {}               # node → lines that were on the disk when they were told
        self.errors = []
        self.threads = {}
        self.lives = 0

    def keep(self, node, alive, is_held):
        if WRITER in alive or (node in self.threads and self.threads[node].is_alive()):
            return
        self.lives += 1
        argv = ["/usr/bin/python3", "-I", "-S", "/lab/guest/chaos_writer", "%d.%d" % (node, self.lives)]
        self.threads[node] = threading.Thread(target=self._listen, args=(node, argv), daemon=True)
        self.threads[node].start()

    def _listen(self, node, argv):
        pending = b""

        def heard(data, is_err):
            nonlocal pending
            if is_err:
                self.errors.append((node, data.decode(errors="replace")))
                return
            *lines, pending = (pending + data).split(b"\n")
            self.written.setdefault(node, []).extend(line.decode() for line in lines)
        try:
            self.lab.remote.stream(node, argv, None, heard)
        except LabError:
            pass                        # the node went off with it

    def rest(self):
        with open(os.path.join(self.lab.state.share, "calm"), "w"):
            pass

    def go_on(self):
        Clients.go_on(self)

    def stop(self):
        """Every writer unmounts and ends."""
        with open(os.path.join(self.lab.state.share, "stop"), "w"):
            pass
        for thread in self.threads.values():
            thread.join(JOIN_S)


class UserStack(Writers):
    """The same on the user stack: the recovery is o2cpgd's, behind a fence program."""

    services = (COROSYNC, DLM, AGENT)
    config = 'restart_grace_s = 12\nfence = "command"\nfence_command = "%s"\n' % FENCE + RECORDER


class Asker:
    """Asks one node after the other. Each question is answered, refused, or ends at its own time limit."""

    def __init__(self, lab, nodes, keeper, log):
        self.lab, self.nodes, self.keeper, self.log = lab, nodes, keeper, log
        self.asked, self.unanswered = 0, []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        chance = random.Random()        # which question meets which fault is left to the machine
        while not self.is_over.wait(ASKED_EVERY_S):
            self._ask(chance.choice(self.nodes), chance.choice(QUESTIONS))

    def _ask(self, node, question):
        outages = self.keeper.outages[node]
        try:
            began = time.monotonic()
            done = self.lab.remote.call(node, ["sh", "-c", question], ANSWER_S)
            self.asked += 1
            self.log.note("asked node %d: %s -> %d (%.1f s)" % (node, question, done.code, time.monotonic() - began))
            if done.code > 128:
                self.unanswered.append("node %d: %s ended with %d" % (node, question, done.code))
        except OverTime:
            is_held = self.keeper.is_held(node, "paused") or self.keeper.is_held(node, AGENT)
            if not is_held and self.keeper.outages[node] == outages:    # else it was lost with its node
                self.unanswered.append("node %d: %s: no answer within %d s" % (node, question, ANSWER_S))
        except NodeDown:
            pass

    def start(self):
        self.thread.start()

    def stop(self):
        self.is_over.set()
        self.thread.join(ANSWER_S + 1)
