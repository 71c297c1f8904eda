"""o2cpgd in the nodes. The program is what `share --into bin` put there; its output is kept on the host."""
import os

from . import wait
from .errors import LabError

PROGRAM = "/lab/bin/o2cpgd"
STOP_S = 10
QUERY_S = 10

# LSAN_OPTIONS is for programs with the compiler's sanitizer in them: leaks that are not ours.
ENVIRONMENT = {"RUST_BACKTRACE": "1", "LSAN_OPTIONS": "suppressions=/lab/guest/leaks.supp"}

# Where no kernel configfs exists, o2cpgd keeps the tree in a model of it.
MODEL = ["--configfs-root", "/tmp/configfs", "--backend", "model"]


class Agent:
    """o2cpgd on the nodes of one lab."""

    def __init__(self, remote, state):
        self.remote = remote
        self.state = state

    def config_file(self, node):
        """o2cpg.toml of one node; on the host, and in the nodes as /lab/nodeN/o2cpg.toml."""
        return os.path.join(self.state.node_share(node), "o2cpg.toml")

    def start(self, node, config=None, words=()):
        """Starts o2cpgd and returns its pid. config: the text of its o2cpg.toml; None leaves what is there."""
        path = self.config_file(node)
        if config is not None or not os.path.exists(path):
            with open(path, "w") as target:
                target.write(config or "")
        if self.pid(node):
            raise LabError("o2cpgd runs on node %d already" % node)
        inside = "/lab/node%d/" % node
        is_uml = self.state.kind == "uml"
        argv = [PROGRAM, "--config", inside + "o2cpg.toml"] + ([] if is_uml else MODEL) + list(words)
        log = "/dev/ttyS0" if is_uml else inside + "agent.log"
        return self.remote.spawn(node, argv, log, env=ENVIRONMENT)

    def pid(self, node):
        """Of the running daemon, or None."""
        out = self.remote.call(node, ["pidof", "o2cpgd"], QUERY_S).out.split()
        return int(out[0]) if out else None

    def signal(self, node, name):
        """KILL, TERM, STOP, CONT ... to the daemon alone."""
        done = self.remote.call(node, ["sh", "-c", "kill -%s $(pidof o2cpgd)" % name], QUERY_S)
        if not done.ok:
            raise LabError("node %d: o2cpgd does not run" % node)

    def stop(self, node, seconds=STOP_S):
        """SIGTERM, then waits for the end. A daemon that is pinned stays: OverTime."""
        self.signal(node, "TERM")
        wait.until(lambda: self.pid(node) is None, seconds, "end of o2cpgd on node %d" % node)

    def log(self, node):
        """Everything o2cpgd wrote on this node since the lab is up, power cuts included."""
        try:
            with open(self.state.agent_log(node), errors="replace") as source:
                return source.read()
        except FileNotFoundError:
            return ""
