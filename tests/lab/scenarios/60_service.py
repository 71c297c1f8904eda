"""As a service of systemd: ready at boot before volumes are mounted, back after a crash or a hang, never stopped under a
mounted volume, and at shutdown gone after the volumes and before corosync."""
import re

from o2lab import ocfs2, service, wait
from o2lab.scenario import Cluster, expect, expect_in
from o2lab.service import NODE, journal, show

SUITES = {"systemd": Cluster(1, mkfs=ocfs2.MKFS, settings=service.SETTINGS)}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 240
SOON_S = 20
OFF_S = 40

# Without udev no device unit ever gets ready, so the volume is named by a path outside /dev.
FILES = {
    "etc/o2cpg/o2cpg.toml": ocfs2.CONFIG,
    "etc/fstab": "/disk /mnt/shared ocfs2 _netdev 0 0\n",
    "etc/systemd/system/o2cpgd.service.d/test.conf": "[Service]\nWatchdogSec=6\n",
}
LINKS = {"disk": "/dev/ubda"}
PIN = "ocfs2 volume mounted on " + ocfs2.MOUNT


def run(lab):
    service.install(lab, PROGRAMS, FILES, LINKS)
    lab.off(NODE)
    lab.start(NODE)
    boot(lab)
    mounted = mount_id(lab)
    crash(lab)
    hang(lab)
    busy(lab)
    corosync_restarted(lab)
    expect("through all of this the volume was never unmounted", mounted, mount_id(lab))
    stop(lab)
    shutdown(lab)


def boot(lab):
    """Nobody but the unit's own lines has put anything in order here."""
    lab.run(NODE, "systemctl is-system-running --wait", seconds=60)
    expect("the service", "active", show(lab, "ActiveState"))
    expect("the volume of fstab", [ocfs2.MOUNT], ocfs2.mounts(lab, NODE))
    since = [int(show(lab, "ActiveEnterTimestampMonotonic", unit)) for unit in
             ("corosync.service", "o2cpgd.service", "mnt-shared.mount")]
    expect("corosync, then o2cpgd, then the volume", sorted(since), since)
    until_status(lab, "ready: 1/1 nodes, table 1, pinned by 2")
    namespaces = lab.run(NODE, "readlink /proc/1/ns/mnt /proc/$(pidof o2cpgd)/ns/mnt").split()
    expect("mount namespaces of systemd and o2cpgd", 1, len(set(namespaces)))


def crash(lab):
    restarted(lab, "KILL", "Failed with result 'signal'")


def hang(lab):
    """It stands still, so it gives no sign of life: systemd aborts it."""
    restarted(lab, "STOP", "Failed with result 'watchdog'")


def busy(lab):
    """Asked again and again for longer than the watchdog waits, it is as alive as a quiet one."""
    pid = lab.agent.pid(NODE)
    lab.run(NODE, "end=$(($(date +%s) + 8)); while [ $(date +%s) -lt $end ]; do o2cpg status >/dev/null || exit 1; done")
    expect("the same o2cpgd", pid, lab.agent.pid(NODE))


def restarted(lab, signal, verdict):
    """systemd starts another one, which adopts everything and changes nothing."""
    pid, restarts = lab.agent.pid(NODE), int(show(lab, "NRestarts"))
    lab.agent.signal(NODE, signal)
    wait.until(lambda: int(show(lab, "NRestarts")) == restarts + 1, SOON_S, "systemd starts it again")
    expect_in("systemd says why", verdict, journal(lab, "-t systemd"))
    lab.wait_for(NODE, "systemctl is-active o2cpgd && o2cpg wait --for ready", SOON_S)
    expect("it is another process", True, lab.agent.pid(NODE) not in (None, pid))
    verdicts = [one["verdict"] for one in ocfs2.status(lab, NODE)["adopted"] if one["thing"].split()[0] != "region"]
    expect("the cluster and its entry", ["adopted", "adopted"], verdicts)
    expect("operations of the new daemon", 0, ocfs2.kernel_ops(lab, NODE))
    writes(lab)


def corosync_restarted(lab):
    """As a package upgrade does. Debian's unit stops it without asking anybody."""
    pid = lab.agent.pid(NODE)
    lab.run(NODE, "systemctl restart corosync", seconds=30)
    lab.wait_for(NODE, "o2cpg wait --for ready", SOON_S)
    expect("the same o2cpgd", pid, lab.agent.pid(NODE))
    writes(lab)


def stop(lab):
    pid = lab.agent.pid(NODE)
    lab.run(NODE, "systemctl stop --no-block o2cpgd")
    lab.wait_for(NODE, lambda: PIN in journal(lab, "-t o2cpg"), SOON_S, "the journal says what pins it")
    expect_in("and what to do", "umount " + ocfs2.MOUNT, journal(lab, "-t o2cpg"))
    until_status(lab, "pinned")
    expect("the service is left running", ("deactivating", pid), (show(lab, "ActiveState"), lab.agent.pid(NODE)))
    expect("its members are told nothing else", "ready", lab.run(NODE, "o2cpg wait --for ready"))
    writes(lab)
    lab.run(NODE, ["umount", ocfs2.MOUNT])
    wait.until(lambda: show(lab, "ActiveState") == "inactive", SOON_S, "it stops when nothing needs it")
    expect("how it ended", "success", show(lab, "Result"))


def shutdown(lab):
    """With the volume mounted, by hand and behind systemd's back."""
    lab.run(NODE, "systemctl start o2cpgd && mount.ocfs2 /dev/ubda " + ocfs2.MOUNT, seconds=60)
    until_status(lab, "ready: 1/1 nodes, table 1, pinned by 2")
    seen = len(lab.console(NODE))
    lab.run(NODE, "systemctl --no-block poweroff")
    wait.until(lambda: not lab.processes.alive(NODE), OFF_S, "the node is off")
    said = re.findall(r"systemd\[1\]: ((?:Unmounted|Stopped) \S+)", lab.console(NODE)[seen:])
    order = ["Unmounted mnt-shared.mount", "Stopped o2cpgd.service", "Stopped corosync.service"]
    expect("the order of the shutdown", order, [line for line in said if line in order])


def until_status(lab, text):
    """What `systemctl status` shows of the daemon's own line."""
    lab.wait_for(NODE, lambda: text in show(lab, "StatusText"), SOON_S, "the line of status has %r" % text)


def mount_id(lab):
    """The kernel's number of the mount: another one if it was ever unmounted."""
    return lab.run(NODE, "awk '/ - ocfs2 / {print $1}' /proc/self/mountinfo").split()


def writes(lab):
    lab.run(NODE, "date > %s/file && sync %s/file" % (ocfs2.MOUNT, ocfs2.MOUNT))
