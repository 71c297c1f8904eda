"""What has to hold: while the nodes get quiet after a round, and of all that was written down when it is over."""
import json
import os
import re
import subprocess

from .. import ocfs2
from ..errors import LabError
from ..scenario import Broken
from .workload import GROUPS

REPLAY_S = 120
COMPLAINTS = re.compile(r"\b(BUG:|Oops|WARNING:|Kernel panic|INFO: task|general protection|soft lockup)")
TROUBLE = re.compile(r"\bERROR\b|panicked at")
QUESTION_S = 10
TOTEM_PORT = 5405
STORM_BYTES = 500_000


# ---- quiet again --------------------------------------------------------------

def unsettled(lab, programs, nodes, with_groups):
    """The first thing that is not as it has to be when nothing is broken; None when all is well."""
    try:
        looks = ocfs2.each(lab, lambda lab, node: look(lab, programs, node, with_groups), tuple(nodes))
        for node, (status, _, groups) in looks.items():
            trouble = of_one(node, status, len(nodes)) or (of_groups(node, groups, nodes) if with_groups else None)
            if trouble:
                return trouble
        tables = {node: status["table"] for node, (status, _, _) in looks.items()}
        if any(table != tables[nodes[0]] for table in tables.values()):
            return "the tables differ: %s" % {node: (table["step"], table["ring"]) for node, table in tables.items()}
        return next(filter(None, (of_kernel(node, kernel, tables[node]) for node, (_, kernel, _) in looks.items())), None)
    except LabError as error:
        return str(error)


def look(lab, programs, node, with_groups):
    """What one node says of itself, what its kernel holds, and its groups."""
    try:
        status = json.loads(answer(lab, node, "o2cpg -o json status"))
        kernel = (modelled if programs.is_ns else real)(lab, node)
        groups = json.loads(answer(lab, node, "o2cpg -o json groups --legacy"))["groups"] if with_groups else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError("node %d: %s: %s" % (node, type(error).__name__, error)) from error
    return status, kernel, groups


def answer(lab, node, words):
    done = lab.remote.call(node, ["sh", "-c", words], QUESTION_S)
    if not done.ok:
        raise LabError("node %d: %s: %s" % (node, words, (done.err or done.out).strip()))
    return done.out


def of_one(node, status, count):
    corosync = status["corosync"]
    if not corosync["quorate"] or corosync["members"] != count:
        return "node %d: corosync has %s members, quorate: %s" % (node, corosync["members"], corosync["quorate"])
    if status["agent"]["state"] != "ready" or status["waits"] or status["change"]:
        waits = [one["text"] for one in status["waits"]]
        return "node %d: %s, waits: %s, change: %s" % (node, status["agent"]["state"], waits, status["change"])
    # A ghost of corosync stands until a ring changes. Nobody waits for it, which was asked above.
    is_fine = status["health"] == "ok" or {one["kind"] for one in status["troubles"]} == {"ghost"}
    if not is_fine or len(status["table"]["entries"]) != count:
        return "node %d: health %s, %s, %d entries" % (node, status["health"], status["troubles"],
                                                       len(status["table"]["entries"]))
    return None


def is_asked_for(trouble):
    """A node that was cut off with the volume in use has to be unmounted. How long that takes is a person's matter and its kernel's,
    which has both of a mount that was under way to end."""
    return "live-without-quorum" in trouble


def of_kernel(node, kernel, table):
    """The tree is the table, and the node is itself in it."""
    wanted = {one["name"]: (one["number"], one["address"], one["port"]) for one in table["entries"]}
    found, own = kernel
    if found != wanted or own != ["node%d" % node]:
        return "node %d: its kernel holds %s, local is %s; the table is %s" % (node, found, own, wanted)
    return None


def modelled(lab, node):
    with open("/proc/%d/root/tmp/configfs/tree.json" % lab.processes.leader(node)) as source:
        nodes = json.load(source)["nodes"].values()
    return ({one["name"]: (one["num"], one["address"], one["port"]) for one in nodes},
            [one["name"] for one in nodes if one["local"]])


def real(lab, node):
    tree = ocfs2.tree(lab, node)
    rows = ocfs2.entries(tree).items()
    return {name: (int(num), address, int(port)) for name, (num, address, port) in rows}, ocfs2.local(tree)


def of_groups(node, groups, nodes):
    found = {(one["name"], one["level"]): (sorted(one["members"]), one["state"]) for one in groups}
    for group in GROUPS:
        if found.get(group) != (list(nodes), "none"):
            return "node %d: group %s is %s" % (node, group[0], found.get(group))
    return None


def in_storm(lab, nodes):
    """Whether corosync stands in its own way: where join messages have waited longer than `consensus`, all answer old ones, which
    makes more of them than can be read, and no ring is formed until it is ended. A majority has a backlog that no working ring has.
    How many wait is limited by net.core.rmem_max of this machine."""
    return sum(backlog(lab, node) > STORM_BYTES for node in nodes) > len(nodes) // 2


