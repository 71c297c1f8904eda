"""What a lab remembers between commands: a folder with one JSON file in it."""
import json
import os
import shutil

from .errors import LabError
from .settings import Settings


class State:
    """The folder of a lab and its state file. Every change is written at once, by rename."""

    def __init__(self, folder):
        self.folder = folder
        self.file = os.path.join(folder, "state.json")
        self.share = os.path.join(folder, "share")
        self._facts = None

    def exists(self):
        return os.path.exists(self.file)

    def create(self, kind, settings, conf, owner=None):
        """A new lab: kind, settings, the corosync configuration that all nodes have in common, and whom it ends with."""
        os.makedirs(os.path.join(self.share, "bin"), exist_ok=True)
        os.makedirs(os.path.join(self.folder, "uml"), exist_ok=True)
        self._facts = {"kind": kind, "settings": settings.as_dict(), "conf": conf, "node_conf": {}, "sides": {},
                       "owner": owner}
        self.save()

    @property
    def facts(self):
        """kind, settings, conf, node_conf (node → its own differences), sides (node → side of a partition), owner."""
        if self._facts is None:
            try:
                with open(self.file) as source:
                    self._facts = json.load(source)
            except FileNotFoundError:
                raise LabError("no lab is up in %s" % self.folder) from None
        return self._facts

    @property
    def kind(self):
        return self.facts["kind"]

    @property
    def settings(self):
        return Settings(**self.facts["settings"])

    def save(self):
        with open(self.file + ".new", "w") as target:
            json.dump(self._facts, target, indent=1)
        os.rename(self.file + ".new", self.file)

    def disown(self):
        """From now on the lab is a person's, to look at and to take down."""
        self.facts["owner"] = None
        self.save()

    def remove(self):
        self._facts = None
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- paths --------------------------------------------------------------

    def node_folder(self, node):
        """Of one node, on the host only: pid, console.log. Made by `make_node`."""
        return os.path.join(self.folder, "node%d" % node)

    def node_share(self, node):
        """Of one node, seen inside every node as /lab/nodeN. Made by `make_node`."""
        return os.path.join(self.share, "node%d" % node)

    def make_node(self, node):
        os.makedirs(self.node_folder(node), exist_ok=True)
        os.makedirs(self.node_share(node), exist_ok=True)

    def console(self, node):
        return os.path.join(self.node_folder(node), "console.log")

    def agent_log(self, node):
        return os.path.join(self.node_share(node), "agent.log")

    def disk(self, number):
        return os.path.join(self.folder, "disk%d.img" % number)
