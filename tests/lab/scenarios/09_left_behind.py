"""A lab whose program was killed is taken down by the next program that starts; a person's lab never is."""
import os
import signal

from o2lab.lab import Lab
from o2lab.owner import sweep, this_process
from o2lab.scenario import Cluster, expect

SUITES = {"lab-ns": Cluster(3, "ns")}
SHARED = True
LIMIT_S = 30


def run(lab):
    left, kept = Lab(lab.name + "-left"), Lab(lab.name + "-kept")
    try:
        killed_with(left.name)
        expect("killed program's lab is up", [1], left.running())
        kept.up(1, "ns", corosync=False)
        sweep()
        expect("killed program's lab is left", False, left.state.exists())
        expect("its nodes", [], left.running())
        expect("a person's nodes", [1], kept.running())
        expect("a living program's nodes", [1, 2, 3], lab.running())
    finally:
        left.down()
        kept.down()


def killed_with(name):
    """Another process brings a lab up and is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            Lab(name, this_process()).up(1, "ns", corosync=False)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    expect("how the other process ended", signal.SIGKILL, os.WTERMSIG(os.waitpid(pid, 0)[1]))
