"""The user stack: dlm_controld in the nodes, and the tools of a mount on the sockets of ocfs2_controld and o2cb_controld."""
import contextlib
import json
import os
import shlex
import threading

from . import ocfs2
from .errors import LabError
from .scenario import Cluster

MOUNTER = "/usr/bin/python3 -I -S /lab/guest/mounter "
UUID = "0E57961B81934696B7AAE6D0080D6F29"
ASK_S = 40


def ask(lab, node, *texts, who=""):
    """Says each text on one connection; every line that was answered."""
    return lab.run(node, who + MOUNTER + "ask " + quoted(texts), ASK_S).splitlines()


def heard(lab, node):
    """What the daemon heard from tools since it started, by the kind of the message: ["Mount", "Result", ...]."""
    lines = lab.run(node, "o2cpg dump | grep MountAsked || true").splitlines()
    events = (json.loads(line)["event"]["event"]["MountAsked"][1] for line in lines)
    return [event if isinstance(event, str) else next(iter(event)) for event in events]


def quoted(words):
    return " ".join(map(shlex.quote, words))


class Running:
    """A command in a node that goes on until its standard input ends."""

    def __init__(self, lab, node, command):
        self.said, (reader, self.word) = b"", os.pipe()
        self.thread = threading.Thread(target=self._run, args=(lab, node, command, reader), daemon=True)
        self.thread.start()

    def _run(self, lab, node, command, reader):
        with contextlib.suppress(LabError):     # its node was switched off
            lab.remote.stream(node, ["/bin/sh", "-c", command], None, self._heard, stdin=reader)
        os.close(reader)

    def _heard(self, data, _is_err):
        self.said += data

    def lines(self):
        return self.said.decode(errors="replace").splitlines()

    def tell(self, line):
        """A line for its standard input."""
        os.write(self.word, line.encode() + b"\n")

    def stop(self, seconds=10):
        """Ends its standard input, and waits for its end."""
        os.close(self.word)
        self.thread.join(seconds)


# ---- the user stack, with dlm_controld ------------------------------------------------

# With this label, and not with pcmk, stock tools ask on every kernel.
LABEL = "cman"
MKFS = ("-b", "4096", "-C", "4096", "-N", "4", "-J", "size=4M", "-L", "shared",
        "--cluster-stack=" + LABEL, "--cluster-name=lab")
CLUSTER = Cluster(3, mkfs=MKFS, settings=(("modprobe", "configfs,ocfs2,ocfs2_stack_user,dlm"),))

DLM_LOG = "/var/log/dlm_controld/dlm_controld.log"

# The tools take a kernel without this file for an old one, and speak the whole protocol.
OLD_KERNEL = "mount --bind /dev/null /sys/fs/ocfs2/dlm_recover_callback_support"

# It ends at once where corosync does not answer yet.
START = """
printf %s > /sys/fs/ocfs2/cluster_stack
mkdir -p /etc/dlm /run/dlm_controld /var/log/dlm_controld
printf '%s' > /etc/dlm/dlm.conf
until corosync-cfgtool -s > /dev/null 2>&1; do sleep 0.1; done
dlm_controld
"""


def dlm_conf(fscontrol, fence):
    """enable_fscontrol: the DLM leaves the file system's recovery to a daemon. `fence`: the program that powers a node off."""
    fencing = "enable_fencing=1\\nfence_all %s\\npost_join_delay=1\\n" % fence if fence else "enable_fencing=0\\n"
    return fencing + "enable_startup_fencing=0\\nenable_fscontrol=%d\\n" % fscontrol


def up(lab, nodes=(1, 2, 3), fscontrol=True, fence=None, seconds=ASK_S):
    """Selects the stack and starts dlm_controld on each of the nodes."""
    words = START % (LABEL, dlm_conf(fscontrol, fence))
    lab.in_parallel(lambda node: lab.run(node, words, seconds), nodes)
    for node in nodes:
        # It answers before it has told the kernel who this node is; a mount in between fails.
        ready = "dlm_tool status >/dev/null 2>&1 && grep -q 1 /sys/kernel/config/dlm/cluster/comms/%d/local" % node
        lab.wait_for(node, ready, seconds, "dlm_controld has set up the kernel")


# ---- what the daemon says -------------------------------------------------------------

def volumes(lab, node):
    """`o2cpg mounts`, by uuid: {uuid: {"nodes": [1, 2], "paths": ["/mnt/shared"], "state": "stable", ...}}."""
    return {volume["uuid"]: volume for volume in lab.json(node, "o2cpg -o json mounts")["volumes"]}


def until_used_by(lab, node, uuid, users, seconds=10):
    """Until this node says that just these nodes use the volume."""
    def is_so():
        volume = volumes(lab, node).get(uuid, {"nodes": [], "state": "stable"})
        return volume["nodes"] == list(users) and volume["state"] == "stable"
    lab.wait_for(node, is_so, seconds, "node %d: %s is used by %s" % (node, uuid, users))


def pins(lab, node):
    """Kinds of what keeps the daemon there."""
    return sorted(pin["kind"] for pin in json.loads(lab.try_run(node, "o2cpg -o json can-stop").out)["pins"])


def uuid_of_the_volume(lab, node):
    lines = lab.run(node, "debugfs.ocfs2 -R stats " + ocfs2.VOLUME).splitlines()
    return next(line.split()[1] for line in lines if line.strip().startswith("UUID:"))
