"""With forget = "gone" the entry of a lost node goes by itself, everywhere, but not before its disk heartbeat has run out."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
STAY, GONE = (1, 2), 3
HEARTBEAT_S = 60
CONFIG = 'forget = "gone"\n' + ocfs2.CONFIG


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, config=CONFIG)
    before = ocfs2.equal_entries(lab)
    ocfs2.mount(lab)
    lab.crash(GONE)
    texts = [waits_for_removal(lab, node) for node in STAY]
    expect("it is still needed by all the same", before, ocfs2.equal_entries(lab, STAY))
    for text in texts:
        expect_in("which entry", "removing node3", text)
        expect_in("why", "EBUSY", text)

    ocfs2.until_entries(lab, ["node1", "node2"], STAY, HEARTBEAT_S)
    for node in STAY:
        ocfs2.until(lab, node, "settled")
    expect("the volume is shared", True, ocfs2.is_shared(lab, STAY))
    lab.start(GONE)
    lab.wait_members(3)
    ocfs2.ready(lab, (GONE,), CONFIG)
    expect("as in the beginning", before, ocfs2.equal_entries(lab))
    ocfs2.mount(lab, (GONE,))
    expect("the volume is shared by all", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)
    ocfs2.blank(lab)


def waits_for_removal(lab, node):
    def found():
        return [one["text"] for one in ocfs2.status(lab, node)["waits"] if one["kind"] == "held"]
    return lab.wait_for(node, found, ocfs2.READY_S, "node %d waits for the removal" % node)[0]
