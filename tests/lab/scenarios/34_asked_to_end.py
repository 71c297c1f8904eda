"""SIGTERM with a volume mounted: o2cpgd stays and says what pins it; after the umount it goes by itself."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
NODE = 3
PINS = "ocfs2 volume mounted on " + ocfs2.MOUNT
RUN = "rm -f /tmp/ended; /lab/bin/o2cpgd --config /lab/node%d/o2cpg.toml; echo $? > /tmp/ended" % NODE


def run(lab):
    ocfs2.ready(lab)
    restart_where_its_exit_status_is_seen(lab)
    ocfs2.mount(lab)
    expect("with a volume it must not stop", 5, lab.try_run(NODE, "o2cpg can-stop").code)
    before, watches = ocfs2.equal_entries(lab), ocfs2.watch(lab)
    heard = len(lab.agent.log(NODE))

    lab.agent.signal(NODE, "TERM")
    lab.wait_for(NODE, lambda: PINS in lab.agent.log(NODE)[heard:], 10, "the log says what pins it")
    waits = [(one["kind"], one["text"]) for one in ocfs2.status(lab, NODE)["waits"]]
    expect("status names the wait", ["pinned"], [kind for kind, _ in waits])
    expect_in("and what pins it", PINS, waits[0][1])
    done = lab.try_run(NODE, "o2cpg can-stop")
    expect("it still must not stop", 5, done.code)
    expect_in("can-stop says why", PINS, done.out + done.err)
    expect_in("and what to do", "umount " + ocfs2.MOUNT, done.out + done.err)
    expect("a second one changes nothing", None, lab.agent.signal(NODE, "TERM"))
    expect("it is a full member still", "ready", lab.run(NODE, "o2cpg wait --for ready"))

    ocfs2.umount(lab, (NODE,))
    lab.wait_for(NODE, "test -s /tmp/ended", 20, "o2cpgd ends by itself")
    expect("its exit status", "0", lab.run(NODE, "cat /tmp/ended"))
    expect("its socket is gone", True, lab.try_run(NODE, "test ! -e /run/o2cpg/control.sock").ok)
    lab.wait_for(1, lambda: standing(lab) == "left", 10, "node 1 sees that it left in good order")
    expect("the entries are as before", before, ocfs2.equal_entries(lab))
    ocfs2.expect_unchanged(lab, {node: watches[node] for node in (1, 2)})
    changes = [line for line in watches[NODE].changes() if "/node" in line]
    expect("writes in the entries of node %d" % NODE, [], changes)
    ocfs2.ready(lab)
    expect("operations of the next daemon", 0, ocfs2.kernel_ops(lab, NODE))
    ocfs2.umount(lab, (1, 2))


def restart_where_its_exit_status_is_seen(lab):
    lab.agent.stop(NODE)
    lab.remote.spawn(NODE, ["/bin/sh", "-c", RUN], "/dev/ttyS0")
    ocfs2.until(lab, NODE, "ready")


def standing(lab):
    return next(one["standing"] for one in ocfs2.status(lab, 1)["nodes"] if one["nodeid"] == NODE)
