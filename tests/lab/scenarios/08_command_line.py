"""The command `lab` says with its exit status and its output what happened in the node."""
import os
import subprocess

from o2lab.scenario import HERE, Cluster, expect, expect_in

SUITES = {"lab-ns": Cluster(3, "ns")}
SHARED = True
LIMIT_S = 30


def run(lab):
    def command(*words, stdin=""):
        return subprocess.run([os.path.join(HERE, "lab"), *words], input=stdin, capture_output=True, text=True,
                              timeout=10, check=False, env=dict(os.environ, LAB_NAME=lab.name))
    expect("exit status", 7, command("exec", "2", "--", "exit 7").returncode)
    expect("time limit", 124, command("exec", "2", "-t", "0.3", "sleep", "30").returncode)
    expect("no such node", 125, command("exec", "9", "true").returncode)
    expect("standard input", "abc", command("exec", "1", "-i", "cat", stdin="abc").stdout)
    expect("several nodes", "1: node1\n3: node3\n", command("exec", "1,3", "hostname").stdout)
    expect_in("status", "node 3  up", command("status").stdout)
    expect_in("corosync.conf", "ring0_addr: 10.78.2.3", command("conf", "2").stdout)
    expect("a mistake is told", 1, command("exec", "x", "true").returncode)
    expect_in("a second up is refused", "a lab is up", command("up", "1", "--kind", "ns").stderr)
