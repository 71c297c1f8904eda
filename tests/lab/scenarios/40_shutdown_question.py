"""corosync asks whether it may shut down: not while a volume is mounted; without one it may."""
from o2lab import ocfs2
from o2lab.scenario import expect, expect_in

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
NODE = 2


def run(lab):
    ocfs2.ready(lab)
    ocfs2.mount(lab, (NODE,))
    lab.wait_for(NODE, lambda: ocfs2.status(lab, NODE)["mounts"], 20, "o2cpgd knows of the volume")
    pid = lab.run(NODE, "pidof corosync")
    asked = lab.try_run(NODE, "corosync-cfgtool -H", seconds=30)      # its exit status is 0 whatever the answer
    expect_in("the answer with a volume", "Could not shutdown", asked.out + asked.err)
    expect("corosync goes on", pid, lab.run(NODE, "pidof corosync"))
    expect("nobody was lost", (3, True), lab.corosync.members(1))
    told = answers(lab)
    expect("it tells that it said no, and why", [(False, ["ocfs2 volume mounted on " + ocfs2.MOUNT])], told[:1])

    ocfs2.umount(lab, (NODE,))
    lab.wait_for(NODE, "o2cpg can-stop", 20)
    lab.run(NODE, "corosync-cfgtool -H", seconds=30)
    lab.wait_for(NODE, "! pidof corosync", 20)
    expect("o2cpgd stays", True, bool(lab.agent.pid(NODE)))
    expect("it tells that it said yes", (True, []), answers(lab)[-1])
    lab.corosync.start(NODE)
    lab.wait_members(3)
    ocfs2.ready(lab)


def answers(lab):
    """(yes or no, pins) of every answer to the question."""
    told = [event for event in ocfs2.events(lab, NODE) if event["kind"] == "shutdown_answered"]
    return [(event["yes"], [pin for pin in event["pins"] if "region" not in pin]) for event in told]
