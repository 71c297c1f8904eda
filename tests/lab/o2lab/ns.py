"""Starts a node that is a set of namespaces on the host's kernel: corosync and the agent, no kernel part."""
import os
import subprocess

from .host import PATH
from .settings import PORT, cluster_address, cluster_address6, lab_address


def start(node, state, log):
    """Starts the node, which waits for `go`; returns the `unshare` process whose child is the node."""
    base = os.path.join(state.node_folder(node), "root")
    os.makedirs(base, exist_ok=True)
    env = {"PATH": PATH, "HOME": "/root", "LAB_NODE": str(node), "LAB_KIND": "ns", "LAB_SHARE": state.share,
           "LAB_NSBASE": base, "LAB_PORT": str(PORT), "LAB_IP": cluster_address(node),
           "LAB_IP6": cluster_address6(node), "LAB_MIP": lab_address(node),
           "LAB_IF": "c%dp" % node, "LAB_MIF": "l%dp" % node}
    script = 'mount --make-rprivate /; read -r go; exec /bin/sh "$LAB_SHARE/guest/init"'
    argv = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL",
            "sh", "-c", script]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, start_new_session=True,
                            cwd="/")


def go(unshare):
    """The node's interfaces are there: it may boot."""
    unshare.stdin.write(b"go\n")
    unshare.stdin.close()
