"""The command line of ../../chaos: what `./x chaos` calls; and one run from its first line to the folder of a failure."""
import argparse
import os
import random
import shutil
import signal
import sys

from ..errors import LabError
from ..owner import own_lab
from ..scenario import OUT, Broken, time_limit
from . import schedule
from .play import CLUSTERS, HEAL_S, PATIENCE_S, Run, Words
from .report import Log

PROGRAMS = ("o2cpgd", "o2cpg", "recordings")
CHECK_S = 900           # replaying and reading everything at the end
GROUPS_S = 10
# groupd's own journal of what its groups went through.
DUMP = """import socket, sys
sock = socket.socket(socket.AF_UNIX); sock.settimeout(2); sock.connect("\\0groupd_socket")
sock.sendall(b"dump".ljust(2200, b"\\0"))
try:
    for data in iter(lambda: sock.recv(65536), b""): sys.stdout.buffer.write(data)
except TimeoutError: pass
"""


def parsed(argv):
    top = argparse.ArgumentParser(prog="chaos", description="Seeded faults on real corosync, and on real kernels.")
    top.add_argument("programs", metavar="FOLDER", help="where o2cpgd, o2cpg and recordings are")
    top.add_argument("--kind", choices=sorted(CLUSTERS), default="ns")
    top.add_argument("--minutes", type=float, default=1.0, help="under fault; healing comes on top")
    top.add_argument("--seed", type=int, help="the same seed, kind, nodes and round give the same faults")
    top.add_argument("--nodes", type=int, default=0, help="5 for ns, 3 for uml unless given")
    top.add_argument("--round", type=float, default=0, dest="round_s", metavar="S", help="seconds of one round")
    top.add_argument("--first-round", type=int, default=1, metavar="N", help="begin with the faults of this round")
    top.add_argument("--without-legacy", action="store_true", help="no clients of groupd")
    top.add_argument("--show", action="store_true", help="print every fault")
    top.add_argument("--plan", action="store_true", help="only print the faults that would be done")
    top.add_argument("--keep", action="store_true", help="leave the cluster up when something does not hold")
    args = top.parse_args(argv)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    return args, Words(args.kind, seed, args.minutes, args.nodes, args.round_s, args.first_round,
                       not args.without_legacy, args.show)


def main(argv):
    args, words = parsed(argv)
    if args.plan:
        for number in words.rounds():
            drawn = words.faults(number)
            print("round %d: %d, %s" % (number, len(drawn), schedule.digest(drawn)), *drawn, sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    lab, failed = own_lab("chaos"), True
    try:
        words.cluster().up(lab)
        lab.share(*(os.path.join(args.programs, name) for name in PROGRAMS), into="bin")
        play(lab, words)
        failed = False
    except (LabError, Broken) as error:
        print("FAILED: %s" % error)
    except KeyboardInterrupt:
        print("ended by hand")
    finally:
        lab.leave(keep=failed and args.keep)
    print("0 passed, 1 failed" if failed else "1 passed, 0 failed")
    return int(failed)


def play(lab, words):
    """One run on a lab that is up. What does not hold is raised, and has left a folder."""
    log = Log(os.path.join(OUT, "chaos-%s-%d" % (words.kind, words.seed)))
    log.say("chaos: %s, %d nodes, seed %d, %g minutes in rounds of %g s" % (
        words.kind, words.nodes, words.seed, words.minutes, words.round_s))
    run, failed = Run(lab, words, log), True
    try:
        with time_limit(60 * words.minutes + len(words.rounds()) * (PATIENCE_S + HEAL_S) + CHECK_S, "chaos"):
            said = run.play()
        failed = False
    finally:
        run.is_over.set()
        if failed:
            said = list(run.figures.lines()) + ["folder: %s" % log.folder, "again:  %s" % words.again()]
            left_behind(lab, log, run.keeper)
        for line in said:
            log.say(line)
        log.close(remove=not failed)


def left_behind(lab, log, keeper):
    """Logs of every node, what they answer, recordings, also of the daemons that run, clients' logs."""
    for todo in (lambda: lab.collect(log.folder), lambda: groups(lab, log), lambda: recorded(lab, keeper)):
        try:
            todo()
        except LabError as error:
            log.note("collecting: %s" % error)
    for node in lab.processes.known():
        shutil.copytree(lab.state.node_share(node), os.path.join(log.folder, "node%d" % node), dirs_exist_ok=True)


def recorded(lab, keeper):
    """What the daemons that run have written down so far."""
    for node in lab.running():
        keeper.save_recording(node)


def groups(lab, log):
    """What groupd's groups wait for, on each node."""
    for node in lab.running():
        for name, argv in (("groups", ["o2cpg", "-v", "groups", "--legacy"]), ("groupd", ["python3", "-c", DUMP])):
            done = lab.remote.call(node, argv, GROUPS_S)
            log.keep("%s-%d.txt" % (name, node), done.out + done.err)
