"""A real kernel answers every recorded operation as recorded; the model of configfs answers to the same files."""
import os

from o2lab.scenario import HERE, Broken, Cluster

SUITES = {"kernel": Cluster(1, corosync=False)}
PROGRAMS = ("cfsprobe",)
LIMIT_S = 120
RECORDINGS = os.path.join(HERE, "../../configfs/tests/kernel")

MODULES = "modprobe -a ocfs2 ocfs2_stack_o2cb dlm"
# configfs-links needs a subsystem with links in its tree: the SCSI target, with a file behind it.
TARGET = "modprobe -a target_core_mod target_core_file tcm_loop && truncate -s 1M /tmp/backing"


def run(lab):
    lab.share(RECORDINGS)
    names = sorted(name[:-4] for name in os.listdir(RECORDINGS) if name.endswith(".ops"))
    failed = [said for said in (differences(lab, name) for name in names) if said]
    if failed or not names:
        raise Broken("\n".join(failed) or "no recordings in %s" % RECORDINGS)


def differences(lab, name):
    """What a kernel that has done nothing else yet answers otherwise than recorded."""
    lab.run(1, MODULES)
    lab.run(1, TARGET)
    script = "cfsprobe --compare /lab/kernel/%s.jsonl /lab/kernel/%s.ops /sys/kernel/config" % (name, name)
    done = lab.try_run(1, script, seconds=30)
    lab.crash(1)
    lab.start(1, corosync=False)
    return "" if done.ok else "%s:\n%s%s" % (name, done.out, done.err)
