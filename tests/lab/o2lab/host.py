"""This machine: running its commands, and finding out whether it can carry a lab."""
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile

from .errors import LabError

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND_S = 30                      # no host command of the lab takes this long
CLONE_NEWNET = 0x40000000

PACKAGES = {"ip": "iproute2", "unshare": "util-linux", "setpriv": "util-linux", "taskset": "util-linux",
            "corosync": "corosync", "corosync-quorumtool": "corosync", "insmod": "kmod",
            "mkfs.ocfs2": "ocfs2-tools", "mount.ocfs2": "ocfs2-tools"}


def run(*argv, check=True, **more):
    """A host command; its output as text. Raises what it printed when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False, **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError("%s: %s" % (argv[0], error)) from error
    if check and done.returncode:
        raise LabError("%s: %s" % (" ".join(argv), done.stderr.strip() or done.returncode))
    return done


class NetNs:
    """The network namespace of one lab."""

    def __init__(self, name):
        self.name = name

    def create(self):
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)

    def ip(self, *argv, check=True):
        return run("ip", "-n", self.name, *argv, check=check)

    def prefix(self):
        """Words that make a command run inside."""
        return ["ip", "netns", "exec", self.name]

    @contextlib.contextmanager
    def entered(self):
        """This thread is inside for as long as the block lasts."""
        with open("/proc/thread-self/ns/net") as outside, \
                open(os.path.join("/run/netns", self.name)) as inside:
            setns(inside.fileno())
            try:
                yield
            finally:
                setns(outside.fileno())

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket that belongs to the namespace, wherever it is used from."""
        with self.entered():
            return socket.socket(family, kind)


def setns(descriptor):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise LabError("setns: " + os.strerror(ctypes.get_errno()))


# ---- can this machine carry a lab? ------------------------------------------

def lacks(kind, settings):
    """What is missing for a lab of this kind, one text each. Tries things out rather than guess."""
    if os.getuid() != 0:
        return ["root is needed for namespaces, taps and bridges"]
    missing = ["%s (apt-get install %s)" % (tool, package)
               for tool, package in PACKAGES.items() if not shutil.which(tool, path=PATH)]
    if kind == "uml":
        for path in (settings.uml, settings.modules):
            if not os.path.exists(path):
                missing.append("%s (apt-get install user-mode-linux)" % path)
    if missing:
        return missing
    return refusals(kind, settings)


def refusals(kind, settings):
    """What the machine's kernel does not let us do."""
    tests = [("network namespaces are refused", try_network_namespace)]
    if kind == "ns":
        tests.append(("namespaces or overlay mounts are refused", try_overlay))
    else:
        tests.append(("tap devices are refused", try_tap))
        tests.append(("User Mode Linux does not run", lambda: try_uml(settings.uml)))
    found = []
    for what, test in tests:
        try:
            test()
        except (LabError, OSError) as error:
            found.append("%s: %s" % (what, str(error).splitlines()[-1]))
    return found


def try_network_namespace():
    trial = NetNs("lab-check-%d" % os.getpid())
    try:
        trial.create()
    finally:
        trial.delete()


def try_overlay():
    run("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "sh", "-ec",
        "mount --make-rprivate /; mount -t tmpfs lab-check /mnt; mkdir /mnt/u /mnt/w /mnt/r;"
        "mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w lab-check /mnt/r")


def try_tap():
    trial = NetNs("lab-check-%d" % os.getpid())
    try:
        trial.create()
        trial.ip("tuntap", "add", "tap0", "mode", "tap")
    finally:
        trial.delete()


def steady():
    """What goes before a guest's command. Its heap lies where chance puts it, up to 1 GiB from the program, and of a hundred guests
    one aborted for that while it booted (150 boots: 2; without chance: none). Empty where the host does not let us."""
    words = ["setarch", "-R"]
    return words if run(*words, "true", check=False).returncode == 0 else []


def try_uml(program):
    """Boots a guest whose first process ends at once, and well: its kernel panics, and by then everything was tried."""
    from . import xstate
    with tempfile.TemporaryDirectory() as folder:
        done = run(*steady(), program, "mem=48M", "rootfstype=hostfs", "ro", "init=/bin/true", "con=null", "con0=null,fd:1",
                   "umid=lab-check-%d" % os.getpid(), "uml_dir=" + folder, check=False, stdin=subprocess.DEVNULL,
                   env={"PATH": PATH, **xstate.environment(folder)})
    text = done.stdout + done.stderr
    if "Attempted to kill init! exitcode=0x00000000" not in text:
        raise LabError((text.strip().splitlines() or ["no output"])[-1])
