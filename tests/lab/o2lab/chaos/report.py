"""What is said on the terminal, and the folder that a failure leaves."""
import os
import shutil
import threading
import time


class Log:
    """The journal of a run: who did what, when."""

    def __init__(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.folder = folder
        self.born = time.monotonic()
        self.lock = threading.Lock()
        self.journal = open(os.path.join(folder, "journal.txt"), "w", buffering=1)

    def now(self):
        return time.monotonic() - self.born

    def note(self, text):
        with self.lock:
            self.journal.write("%9.3f  %s\n" % (self.now(), text))

    def say(self, text):
        """For the person too."""
        print(text, flush=True)
        self.note(text)

    def keep(self, name, text):
        """A file of its own in the folder."""
        with open(os.path.join(self.folder, name), "w") as target:
            target.write(text)

    def close(self, remove):
        """A run that held leaves nothing."""
        self.journal.close()
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)


def median(values):
    return sorted(values)[len(values) // 2] if values else 0.0


class Figures:
    """What a run was like, in numbers."""

    def __init__(self):
        self.faults, self.missed = {}, 0
        self.fault_s = 0.0
        self.converged_s = []
        self.asked_s = []           # not in it: what was waited for was an unmount that status had asked for
        self.storms = 0                 # of corosync: play.py
        self.wrong_lists = 0            # so are these
        self.overlapping = 0            # faults that began while at least two others lasted
        self.lock = threading.Lock()

    def begun(self, name, others):
        with self.lock:
            self.faults[name] = self.faults.get(name, 0) + 1
            self.overlapping += others >= 2

    def found_nothing(self):
        with self.lock:
            self.missed += 1

    def count(self):
        return sum(self.faults.values())

    def rate(self):
        return 60 * self.count() / self.fault_s if self.fault_s else 0.0

    def lines(self):
        kinds = ", ".join("%s %d" % item for item in sorted(self.faults.items()))
        yield "%d faults in %.0f s: %.0f a minute; %d of them while two others lasted; %d found nothing to break" % (
            self.count(), self.fault_s, self.rate(), self.overlapping, self.missed)
        yield "  " + kinds
        if self.converged_s:
            yield "converged %d times after the last fault: p50 %.1f s, max %.1f s" % (
                len(self.converged_s), median(self.converged_s), max(self.converged_s))
            asked = [seconds for seconds in self.asked_s if seconds]
            if asked:
                yield "%d times a node had to be unmounted first, which is not in these: max %.1f s" % (len(asked), max(asked))
        if self.storms:
            yield "%d storms of corosync ended by hand" % self.storms
        if self.wrong_lists:
            yield "%d times corosync was restarted where o2cpg status said that it lacks a member" % self.wrong_lists
