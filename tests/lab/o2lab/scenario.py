"""Plays the scenarios of ../scenarios: each proves one rule on real nodes.

A scenario is a file NN_name.py:

    \"\"\"The rule that it proves, as one sentence.\"\"\"
    from o2lab.scenario import Cluster, expect

    SUITES = {"cluster": Cluster(3)}     # suite of `./x test` → the cluster it is played on
    PROGRAMS = ("o2cpgd", "o2cpg")       # built programs it wants in every node's PATH
    SHARED = True                        # leaves the cluster as it found it: the next may have it
    LIMIT_S = 60                         # its bound, the boot not counted

    def run(lab): ...

Scenarios that follow each other on equal clusters share one, until one fails or is not SHARED.
"""
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass

from .errors import LabError, OverTime
from .owner import own_lab
from .settings import Settings

HERE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
FOLDER = os.path.join(HERE, "scenarios")
OUT = os.path.join(HERE, "out")
LIMIT_S = 60
BOOT_LIMIT_S = 90


class Broken(AssertionError):
    """A rule does not hold."""


def expect(what, wanted, got):
    """The rule `what` holds if got is wanted."""
    if got != wanted:
        raise Broken("%s: wanted %r, got %r" % (what, wanted, got))


def expect_in(what, part, text):
    """The rule `what` holds if `part` occurs in `text`."""
    if part not in text:
        raise Broken("%s: %r is not in %r" % (what, part, text))


@dataclass(frozen=True)
class Cluster:
    """What a scenario is played on. Equal ones can be shared."""

    nodes: int = 3
    kind: str = "uml"
    corosync: bool = True
    of: int = 0                     # corosync.conf lists so many; 0: as many as run
    conf: tuple = ()                # (("node.3.nodeid", "300"), ...): corosync.py
    mkfs: tuple = None              # words for mkfs.ocfs2; None: blank disks
    settings: tuple = ()            # (("disks", 2), ("mem", "256M"), ...): settings.py

    def up(self, lab):
        settings = Settings.from_environment()
        for name, value in self.settings:
            setattr(settings, name, value)
        mkfs = list(self.mkfs) if self.mkfs is not None else None
        lab.up(self.nodes, self.kind, self.of or None, dict(self.conf), self.corosync, mkfs, settings)

    def is_whole(self, lab):
        """Whether a cluster that a scenario gave back is fit for the next one."""
        if lab.running() != list(range(1, self.nodes + 1)) or lab.state.facts["sides"]:
            return False
        return not self.corosync or all(lab.corosync.members(node) == (self.nodes, True) for node in lab.running())


class Scenario:
    """One file of the folder, for one suite."""

    def __init__(self, path, module, suite):
        self.number, self.name = re.fullmatch(r"(\d+)_(\w+)\.py", os.path.basename(path)).groups()
        self.rule = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        self.suite = suite
        self.cluster = module.SUITES[suite]
        self.programs = getattr(module, "PROGRAMS", ())
        self.is_shared = getattr(module, "SHARED", False)
        self.limit_s = getattr(module, "LIMIT_S", LIMIT_S)
        self.run = module.run

    @property
    def title(self):
        return "%s %s %s" % (self.suite, self.number, self.name)

    def is_named(self, words):
        return not words or any(word == self.number or word in self.name for word in words)


