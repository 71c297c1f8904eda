"""One run: rounds of faults on one lab, each healed and measured; then everything that was written down is checked."""
import os
import queue
import signal
import threading
import time
from dataclasses import dataclass

from .. import ocfs2, userstack
from ..errors import LabError
from ..scenario import Broken, Cluster
from . import checks, schedule
from .faults import Faults
from .keeper import Keeper
from .power import Switches
from .programs import CLIENT, COROSYNC, Programs
from .report import Figures
from .workload import Asker, Clients, UserStack, Writers

ROUND_S = {"ns": 60, "uml": 150, "user": 150}
# What is promised; with the user stack nodes are still ended for the last fault, and boot.
CONVERGE_S = {"ns": 10, "uml": 10, "user": 60}
PATIENCE_S = 90         # what is waited, to tell late from never
BY_HAND_S = 15          # longer than corosync ever takes to form a ring here
KEEP_S = {"ns": 0.3, "uml": 2.0, "user": 2.0}
READY_S = 60
HEAL_S = 60

# Short times: more happens in a minute. consensus is twice what corosync would take: where it is shorter than what waits in a
# socket to be read, five corosyncs on two busy cores answer each other's old join messages and form no ring again.
NAMESPACES = Cluster(5, "ns", conf=(("totem.token", "400"), ("totem.token_coefficient", "50"),
                                    ("totem.consensus", "1200")))
CLUSTERS = {"ns": NAMESPACES, "uml": ocfs2.VOLUME_FOR_THREE, "user": userstack.CLUSTER}
WORK = {"ns": Clients, "uml": Writers, "user": UserStack}
NETWORK = 0             # the worker of what belongs to no node


@dataclass
class Words:
    """What is to be played. The same seed, kind, nodes and length of a round give the same faults."""

    kind: str = "ns"
    seed: int = 1
    minutes: float = 1.0
    nodes: int = 0              # 0: as many as the cluster of that kind has
    round_s: float = 0          # 0: as usual for that kind
    first_round: int = 1
    legacy: bool = True         # ns: with clients of groupd
    show: bool = False          # prints every fault

    def __post_init__(self):
        self.nodes = self.nodes or CLUSTERS[self.kind].nodes
        self.round_s = self.round_s or min(ROUND_S[self.kind], 60 * self.minutes)

    def rounds(self):
        return range(self.first_round, self.first_round + max(1, round(60 * self.minutes / self.round_s)))

    def faults(self, number):
        return schedule.faults(self.seed, number, self.kind, self.nodes, self.round_s)

    def cluster(self):
        return Cluster(**{**vars(CLUSTERS[self.kind]), "nodes": self.nodes})

    def again(self):
        """The command that plays the same."""
        return "./x chaos --kind %s --seed %d --minutes %g --nodes %d --round %g --first-round %d%s" % (
            self.kind, self.seed, self.minutes, self.nodes, self.round_s, self.first_round,
            "" if self.legacy else " --without-legacy")


class Worker(threading.Thread):
    """Does what is due on one node, in order, and keeps the node running in between."""

    def __init__(self, node, run):
        super().__init__(daemon=True)
        self.node, self.run_ = node, run
        self.due = queue.Queue()
        self.is_idle = threading.Event()

    def run(self):
        pause_s = KEEP_S[self.run_.kind]
        kept_at = 0.0
        while not self.run_.is_over.is_set():
            try:
                todo = self.due.get(timeout=pause_s)
            except queue.Empty:
                todo = None
            self.is_idle.clear()
            if todo:
                todo()
                self.due.task_done()
            if self.node != NETWORK and time.monotonic() - kept_at >= pause_s:
                self.run_.guarded("keeping node %d" % self.node, lambda: self.run_.keeper.keep(self.node))
                kept_at = time.monotonic()
            self.is_idle.set()


