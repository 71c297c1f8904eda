"""Labs that belong to the program that made them: `run`, `chaos`, `demo`.

Such a program takes its lab down when it ends. One that was killed cannot: the next one that starts finds what it left
and takes that down first. A lab that a person brought up with `lab up` belongs to nobody, and is never touched.
"""
import fcntl
import os
import re

from . import nodes
from .errors import LabError
from .lab import Lab
from .settings import lab_folder


def own_lab(word):
    """A lab for this process: called LAB_NAME, or `word` with its process id, so that two checkouts do not meet."""
    sweep()
    return Lab(os.environ.get("LAB_NAME", "%s-%d" % (word, os.getpid())), owner=this_process())


def this_process():
    """Process id, start time and pid namespace: the same id in another container, or later, is another process."""
    pid = os.getpid()
    return [pid, nodes.start_time(pid), os.readlink("/proc/self/ns/pid")]


def is_gone(owner):
    """Whether an owner surely ended. Nobody can tell that of one in another pid namespace."""
    pid, started, space = owner
    return space == this_process()[2] and (nodes.start_time(pid) != started or nodes.is_zombie(pid))


def sweep():
    """Takes down the labs whose owners are gone. One at a time: programs that start together find the same ones."""
    folder, prefix = os.path.split(lab_folder("", {"TMPDIR": os.environ.get("TMPDIR", "/tmp")}))
    with open(os.path.join(folder, prefix.rstrip("-") + ".lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for entry in sorted(os.listdir(folder)):
            if re.match(re.escape(prefix) + ".", entry):
                sweep_one(Lab(entry[len(prefix):]), os.path.join(folder, entry))


def sweep_one(left, folder):
    """With LAB_DIR set, every name is that folder's: what lies elsewhere is left alone."""
    if left.state.folder != folder or not left.state.exists():
        return
    try:
        owner = left.state.facts.get("owner")
    except LabError:
        return          # whoever owns it has just taken it down
    if owner and is_gone(owner):
        left.down()
