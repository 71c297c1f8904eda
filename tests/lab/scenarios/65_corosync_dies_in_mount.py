"""Whatever phase of a mount corosync dies in, with dlm_controld behind it: what still can be undone is, what stands still is named."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect, expect_in
from o2lab.userstack import MOUNTER, Running

SUITES = {"cluster": Cluster(2, mkfs=userstack.MKFS, settings=userstack.CLUSTER.settings)}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 420
ANSWER_S = 40
BY_HAND = "mkdir -p %s && mount -i -t ocfs2 -o heartbeat=none,cluster_stack=%s %s %s" % (
    ocfs2.MOUNT, userstack.LABEL, ocfs2.VOLUME, ocfs2.MOUNT)


def run(lab):
    up(lab, NODES)
    case = Case(lab, userstack.uuid_of_the_volume(lab, 1))
    for phase in (case.before_the_answer, case.before_the_mount, case.before_the_answer_to_unmount):
        lab.note(phase.__name__)
        phase()
        case.nothing_stays()
    for phase in (case.in_the_mount, case.before_mresult, case.while_mounted, case.in_the_unmount):
        lab.note(phase.__name__)
        phase()
        case.stands_still()
        case.restarted()
    ocfs2.mount(lab, NODES)
    expect("the volume is shared", True, ocfs2.is_shared(lab, NODES))
    ocfs2.umount(lab, NODES)
    expect_in("the volume is whole", "clean", lab.run(1, "fsck.ocfs2 -n %s" % ocfs2.VOLUME, ocfs2.MOUNT_S))


def up(lab, nodes):
    userstack.up(lab, nodes, fscontrol=False)
    ocfs2.ready(lab, nodes)
    lab.in_parallel(lambda node: lab.run(node, userstack.OLD_KERNEL), nodes)


class Case:
    """One volume; corosync is killed on node 1, and its tools are there too."""

    def __init__(self, lab, uuid):
        self.lab, self.uuid = lab, uuid
        self.mount = "MOUNT ocfs2 %s lab %s ocfs2" % (uuid, ocfs2.VOLUME)
        self.mounted = "MRESULT ocfs2 %s 0 ocfs2" % uuid
        self.unmount = "UNMOUNT ocfs2 %s ocfs2" % uuid

    # ---- nothing is in the kernel yet, or no longer ---------------------------------

    def before_the_answer(self):
        """Who asks while corosync is gone waits, by name, and is answered when it is back."""
        self.killed()
        tool = Running(self.lab, 1, MOUNTER + "hold '%s'" % self.mount)
        self.lab.wait_for(1, lambda: "mount" in self.waits(), 10, "the mount waits by name")
        expect("no answer yet", [], tool.lines())
        self.back()
        self.lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], ANSWER_S, "the mount may begin")
        tool.stop()

    def before_the_mount(self):
        """It was told to go on. The kernel refuses without dlm_controld; the tool says so; we leave."""
        tool = self.told_to_go_on()
        self.killed()
        failed = self.lab.try_run(1, BY_HAND, ocfs2.MOUNT_S)
        expect_in("mount(2) fails at once: %s" % failed.err, "not connected", failed.err)
        tool.tell("MRESULT ocfs2 %s 107 ocfs2" % self.uuid)
        self.lab.wait_for(1, "o2cpg can-stop", 10, "the failed mount keeps nobody")
        self.back()
        self.lab.wait_for(1, lambda: tool.lines()[1:] in ([], ["STATUS 0 OK"]), ANSWER_S, "the tool hears of the end")
        tool.stop()

    def before_the_answer_to_unmount(self):
        """Nothing is mounted any more, and without corosync this node is in nobody's group: there is nobody to wait for."""
        tool = Running(self.lab, 1, MOUNTER + "ask '%s' '%s'" % (self.mount, self.mounted))
        self.lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"] * 2, 10, "it says that it is mounted")
        tool.stop()
        self.killed()
        expect("the unmount is over", ["STATUS 0 OK"], userstack.ask(self.lab, 1, self.unmount))
        self.back()

    # ---- the kernel uses the volume -------------------------------------------------

    def in_the_mount(self):
        """mount(2) joins its lockspace, which dlm_controld would have to end; it stands still for good."""
        self.lab.run(1, "kill -STOP $(pidof dlm_controld); mkdir -p " + ocfs2.MOUNT)
        self.lab.remote.spawn(1, ["/sbin/mount.ocfs2", ocfs2.VOLUME, ocfs2.MOUNT], "/tmp/mount.log")
        self.lab.wait_for(1, "ls /sys/kernel/dlm | grep -q .", 20, "the lockspace is joining")
        self.killed()
        self.lab.run(1, "kill -CONT $(pidof dlm_controld)")

    def before_mresult(self):
        """The tool goes without its MRESULT, which nobody would hear; the mount is adopted as ever."""
        tool = self.told_to_go_on()
        self.lab.run(1, BY_HAND, ocfs2.MOUNT_S)
        self.killed()
        tool.stop()
        self.until_pinned_by("mounted")

    def while_mounted(self):
        """MRESULT is answered without corosync: nobody has to know more. An additional mount waits by name; its tool dies."""
        tool = self.told_to_go_on()
        self.lab.run(1, BY_HAND, ocfs2.MOUNT_S)
        self.killed()
        tool.tell(self.mounted)
        self.until_pinned_by("mounted", "service")
        tool.stop()
        additional = Running(self.lab, 1, MOUNTER + "hold '%s'" % self.mount)
        self.lab.wait_for(1, lambda: "mount" in self.waits(), 10, "the additional mount waits by name")
        expect("no answer yet", [], additional.lines())
        self.lab.run(1, "kill $(pgrep -f '[g]uest/mounter hold')")
        additional.stop()
        self.until_pinned_by("mounted", "service")

    def in_the_unmount(self):
        """The lockspace is left with dlm_controld's help, which does not come."""
        ocfs2.mount(self.lab, (1,))
        self.lab.run(1, "kill -STOP $(pidof dlm_controld)")
        self.lab.remote.spawn(1, ["umount", ocfs2.MOUNT], "/tmp/umount.log")
        self.lab.wait_for(1, lambda: not ocfs2.mounts(self.lab, 1), 20, "the mount point is gone")
        self.killed()
        self.lab.run(1, "kill -CONT $(pidof dlm_controld)")

    # ---- what is done, and what is to be seen -----------------------------------------

    def told_to_go_on(self):
        tool = Running(self.lab, 1, MOUNTER + "hold '%s'" % self.mount)
        self.lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], 10, "the mount may begin")
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        return tool

    def killed(self):
        self.lab.corosync.kill(1)
        self.lab.wait_for(1, lambda: not ocfs2.status(self.lab, 1)["corosync"]["connected"], 10, "corosync is gone")

    def back(self):
        self.lab.corosync.start(1)
        self.lab.wait_members(2)

    def waits(self):
        return [one["kind"] for one in ocfs2.status(self.lab, 1)["waits"]]

    def until_pinned_by(self, *kinds):
        self.lab.wait_for(1, lambda: userstack.pins(self.lab, 1) == sorted(kinds), 10, "pins are %s" % (kinds,))

    def nothing_stays(self):
        """The next mount finds everything as before; dlm_controld had nothing and is started again."""
        userstack.until_used_by(self.lab, 2, self.uuid, ())
        self.lab.wait_for(1, "o2cpg can-stop && ! pidof dlm_controld && ! ls /sys/kernel/dlm | grep -q .", 10)
        userstack.up(self.lab, (1,), fscontrol=False)
        ocfs2.until(self.lab, 1, "ready")

    def stands_still(self):
        """Said before and after corosync is back, and again when a new dlm_controld has found that it cannot help."""
        self.until_deserted()
        self.back()
        ocfs2.until(self.lab, 1, "ready")
        self.until_deserted()
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        expect("the daemon stays", 5, self.lab.try_run(1, "o2cpg can-stop").code)
        self.lab.run(1, "dlm_controld")
        self.lab.wait_for(1, "grep -q 'found uncontrolled lockspace' " + userstack.DLM_LOG, 20, "a new one does not help")
        self.until_deserted()

    def until_deserted(self):
        self.lab.wait_for(1, "! pidof dlm_controld", 10)
        self.lab.wait_for(1, lambda: "dlm-controld" in self.waits(), ANSWER_S, "what stands still has a name")
        told = ocfs2.status(self.lab, 1)
        wait = next(one for one in told["waits"] if one["kind"] == "dlm-controld")
        expect("nobody takes this for health", "crit", told["health"])
        expect_in("which volume", self.uuid, wait["text"])
        expect_in("what to do", "restart this node", wait["fix"])
        expect("o2cpg mounts", "stands still", userstack.volumes(self.lab, 1)[self.uuid]["state"])

    def restarted(self):
        self.lab.crash(1)
        userstack.until_used_by(self.lab, 2, self.uuid, ())
        self.lab.start(1)
        self.lab.wait_members(2)
        up(self.lab, (1,))
        userstack.until_used_by(self.lab, 2, self.uuid, ())
