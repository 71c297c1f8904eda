"""corosync in the nodes: its configuration, its life and what it sees.

A configuration is a flat mapping, so that a test can change one thing and a command line can too:

    totem.token=2000            SECTION.KEY: any section of corosync.conf, o2cpg { } included
    node.3.nodeid=300           one entry of the nodelist; node.3.ring0_addr, node.3.name ...
    nodes=1,2,3                 who is in the nodelist
    extra=TEXT                  as it is, at the end: nested sections, mistakes made on purpose
    KEY=                        an empty value takes the line out

`token`, `cluster_name` and `transport` stand for the same in totem { }.
"""
import re

from . import wait
from .errors import LabError, NodeDown, OverTime
from .settings import cluster_address

START_S = 30
QUORUM_S = 60
COMMAND_S = 10
VIEW_S = 2          # a corosync-quorumtool that connects while the ring breaks never ends: ask again instead
SHORT = ("token", "cluster_name", "transport")

DEFAULTS = {
    "totem.version": "2", "totem.cluster_name": "lab", "totem.transport": "udpu", "totem.token": "1000",
    "totem.token_retransmits_before_loss_const": "10", "totem.join": "50", "totem.max_messages": "20",
    "quorum.provider": "corosync_votequorum",
    "logging.to_stderr": "no", "logging.to_syslog": "no", "logging.to_logfile": "yes",
    "logging.timestamp": "hires",
    "system.sched_rr": "no", "system.move_to_root_cgroup": "no",
}

# Without the right to lock memory corosync leaves mlockall out: under UML that saves seconds of page faults
# and 100 MB a node.
WITHOUT_LOCKING = ["setpriv", "--bounding-set=-ipc_lock,-sys_resource,-sys_nice",
                   "--inh-caps=-ipc_lock,-sys_resource,-sys_nice"]


def parse(words):
    """`KEY=VALUE` words as a configuration."""
    conf = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise LabError("%r is not KEY=VALUE" % word)
        conf["totem." + key if key in SHORT else key] = value
    return conf


def for_cluster(count, changes):
    """The configuration all nodes have in common."""
    conf = dict(DEFAULTS, nodes=",".join(map(str, range(1, count + 1))))
    if count == 2:
        conf.update({"quorum.two_node": "1", "quorum.wait_for_all": "0"})
    conf.update(changes)
    return conf


def text(conf):
    """corosync.conf."""
    conf = dict(conf)
    conf.setdefault("totem.consensus", str(int(float(conf["totem.token"]) * 1.2)))
    sections, entries = {}, {}
    for key, value in conf.items():
        parts = key.split(".", 2)
        if parts[0] == "node" and len(parts) == 3:
            entries.setdefault(int(parts[1]), {})[parts[2]] = value
        elif len(parts) > 1:
            section, name = key.split(".", 1)
            sections.setdefault(section, {})[name] = value
        elif key not in ("nodes", "extra"):
            raise LabError("corosync.conf has no place for %r: write SECTION.KEY" % key)
    parts = [block(name, lines) for name, lines in sections.items()]
    nodes = [int(word) for word in conf["nodes"].split(",") if word]
    nodelist = "".join(block("node", node_lines(node, entries.get(node, {})), "  ") for node in nodes)
    parts.append("nodelist {\n%s}\n" % nodelist)
    parts.append(conf.get("extra", ""))
    return "".join(parts)


def node_lines(node, changes):
    lines = {"ring0_addr": cluster_address(node), "name": "node%d" % node, "nodeid": str(node)}
    lines.update(changes)
    return lines


def block(name, lines, indent=""):
    body = "".join("%s  %s: %s\n" % (indent, key, value) for key, value in lines.items() if value != "")
    return "%s%s {\n%s%s}\n" % (indent, name, body, indent)


# A corosync that is killed leaves its shared memory behind, megabytes each time, and after some dozen of them nobody
# can connect any more.
SWEEP = """for left in /dev/shm/qb-*; do pid=${left#/dev/shm/qb-}; kill -0 "${pid%%-*}" 2>/dev/null || rm -rf "$left"; done"""


class Corosync:
    """corosync on the nodes of one lab."""

    def __init__(self, remote, state):
        self.remote = remote
        self.state = state

    def conf(self, node):
        """What a node's corosync.conf is made of."""
        facts = self.state.facts
        log = {"logging.logfile": "/lab/node%d/corosync.log" % node}
        return {**log, **facts["conf"], **facts["node_conf"].get(str(node), {})}

    def change(self, node, changes):
        """Changes the configuration of one node, or with None that of all. Takes effect by `write`."""
        facts = self.state.facts
        target = facts["conf"] if node is None else facts["node_conf"].setdefault(str(node), {})
        target.update(changes)
        self.state.save()

    def write(self, node):
        """Puts a node's corosync.conf where a running node, or its next boot, finds it."""
        content = text(self.conf(node))
        with open(self.state.node_share(node) + "/corosync.conf", "w") as target:
            target.write(content)
        if self.remote.processes.alive(node):
            self._do(node, ["sh", "-c", "cat > /etc/corosync/corosync.conf"], stdin=content.encode())

    def reload(self, node):
        """Tells one node's corosync to have all nodes read their corosync.conf again."""
        self._do(node, ["corosync-cfgtool", "-R"])

    def start(self, node):
        self._do(node, ["sh", "-c", SWEEP])
        is_service = self.state.settings.init == "systemd"
        self._do(node, ["systemctl", "start", "corosync"] if is_service else WITHOUT_LOCKING + ["corosync"], START_S)

    def kill(self, node, name="KILL"):
        """KILL, STOP or CONT to corosync alone; the kernel and everything else on the node go on."""
        self._do(node, ["sh", "-c", "kill -%s $(pidof corosync)" % name])

    def _do(self, node, argv, seconds=COMMAND_S, stdin=b""):
        done = self.remote.call(node, argv, seconds, stdin=stdin)
        if not done.ok:
            said = (done.err or done.out).strip()
            raise LabError("node %d: %s: exit status %d %s" % (node, " ".join(argv), done.code, said))

    def members(self, node):
        """How many members a node sees, and whether they are quorate; (0, False) when it does not say."""
        try:
            out = self.remote.call(node, ["corosync-quorumtool", "-s"], VIEW_S).out
        except (NodeDown, OverTime):
            return 0, False
        count = re.search(r"^Nodes:\s+(\d+)", out, re.M)
        quorate = re.search(r"^Quorate:\s+Yes", out, re.M)
        return (int(count.group(1)) if count else 0), bool(quorate)

    def wait_members(self, nodes, count, seconds=QUORUM_S):
        """Until each of `nodes` sees `count` members."""
        for node in nodes:
            wait.until(lambda: self.members(node)[0] == count, seconds,
                       "node %d sees %d members" % (node, count))
