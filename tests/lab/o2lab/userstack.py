"""The tools of a mount on the sockets of ocfs2_controld and o2cb_controld: guest/mounter in the nodes."""
import os
import shlex
import threading

from .scenario import Cluster

MOUNTER = "/usr/bin/python3 -I -S /lab/guest/mounter "
UUID = "0E57961B81934696B7AAE6D0080D6F29"
ASK_S = 40


def ask(lab, node, *texts, who=""):
    """Says each text on one connection; every line that was answered."""
    return lab.run(node, who + MOUNTER + "ask " + quoted(texts), ASK_S).splitlines()


def quoted(words):
    return " ".join(map(shlex.quote, words))


class Running:
    """A command in a node that goes on until its standard input ends."""

    def __init__(self, lab, node, command):
        self.said, (reader, self.word) = b"", os.pipe()
        self.thread = threading.Thread(target=self._run, args=(lab, node, command, reader), daemon=True)
        self.thread.start()

    def _run(self, lab, node, command, reader):
        lab.remote.stream(node, ["/bin/sh", "-c", command], None, self._heard, stdin=reader)
        os.close(reader)

    def _heard(self, data, _is_err):
        self.said += data

    def lines(self):
        return self.said.decode(errors="replace").splitlines()

    def stop(self, seconds=10):
        """Ends its standard input, and waits for its end."""
        os.close(self.word)
        self.thread.join(seconds)


# ---- the user stack, with dlm_controld ------------------------------------------------

LABEL = "cman"
MKFS = ("-b", "4096", "-C", "4096", "-N", "4", "-J", "size=4M", "-L", "shared",
        "--cluster-stack=" + LABEL, "--cluster-name=lab")
CLUSTER = Cluster(3, mkfs=MKFS, settings=(("modprobe", "configfs,ocfs2,ocfs2_stack_user,dlm"),))

# enable_fscontrol: the DLM leaves the file system's recovery to a daemon. Nobody fences in the lab.
START = """
printf %(label)s > /sys/fs/ocfs2/cluster_stack
mkdir -p /etc/dlm /run/dlm_controld /var/log/dlm_controld
printf 'enable_fencing=0\\nenable_startup_fencing=0\\nenable_fscontrol=%(fscontrol)d\\n' > /etc/dlm/dlm.conf
dlm_controld
"""


def up(lab, nodes=(1, 2, 3), fscontrol=True):
    """Selects the stack and starts dlm_controld on each of the nodes."""
    words = START % {"label": LABEL, "fscontrol": fscontrol}
    lab.in_parallel(lambda node: lab.run(node, words, ASK_S), nodes)
    for node in nodes:
        lab.wait_for(node, "dlm_tool status >/dev/null 2>&1", ASK_S, "dlm_controld answers")
