"""Two deaths of which dlm_controld can be told nothing, on the user stack: in the middle of another node's mount, and in its own
mount. The volume goes on, dlm_controld lives, and status says which volume is unguarded until it is mounted anew."""
from o2lab import ocfs2, userstack
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": userstack.CLUSTER}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 150
CONFIG = ocfs2.CONFIG.replace("[o2cb]", 'fence = "manual"\n[o2cb]')
DEAD = 3
HELD_S, SETTLED_S = 20, 30


def run(lab):
    userstack.up(lab)
    ocfs2.ready(lab, config=CONFIG)
    in_anothers_mount(lab)
    mounted_anew(lab, (2,))
    lab.start(DEAD)
    lab.wait_members(3)
    userstack.up(lab, (DEAD,))
    ocfs2.ready(lab, (DEAD,), CONFIG)
    in_its_own_mount(lab)
    ocfs2.umount(lab, (1, 2))
    checked = lab.try_run(1, "fsck.ocfs2 -fn " + ocfs2.VOLUME, 60)
    expect("fsck.ocfs2 -fn: %s%s" % (checked.out, checked.err), 0, checked.code)


def in_anothers_mount(lab):
    """Node 2 has completed no change of the lockspace: told of the death, its dlm_controld would end."""
    ocfs2.mount(lab, (1, DEAD))
    before = lab.run(2, "pidof dlm_controld")
    with_a_mount_held(lab, 2)
    lab.wait_for(2, lambda: is_mounted(lab, 2), SETTLED_S, "the mount goes on")
    expect("dlm_controld of node 2 lives", before, lab.run(2, "pidof dlm_controld"))
    until_settled(lab, unguarded=[2])
    expect("the volume is shared", True, ocfs2.is_shared(lab, (1, 2)))


def in_its_own_mount(lab):
    """Nobody's dlm_controld takes a word about a node that was no member yet."""
    with_a_mount_held(lab, DEAD)
    until_settled(lab, unguarded=[1, 2])
    expect("the volume is shared", True, ocfs2.is_shared(lab, (1, 2)))


def with_a_mount_held(lab, node):
    """dlm_controld of node 1 stands still, so that no mount ends, while node 3 dies and somebody says so."""
    lab.run(1, "pkill -STOP dlm_controld")
    ocfs2.begin_mount(lab, node)
    # Before that dlm_controld of node 2 has not heard of both, and there is nothing to tell.
    lab.wait_for(2, "dlm_tool ls -n | grep -q 'nodeid %d member 1'" % DEAD, HELD_S, "both are in the lockspace")
    lab.crash(DEAD)
    for one in (1, 2):
        ocfs2.until_waiting(lab, one, "fence", DEAD)
    lab.run(2, "o2cpg ack-dead node%d --yes-i-am-sure=node%d" % (DEAD, DEAD))
    lab.run(1, "pkill -CONT dlm_controld")


def until_settled(lab, unguarded):
    for node in (1, 2):
        lab.wait_for(node, lambda node=node: ocfs2.status(lab, node)["waits"] == [], SETTLED_S, "nothing is waited for")
        found = [one for one in ocfs2.status(lab, node)["troubles"] if one["kind"] == "unguarded"]
        expect("node %d: unguarded" % node, node in unguarded, bool(found))
        told = [one for one in ocfs2.events(lab, node) if one["kind"] == "unguarded"]
        expect("node %d: told" % node, node in unguarded, bool(told))
        if found:
            expect_in("what to do", "unmount and mount them on this node", found[0]["fix"])
        expect("node %d: no lockspace waits" % node, "", lab.run(node, "dlm_tool ls | grep wait; true"))


def mounted_anew(lab, nodes):
    """dlm_controld waits for o2cpgd again."""
    ocfs2.umount(lab, nodes)
    ocfs2.mount(lab, nodes)
    for node in nodes:
        expect("node %d: guarded" % node, "ok", ocfs2.status(lab, node)["health"])


def is_mounted(lab, node):
    return ocfs2.MOUNT in lab.run(node, "cat /proc/mounts")
