"""o2cpgd killed with a volume mounted, and started again: it adopts what is there, and writes none of it again."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
VICTIM = 2


def run(lab):
    ocfs2.ready(lab)
    ocfs2.mount(lab)
    lab.wait_for(1, lambda: node(lab, 1)["mounts"] == 1, 20, "node 1 knows of the volume on node %d" % VICTIM)
    before, watches = ocfs2.equal_entries(lab), ocfs2.watch(lab)

    lab.agent.signal(VICTIM, "KILL")
    for peer in (1, 3):
        said = ocfs2.until_waiting(lab, peer, "absent", VICTIM)
        expect_in("node %d says what is at stake" % peer, "1 ocfs2 mount", said)
        expect("standing on node %d" % peer, "absent", node(lab, peer)["standing"])
    expect("everybody still has everybody", before, ocfs2.equal_entries(lab))
    expect("the volume is still shared", True, ocfs2.is_shared(lab))

    ocfs2.ready(lab)
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    verdicts = ocfs2.status(lab, VICTIM)["adopted"]
    adopted = [one["thing"].removesuffix(" local") for one in verdicts if one["verdict"] == "adopted"]
    of_nodes = ["node %s %s %s:%s" % (number, name, address, port) for name, (number, address, port) in before.items()]
    expect("adopted", sorted(["cluster lab", *of_nodes]), sorted(adopted))
    expect("operations of the new daemon", 0, ocfs2.kernel_ops(lab, VICTIM))
    expect("the entries are as before", before, ocfs2.equal_entries(lab))
    ocfs2.expect_unchanged(lab, watches)
    ocfs2.umount(lab)


def node(lab, peer):
    return next(one for one in ocfs2.status(lab, peer)["nodes"] if one["nodeid"] == VICTIM)
