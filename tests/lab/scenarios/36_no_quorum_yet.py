"""Without quorum nothing is written to the kernel; when the second of three nodes comes, it goes on by itself."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180


def run(lab):
    ocfs2.blank(lab)
    lab.partition([1], [2], [3])
    lab.wait_for(1, lambda: lab.corosync.members(1) == (1, False), 30, "node 1 is alone")
    lab.agent.start(1, ocfs2.CONFIG)
    waits = lab.wait_for(1, lambda: waits_for_quorum(lab), 30, "node 1 waits for quorum")
    expect("what it waits for", ["quorum: 1 of 3 nodes are here"], [one["text"] for one in waits])
    expect_in("it says what to do", "corosync-quorumtool", waits[0]["fix"])
    expect("a wait for ready runs out", 6, lab.try_run(1, "o2cpg wait --for ready --timeout 1s").code)
    expect("nothing was handed to the kernel", 0, ocfs2.kernel_ops(lab, 1))
    expect("nor is anything there", {}, ocfs2.tree(lab, 1))

    lab.partition([1, 2], [3])
    ocfs2.ready(lab, (1, 2))
    expect("two of three have each other", ["node1", "node2"], sorted(ocfs2.equal_entries(lab, (1, 2))))
    lab.heal()
    lab.wait_members(3)
    ocfs2.ready(lab)
    expect("and then the third", ["node1", "node2", "node3"], sorted(ocfs2.equal_entries(lab)))


def waits_for_quorum(lab):
    if not lab.try_run(1, "test -S /run/o2cpg/control.sock").ok:
        return None
    return [one for one in ocfs2.status(lab, 1)["waits"] if one["kind"] == "quorum"]