def load(suite=None, words=()):
    """The scenarios of a suite (None: of all), in the order of suites and numbers."""
    found = []
    for name in sorted(os.listdir(FOLDER)):
        if re.fullmatch(r"\d+_\w+\.py", name):
            path = os.path.join(FOLDER, name)
            spec = importlib.util.spec_from_file_location("scenario_" + name[:-3], path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found += [Scenario(path, module, one) for one in module.SUITES if suite in (None, one)]
    return sorted((one for one in found if one.is_named(words)), key=lambda one: (one.suite, one.number))


@contextlib.contextmanager
def time_limit(seconds, what):
    """Raises OverTime in the main thread, wherever it waits."""
    def ring(*_):
        raise OverTime("%s: no end within %g s" % (what, seconds))
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Player:
    """Plays scenarios one after the other on one lab."""

    def __init__(self, lab, programs, out, keep):
        self.lab = lab
        self.programs = programs        # folder with the built programs
        self.out = out
        self.keep = keep
        self.cluster = None             # what is up
        self.passed, self.failed = 0, 0

    def play(self, scenario):
        """One scenario; prints its line and counts it."""
        started = time.monotonic()
        folder = os.path.join(self.out, scenario.title.replace(" ", "-"))
        shutil.rmtree(folder, ignore_errors=True)
        journal = self.lab.journal = []
        try:
            self.prepare(scenario)
            with time_limit(scenario.limit_s, scenario.name):
                scenario.run(self.lab)
        except Exception as error:      # whatever a scenario raises is its failure, and the next one is played
            self.failed += 1
            self.report("FAILED", scenario, started, "%s\n    %s" % (folder, describe(error)))
            journal.append(traceback.format_exc())
            self.keep_logs(folder, journal)
            self.leave()
            return
        self.passed += 1
        self.report("ok", scenario, started, scenario.rule)
        if not scenario.is_shared:
            self.leave()

    def prepare(self, scenario):
        """The cluster it asks for, with its programs in it; the one that is up if that will do."""
        if self.cluster == scenario.cluster and not scenario.cluster.is_whole(self.lab):
            self.lab.note("the cluster was not given back whole")
            self.leave()
        if self.cluster != scenario.cluster:
            self.leave()
            with time_limit(BOOT_LIMIT_S, "bringing up the cluster"):
                scenario.cluster.up(self.lab)
            self.cluster = scenario.cluster
        for name in scenario.programs:
            path = os.path.join(self.programs or "", name)
            if not os.path.exists(path):
                raise LabError("%s is not built, or not in --programs" % name)
            self.lab.share(path, into="bin")

    def leave(self):
        """Takes down what is up, unless a person wants to look at it."""
        if self.cluster is not None and not self.keep:
            self.lab.leave()
            self.cluster = None

    def keep_logs(self, folder, journal):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "journal.txt"), "w") as target:
            target.write("\n".join(journal))
        if self.lab.state.exists():
            with contextlib.suppress(LabError):
                self.lab.collect(folder)

    @staticmethod
    def report(verdict, scenario, started, text):
        took = time.monotonic() - started
        print("%-6s %s (%.1f s)  %s" % (verdict, scenario.title, took, text), flush=True)


def describe(error):
    """An error as one paragraph: what broke, and the line of the scenario where it did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if FOLDER in frame.filename]
    place = "%s:%d: " % (os.path.basename(frames[-1].filename), frames[-1].lineno) if frames else ""
    name = "" if isinstance(error, (LabError, Broken)) else type(error).__name__ + ": "
    return place + name + str(error)


def play_all(scenarios, programs=None, out=OUT, keep=False, jobs=1):
    """Plays scenarios on a lab of its own, or on that many labs at once; the last line counts them. Returns the exit status.

    Most of a scenario is waiting for time-outs of a kernel or of corosync, so two labs need little more than one.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts = [part for part in split(scenarios, jobs) if part]
    if len(parts) > 1:
        counts = side_by_side(parts, programs, out)
    else:
        counts = play_each(scenarios, programs, out, keep)
    print("%d passed, %d failed" % counts)
    return 1 if counts[1] else 0


def play_each(scenarios, programs, out, keep=False):
    """One after the other; (passed, failed)."""
    player = Player(own_lab("test"), programs, out, keep)
    try:
        for scenario in scenarios:
            player.play(scenario)
    finally:
        player.lab.leave(keep)
    return player.passed, player.failed


def split(scenarios, parts):
    """Neighbours stay together: they share clusters."""
    size = -(-len(scenarios) // parts)
    return [scenarios[at:at + size] for at in range(0, len(scenarios), size)] if scenarios else []


def side_by_side(parts, programs, out):
    """Each part on a lab of its own, in a process of its own, which says how many passed and failed."""
    workers = []
    for number, part in enumerate(parts):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            if "LAB_NAME" in os.environ:
                os.environ["LAB_NAME"] += "-%d" % (number + 1)
            passed, failed = play_each(part, programs, out)
            os.write(writing, b"%d %d" % (passed, failed))
            os._exit(0)
        os.close(writing)
        workers.append((pid, reading, len(part)))
    try:
        return tuple(map(sum, zip(*[ended(*worker) for worker in workers])))
    except BaseException:           # asked to end: the workers take their labs down before they go
        for pid, _, _ in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid, _, _ in workers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        raise


def ended(pid, reading, count):
    """What a worker counted; one that died counts as failed with all it had."""
    with os.fdopen(reading) as counts:
        words = counts.read().split()
    os.waitpid(pid, 0)
    return (int(words[0]), int(words[1])) if len(words) == 2 else (0, count)
