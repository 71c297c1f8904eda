"""An entry leaves all kernels or none: while one member's kernel refuses, the others put it back; it goes when all can."""
from o2lab import ocfs2
from o2lab.scenario import Broken, expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
HOLDER, FREE, GONE = 1, 2, 3        # the volume is mounted on the holder and on the node that goes
STAY = (HOLDER, FREE)
HEARTBEAT_S = 60                    # until the disk heartbeat has run out, and the next try after it


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab)
    before = ocfs2.equal_entries(lab)
    ocfs2.mount(lab, (HOLDER, GONE))
    lab.crash(GONE)
    lab.wait_members(2)
    ocfs2.until_waiting(lab, HOLDER, "heartbeat", GONE)     # from here on its kernel refuses to let the entry go
    expect("configured, so it stays", before, ocfs2.equal_entries(lab, STAY))

    watch = ocfs2.Watch(lab, FREE)
    reload(lab, "1,2")
    try:
        for node in STAY:
            text = ocfs2.until_waiting(lab, node, "held", HOLDER)
            expect_in("node %d says which entry" % node, "removing node3", text)
            expect_in("node %d says why" % node, "EBUSY", text)
        expect("the wait is over for all at once", ["node1", "node2"],
               sorted(ocfs2.until_entries(lab, ["node1", "node2"], STAY, HEARTBEAT_S)))
        there_and_back(watch.changes())
        for node in STAY:
            ocfs2.until(lab, node, "settled")
        ocfs2.mount(lab, (FREE,))
        expect("the volume is shared", True, ocfs2.is_shared(lab, STAY))
    finally:
        reload(lab, "1,2,3")
    lab.start(GONE)
    lab.wait_members(3)
    ocfs2.ready(lab, (GONE,))
    expect("as in the beginning", before, ocfs2.equal_entries(lab))
    ocfs2.mount(lab, (GONE,))
    expect("the volume is shared by all", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)


def there_and_back(changes):
    """The free node took the entry out, put it back as often as the holder refused, and took it out at last."""
    told = [line.split()[0] for line in changes if line.endswith("/node/node3")]
    if len(told) < 3 or told != ["delete" if at % 2 == 0 else "create" for at in range(len(told))]:
        raise Broken("the entry of node 3 on node %d: %s" % (FREE, told))
    expect("in the end it is out", "delete", told[-1])


def reload(lab, nodes):
    lab.corosync.change(None, {"nodes": nodes})
    for node in lab.running():
        lab.corosync.write(node)
    lab.corosync.reload(HOLDER)
