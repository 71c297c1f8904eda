"""A real kernel answers every recorded operation as recorded; the model of configfs answers to the same files."""
import os

from o2lab.scenario import HERE, Broken, Cluster, expect

SUITES = {"kernel": Cluster(1, corosync=False)}
PROGRAMS = ("cfsprobe",)
LIMIT_S = 120
SCRIPT_S = 40
RECORDINGS = os.path.join(HERE, "../../configfs/tests/kernel")

# The order is part of the recording: what one script leaves behind, the next one meets.
ORDER = ("node-attrs", "cluster-attrs", "configfs-generic", "dlm", "configfs-links", "o2cb-more", "dlm-more")

# The links are recorded on the SCSI target's tree, with a file behind it.
PREPARE = """
set -e
modprobe -a ocfs2 ocfs2_stack_o2cb dlm target_core_mod target_core_file tcm_loop
truncate -s 1M /tmp/backing
"""


def run(lab):
    there = sorted(name[:-len(".ops")] for name in os.listdir(RECORDINGS) if name.endswith(".ops"))
    expect("every recording has its place in the order", there, sorted(ORDER))
    lab.share(RECORDINGS)
    lab.run(1, PREPARE)
    differing = [said for said in (differences(lab, name) for name in ORDER) if said]
    if differing:
        raise Broken("\n".join(differing))


def differences(lab, name):
    """The lines that come out otherwise than recorded; empty when there are none."""
    script = "cfsprobe --compare /lab/kernel/%s.jsonl /lab/kernel/%s.ops /sys/kernel/config" % (name, name)
    done = lab.try_run(1, script, SCRIPT_S)
    return "" if done.ok else "%s, exit status %d:\n%s%s" % (name, done.code, done.out, done.err)
