"""Starts a node that is a kernel of its own: User Mode Linux with Debian's kernel and modules."""
import os
import subprocess

from . import xstate
from .host import PATH, run, steady
from .net import CLUSTER, LAB, mac, port
from .settings import PORT, cluster_address, cluster_address6, lab_address

AGENT_FD = 7        # host descriptor behind the guest's /dev/ttyS0: what is written there survives a power cut

# The guest kernel runs in a mount namespace where the whole machine but the lab's own folder is read-only, and
# in a pid namespace, so that killing that namespace's process 1 takes every one of its processes at once.
CAGE = """
mount --make-rprivate / && mount --bind "$LAB_DIR" "$LAB_DIR" && mount -t tmpfs -o mode=1777 shm /dev/shm || exit 1
while read -r _ _ _ _ at _; do
    case $at in "$LAB_DIR"|/dev/shm|/proc*) ;; *) mount -o remount,bind,ro "$at" 2>/dev/null ;; esac
done </proc/self/mountinfo
mount -t proc -o ro proc /proc
"$@" & wait $!
echo "lab: guest kernel ended, status $?"
"""


def disks(state, settings, mkfs):
    """The shared disks, sparse; formatted when `mkfs` (words for mkfs.ocfs2) is not None."""
    for number in range(settings.disks):
        path = state.disk(number)
        with open(path, "wb") as target:
            target.truncate(settings.disk_mb << 20)
        if mkfs is not None:
            run("mkfs.ocfs2", "-q", "-x", *mkfs, path)


def umid(node):
    return "node%d" % node


def start(node, state, netns, log):
    """Starts the guest; returns the `unshare` process whose child is the node."""
    settings = state.settings
    words = kernel_words(node, state, settings)
    argv = netns.prefix() + ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL",
                             "sh", "-c", CAGE, "lab-node"] + steady() + words
    if settings.pin:
        cpus = sorted(os.sched_getaffinity(0))
        argv = ["taskset", "-c", str(cpus[(node - 1) % len(cpus)])] + argv
    with open(state.agent_log(node), "ab") as agent_log:
        # dup2 in the child: pass_fds cannot choose the number that the kernel's command line names
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", close_fds=False,
                                env={"PATH": PATH, "HOME": state.folder, "LAB_DIR": state.folder,
                                     **xstate.environment(state.folder)},
                                start_new_session=True, preexec_fn=lambda: os.dup2(agent_log.fileno(), AGENT_FD))


def kernel_words(node, state, settings):
    """The guest kernel's command line; LAB_ words become the environment of its first process."""
    words = [settings.uml, "umid=" + umid(node), "uml_dir=" + os.path.join(state.folder, "uml"),
             "mem=" + settings.mem, "rootfstype=hostfs", "ro", "init=" + os.path.join(state.share, "guest", "init"),
             "con=null", "con0=null,fd:1", "ssl=null", "ssl0=null,fd:%d" % AGENT_FD, "loglevel=7", "net.ifnames=0"]
    words += ["ubd%d%s=%s" % (number, settings.disk_flags, state.disk(number)) for number in range(settings.disks)]
    words += ["vec%d:transport=tap,ifname=%s,depth=128,mac=%s" % (index, port(node, network), mac(node, network))
              for index, network in enumerate((CLUSTER, LAB))]
    words += settings.cmdline.split()
    env = {"LAB_NODE": node, "LAB_KIND": "uml", "LAB_SHARE": state.share, "LAB_PORT": PORT,
           "LAB_IP": cluster_address(node), "LAB_IP6": cluster_address6(node), "LAB_MIP": lab_address(node),
           "LAB_IF": "vec0", "LAB_MIF": "vec1", "LAB_MODULES": settings.modules,
           "LAB_MODPROBE": settings.modprobe, "LAB_INIT": settings.init}
    return words + ["%s=%s" % item for item in env.items()]
