"""The shared volume when it is over: every byte that was told as written, and what fsck.ocfs2 says."""
import zlib

from .. import ocfs2
from ..scenario import Broken

FSCK_S = 120
READ_S = 60


def checked(lab, nodes, work):
    """Lines for the person. Each node mounts anew and reads all of it."""
    for node in nodes:
        if ocfs2.mounts(lab, node):
            raise Broken("node %d: the volume is still mounted" % node)
    ocfs2.mount(lab, tuple(nodes))
    told = sum(len(lines) for lines in work.written.values())
    for node in nodes:
        whole(lab, node, work.written)
    ocfs2.umount(lab, tuple(nodes))
    found = lab.try_run(nodes[0], ["fsck.ocfs2", "-fn", ocfs2.VOLUME], seconds=FSCK_S)
    if found.code:
        raise Broken("fsck.ocfs2 -fn: %s" % (found.out + found.err).strip()[-600:])
    return ["%d records written with fsync, each read back on %d nodes; fsck.ocfs2 -fn: clean" % (told, len(nodes))]


def whole(lab, node, written):
    """Every record that was told as written is there; no record is damaged."""
    text = lab.run(node, "cd %s && for f in *; do [ -f $f ] && sed \"s/^/$f /\" $f; done; true" % ocfs2.MOUNT, seconds=READ_S)
    rows = set(text.splitlines())
    for row in rows:
        words = row.split(" ")
        if len(words) != 4 or "%08x" % zlib.crc32(" ".join(words[1:3]).encode()) != words[3]:
            raise Broken("node %d reads a damaged record: %r" % (node, row))
    for writer, lines in written.items():
        lost = [line for line in lines if line not in rows]
        if lost:
            raise Broken("node %d does not read %d records that node %d wrote, the first: %s" % (
                node, len(lost), writer, lost[0]))
