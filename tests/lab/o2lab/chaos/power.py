"""The power switches of the nodes, for the fence programs in them (guest/fence)."""
import os
import threading

from .programs import POWER

LOOK_S = 0.1
JOIN_S = 5
DONE = ".off"


class Switches:
    """Cuts the power of whoever is asked for; the keeper lets it boot again."""

    def __init__(self, lab, keeper, log):
        self.keeper, self.log = keeper, log
        self.folder = os.path.join(lab.state.share, "fence")
        os.makedirs(self.folder, exist_ok=True)
        self.cuts = 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.is_over.set()
        self.thread.join(JOIN_S)

    def _run(self):
        seen = set()
        while not self.is_over.wait(LOOK_S):
            for name in sorted(set(os.listdir(self.folder)) - seen):
                seen.add(name)
                if not name.endswith(DONE):
                    self._cut(int(name.partition(".")[0]), name)

    def _cut(self, node, name):
        """A node that came back by itself meanwhile loses its new life: nobody can tell in time."""
        self.keeper.hold(node, POWER)
        try:
            was_on = self.keeper.cut_power(node)
        finally:
            self.keeper.release(node, POWER)
        self.cuts += was_on
        self.log.note("fence: node %d %s" % (node, "is off" if was_on else "was off"))
        with open(os.path.join(self.folder, name + DONE), "w"):
            pass