def wrong_list(lab, nodes):
    """A node that says its corosync lacks a member whose messages come. It stays so until the ring changes: corosync 3.1.7."""
    for node in nodes:
        done = lab.remote.call(node, ["o2cpg", "-o", "json", "status"], QUESTION_S)
        waits = json.loads(done.out)["waits"] if done.ok else []
        if any(one["kind"] == "unlisted" for one in waits):
            return node
    return None


def backlog(lab, node):
    """Bytes that wait in the socket of a node's corosync."""
    try:
        with open("/proc/%s/net/udp" % lab.processes.leader(node)) as source:
            rows = [line.split() for line in source.readlines()[1:]]
    except OSError:
        return 0
    waiting = [int(row[4].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == TOTEM_PORT]
    return max(waiting, default=0)


# ---- what was written down ----------------------------------------------------

def logs(lab, nodes):
    """No daemon said that it is broken, no kernel complained."""
    for node in nodes:
        for what, text, pattern in (("o2cpgd", lab.agent.log(node), TROUBLE), ("kernel", lab.console(node), COMPLAINTS)):
            line = next((line for line in text.splitlines() if pattern.search(line)), None)
            if line:
                raise Broken("node %d: %s said: %s" % (node, what, line.strip()))


def recordings(lab, nodes):
    """The paths of what each node's daemons have recorded, one file for each life."""
    found = {}
    for node in nodes:
        folder = os.path.join(lab.state.node_share(node), "recordings")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found[node] = [os.path.join(folder, name) for name in names]
    return found


def replayed(command, files):
    """Each gives the effects that it gave then; returns how many events there were."""
    events = 0
    for path in files:
        done = subprocess.run([command, "-o", "json", "replay", path], capture_output=True, text=True,
                              timeout=REPLAY_S, check=False)
        if done.returncode:
            raise Broken("%s: o2cpg replay: %s" % (os.path.basename(path), (done.stderr or done.stdout).strip()[-400:]))
        events += json.loads(done.stdout)["events"]
    return events


def judged(command, found):
    """The sentences of the simulator's checkers over all that was recorded at once; returns the judge's last line."""
    words = ["%d=%s" % (node, path) for node, paths in found.items() for path in paths]
    done = subprocess.run([command], input="\n".join(words), capture_output=True, text=True, timeout=REPLAY_S, check=False)
    if done.returncode:
        raise Broken("recordings: %s" % (done.stdout + done.stderr).strip()[-600:])
    return done.stdout.strip().splitlines()[-1]


# ---- the clients of groupd ----------------------------------------------------

ANSWERS = {"stop": "stop_done", "start": "start_done"}
SENTENCES = ("stop", "start", "finish", "terminate", "setid", "deliver")


def clients(lab, nodes):
    """What all of them heard is in an order that groupd promises, and common to all. Returns how many words were heard."""
    heard = 0
    for name, _ in GROUPS:
        orders = {}
        for node in nodes:
            path = os.path.join(lab.state.node_share(node), "client-%s.log" % name)
            lines = read(path)
            calls(node, name, lines)
            orders[node] = [" ".join(line.split()[5:]) for line in lines if line.split()[1:3] == ["heard", "deliver"]]
            heard += len(orders[node])
        in_one_order(name, orders)
    return heard


def read(path):
    try:
        with open(path, errors="replace") as source:
            return source.read().splitlines()
    except FileNotFoundError:
        return []


def calls(node, name, lines):
    """Within one connection: a start comes stopped, a finish started, and nothing but known words."""
    state = "out"
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) < 3:
            continue                    # the client was killed while it wrote
        if words[1] == "connected":
            state = "out"
        if words[1] != "heard":
            continue
        word = words[2]
        if word not in SENTENCES:
            raise Broken("node %d, client of %s, line %d: heard %r" % (node, name, number, word))
        allowed = {"stop": ("running", "starting"), "start": ("out", "stopped"), "finish": ("starting",),
                   "terminate": ("stopped",)}
        if word in allowed and state not in allowed[word]:
            raise Broken("node %d, client of %s, line %d: %s while %s" % (node, name, number, word, state))
        state = {"stop": "stopped", "start": "starting", "finish": "running", "terminate": "out"}.get(word, state)


def in_one_order(name, orders):
    """Any two nodes heard what both heard in the same order, and nothing twice."""
    for node, order in orders.items():
        if len(set(order)) != len(order):
            twice = next(word for word in order if order.count(word) > 1)
            raise Broken("group %s, node %d: %s was delivered twice" % (name, node, twice))
    nodes = sorted(orders)
    for first in nodes:
        place = {word: at for at, word in enumerate(orders[first])}
        for second in nodes[nodes.index(first) + 1:]:
            places = [place[word] for word in orders[second] if word in place]
            wrong = next((at for at, (one, two) in enumerate(zip(places, places[1:])) if one > two), None)
            if wrong is not None:
                raise Broken("group %s: nodes %d and %d heard %s and %s in another order" % (
                    name, first, second, orders[first][places[wrong]], orders[first][places[wrong + 1]]))
