"""Settings of a lab: from the environment when it is brought up, from its state file afterwards."""
import os
from dataclasses import asdict, dataclass, fields

NODES_MAX = 100                 # node N has the addresses .N and .128+N of a /24
SUBNET = "10.78.2"              # every lab has a network namespace of its own: no need to differ
SUBNET6 = "fd78:2:"
PORT = 5000                     # of the command server in each node


@dataclass
class Settings:
    """What `up` was given holds for every later `start`."""

    mem: str = "192M"               # memory of a guest
    disks: int = 1                  # shared disks: /dev/ubda, /dev/ubdb ...
    disk_mb: int = 300
    disk_flags: str = "c"           # c: shared; add s for O_SYNC on the host
    modprobe: str = "configfs,ipv6"      # modules a guest loads at boot, comma-separated
    cmdline: str = ""               # more words for the guest kernel
    init: str = "server"            # what a guest's first process becomes: guest/server, or systemd
    pin: int = 1                    # one host CPU per guest kernel: 2 to 4 times faster
    uml: str = "/usr/bin/linux.uml"
    modules: str = "/usr/lib/uml/modules"

    @classmethod
    def from_environment(cls, environment=os.environ):
        """LAB_MEM, LAB_DISKS ... override the defaults above."""
        given = {}
        for field in fields(cls):
            word = environment.get("LAB_" + field.name.upper())
            if word is not None:
                given[field.name] = field.type(word)
        return cls(**given)

    def as_dict(self):
        return asdict(self)


def lab_name(environment=os.environ):
    """Two labs at once need two names."""
    return environment.get("LAB_NAME", "lab")


def lab_folder(name, environment=os.environ):
    """Where a lab keeps everything it has."""
    default = os.path.join(environment.get("TMPDIR", "/tmp"), "o2cpg-lab-%d-%s" % (os.getuid(), name))
    return os.path.realpath(environment.get("LAB_DIR", default))


def cluster_address(node):
    """Where the node's corosync, o2net and agent talk."""
    return "%s.%d" % (SUBNET, node)


def cluster_address6(node):
    return "%s:%x" % (SUBNET6, node)


def lab_address(node):
    """Where the lab talks to the node; never cut by a partition."""
    return "%s.%d" % (SUBNET, 128 + node)
