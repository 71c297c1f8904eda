"""corosync stopped for 8 s with a volume mounted, and continued: no tree is touched, and status never hangs."""
from o2lab import ocfs2
from o2lab.scenario import Broken, expect

SUITES = {"cluster": ocfs2.VOLUME_FOR_THREE}
PROGRAMS = ocfs2.PROGRAMS
SHARED = True
LIMIT_S = 180
VICTIM = 2
STOPPED_S = 8

# Until corosync goes on, asks for the status again and again; one line each: exit status, seconds, kinds of waits.
ASK = """
kill -STOP $(pidof corosync)
( sleep %d; kill -CONT $(pidof corosync); touch /tmp/continued ) &
rm -f /tmp/continued
while [ ! -e /tmp/continued ]; do
    began=$(date +%%s)
    o2cpg -o json status > /tmp/said; code=$?
    echo $code $(($(date +%%s) - began)) $(sed -n '/"waits"/,/]/s/.*"kind": "\\(.*\\)".*/\\1/p' /tmp/said)
done
""" % STOPPED_S


def run(lab):
    ocfs2.ready(lab)
    ocfs2.mount(lab)
    before, ops, watches = ocfs2.equal_entries(lab), ocfs2.each(lab, ocfs2.kernel_ops), ocfs2.watch(lab)

    answers = [line.split() for line in lab.run(VICTIM, ASK, seconds=STOPPED_S + 20).splitlines()]
    slow = [answer for answer in answers if answer[0] != "0" or int(answer[1]) > 2]
    if slow or not answers:
        raise Broken("status while corosync stands still: exit status, seconds, waits: %s" % slow)
    named = [answer[2:] for answer in answers if set(answer[2:]) & {"corosync", "corosync-stuck", "deaf"}]
    if not named:
        raise Broken("no answer names corosync: %s" % answers)

    lab.wait_members(3)
    ocfs2.ready(lab)
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    expect("the entries are as before", before, ocfs2.equal_entries(lab))
    ocfs2.expect_unchanged(lab, watches)
    expect("operations handed to the kernels", ops, ocfs2.each(lab, ocfs2.kernel_ops))
    expect("the volume is shared", True, ocfs2.is_shared(lab))
    ocfs2.umount(lab)
