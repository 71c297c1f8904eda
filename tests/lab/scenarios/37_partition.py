"""Partition 2/1: the majority goes on, the minority changes nothing; after the heal all agree on who was cut off."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240
MAJORITY, MINORITY = (1, 2), 3
ALL = ["node1", "node2", "node3"]
NOTICED_S = 30


def run(lab):
    ocfs2.ready(lab)
    ocfs2.mount(lab, MAJORITY)
    the_majority_goes_on(lab)
    ocfs2.mount(lab, (MINORITY,))
    a_short_one_with_volumes_on_all_is_told(lab)
    ocfs2.umount(lab, MAJORITY)


def the_majority_goes_on(lab):
    """It even takes the entry of the other side out, which costs the other side nothing."""
    watches = ocfs2.watch(lab, (MINORITY,))
    cut(lab)
    expect("the volume of the majority is shared", True, ocfs2.is_shared(lab, MAJORITY))
    lab.run(1, "o2cpg forget node3 --yes-i-am-sure node3")
    ocfs2.until_entries(lab, ["node1", "node2"], MAJORITY)
    step = ocfs2.status(lab, 1)["table"]["step"]
    lab.heal()
    lab.wait_members(3)
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    ocfs2.until_entries(lab, ALL)
    expect("the table is newer than that of the partition", True, ocfs2.status(lab, MINORITY)["table"]["step"] > step)
    expect("nobody is marked", {node: [] for node in ocfs2.NODES}, ocfs2.each(lab, troubles))
    ocfs2.expect_unchanged(lab, watches)


def a_short_one_with_volumes_on_all_is_told(lab):
    """No kernel has noticed, but somebody may have been about to: a person is told until the volume is unmounted."""
    before, watches = ocfs2.equal_entries(lab), ocfs2.watch(lab)
    cut(lab)
    expect("volumes without quorum", "crit", ocfs2.status(lab, MINORITY)["health"])
    lab.heal()
    lab.wait_members(3)
    for node in ocfs2.NODES:
        said = ocfs2.until_refused(lab, node, MINORITY, "live-without-quorum")
        expect_in("it says what was mounted", "1 mount", said["what"])
        expect_in("and what to do", "unmount", said["fix"])
    expect("health", {1: "warn", 2: "warn", 3: "warn"}, ocfs2.each(lab, health))
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab, (MINORITY,))
    for node in ocfs2.NODES:
        lab.wait_for(node, lambda: health(lab, node) == "ok", 30, "the mark is gone")
    expect("the entries are as before", before, ocfs2.equal_entries(lab))
    entries = {node: [line for line in watch.changes() if "/node" in line] for node, watch in watches.items()}
    expect("writes in the entries", {node: [] for node in ocfs2.NODES}, entries)


def cut(lab):
    """Both sides have noticed when it returns."""
    lab.partition(list(MAJORITY), [MINORITY])
    lab.wait_for(MINORITY, lambda: is_quorate(lab, MINORITY) is False, NOTICED_S, "the minority has no quorum")
    for node in MAJORITY:
        lab.wait_for(node, lambda: is_in_majority(lab, node), NOTICED_S, "node %d is in a majority" % node)


def is_quorate(lab, node):
    return ocfs2.status(lab, node)["corosync"]["quorate"]


def is_in_majority(lab, node):
    """It has agreed with the other, and waits at most for the disk to say whether the third is dead."""
    said = ocfs2.status(lab, node)
    waits = {one["kind"] for one in said["waits"]} - {"heartbeat"}
    return (said["corosync"]["members"], said["agent"]["state"], waits) == (2, "ready", set())


def troubles(lab, node):
    return ocfs2.status(lab, node)["troubles"]


def health(lab, node):
    return ocfs2.status(lab, node)["health"]
