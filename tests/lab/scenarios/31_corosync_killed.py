"""corosync killed with a volume mounted, and started again: no tree is touched, and nothing is written twice."""
from o2lab import ocfs2
from o2lab.scenario import expect

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
VICTIM = 2


def run(lab):
    ocfs2.ready(lab)
    ocfs2.mount(lab)
    before, ops, watches = ocfs2.equal_entries(lab), ocfs2.each(lab, ocfs2.kernel_ops), ocfs2.watch(lab)
    pid = lab.agent.pid(VICTIM)

    lab.corosync.kill(VICTIM)
    lab.wait_for(VICTIM, lambda: is_without_corosync(lab), 20, "node %d says that corosync is gone" % VICTIM)
    lab.wait_for(1, lambda: standing(lab) == "gone", 20, "node 1 sees node %d gone" % VICTIM)
    expect("everybody still has everybody", before, ocfs2.equal_entries(lab))

    lab.corosync.start(VICTIM)
    lab.wait_members(3)
    ocfs2.ready(lab)
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    expect("the daemon lived on", pid, lab.agent.pid(VICTIM))
    expect("health", {node: "ok" for node in ocfs2.NODES}, ocfs2.each(lab, health))
    expect("the entries are as before", before, ocfs2.equal_entries(lab))
    ocfs2.expect_unchanged(lab, watches)
    expect("operations handed to the kernels", ops, ocfs2.each(lab, ocfs2.kernel_ops))
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)


def is_without_corosync(lab):
    said = ocfs2.status(lab, VICTIM)
    waits = [one["kind"] for one in said["waits"]]
    return (said["corosync"]["connected"], said["health"], waits) == (False, "crit", ["corosync"])


def standing(lab):
    return next(one["standing"] for one in ocfs2.status(lab, 1)["nodes"] if one["nodeid"] == VICTIM)


def health(lab, node):
    return ocfs2.status(lab, node)["health"]