class Run:
    """The state of one run. `play` raises Broken at the first thing that does not hold."""

    def __init__(self, lab, words, log):
        self.lab, self.words, self.log = lab, words, log
        self.kind, self.nodes = words.kind, list(range(1, words.nodes + 1))
        self.figures = Figures()
        self.is_over = threading.Event()
        self.lasting = set()            # faults under way
        self.workers = {}

    def play(self):
        self.begin_work()
        try:
            for number in self.words.rounds():
                self.round(number)
        finally:
            self.asker.stop()
            self.switches.stop()
            self.is_over.set()
            for worker in self.workers.values():
                worker.join(HEAL_S)
        self.work.stop()
        return self.verdict()

    def begin_work(self):
        """The lab is up, with the programs in it."""
        self.programs = Programs(self.lab)
        self.work = WORK[self.kind](self.lab, self.programs, self.words.legacy)
        self.keeper = Keeper(self.lab, self.programs, self.work, self.log)
        self.faults = Faults(self.lab, self.programs, self.keeper)
        for node in self.nodes:
            self.programs.prefer(node, COROSYNC)
        self.asker = Asker(self.lab, self.nodes, self.keeper, self.log)
        self.workers = {node: Worker(node, self) for node in [NETWORK] + self.nodes}
        self.switches = Switches(self.lab, self.keeper, self.log)
        for one in [self.switches, *self.workers.values()]:
            one.start()
        self.work.rest()
        self.until_settled(READY_S)
        self.keeper.restarts.clear()
        self.asker.start()

    # ---- a round --------------------------------------------------------------

    def round(self, number):
        drawn = self.words.faults(number)
        listed = "\n".join(map(str, drawn))
        self.log.keep("round-%d.txt" % number, listed + "\n")
        self.log.note("round %d\n%s" % (number, listed))
        if self.words.show:
            print(listed)
        self.work.go_on()
        began = time.monotonic()
        self.break_things(drawn, began)
        self.figures.fault_s += time.monotonic() - began
        took = self.heal(number)
        self.figures.converged_s.append(took)
        self.log.say("round %d: %d drawn (%s), %.0f faults a minute, converged in %.1f s" % (
            number, len(drawn), schedule.digest(drawn), self.figures.rate(), took))
        if took > CONVERGE_S[self.kind]:
            raise Broken("round %d: converged %.1f s after the last fault, not within %d s" % (
                number, took, CONVERGE_S[self.kind]))
        self.look(number)

    def break_things(self, drawn, began):
        """Hands every beginning and end to its worker at its time; returns when all have ended."""
        deeds = [(fault.at_s, 1, fault.number, fault) for fault in drawn]
        deeds += [(fault.at_s + fault.lasts_s, 0, fault.number, fault) for fault in drawn]
        for at_s, begins, _, fault in sorted(deeds, key=lambda deed: deed[:3]):
            time.sleep(max(0.0, began + at_s - time.monotonic()))
            worker = self.workers[fault.where[0] if fault.kind.nodes else NETWORK]
            worker.due.put(lambda fault=fault, begins=begins: (self.begin if begins else self.end)(fault))
        for worker in self.workers.values():
            worker.due.join()

    def begin(self, fault):
        others = len(self.lasting)
        self.lasting.add(fault)
        broke = self.guarded("begin of %s" % fault, lambda: self.faults.begin(fault))
        self.log.note("begin %s%s" % (fault, "" if broke else "   (nothing)"))
        if fault.kind.is_fault and broke:
            self.figures.begun(fault.kind.name, others)
        elif fault.kind.is_fault:
            self.figures.found_nothing()

    def end(self, fault):
        self.guarded("end of %s" % fault, lambda: self.faults.end(fault))
        self.lasting.discard(fault)
        self.log.note("end   %s" % fault)

    def guarded(self, what, todo):
        """A node that is off, or resets itself, refuses what a fault or the keeper wants of it: noted, and tried again."""
        try:
            return todo()
        except (LabError, OSError) as error:
            self.log.note("%s: %s" % (what, error))
            return False

    def heal(self, number):
        """Whatever lasts has ended by now; makes sure of it, and waits until all is well. Returns the seconds it took."""
        self.lab.heal()
        self.work.rest()
        return self.until_settled(PATIENCE_S, "round %d: " % number)

    def until_settled(self, seconds, where=""):
        began, by_hand, asked_s = time.monotonic(), False, 0.0
        while True:
            looked = time.monotonic()
            trouble = checks.unsettled(self.lab, self.programs, self.nodes, self.work.legacy)
            took = time.monotonic() - began
            if trouble is None:
                self.figures.asked_s.append(asked_s)
                return took - asked_s
            self.log.note("not yet: %s" % trouble)
            if took > BY_HAND_S and not by_hand and self.by_hand(where):
                began, by_hand = time.monotonic(), True
            elif took > seconds:
                raise Broken("%snot settled within %d s: %s" % (where, seconds, trouble))
            time.sleep(0.1)
            if checks.is_asked_for(trouble):
                asked_s += time.monotonic() - looked

    def by_hand(self, where):
        """What an operator has to do about two faults of corosync's (checks.py), which are not ours, and counted. True if it was."""
        if checks.in_storm(self.lab, self.nodes):
            self.figures.storms += 1
            self.log.say("%scorosync answers old join messages without end: all of them are restarted" % where)
            for node in self.nodes:
                self.programs.signal(node, COROSYNC, signal.SIGKILL)
            return True
        node = checks.wrong_list(self.lab, self.nodes)
        if node is None:
            return False
        self.figures.wrong_lists += 1
        self.log.say("%snode %d asks for it: its corosync, which lacks a member, is restarted" % (where, node))
        self.programs.signal(node, COROSYNC, signal.SIGKILL)
        return True

    def look(self, number):
        """What can be seen at once."""
        checks.logs(self.lab, self.nodes)
        if self.asker.unanswered:
            raise Broken("round %d: %s" % (number, self.asker.unanswered[0]))

    # ---- the end --------------------------------------------------------------

    def program(self, name):
        """One of those that the nodes have, for the host."""
        return os.path.join(self.lab.state.share, "bin", name)

    def verdict(self):
        """Everything that was written down. Returns lines for the person."""
        said = list(self.figures.lines())
        if self.switches.cuts:
            said.append("nodes cut the power of others %d times" % self.switches.cuts)
        if self.kind != "ns":
            from . import disk
            said += disk.checked(self.lab, self.nodes, self.work)
        for node in self.nodes:
            self.programs.signal(node, CLIENT, 9)
            self.keeper.save_recording(node)
        found = checks.recordings(self.lab, self.nodes)
        files = [path for paths in found.values() for path in paths]
        events = checks.replayed(self.program("o2cpg"), files)
        said.append("%d lives of daemons with %d events replayed: the same effects" % (len(files), events))
        said.append(checks.judged(self.program("recordings"), found))
        if self.work.legacy:
            said.append("clients heard %d words, each group in one order" % checks.clients(self.lab, self.nodes))
        checks.logs(self.lab, self.nodes)
        ended = ", ".join("%s %d" % item for item in sorted(self.keeper.restarts.items()))
        said.append("%d questions answered or refused; started again: %s" % (self.asker.asked, ended or "nothing"))
        return said
