"""With o2cb nobody asks and the kernel goes on alone: whoever dies in whatever phase of a mount, all end up where the kernels are."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"cluster": Cluster(2, mkfs=ocfs2.MKFS, settings=(("modprobe", "configfs,ocfs2,ocfs2_stack_o2cb"),))}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 420
SCAN_S = 60         # the kernel tells nobody; a look now and then finds it
REGIONS = ocfs2.ROOT + "/lab/heartbeat"
HEARTBEAT_RUNS = "cat %s/*/dev | grep -q ." % REGIONS
# The kernel runs this with -K at the end of an unmount, and waits for it.
SLOW_HB_CTL = """
cat > /tmp/slow <<'END' && chmod +x /tmp/slow && sysctl -q -w fs.ocfs2.nm.hb_ctl_path=/tmp/slow
#!/bin/sh
if test "$1" = -K; then touch /tmp/hb_ctl; while test ! -e /tmp/go; do sleep 0.05; done; fi
exec /sbin/ocfs2_hb_ctl "$@"
END
"""


def run(lab):
    ocfs2.ready(lab, NODES)
    case = Case(lab, userstack.uuid_of_the_volume(lab, 1))
    lab.run(1, SLOW_HB_CTL)
    for died in (case.the_daemon, case.corosync):
        for phase in (case.in_the_mount, case.while_mounted, case.in_the_unmount):
            lab.note("%s %s" % (died.__name__, phase.__name__))
            phase(died)
    lab.note("the tool in_the_unmount")
    case.tool_killed_in_the_unmount()
    lab.note("the tool in_the_mount")
    case.tool_killed_in_the_mount()


class Case:
    """One volume; what dies does so on node 1."""

    def __init__(self, lab, uuid):
        self.lab, self.uuid = lab, uuid

    # ---- who dies; returns how it comes back ------------------------------------------

    def the_daemon(self):
        self.lab.agent.signal(1, "KILL")
        self.lab.wait_for(1, "! pidof o2cpgd", 10)

    def corosync(self):
        self.lab.corosync.kill(1)
        self.lab.wait_for(1, lambda: not ocfs2.status(self.lab, 1)["corosync"]["connected"], 10, "corosync is gone")

    def back(self, died):
        if died == self.corosync:
            self.lab.corosync.start(1)
            self.lab.wait_members(2)
        ocfs2.ready(self.lab, (1,))

    # ---- in which phase -------------------------------------------------------------------

    def in_the_mount(self, died):
        """The heartbeat needs seconds to get steady; then mount(2) follows. Neither needs anybody."""
        self.begin_to_mount()
        died()
        self.lab.wait_for(1, lambda: ocfs2.mounts(self.lab, 1) == [ocfs2.MOUNT], ocfs2.MOUNT_S, "it is mounted all the same")
        self.back(died)
        self.used_and_pinned(("mounted", "region"))
        self.umount()

    def while_mounted(self, died):
        ocfs2.mount(self.lab, (1,))
        self.used_and_pinned(("mounted", "region"))
        died()
        self.lab.run(1, "date > %s/file && sync %s/file" % (ocfs2.MOUNT, ocfs2.MOUNT))
        self.back(died)
        self.used_and_pinned(("mounted", "region"))
        self.umount()

    def in_the_unmount(self, died):
        """Unmounted, and the region not yet removed: it heartbeats, so it counts."""
        ocfs2.mount(self.lab, (1,))
        self.begin_to_unmount()
        died()
        self.back(died)
        self.used_and_pinned(("region",))
        self.lab.run(1, "touch /tmp/go")
        self.unused()

    def tool_killed_in_the_unmount(self):
        """umount waits for ocfs2_hb_ctl and cannot be killed; when that is killed, its reference of the region stays."""
        ocfs2.mount(self.lab, (1,))
        self.begin_to_unmount()
        self.lab.run(1, "kill -KILL $(pidof umount) $(pgrep -f '[/]tmp/slow')")
        self.lab.wait_for(1, "! pidof umount", 20, "umount has ended")
        self.used_and_pinned(("region",))
        self.lab.run(1, "touch /tmp/go; ocfs2_hb_ctl -K -d %s ocfs2" % ocfs2.VOLUME, ocfs2.MOUNT_S)
        self.unused()

    def tool_killed_in_the_mount(self):
        """The kernel keeps a region that nobody may touch: it is named, with what not to do; only a restart ends it."""
        self.begin_to_mount()
        self.lab.run(1, "kill -KILL $(pidof mount.ocfs2)")
        self.lab.wait_for(1, lambda: self.troubles(1) == ["region-broken"], SCAN_S, "the region is named")
        trouble = ocfs2.status(self.lab, 1)["troubles"][0]
        expect_in("what not to do", "neither mount %s nor run ocfs2_hb_ctl -K" % self.uuid, trouble["fix"])
        self.used_and_pinned(("region-broken",))
        self.the_daemon()
        self.back(self.the_daemon)
        self.used_and_pinned(("region-broken",))
        expect("the daemon touches nothing", True, self.lab.try_run(1, "test -d %s/%s" % (REGIONS, self.uuid)).ok)
        ocfs2.mount(self.lab, (2,))
        expect("node 2 can mount", [ocfs2.MOUNT], ocfs2.mounts(self.lab, 2))
        ocfs2.umount(self.lab, (2,))
        self.lab.crash(1)
        self.lab.start(1)
        self.lab.wait_members(2)
        ocfs2.ready(self.lab, NODES)
        expect("a restart ends it", [], self.troubles(1))
        ocfs2.mount(self.lab, NODES)
        expect("the volume is shared", True, ocfs2.is_shared(self.lab, NODES))
        ocfs2.umount(self.lab, NODES)
        expect_in("and whole", "clean", self.lab.run(1, "fsck.ocfs2 -n %s" % ocfs2.VOLUME, ocfs2.MOUNT_S))

    # ---- moves, and what is to be seen ------------------------------------------------------

    def begin_to_mount(self):
        self.lab.run(1, "mkdir -p " + ocfs2.MOUNT)
        self.lab.remote.spawn(1, ["/sbin/mount.ocfs2", ocfs2.VOLUME, ocfs2.MOUNT], "/tmp/mount.log")
        self.lab.wait_for(1, HEARTBEAT_RUNS, 20, "the heartbeat starts")
        expect("mount(2) has not ended", [], ocfs2.mounts(self.lab, 1))

    def begin_to_unmount(self):
        self.lab.run(1, "rm -f /tmp/go /tmp/hb_ctl")
        self.lab.remote.spawn(1, ["umount", ocfs2.MOUNT], "/tmp/umount.log")
        self.lab.wait_for(1, "test -e /tmp/hb_ctl", 20, "the kernel has come to the region")

    def umount(self):
        self.lab.run(1, "touch /tmp/go")
        ocfs2.umount(self.lab, (1,))
        self.unused()

    def used_and_pinned(self, kinds):
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        self.lab.wait_for(1, lambda: userstack.pins(self.lab, 1) == sorted(kinds), 10, "pins are %s" % (kinds,))

    def unused(self):
        userstack.until_used_by(self.lab, 2, self.uuid, ())
        self.lab.wait_for(1, "o2cpg can-stop", 10, "nothing pins the daemon")

    def troubles(self, node):
        return [one["kind"] for one in ocfs2.status(self.lab, node)["troubles"]]
