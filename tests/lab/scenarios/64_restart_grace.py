"""An agent that does not come back while its node has a volume mounted: its node is ended, fenced once, and joins again."""
import os

from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 200
GRACE_S = 6
LOST = 3
STAY = (1, 2)
LOG = "/lab/fenced"
FENCE = "#!/bin/sh\necho \"$LAB_NODE $1 $2 $O2CPG_NODE $O2CPG_NODEID\" >> %s\n" % LOG
CONFIG = ocfs2.CONFIG.replace(
    "[o2cb]", 'restart_grace_s = %d\nfence = "command"\nfence_command = "/lab/bin/fence"\n[o2cb]' % GRACE_S)


def run(lab):
    fence = os.path.join(lab.state.share, "bin", "fence")
    with open(fence, "w") as program:
        program.write(FENCE)
    os.chmod(fence, 0o755)
    ocfs2.blank(lab)
    for node in ocfs2.NODES:
        lab.agent.start(node, CONFIG)
    ocfs2.ready(lab, config=CONFIG)
    before = ocfs2.equal_entries(lab)
    ocfs2.mount(lab, (1, LOST))
    lab.agent.signal(LOST, "KILL")
    ocfs2.until_waiting(lab, 1, "absent", LOST)
    expect("its corosync is left alone at first", (3, True), lab.corosync.members(1))
    lab.wait_members(2, STAY)
    for node in STAY:
        ocfs2.until(lab, node, "settled")
    kinds = [one["kind"] for one in ocfs2.events(lab, 1) if one["kind"] in ("node_ended", "fence_opened", "buried")]
    expect("ended, fenced, handled", ["node_ended", "fence_opened", "buried"], kinds)
    expect("the fence program ran once, on the first of the survivors", "1 node3 3 node3 3", lab.run(1, ["cat", LOG]))
    expect("no table has changed", before, ocfs2.equal_entries(lab, STAY))
    lab.run(1, "date > %s/file && sync %s/file" % (ocfs2.MOUNT, ocfs2.MOUNT))
    expect_in("its kernel has gone on", ocfs2.MOUNT, " ".join(ocfs2.mounts(lab, LOST)))
    lab.corosync.start(LOST)
    lab.wait_members(3)
    ocfs2.ready(lab, (LOST,), CONFIG)
    expect("it is in again as it was", before, ocfs2.equal_entries(lab))
    ocfs2.umount(lab, (1, LOST))
