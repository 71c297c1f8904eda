"""The management console of a UML kernel: sysrq and the like for a guest that no longer answers."""
import os
import socket
import struct

from .errors import LabError
from .uml import umid

MAGIC, VERSION, DATA_MAX = 0xcafebabe, 2, 512
ANSWER_S = 5


def ask(state, netns, node, command):
    """One command (`sysrq w`, `version`, `stack PID` ...) and what the kernel answers.

    The answer comes to an abstract address, and those are private to a network namespace: the guest's.
    """
    path = os.path.join(state.folder, "uml", umid(node), "mconsole")
    data = command.encode()
    if len(data) >= DATA_MAX:
        raise LabError("a command of the console has at most %d bytes" % (DATA_MAX - 1))
    with netns.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0o2cpg-lab-%d-%d" % (os.getpid(), node))
        sock.settimeout(ANSWER_S)
        try:
            sock.sendto(struct.pack("=Iii", MAGIC, VERSION, len(data)) + data.ljust(DATA_MAX, b"\0"), path)
            return answer(sock)
        except OSError as error:
            raise LabError("console of node %d: %s" % (node, error)) from error


def answer(sock):
    text = ""
    while True:
        reply = sock.recv(12 + DATA_MAX)
        failed, more, length = struct.unpack("=iii", reply[:12])
        text += reply[12:12 + length].split(b"\0")[0].decode(errors="replace")
        if failed:
            raise LabError("the kernel refuses: " + text.strip())
        if not more:
            return text
