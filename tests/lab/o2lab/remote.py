"""Commands inside a node, through its command server (../guest/server has the protocol)."""
import json
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass

from .errors import NodeDown, OverTime
from .settings import PORT, lab_address

CONNECT_S = 5
# A node whose power is cut says nothing any more: asked after 2 s, given up after 12, at once when it is back with another boot.
STILL_THERE = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
               (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 10))
ANSWER_S = 0.1       # a node that boots drops what comes too early: ask again soon


@dataclass
class Result:
    """How a command ended. 124: over time, 126 and 127: cannot run, 128+N: killed by signal N."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self):
        return self.code == 0


class Remote:
    """Runs commands in the nodes of one lab; any thread may."""

    def __init__(self, netns, processes):
        self.netns = netns
        self.processes = processes

    def answers(self, node):
        try:
            self._connect(node, ANSWER_S).close()
            return True
        except NodeDown:
            return False

    def _connect(self, node, seconds):
        if not self.processes.alive(node):
            raise NodeDown("node %d is off" % node)
        sock = self.netns.socket()
        try:
            sock.settimeout(seconds)
            sock.connect((lab_address(node), PORT))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for level, option, value in STILL_THERE:
                sock.setsockopt(level, option, value)
        except OSError as error:
            sock.close()
            raise NodeDown("node %d does not answer: %s" % (node, error)) from error
        return sock

    def call(self, node, argv, seconds, stdin=b"", env=None):
        """Runs argv to its end; at `seconds` it is killed and OverTime raised."""
        out, err = [], []
        code = self.stream(node, argv, seconds, lambda data, is_err: (err if is_err else out).append(data),
                           stdin=stdin, env=env)
        return Result(code, *(b"".join(part).decode(errors="replace") for part in (out, err)))

    def spawn(self, node, argv, log, env=None):
        """Leaves argv running in the node, its output going to `log` there; returns its pid."""
        with self._connect(node, CONNECT_S) as sock:
            head = {"argv": argv, "detach": True, "log": log, "env": env or {}}
            sock.sendall(frame(b"H", json.dumps(head).encode()))
            _, pid = take_frame(sock)
            return int(pid)

    def stream(self, node, argv, seconds, sink, stdin=b"", env=None):
        """Runs argv and gives each piece of output to sink(bytes, is_stderr); returns the exit status.

        stdin: bytes, or a descriptor that is read to its end. seconds: None waits for ever.
        """
        with self._connect(node, CONNECT_S) as sock:
            sock.sendall(frame(b"H", json.dumps({"argv": argv, "env": env or {}}).encode()))
            feeder = threading.Thread(target=feed, args=(sock, stdin), daemon=True)
            feeder.start()
            deadline = time.monotonic() + seconds if seconds is not None else None
            while True:
                kind, data = self._next_frame(sock, deadline, node, argv, seconds)
                if kind == b"X":
                    return struct.unpack(">i", data)[0]
                sink(data, kind == b"E")

    @staticmethod
    def _next_frame(sock, deadline, node, argv, seconds):
        try:
            sock.settimeout(None if deadline is None else max(0.01, deadline - time.monotonic()))
            return take_frame(sock)
        except socket.timeout as error:
            if deadline is None:
                raise NodeDown("node %d went away: %s" % (node, error)) from error
            words = " ".join(argv)
            raise OverTime("node %d: no end within %g s: %s" % (node, seconds, words)) from None
        except OSError as error:
            raise NodeDown("node %d went away: %s" % (node, error)) from error


def frame(kind, data):
    return kind + struct.pack(">I", len(data)) + data


def take(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("connection closed")
        data += part
    return data


def take_frame(sock):
    head = take(sock, 5)
    return head[:1], take(sock, struct.unpack(">I", head[1:])[0])


def feed(sock, stdin):
    """Standard input of the command: an empty frame is its end."""
    try:
        if isinstance(stdin, bytes):
            if stdin:
                sock.sendall(frame(b"I", stdin))
        else:
            for data in iter(lambda: os.read(stdin, 65536), b""):
                sock.sendall(frame(b"I", data))
        sock.sendall(frame(b"I", b""))
    except OSError:
        pass                        # the command ended without reading all of it


def to_own_streams(data, is_err):
    """A sink that passes output on to this process's own streams."""
    stream = sys.stderr.buffer if is_err else sys.stdout.buffer
    stream.write(data)
    stream.flush()
