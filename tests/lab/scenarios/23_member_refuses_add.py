"""A kernel that refuses a joiner's entry leaves no trace of it anywhere; all say whose and why, mounts go on, and it heals."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in
from o2lab.settings import cluster_address

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
OLD, REFUSER, JOINER = 1, 2, 3
DELAY_MS = 6000

# What another program, or a person, might do while the daemon is about to write. It has no number yet: the kernels
# would compare it, and refuse every new mount as long as it is there.
STRANGER = """
set -e
cd %s/lab/node
mkdir stranger
echo 7777 > stranger/ipv4_port
echo %s > stranger/ipv4_address
""" % (ocfs2.ROOT, cluster_address(JOINER))


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, (OLD, REFUSER))
    before = ocfs2.equal_entries(lab, (OLD, REFUSER))
    ocfs2.mount(lab, (OLD, REFUSER))
    ocfs2.slow(lab, REFUSER, DELAY_MS)
    lab.agent.start(JOINER, ocfs2.CONFIG)
    ocfs2.until_changing(lab, OLD, "add node3", [REFUSER])
    expect("the other member has it already", True, "node3" in ocfs2.entries(ocfs2.tree(lab, OLD)))
    lab.run(REFUSER, STRANGER)

    for node in ocfs2.NODES:
        text = ocfs2.until_waiting(lab, node, "add-refused", REFUSER)
        expect_in("node %d says which entry" % node, "adding node3", text)
        expect_in("node %d says why" % node, "EEXIST", text)
    expect("the kernel itself refused", True, ocfs2.status(lab, REFUSER)["counters"]["kernel_refusals"] > 0)
    ocfs2.until_entries(lab, before, (OLD,))
    entries = ocfs2.entries(ocfs2.tree(lab, REFUSER))
    expect("nothing but the stranger is left there", {"node1", "node2", "stranger"}, set(entries))
    expect("the joiner has nothing", {}, ocfs2.entries(ocfs2.tree(lab, JOINER)))

    expect("existing mounts go on", True, ocfs2.is_shared(lab, (OLD, REFUSER)))
    ocfs2.umount(lab, (OLD,))
    ocfs2.mount(lab, (OLD,))
    expect("and an old member mounts anew", True, ocfs2.is_shared(lab, (OLD, REFUSER)))
    lab.run(REFUSER, ["rmdir", "%s/lab/node/stranger" % ocfs2.ROOT])
    ocfs2.until(lab, JOINER, "ready")
    expect("nobody has to help", {*before, "node3"}, set(ocfs2.equal_entries(lab)))
    ocfs2.mount(lab, (JOINER,))
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)
    ocfs2.blank(lab)
