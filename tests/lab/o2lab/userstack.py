"""The tools of a mount on the sockets of ocfs2_controld and o2cb_controld: guest/mounter in the nodes."""
import os
import shlex
import threading

MOUNTER = "/usr/bin/python3 -I -S /lab/guest/mounter "
UUID = "0E57961B81934696B7AAE6D0080D6F29"
ASK_S = 40


def ask(lab, node, *texts, who=""):
    """Says each text on one connection; every line that was answered."""
    return lab.run(node, who + MOUNTER + "ask " + quoted(texts), ASK_S).splitlines()


def quoted(words):
    return " ".join(map(shlex.quote, words))


class Running:
    """A command in a node that goes on until its standard input ends."""

    def __init__(self, lab, node, command):
        self.said, (reader, self.word) = b"", os.pipe()
        self.thread = threading.Thread(target=self._run, args=(lab, node, command, reader), daemon=True)
        self.thread.start()

    def _run(self, lab, node, command, reader):
        lab.remote.stream(node, ["/bin/sh", "-c", command], None, self._heard, stdin=reader)
        os.close(reader)

    def _heard(self, data, _is_err):
        self.said += data

    def lines(self):
        return self.said.decode(errors="replace").splitlines()

    def stop(self, seconds=10):
        """Ends its standard input, and waits for its end."""
        os.close(self.word)
        self.thread.join(seconds)
