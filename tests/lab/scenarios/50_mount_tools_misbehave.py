"""Whatever comes over the sockets of ocfs2_controld and o2cb_controld is answered or dropped, and delays nobody else."""
from o2lab import ocfs2
from o2lab.scenario import Broken, Cluster, expect, expect_in
from o2lab.userstack import MOUNTER, UUID, Running, ask

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 180
# A model has no volumes: its daemon is told to listen all the same. Each node has abstract names of its own.
WORDS = ("--test-controld", "")
# Whoever may ask for lists is in this group, and is not root.
CONFIG = ocfs2.CONFIG + '[control]\ngroup = "nogroup"\n'
AS_LOOKER = "setpriv --reuid=65534 --regid=65534 --clear-groups "
AS_LOOKER_BY_THE_WAY = "setpriv --reuid=65534 --regid=1 --groups=65534 "
AS_STRANGER = "setpriv --reuid=65534 --regid=1 --clear-groups "
DISK, OTHER_DISK = "/tmp/disk", "/tmp/other"
PATIENCE_MS = 1000

# What is said → errno of the STATUS, and a part of its text.
ANSWERS = {
    "": (22, "unknown command"),
    "A" * 255: (22, "unknown command"),
    "MOUNT": (22, "fstype is missing"),
    "MOUNT ocfs2 %s lab /dev/null" % UUID: (22, "service is missing"),
    "MOUNT ocfs2 %s  /dev/null ocfs2" % UUID: (22, "cluster is missing"),
    "MOUNT " + "A" * 249: (22, "uuid is missing"),
    "STATUS 0 OK": (22, "an answer, not a question"),
    "LISTCLUSTERS now": (22, "stands alone"),
    "MOUNT ext4 %s lab %s ocfs2" % (UUID, DISK): (22, "ext4"),
    "MOUNT ocfs2 %s0 lab %s ocfs2" % (UUID, DISK): (36, "32 digits"),
    "MOUNT ocfs2 not-a-uuid lab %s ocfs2" % DISK: (22, "not-a-uuid"),
    "MOUNT ocfs2 %s other %s ocfs2" % (UUID, DISK): (22, "other"),
    "MOUNT ocfs2 %s lab /nonexistent ocfs2" % UUID: (19, "No such file"),
    "MOUNT ocfs2 %s lab /dev/null ocfs2" % UUID: (19, "not a block device"),
    "MOUNT ocfs2 %s lab disk ocfs2" % UUID: (19, "not an absolute path"),
    "MRESULT ocfs2 %s 0 ocfs2" % UUID: (22, "no mount under way"),
    "MRESULT ocfs2 %s zero ocfs2" % UUID: (22, "zero"),
    "MRESULT ocfs2 %s 99999999999 ocfs2" % UUID: (34, "range"),
    "UNMOUNT ocfs2 %s ocfs2" % UUID: (2, UUID),
    "LISTMOUNTS ocfs2 %s" % UUID: (2, UUID),
    "LISTFS ocfs2 other": (22, "other"),
}


def run(lab):
    for node in ocfs2.NODES:
        lab.agent.start(node, CONFIG, WORDS)
    ocfs2.ready(lab)
    lab.run(1, "mknod %s b 7 200 && mknod %s b 7 201" % (DISK, OTHER_DISK))
    pids = ocfs2.each(lab, lambda lab, node: lab.agent.pid(node))
    each_mistake_has_its_answer(lab)
    the_whole_protocol(lab)
    only_root_mounts(lab)
    somebody_holds_on(lab)
    a_second_daemon(lab)
    others_are_not_delayed(lab, "")
    others_are_not_delayed(lab, AS_LOOKER)
    others_are_not_delayed(lab, AS_STRANGER)
    expect("the daemons are the same", pids, ocfs2.each(lab, lambda lab, node: lab.agent.pid(node)))
    lab.in_parallel(lambda node: ocfs2.until(lab, node, "settled"), ocfs2.NODES)
    expect("nothing stays", ["ITEMCOUNT 0", "STATUS 0 OK"], ask(lab, 1, "LISTFS ocfs2 lab"))


def expect_answer(lab, text, errno, part, who=""):
    said = ask(lab, 1, text, who=who)[0]
    expect_in("errno of %r" % text, "STATUS %d " % errno, said)
    expect_in("text of %r" % text, part, said)


def each_mistake_has_its_answer(lab):
    for text, (errno, part) in ANSWERS.items():
        expect_answer(lab, text, errno, part)
    all_in_one = ask(lab, 1, *list(ANSWERS)[:8], "LISTCLUSTERS")
    expect("after mistakes the connection goes on", ["ITEMCOUNT 1", "ITEM lab", "STATUS 0 OK"], all_in_one[-3:])


