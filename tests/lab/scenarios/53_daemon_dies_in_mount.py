"""Whatever phase of a mount the daemon or corosync dies in: the next daemon ends up where the kernel is, and a tool gets its answer."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect
from o2lab.userstack import MOUNTER, Running

SUITES = {"cluster": Cluster(2, mkfs=userstack.MKFS, settings=userstack.CLUSTER.settings)}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 180


def run(lab):
    userstack.up(lab, NODES, fscontrol=False)
    ocfs2.ready(lab, NODES)
    uuid = userstack.uuid_of_the_volume(lab, 1)
    mount = MOUNTER + "hold 'MOUNT ocfs2 %s lab %s ocfs2'" % (uuid, ocfs2.VOLUME)
    for phase in (before_the_answer, before_the_mount, while_mounted, while_the_tool_is_gone):
        lab.note(phase.__name__)
        phase(lab, uuid, mount)
    corosync_before_the_answer(lab, uuid, mount)


def killed(lab):
    """kill -9 and a new daemon."""
    lab.agent.signal(1, "KILL")
    lab.wait_for(1, "! pidof o2cpgd", 10)
    ocfs2.ready(lab, (1,))


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
    tool = Running(lab, 1, mount)
    lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], 10, "the mount may begin")
    userstack.until_used_by(lab, 2, uuid, (1,))
    killed(lab)
    tool.stop()
    ends_unused(lab, uuid)


def while_mounted(lab, uuid, mount):
    """A mount is what the kernel says it is: found by the new daemon, agreed by all, and gone with the umount."""
    ocfs2.mount(lab, (1,))
    userstack.until_used_by(lab, 2, uuid, (1,))
    killed(lab)
    expect("the new daemon keeps it", ["mounted"], userstack.pins(lab, 1))
    userstack.until_used_by(lab, 2, uuid, (1,))
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


def corosync_before_the_answer(lab, uuid, mount):
    """Who asks while corosync is gone waits, by name, and is answered when it is back. dlm_controld does not survive it."""
    lab.corosync.kill(1)
    lab.wait_for(1, lambda: not ocfs2.status(lab, 1)["corosync"]["connected"], 10, "o2cpgd knows that corosync is gone")
    tool = Running(lab, 1, mount)
    lab.wait_for(1, lambda: "mount" in [one["kind"] for one in ocfs2.status(lab, 1)["waits"]], 10, "the mount waits by name")
    expect("no answer yet", [], tool.lines())
    lab.corosync.start(1)
    lab.wait_for(1, lambda: tool.lines() == ["STATUS 0 OK"], 40, "the mount may begin")
    tool.stop()
    ends_unused(lab, uuid)
