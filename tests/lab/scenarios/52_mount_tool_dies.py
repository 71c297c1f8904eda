"""Whatever phase of a mount or an unmount its tool dies in, the daemon ends up where the kernel is."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect
from o2lab.userstack import MOUNTER, Running, ask

SUITES = {"cluster": Cluster(2, mkfs=userstack.MKFS, settings=userstack.CLUSTER.settings)}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 180
# mount(2) and nothing else, for a tool that this scenario plays.
BY_HAND = "mount -i -t ocfs2 -o heartbeat=none,cluster_stack=%s %s %s" % (
    userstack.LABEL, ocfs2.VOLUME, ocfs2.MOUNT)


def run(lab):
    userstack.up(lab, NODES, fscontrol=False)
    ocfs2.ready(lab, NODES)
    lab.in_parallel(lambda node: lab.run(node, userstack.OLD_KERNEL), NODES)
    case = Case(lab, userstack.uuid_of_the_volume(lab, 1))
    for phase in (case.nobody_dies, case.before_the_answer, case.before_the_mount, case.before_mresult,
                  case.after_mresult, case.after_a_failed_mount, case.in_the_mount, case.in_the_unmount,
                  case.in_the_kernels_unmount,
                  case.without_unmount, case.unmount_that_is_not_true):
        lab.note(phase.__name__)
        case.decided = len(case.decisions())
        phase()
        userstack.until_used_by(lab, 2, case.uuid, ())
        lab.wait_for(1, "o2cpg can-stop && ! ls /sys/kernel/dlm | grep -q .", 10, "nothing stays: " + phase.__name__)
    expect("the daemons have their first life", case.pids, case.daemons())


class Case:
    """One volume, and a tool on node 1."""

    def __init__(self, lab, uuid):
        self.lab, self.uuid = lab, uuid
        self.mount = "MOUNT ocfs2 %s lab %s ocfs2" % (uuid, ocfs2.VOLUME)
        self.mounted = "MRESULT ocfs2 %s 0 ocfs2" % uuid
        self.failed = "MRESULT ocfs2 %s 5 ocfs2" % uuid
        self.unmount = "UNMOUNT ocfs2 %s ocfs2" % uuid
        self.pids, self.decided = self.daemons(), 0

    def daemons(self):
        return ocfs2.each(self.lab, lambda lab, node: lab.agent.pid(node), NODES)

    def told_to_go_on(self):
        """A tool that has asked and was answered."""
        tool = Running(self.lab, 1, MOUNTER + "hold '%s'" % self.mount)
        self.lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], 10, "the mount may begin")
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        return tool

    def until_pinned_by(self, *kinds):
        self.lab.wait_for(1, lambda: userstack.pins(self.lab, 1) == sorted(kinds), 10, "pins are %s" % (kinds,))

    def umount(self):
        self.lab.run(1, ["umount", ocfs2.MOUNT], ocfs2.MOUNT_S)

    # ---- by phase, in its order ---------------------------------------------------

    def nobody_dies(self):
        heard = len(userstack.heard(self.lab, 1))
        ocfs2.mount(self.lab, (1,))
        self.until_pinned_by("mounted", "service")
        self.umount()
        said = userstack.heard(self.lab, 1)[heard:]
        expect("the whole protocol was spoken", ["Mount", "Result", "Unmount"], said)
        refused = [event for event in ocfs2.events(self.lab, 1) if event["kind"] == "mount_refused"]
        expect("and nothing of it refused", [], refused)
        failing = self.lab.try_run(1, "mount.ocfs2 -o nonsense %s %s" % (ocfs2.VOLUME, ocfs2.MOUNT), ocfs2.MOUNT_S)
        expect("a mount that fails", True, failing.code != 0)

    def before_the_answer(self):
        """A daemon that stands still has taken nothing in; when it goes on, nobody is there any more."""
        self.lab.agent.signal(1, "STOP")
        self.lab.run(1, MOUNTER + "leave '%s'" % self.mount)
        self.lab.agent.signal(1, "CONT")
        self.lab.wait_for(1, lambda: userstack.heard(self.lab, 1)[-1] == "Mount", 20, "the question is heard")

    def before_the_mount(self):
        self.told_to_go_on().stop()
        self.until_decided(False)

    def before_mresult(self):
        tool = self.told_to_go_on()
        self.lab.run(1, BY_HAND, ocfs2.MOUNT_S)
        tool.stop()
        self.until_decided(True)
        self.until_pinned_by("mounted")
        self.umount()

    def after_mresult(self):
        """It does not wait for the answer."""
        tool = self.told_to_go_on()
        self.lab.run(1, BY_HAND, ocfs2.MOUNT_S)
        tool.tell(self.mounted)
        tool.stop()
        self.until_pinned_by("mounted", "service")
        self.umount()

    def after_a_failed_mount(self):
        tool = self.told_to_go_on()
        tool.tell(self.failed)
        tool.stop()

    def in_the_mount(self):
        """mount(2) cannot be killed while dlm_controld stands still; what it comes to afterwards is what counts."""
        self.lab.run(1, "kill -STOP $(pidof dlm_controld)")
        pid = self.lab.remote.spawn(1, ["/sbin/mount.ocfs2", ocfs2.VOLUME, ocfs2.MOUNT], "/tmp/mount.log")
        self.lab.wait_for(1, "ls /sys/kernel/dlm | grep -q .", 20, "the lockspace is joining")
        self.lab.run(1, "kill -KILL %d; kill -CONT $(pidof dlm_controld)" % pid)
        self.lab.wait_for(1, "! kill -0 %d 2>/dev/null" % pid, 20, "the tool is gone")
        is_mounted = bool(ocfs2.mounts(self.lab, 1))
        self.until_decided(is_mounted)
        if is_mounted:
            self.until_pinned_by("mounted")
            self.umount()

    def in_the_unmount(self):
        """It says UNMOUNT and does not wait."""
        ask(self.lab, 1, self.mount, self.mounted)
        self.lab.run(1, MOUNTER + "leave '%s'" % self.unmount)

    def in_the_kernels_unmount(self):
        """umount(2) cannot be killed either; the lockspace is in use until dlm_controld has let it go."""
        ocfs2.mount(self.lab, (1,))
        self.lab.run(1, "kill -STOP $(pidof dlm_controld)")
        pid = self.lab.remote.spawn(1, ["umount", ocfs2.MOUNT], "/tmp/umount.log")
        self.lab.wait_for(1, lambda: not ocfs2.mounts(self.lab, 1), 20, "the mount point is gone")
        self.lab.run(1, "kill -KILL %d" % pid)
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        self.lab.run(1, "kill -CONT $(pidof dlm_controld)")
        self.lab.wait_for(1, "! kill -0 %d 2>/dev/null" % pid, 20, "umount is gone")

    def without_unmount(self):
        """The kernel cannot run the tool; its own word is enough."""
        ocfs2.mount(self.lab, (1,))
        self.until_pinned_by("mounted", "service")
        self.lab.run(1, "sysctl -q -n fs.ocfs2.nm.hb_ctl_path > /tmp/path; sysctl -q -w fs.ocfs2.nm.hb_ctl_path=/bin/true")
        self.umount()
        userstack.until_used_by(self.lab, 1, self.uuid, ())
        self.lab.run(1, "sysctl -q -w fs.ocfs2.nm.hb_ctl_path=$(cat /tmp/path)")

    def unmount_that_is_not_true(self):
        ocfs2.mount(self.lab, (1,))
        ask(self.lab, 1, self.unmount)
        self.until_pinned_by("mounted")
        userstack.until_used_by(self.lab, 2, self.uuid, (1,))
        self.umount()

    # ---- what the daemon says -----------------------------------------------------

    def decisions(self):
        """What the kernel has decided so far about mounts whose tool was gone."""
        return [event["mounted"] for event in ocfs2.events(self.lab, 1) if event["kind"] == "mount_decided"]

    def until_decided(self, mounted):
        """Until it has decided in this phase."""
        what = "the kernel has decided: mounted is %s" % mounted
        self.lab.wait_for(1, lambda: self.decisions()[self.decided:] == [mounted], 20, what)
