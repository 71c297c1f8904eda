"""o2cpg stack: loads what the kernel lacks, sets every label that tools know and no other, refuses while anything is live,
and takes back what was started."""
import json

from o2lab import ocfs2
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"cluster": Cluster(1, mkfs=ocfs2.MKFS)}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 120
NODE = 1
LABEL = "cat /sys/fs/ocfs2/cluster_stack"
USER = {"ocfs2": "loaded", "ocfs2_stack_user": "loaded", "dlm": "loaded", "ocfs2_stack_o2cb": "loadable"}
SETTINGS = "/etc/o2cpg/o2cpg.toml"


def run(lab):
    nothing_loaded(lab)
    every_label(lab)
    ocfs2.ready(lab, (NODE,))
    live(lab)
    offline(lab)


def nothing_loaded(lab):
    before = show(lab)
    expect("no ocfs2, no label, no record", (None, None, []), (before["label"], before["started"], before["live"]))
    expect("ocfs2 is a module here", "loadable", parts(before)["ocfs2"])
    for bad in ("user", "o2c", "O2CB", "o2cb ", ""):
        done = lab.try_run(NODE, ["o2cpg", "stack", "set", bad])
        expect("exit status of set %r" % bad, 2, done.code)
    lab.run(NODE, "mkdir -p /etc/o2cpg && echo modprobe = false > " + SETTINGS)
    done = lab.try_run(NODE, "o2cpg stack set pcmk")
    expect("without leave to load modules", 1, done.code)
    expect_in("it says so", "modprobe = false", done.err)
    expect("nothing was loaded by any of this", parts(before), parts(show(lab)))
    lab.run(NODE, ["rm", SETTINGS])


def every_label(lab):
    done = lab.json(NODE, "o2cpg -o json stack set pcmk")
    expect("what was loaded", ["ocfs2", "ocfs2_stack_user"], done["loaded"])
    expect("nothing is left to be loaded", [], done["not_loaded"])
    found = show(lab)
    expect("the parts", USER, {name: parts(found)[name] for name in USER})
    expect("the record", ("pcmk", "o2cpg stack set"), (found["started"]["label"], found["started"]["by"]))
    for label in ("cman", "o2cb", "pcmk", "pcmk", "o2cb"):
        lab.run(NODE, ["o2cpg", "stack", "set", label])
        expect("the kernel's label", label, lab.run(NODE, LABEL))


def live(lab):
    ocfs2.mount(lab, (NODE,))
    refused(lab, ["/dev/ubda is mounted on " + ocfs2.MOUNT, "heartbeat region "])
    expect_in("the kernel would have said", "busy", lab.try_run(NODE, "/bin/echo pcmk > /sys/fs/ocfs2/cluster_stack").err)
    found = show(lab)
    expect("what is live", ["mount", "region"], [one["kind"] for one in found["live"]])
    expect("the plugin in use and the daemon's", ("o2cb", "o2cb"), (found["active_plugin"], found["daemon"]["stack"]))
    expect("the same label is no change", 0, lab.try_run(NODE, "o2cpg stack set o2cb").code)
    held = lab.try_run(NODE, "o2cpg stack offline")
    expect("offline while o2cpgd runs", 5, held.code)
    expect_in("it names it", "pid %d" % lab.agent.pid(NODE), held.err)
    ocfs2.umount(lab, (NODE,))

    # Nobody but the processes of that namespace sees the mount; its region is everybody's.
    hidden = "unshare -m sh -c 'mount.ocfs2 %s %s && touch /tmp/mounted && exec sleep 600'" % (ocfs2.VOLUME, ocfs2.MOUNT)
    pid = lab.remote.spawn(NODE, ["/bin/sh", "-c", "exec " + hidden], "/dev/ttyS0")
    lab.wait_for(NODE, "test -e /tmp/mounted", ocfs2.MOUNT_S)
    expect("a mount of another namespace", [], ocfs2.mounts(lab, NODE))
    refused(lab, ["heartbeat region "])
    lab.run(NODE, "nsenter -m -t %d umount %s; kill %d" % (pid, ocfs2.MOUNT, pid), seconds=ocfs2.MOUNT_S)


def refused(lab, causes):
    """`set` says no, names everything that is live, and leaves the label."""
    done = lab.try_run(NODE, "o2cpg -o json stack set pcmk")
    said = json.loads(done.out)
    expect("set while something is live", (5, "refused"), (done.code, said["kind"]))
    for cause in causes:
        expect_in("what is live", cause, said["cause"])
    expect("how many", len(causes), len(said["cause"].split("; ")))
    expect("the label", "o2cb", lab.run(NODE, LABEL))


def offline(lab):
    lab.wait_for(NODE, "o2cpg can-stop", 20)
    lab.agent.stop(NODE)
    done = lab.json(NODE, "o2cpg -o json stack offline", seconds=40)
    expect("what was removed", ["node 1 node1 10.78.2.1:7777 local", "cluster lab"], done["removed"])
    expect("what stays", [], done["left"])
    found = show(lab)
    expect("no ocfs2, no label, no record", (None, None, []), (found["label"], found["started"], found["live"]))
    expect("ocfs2 is out of the kernel", "loadable", parts(found)["ocfs2"])
    lab.agent.start(NODE)
    ocfs2.until(lab, NODE, "ready")
    found = show(lab)
    expect("what is started by the daemon", ("o2cb", "o2cpgd"), (found["started"]["label"], found["started"]["by"]))


def show(lab):
    return lab.json(NODE, "o2cpg -o json stack show")


def parts(found):
    return {part["module"]: part["presence"] for part in found["parts"]}
