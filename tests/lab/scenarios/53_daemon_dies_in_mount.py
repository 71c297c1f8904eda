"""Whatever phase of a mount or an unmount the daemon dies in, the next one ends up where the kernel is."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect
from o2lab.userstack import MOUNTER, Running

SUITES = {"cluster": Cluster(2, mkfs=userstack.MKFS, settings=userstack.CLUSTER.settings)}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 300
BY_HAND = "mkdir -p %s && mount -i -t ocfs2 -o heartbeat=none,cluster_stack=%s %s %s" % (
    ocfs2.MOUNT, userstack.LABEL, ocfs2.VOLUME, ocfs2.MOUNT)


def run(lab):
    userstack.up(lab, NODES, fscontrol=False)
    ocfs2.ready(lab, NODES)
    uuid = userstack.uuid_of_the_volume(lab, 1)
    mount = MOUNTER + "hold 'MOUNT ocfs2 %s lab %s ocfs2'" % (uuid, ocfs2.VOLUME)
    for phase in (before_the_answer, before_the_mount, before_mresult, before_the_answer_to_mresult,
                  in_an_additional_mount, in_the_mount, in_the_unmount, before_the_answer_to_unmount, while_mounted,
                  while_the_tool_is_gone):
        lab.note(phase.__name__)
        phase(lab, uuid, mount)


def killed(lab):
    """kill -9 and a new daemon."""
    lab.agent.signal(1, "KILL")
    lab.wait_for(1, "! pidof o2cpgd", 10)
    ocfs2.ready(lab, (1,))


def told_to_go_on(lab, uuid, mount):
    tool = Running(lab, 1, mount)
    lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], 10, "the mount may begin")
    userstack.until_used_by(lab, 2, uuid, (1,))
    return tool


def adopted(lab, uuid):
    """The mount is the new daemon's, and everybody knows of it."""
    lab.wait_for(1, lambda: userstack.pins(lab, 1) == ["mounted"], 10, "the new daemon keeps it")
    userstack.until_used_by(lab, 2, uuid, (1,))


def ends_unused(lab, uuid):
    userstack.until_used_by(lab, 2, uuid, ())
    lab.wait_for(1, "o2cpg can-stop", 10, "nothing pins the new daemon")


def before_the_answer(lab, uuid, mount):
    """It was asked while it stood still: the question dies with it."""
    lab.agent.signal(1, "STOP")
    tool = Running(lab, 1, mount)
    killed(lab)
    tool.stop()
    expect("the tool was not told to go on", [], [line for line in tool.lines() if line.startswith("STATUS 0")])
    ends_unused(lab, uuid)


def before_the_mount(lab, uuid, mount):
    """The tool was told to go on, and its connection breaks: it has mounted nothing."""
    tool = told_to_go_on(lab, uuid, mount)
    killed(lab)
    tool.stop()
    ends_unused(lab, uuid)


def while_mounted(lab, uuid, mount):
    """A mount is what the kernel says it is: found by the new daemon, agreed by all, and gone with the umount."""
    ocfs2.mount(lab, (1,))
    userstack.until_used_by(lab, 2, uuid, (1,))
    killed(lab)
    adopted(lab, uuid)
    lab.run(1, "date > %s/file && sync %s/file" % (ocfs2.MOUNT, ocfs2.MOUNT))
    ocfs2.umount(lab, (1,))
    ends_unused(lab, uuid)


def while_the_tool_is_gone(lab, uuid, mount):
    """Mounted while no daemon was there to be told anything: mount.ocfs2 refuses; the unmount needs nobody."""
    ocfs2.mount(lab, (1,))
    lab.agent.signal(1, "KILL")
    lab.wait_for(1, "! pidof o2cpgd", 10)
    again = lab.try_run(1, "mkdir -p /mnt/again && mount.ocfs2 %s /mnt/again" % ocfs2.VOLUME, ocfs2.MOUNT_S)
    expect("without a daemon nothing is mounted", True, again.code != 0)
    ocfs2.umount(lab, (1,))
    ocfs2.ready(lab, (1,))
    ends_unused(lab, uuid)


# ---- between a question and its answer, and inside the kernel's own calls ------------------------------------------


def before_mresult(lab, uuid, mount):
    """mount(2) has ended, and nobody is there to be told so."""
    tool = told_to_go_on(lab, uuid, mount)
    lab.run(1, BY_HAND, ocfs2.MOUNT_S)
    killed(lab)
    tool.stop()
    adopted(lab, uuid)
    ocfs2.umount(lab, (1,))
    ends_unused(lab, uuid)


def before_the_answer_to_mresult(lab, uuid, mount):
    tool = told_to_go_on(lab, uuid, mount)
    lab.run(1, BY_HAND, ocfs2.MOUNT_S)
    lab.agent.signal(1, "STOP")
    tool.tell("MRESULT ocfs2 %s 0 ocfs2" % uuid)
    killed(lab)
    tool.stop()
    adopted(lab, uuid)


def in_an_additional_mount(lab, uuid, mount):
    """The volume is mounted since the phase before."""
    tool = Running(lab, 1, mount)
    lab.wait_for(1, lambda: tool.lines()[:1] and tool.lines()[0].startswith("STATUS 114 "), 10, "go on")
    killed(lab)
    tool.stop()
    adopted(lab, uuid)
    ocfs2.umount(lab, (1,))
    ends_unused(lab, uuid)


def in_the_mount(lab, uuid, mount):
    """mount(2) joins its lockspace and cannot end while dlm_controld stands still: in use, and a mount in the end."""
    lab.run(1, "kill -STOP $(pidof dlm_controld)")
    pid = lab.remote.spawn(1, ["/sbin/mount.ocfs2", ocfs2.VOLUME, ocfs2.MOUNT], "/tmp/mount.log")
    lab.wait_for(1, "ls /sys/kernel/dlm | grep -q .", 20, "the lockspace is joining")
    killed(lab)
    userstack.until_used_by(lab, 2, uuid, (1,))
    lab.run(1, "kill -CONT $(pidof dlm_controld)")
    lab.wait_for(1, "! kill -0 %d 2>/dev/null" % pid, 20, "mount.ocfs2 has ended")
    expect("and has mounted", [ocfs2.MOUNT], ocfs2.mounts(lab, 1))
    adopted(lab, uuid)


def in_the_unmount(lab, uuid, mount):
    """The volume is mounted since the phase before. Its lockspace is being left: in use until that is over."""
    lab.run(1, "kill -STOP $(pidof dlm_controld)")
    lab.remote.spawn(1, ["umount", ocfs2.MOUNT], "/tmp/umount.log")
    lab.wait_for(1, lambda: not ocfs2.mounts(lab, 1), 20, "the mount point is gone")
    killed(lab)
    userstack.until_used_by(lab, 2, uuid, (1,))
    lab.run(1, "kill -CONT $(pidof dlm_controld)")
    ends_unused(lab, uuid)


def before_the_answer_to_unmount(lab, uuid, mount):
    """Nothing is mounted any more, and what a tool said to the old daemon is over with it."""
    userstack.ask(lab, 1, "MOUNT ocfs2 %s lab %s ocfs2" % (uuid, ocfs2.VOLUME), "MRESULT ocfs2 %s 0 ocfs2" % uuid)
    userstack.until_used_by(lab, 2, uuid, (1,))
    lab.agent.signal(1, "STOP")
    lab.run(1, MOUNTER + "leave 'UNMOUNT ocfs2 %s ocfs2'" % uuid)
    killed(lab)
    ends_unused(lab, uuid)
