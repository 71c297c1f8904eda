"""The faults of a round, drawn from the seed: the same words give the same faults at the same times."""
import random
from dataclasses import dataclass

BURST = 0.25            # so many come right upon the one before: two things break at once
BURST_GAP_S = 0.05
DARK_NODES_MAX = 2      # off or standing still at once, so that a majority of five has work to do


@dataclass(frozen=True)
class Kind:
    """What a fault is like: how often it comes, how long it lasts, on how many nodes."""

    name: str
    weight: int
    shortest_s: float
    longest_s: float
    nodes: int = 1              # 2: from one to another; 0: all, cut into sides
    is_dark: bool = False       # nothing else can be done to the node meanwhile
    is_fault: bool = True       # or work that is drawn like one


@dataclass(frozen=True)
class Fault:
    """One fault: from `at_s` for `lasts_s` seconds, at these nodes, or between these sides."""

    number: int
    at_s: float
    lasts_s: float
    kind: Kind
    where: tuple

    def __str__(self):
        where = " | ".join(",".join(map(str, one)) if isinstance(one, tuple) else str(one) for one in self.where)
        return "%3d  %7.2f s  for %5.2f s  %-15s %s" % (self.number, self.at_s, self.lasts_s, self.kind.name, where)


NAMESPACES = (
    Kind("corosync-kill", 8, 0.1, 2.5),
    Kind("corosync-term", 3, 0.1, 2.5),
    Kind("corosync-stop", 8, 0.1, 5),
    Kind("agent-kill", 9, 0.05, 2),
    Kind("agent-stop", 7, 0.1, 5),
    Kind("agent-term", 3, 0.1, 2),
    Kind("client-kill", 6, 0.05, 1),
    Kind("client-stop", 4, 0.1, 4),
    Kind("node-off", 9, 0.3, 4, is_dark=True),
    Kind("node-pause", 6, 0.1, 5, is_dark=True),
    Kind("link-down", 4, 0.1, 4),
    Kind("one-way", 6, 0.2, 5, nodes=2),
    Kind("apart", 6, 0.2, 5, nodes=2),
    Kind("partition", 5, 0.3, 5, nodes=0),
    Kind("kernel-refuses", 3, 0.2, 4),
    Kind("mount", 9, 1, 8, is_fault=False),
)
# Cuts stay below the idle time-out of o2net: above it the kernels decide who resets itself. A guest's network card does not
# always recover from a link that was down, so there is none. No tool is killed either: an umount that o2dlm gives its locks away in
# loops there without sleeping once a signal is pending, and a guest has one processor; scenario 66 kills in each phase.
KERNELS = (
    Kind("node-off", 4, 1, 8, is_dark=True),
    Kind("corosync-kill", 4, 0.5, 4),
    Kind("corosync-stop", 4, 0.5, 6),
    Kind("agent-kill", 5, 0.2, 5),
    Kind("agent-stop", 3, 0.5, 6),
    Kind("clock-ahead", 2, 0.5, 8),
    Kind("clock-behind", 2, 0.5, 8),
    Kind("one-way", 3, 0.5, 5, nodes=2),
    Kind("apart", 2, 0.5, 5, nodes=2),
    Kind("partition", 3, 0.5, 5, nodes=0),
)
# Whoever loses corosync or dlm_controld under a volume has to restart, and so has a kernel whose o2cpgd dies: one at a time, for the
# others need quorum to have it ended.
USER_STACK = (
    Kind("node-off", 4, 1, 8, is_dark=True),
    Kind("corosync-kill", 3, 0.5, 4, is_dark=True),
    Kind("corosync-stop", 3, 0.5, 6, is_dark=True),
    Kind("dlm-kill", 2, 0.2, 3, is_dark=True),
    Kind("agent-kill", 3, 0.2, 5, is_dark=True),
    Kind("cut-off", 4, 0.5, 8, is_dark=True),
    Kind("agent-stop", 4, 0.5, 6),
    Kind("tool-kill", 5, 0, 0),
    Kind("clock-ahead", 2, 0.5, 8),
    Kind("clock-behind", 2, 0.5, 8),
)
KINDS = {"ns": NAMESPACES, "uml": KERNELS, "user": USER_STACK}
GAP_S = {"ns": 0.5, "uml": 4.0, "user": 5.0}     # mean time from one to the next; a few find nothing to break
SETTLE_S = {"ns": 2.0, "uml": 12.0, "user": 20.0}     # a node that was dark is left alone so long, to get somewhere


def faults(seed, number, kind, nodes, length_s):
    """The faults of round `number`, in the order in which they begin."""
    chance = random.Random("%d/%d/%s/%d" % (seed, number, kind, nodes))
    drawn, until, at_s = [], {}, 0.0
    while True:
        is_burst = chance.random() < BURST
        at_s += BURST_GAP_S if is_burst else chance.expovariate((1 - BURST) / GAP_S[kind])
        if at_s >= length_s:
            return drawn
        one = draw(chance, kind, nodes, at_s, until)
        if one is not None:
            what, where, lasts_s = one
            drawn.append(Fault(len(drawn) + 1, round(at_s, 3), min(lasts_s, length_s - at_s), what, where))


def draw(chance, kind, nodes, at_s, until):
    """A kind, where and how long; None if that is under way there already. `until` remembers what is."""
    of_kind = KINDS[kind]
    what = chance.choices(of_kind, [one.weight for one in of_kind])[0]
    lasts_s = round(chance.uniform(what.shortest_s, what.longest_s), 2)
    where = places(chance, what, nodes)
    dark = [node for node in range(1, nodes + 1) if until.get(("dark", node), 0) > at_s]
    touched = () if what.nodes == 0 else where
    limit = DARK_NODES_MAX if nodes > 3 else 1
    if any(node in dark for node in touched) or what.is_dark and len(dark) >= limit:
        return None
    key = (what.name, None if what.nodes == 0 else where)
    if until.get(key, 0) > at_s:
        return None
    if what.is_dark:
        busy = [end for (name, place), end in until.items() if name != "dark" and where[0] in (place or ())]
        if any(end > at_s for end in busy):
            return None
        until["dark", where[0]] = at_s + lasts_s + SETTLE_S[kind]
    until[key] = at_s + lasts_s
    return what, where, lasts_s


def places(chance, what, nodes):
    """Nodes, or sides of which none is empty."""
    everybody = list(range(1, nodes + 1))
    if what.nodes:
        return tuple(chance.sample(everybody, what.nodes))
    chance.shuffle(everybody)
    cut = chance.randint(1, nodes - 1)
    return tuple(sorted(everybody[:cut])), tuple(sorted(everybody[cut:]))


def digest(drawn):
    """A short name of a list of faults: two runs with equal ones had the same faults."""
    text = "\n".join(map(str, drawn))
    return "%08x" % (sum((index + 1) * byte for index, byte in enumerate(text.encode())) & 0xffffffff)
