"""A member that loses its power in the middle of an add stops nobody: the add goes on, the tables are equal, it comes back."""
from o2lab import ocfs2
from o2lab.scenario import expect

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 240        # 2 cores under a load of 15: 50 to 200 s
OLD, VICTIM, JOINER = 1, 2, 3
ALL = ("node1", "node2", "node3")
DELAY_MS = 8000


def run(lab):
    ocfs2.blank(lab)
    ocfs2.ready(lab, (OLD, VICTIM))
    ocfs2.slow(lab, VICTIM, DELAY_MS)
    lab.agent.start(JOINER, ocfs2.CONFIG)
    ocfs2.until_changing(lab, OLD, "add node3", [VICTIM])
    expect("the fast member has the entry", True, "node3" in ocfs2.entries(ocfs2.tree(lab, OLD)))
    expect("the victim has not", ["node1", "node2"], sorted(ocfs2.entries(ocfs2.tree(lab, VICTIM))))
    expect("nor is the joiner local", [], ocfs2.local(ocfs2.tree(lab, JOINER)))
    lab.crash(VICTIM)

    ocfs2.until(lab, JOINER, "ready")
    expect("it died before the end of the add", ["step", "node_left", "step", "table"], told_of_add(lab))
    expect("the two that are left", sorted(ALL), sorted(ocfs2.equal_entries(lab, (OLD, JOINER))))
    ocfs2.mount(lab, (OLD, JOINER))
    lab.start(VICTIM)
    ocfs2.ready(lab, (VICTIM,))
    expect("all three", sorted(ALL), sorted(ocfs2.equal_entries(lab)))
    ocfs2.mount(lab, (VICTIM,))
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)


def told_of_add(lab):
    """What the old member told of the joiner's entry and of the victim's end, in this order."""
    def concerns(event):
        return (event["kind"], event.get("what")) == ("step", "add node3") or \
            (event["kind"], event.get("change")) == ("table", "added node3") or \
            (event["kind"], event.get("node")) == ("node_left", VICTIM)
    kinds = [event["kind"] for event in ocfs2.events(lab, OLD) if concerns(event)]
    return kinds[-4:]
