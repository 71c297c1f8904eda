"""Starts again what has ended, as init and a service manager would, unless a fault holds it down."""
import glob
import os
import shutil
import threading
from collections import Counter

from ..errors import LabError
from .. import userstack
from .programs import AGENT, COROSYNC, DLM, FENCE, POWER

RECORDER = "/run/o2cpg/recorder"
SAVE_S = 20
START_S = 10


class Keeper:
    """Of one lab. Each node is kept by one thread at a time."""

    def __init__(self, lab, programs, work, log):
        self.lab, self.programs, self.work, self.log = lab, programs, work, log
        self.held = Counter()
        self.outages = Counter()        # how often a node went off, by node
        self.lock = threading.Lock()
        self.boots = threading.Lock()
        self.saved = Counter()          # recordings kept so far, by node
        self.newest = {}                # when the last of them was written, and its size, by node
        self.restarts = Counter()       # what had ended without a fault of ours holding it: name → how often

    def hold(self, node, name):
        with self.lock:
            self.held[node, name] += 1
            self.outages[node] += name == POWER

    def release(self, node, name):
        with self.lock:
            self.held[node, name] = max(0, self.held[node, name] - 1)

    def release_all(self):
        with self.lock:
            self.held.clear()

    def is_held(self, node, name):
        return self.held[node, name] > 0

    def keep(self, node):
        """True if everything that should run does."""
        if self.is_held(node, POWER) or self.is_held(node, "paused"):
            return False
        if not self.lab.processes.alive(node):
            self.boot(node)
        alive = self.programs.alive(node)
        missing = [name for name in self.work.services if name not in alive]
        for name in missing:
            if not self.is_held(node, name):
                self.start(node, name)
        if not missing:
            self.work.keep(node, alive, self.is_held)
        return not missing

    def boot(self, node):
        self.log.note("keeper: node %d boots" % node)
        with self.boots:
            self.lab.start(node, corosync=False)

    def cut_power(self, node):
        """True if it was on. It boots again when nothing holds it down."""
        with self.boots:
            was_on = self.lab.processes.alive(node)
            self.lab.crash(node)
        return was_on

    def start(self, node, name):
        """One that does not start, since its former life still holds something, is tried again soon."""
        try:
            if name == COROSYNC:
                self.lab.corosync.start(node)
                self.programs.prefer(node, COROSYNC)
            elif name == DLM:
                userstack.up(self.lab, (node,), fence=FENCE, seconds=START_S)
            else:
                self.save_recording(node)
                # Written once: a daemon that has just been started may be reading it.
                known = os.path.exists(self.lab.agent.config_file(node))
                self.lab.agent.start(node, None if known else self.work.config)
            self.restarts[name] += 1
            self.log.note("keeper: node %d: %s started" % (node, name))
        except LabError as error:
            self.log.note("keeper: node %d: %s does not start: %s" % (node, name, error))

    # ---- recordings -----------------------------------------------------------

    def folder(self, node):
        folder = os.path.join(self.lab.state.node_share(node), "recordings")
        os.makedirs(folder, exist_ok=True)
        return folder

    def _next_name(self, node):
        """Each life of a daemon has begun a file of its own."""
        self.saved[node] += 1
        return "%s/%05d.jsonl" % (self.folder(node), self.saved[node])

    def save_recording(self, node):
        """The recording of the life that has ended, from where the next would write over it."""
        if self.programs.is_ns:
            return self.save_recording_from_host(node)
        inside = "/lab/node%d/recordings/%s" % (node, os.path.basename(self._next_name(node)))
        words = 'f=$(ls -t %s/*.jsonl 2>/dev/null | head -n 1); [ -z "$f" ] || cp "$f" %s' % (RECORDER, inside)
        self.lab.remote.call(node, ["sh", "-c", words], SAVE_S)

    def save_recording_from_host(self, node):
        """The same before a power cut, through the node's process 1. A guest takes its memory with it."""
        leader = self.lab.processes.leader(node)
        if not self.programs.is_ns or leader is None:
            return
        files = glob.glob("/proc/%d/root%s/*.jsonl" % (leader, RECORDER))
        newest = max(files, key=os.path.getmtime) if files else None
        if newest and self.newest.get(node) != (of := (os.path.getmtime(newest), os.path.getsize(newest))):
            self.newest[node] = of      # a daemon that did not get as far as recording leaves the one before
            shutil.copy(newest, self._next_name(node))
