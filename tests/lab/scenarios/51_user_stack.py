"""On the user stack stock mount.ocfs2 asks, is answered when all know, and the kernel's own word does the rest."""
from o2lab import ocfs2, userstack
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"cluster": Cluster(2, mkfs=userstack.MKFS, settings=userstack.CLUSTER.settings)}
PROGRAMS = ocfs2.PROGRAMS
NODES = (1, 2)
LIMIT_S = 120
SECOND = "/mnt/second"


def run(lab):
    userstack.up(lab, NODES, fscontrol=False)
    ocfs2.ready(lab, NODES)
    uuid = userstack.uuid_of_the_volume(lab, 1)
    mounted_on_both(lab, uuid)
    a_second_mount(lab, uuid)
    an_additional_tool_that_dies(lab, uuid)
    unmounted(lab, uuid)
    without_a_daemon(lab)


def mounted_on_both(lab, uuid):
    ocfs2.mount(lab, NODES)
    for node in NODES:
        expect("tools say no more on this kernel", ["Mount"], userstack.heard(lab, node))
        userstack.until_used_by(lab, node, uuid, NODES)
        expect("mounted where", [ocfs2.MOUNT], userstack.volumes(lab, node)[uuid]["paths"])
        expect("the mount is adopted when the tool is gone", ["mounted"], userstack.pins(lab, node))
    expect("the volume is shared", True, ocfs2.is_shared(lab, NODES))
    lab.wait_for(1, "corosync-cpgtool -n | grep -q ocfs2:" + uuid, 5, "it shows as a CPG group")


def a_second_mount(lab, uuid):
    """EALREADY is a yes."""
    lab.run(1, "mkdir -p %s && mount.ocfs2 %s %s" % (SECOND, ocfs2.VOLUME, SECOND), ocfs2.MOUNT_S)
    both = sorted((ocfs2.MOUNT, SECOND))
    lab.wait_for(1, lambda: sorted(userstack.volumes(lab, 1)[uuid]["paths"]) == both, 10, "two mount points")
    lab.run(1, ["umount", SECOND], ocfs2.MOUNT_S)
    lab.wait_for(1, lambda: userstack.volumes(lab, 1)[uuid]["paths"] == [ocfs2.MOUNT], 10, "one mount point")
    userstack.until_used_by(lab, 2, uuid, NODES)


def an_additional_tool_that_dies(lab, uuid):
    mount = "MOUNT ocfs2 %s lab %s ocfs2" % (uuid, ocfs2.VOLUME)
    mounter = userstack.Running(lab, 1, userstack.MOUNTER + "hold '%s'" % mount)
    lab.wait_for(1, lambda: mounter.lines()[:1] and mounter.lines()[0].startswith("STATUS 114 "), 10, "go on")
    mounter.stop()
    lab.wait_for(1, lambda: userstack.pins(lab, 1) == ["mounted"], 10, "only the mount that is there counts")
    userstack.until_used_by(lab, 2, uuid, NODES)


def unmounted(lab, uuid):
    ocfs2.umount(lab, (2,))
    userstack.until_used_by(lab, 1, uuid, (1,))
    expect_in("node 1 goes on", "1", lab.run(1, "head -1 %s/shared-by-all" % ocfs2.MOUNT))
    ocfs2.umount(lab, (1,))
    for node in NODES:
        userstack.until_used_by(lab, node, uuid, ())
        lab.run(node, "o2cpg can-stop")
    expect_in("the volume is whole", "clean", lab.run(1, "fsck.ocfs2 -n %s" % ocfs2.VOLUME, ocfs2.MOUNT_S))


def without_a_daemon(lab):
    """The tool's own words, for comparison: there is nobody to say more."""
    lab.agent.stop(1)
    done = lab.try_run(1, "mount.ocfs2 %s %s" % (ocfs2.VOLUME, ocfs2.MOUNT), ocfs2.MOUNT_S)
    expect("no daemon, no mount", True, done.code != 0)
    expect_in("says the tool", "Unable to access cluster service", done.err)
