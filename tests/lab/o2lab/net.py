"""The network of a lab: one bridge for the cluster, one for the lab itself, a partition by moving taps."""
from .settings import SUBNET, lab_address

CLUSTER, LAB = "cluster", "lab"     # also the names of a node's two interfaces


class Network:
    """All of it lies in the lab's own network namespace: names need not differ between labs."""

    def __init__(self, netns, state):
        self.netns = netns
        self.state = state

    def up(self):
        self.netns.create()
        self._add_bridge(bridge(0))
        self._add_bridge(LAB)
        self.netns.ip("addr", "add", SUBNET + ".126/25", "dev", bridge(0))
        self.netns.ip("addr", "add", SUBNET + ".254/25", "dev", LAB)

    def _add_bridge(self, name):
        """Without spanning tree and snooping: a port forwards at once, and forwards multicast."""
        self.netns.ip("link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0",
                      "mcast_snooping", "0", check=False)
        self.netns.ip("link", "set", name, "up")

    def attach(self, node, kind):
        """The host's ends of a node's two interfaces; a side of a partition survives a reboot."""
        side = self.state.facts["sides"].get(str(node), 0)
        for network, master in ((CLUSTER, bridge(side)), (LAB, LAB)):
            end = port(node, network)
            self.netns.ip("link", "del", end, check=False)
            if kind == "uml":
                self.netns.ip("tuntap", "add", end, "mode", "tap")
            else:
                self.netns.ip("link", "add", end, "type", "veth", "peer", "name", end + "p",
                              "address", mac(node, network))
            self.netns.ip("link", "set", end, "master", master, "up")
        # Known beforehand: a node that is asked for before it is up would not be looked for again for a second.
        self.netns.ip("neigh", "replace", lab_address(node), "lladdr", mac(node, LAB), "dev", LAB, "nud", "permanent")

    def hand_over(self, node, leader):
        """The other ends of an ns node's interfaces, to the namespace of its process 1."""
        for network in (CLUSTER, LAB):
            self.netns.ip("link", "set", port(node, network) + "p", "netns", str(leader))

    def partition(self, groups):
        """Each group hears itself only. Nodes not named stay with the first."""
        sides = {str(node): side for side, group in enumerate(groups) for node in group}
        for side in range(1, len(groups)):
            self._add_bridge(bridge(side))
        self._move(sides)

    def heal(self):
        self._move({})

    def _move(self, sides):
        facts = self.state.facts
        moved = set(facts["sides"]) | set(sides)
        facts["sides"] = sides
        self.state.save()
        for node in moved:
            self.netns.ip("link", "set", port(int(node), CLUSTER), "master", bridge(sides.get(node, 0)),
                          check=False)    # a node that is off has no port


def bridge(side):
    return "side%d" % side


def mac(node, network):
    """The same at every boot: a neighbour that remembers another one loses half a minute."""
    return "02:78:%02x:00:00:%02x" % ((CLUSTER, LAB).index(network), node)


def port(node, network):
    return "%s%d" % (network[0], node)    # c1, l1