def the_whole_protocol(lab):
    """As tools of old speak it; here no kernel mounts anything, so what they say counts."""
    mount = "MOUNT ocfs2 %s lab %s ocfs2" % (UUID, DISK)
    mounter = Running(lab, 1, MOUNTER + "hold '%s'" % mount)
    lab.wait_for(1, lambda: mounter.lines() == ["STATUS 0 OK"], 10, "the mount may begin")
    expect_in("it pins", UUID, lab.try_run(1, "o2cpg can-stop").out)
    expect_answer(lab, mount, 16, "under way")
    expect_answer(lab, "UNMOUNT ocfs2 %s ocfs2" % UUID, 16, "under way")
    mounter.stop()
    lab.wait_for(1, "o2cpg can-stop", 10, "its tool is gone, the kernel has no mount: over")
    result = "MRESULT ocfs2 %s 0 ocfs2" % UUID
    expect("the whole mount", ["STATUS 0 OK"] * 2, ask(lab, 1, mount, result))
    expect("it is listed", ["ITEMCOUNT 1", "ITEM " + UUID, "STATUS 0 OK"], ask(lab, 1, "LISTFS ocfs2 lab"))
    lab.wait_for(2, "corosync-cpgtool -n | grep -q ocfs2:" + UUID, 10, "the volume shows as a CPG group")
    expect_in("a second mount", "STATUS 114 ", ask(lab, 1, mount, "MRESULT ocfs2 %s 16 ocfs2" % UUID)[0])
    expect_answer(lab, "MOUNT ocfs2 %s lab %s ocfs2" % (UUID, OTHER_DISK), 22, "7:200")
    expect("the end", ["STATUS 0 OK"], ask(lab, 1, "UNMOUNT ocfs2 %s ocfs2" % UUID))
    lab.run(1, MOUNTER + "leave 'MOUNT ocfs2 %s lab %s ocfs2'" % (UUID, DISK))
    lab.wait_for(1, "o2cpg can-stop", 10, "a tool that asks and runs leaves nothing")


def only_root_mounts(lab):
    mount = "MOUNT ocfs2 %s lab %s ocfs2" % (UUID, DISK)
    for who in (AS_LOOKER, AS_LOOKER_BY_THE_WAY):
        expect_in("the group may look", "ITEM lab", "\n".join(ask(lab, 1, "LISTCLUSTERS", who=who)))
        for text in (mount, "MRESULT ocfs2 %s 0 ocfs2" % UUID, "UNMOUNT ocfs2 %s ocfs2" % UUID):
            expect_answer(lab, text, 13, "only root", who)
    for text in (mount, "LISTCLUSTERS", "DUMP", "nonsense"):
        expect_answer(lab, text, 13, "only root and the group", AS_STRANGER)


def somebody_holds_on(lab):
    holder = Running(lab, 1, MOUNTER + "o2cb")
    lab.wait_for(1, "! o2cpg can-stop", 10, "the daemon is pinned")
    expect_in("the pin names the program", "python3 (pid ", lab.try_run(1, "o2cpg can-stop").out)
    holder.stop()
    lab.wait_for(1, "o2cpg can-stop", 10, "nobody holds on")
    stranger = Running(lab, 1, AS_STRANGER + MOUNTER + "o2cb")
    lab.wait_for(1, lambda: stranger.lines() == ["holding"], 10)
    lab.run(1, "o2cpg can-stop")
    stranger.stop()


def a_second_daemon(lab):
    done = lab.try_run(1, "o2cpgd --backend model --run-dir /tmp/second --test-controld ''")
    expect("a second daemon does not start", 1, done.code)
    said = "o2cpgd (pid %d) listens on the abstract socket ocfs2_controld_sock" % lab.agent.pid(1)
    expect_in("and says who has the socket", said, done.err)


def others_are_not_delayed(lab, who):
    """Root is answered quickly while a pest is at work; it can shut out only itself, and whoever is as it."""
    pest = Running(lab, 1, who + MOUNTER + "pest")
    for deed in ("random_bytes", "flood", "never_reads", "mistakes"):
        longest = int(lab.run(1, MOUNTER + "patience 100", 30))
        if longest > PATIENCE_MS:
            raise Broken("an answer took %d ms while the pest was at work (%s)" % (longest, deed))
        lab.wait_for(1, lambda deed=deed: deed in pest.lines(), 40, "the pest is through with %s" % deed)
    pest.stop()
    crowd = Running(lab, 1, who + MOUNTER + "crowd")
    lab.wait_for(1, lambda: crowd.lines() == ["crowded"], 20, "half a message on each connection")
    if who:
        expect("the last places are root's", "STATUS 0 OK", ask(lab, 1, "LISTCLUSTERS")[-1])
    lab.run(1, "o2cpg status")
    lab.wait_for(1, MOUNTER + "ask LISTCLUSTERS | grep -q lab", 20, "who says only half of it is closed")
    crowd.stop()
