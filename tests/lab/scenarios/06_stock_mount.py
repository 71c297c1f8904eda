"""With the node tree written by hand, stock mkfs.ocfs2 and mount.ocfs2 share a volume between three kernels."""
from o2lab.scenario import Cluster, expect

SUITES = {"lab-uml": Cluster(3)}
LIMIT_S = 90
NODES = (1, 2, 3)

TREE = """
set -e
modprobe -a ocfs2 ocfs2_stack_o2cb
cd /sys/kernel/config/cluster
mkdir lab
for n in 1 2 3; do
    mkdir lab/node/node$n
    echo 7777 > lab/node/node$n/ipv4_port
    echo 10.78.2.$n > lab/node/node$n/ipv4_address
    echo $n > lab/node/node$n/num
done
echo 1 > lab/node/node$LAB_NODE/local
"""

MKFS = ("mkfs.ocfs2", "-q", "-x", "-b", "4096", "-C", "4096", "-N", "4", "-J", "size=4M", "-L", "shared",
        "--cluster-stack=o2cb", "--cluster-name=lab", "/dev/ubda")


def run(lab):
    lab.in_parallel(lambda node: lab.run(node, TREE), NODES)
    lab.run(1, MKFS)
    mount = "mkdir -p /mnt/shared && mount.ocfs2 /dev/ubda /mnt/shared"
    lab.in_parallel(lambda node: lab.run(node, mount, seconds=40), NODES)
    lab.run(1, "echo written on node 1 > /mnt/shared/file && sync /mnt/shared/file")
    for node in NODES:
        expect("node %d reads it" % node, "written on node 1", lab.run(node, "cat /mnt/shared/file"))
    lab.in_parallel(lambda node: lab.run(node, "umount /mnt/shared", seconds=40), NODES)
