"""A daemon killed, or a node cut off its power, in the middle of a remove: afterwards all kernels hold the same again."""
from o2lab import ocfs2
from o2lab.scenario import expect

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
FAST, VICTIM, GONE = 1, 2, 3
STAY = (FAST, VICTIM)
DELAY_MS = 8000


def run(lab):
    ocfs2.blank(lab)
    for end in (daemon_killed, power_cut):
        ocfs2.ready(lab)
        before = ocfs2.equal_entries(lab)
        ocfs2.slow(lab, VICTIM, DELAY_MS)
        lab.crash(GONE)
        lab.wait_members(2)
        reload(lab, "1,2")
        try:
            ocfs2.until_changing(lab, FAST, "remove node3", [VICTIM])
            expect("gone from the one", ["node1", "node2"], sorted(ocfs2.entries(ocfs2.tree(lab, FAST))))
            expect("not from the other", before, ocfs2.entries(ocfs2.tree(lab, VICTIM)))
            end(lab)
            ocfs2.until_entries(lab, ["node1", "node2"], STAY)
            for node in STAY:
                ocfs2.until(lab, node, "settled")
        finally:
            reload(lab, "1,2,3")
        lab.start(GONE)
        lab.wait_members(3)
    ocfs2.ready(lab)
    expect("as in the beginning", before, ocfs2.equal_entries(lab))
    ocfs2.mount(lab)
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)


def daemon_killed(lab):
    lab.agent.signal(VICTIM, "KILL")
    ocfs2.ready(lab, (VICTIM,))


def power_cut(lab):
    lab.crash(VICTIM)
    lab.wait_for(FAST, lambda: "quorum" in [one["kind"] for one in ocfs2.status(lab, FAST)["waits"]], 30,
                 "node %d is left without quorum" % FAST)
    lab.start(VICTIM)
    ocfs2.ready(lab, (VICTIM,))


def reload(lab, nodes):
    lab.corosync.change(None, {"nodes": nodes})
    for node in lab.running():
        lab.corosync.write(node)
    lab.corosync.reload(FAST)
