"""The command line of ../../chaos: what `./x chaos` calls."""
import argparse
import os
import random
import shutil
import signal
import sys

from ..errors import LabError
from ..lab import Lab
from ..scenario import OUT, time_limit
from . import checks, schedule
from .play import HEAL_S, PATIENCE_S, ROUND_S, Run
from .report import Log

NODES = {"ns": 5, "uml": 3}
PROGRAMS = ("o2cpgd", "o2cpg")
JUDGE = "recordings"
CHECK_S = 900           # replaying and reading everything at the end


def words(argv):
    top = argparse.ArgumentParser(prog="chaos", description=__doc__)
    top.add_argument("programs", metavar="FOLDER", help="where o2cpgd, o2cpg and recordings are")
    top.add_argument("--minutes", type=float, default=1.0, help="under fault; healing comes on top")
    top.add_argument("--seed", type=int, help="the same seed, kind and number of nodes give the same faults")
    top.add_argument("--kind", choices=sorted(NODES), default="ns")
    top.add_argument("--nodes", type=int, help="5 for ns, 3 for uml unless given")
    top.add_argument("--round", type=float, dest="round_s", metavar="S", help="seconds of one round")
    top.add_argument("--first-round", type=int, default=1, metavar="N", help="begin with the faults of this round")
    top.add_argument("--show", action="store_true", help="print every fault")
    top.add_argument("--plan", action="store_true", help="only print the faults that would be done")
    top.add_argument("--keep", action="store_true", help="leave the cluster up when something does not hold")
    args = top.parse_args(argv)
    args.seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    args.nodes = args.nodes or NODES[args.kind]
    args.round_s = args.round_s or min(ROUND_S[args.kind], 60 * args.minutes)
    args.shared = [os.path.join(args.programs, name) for name in PROGRAMS]
    args.o2cpg, args.judge = args.shared[1], os.path.join(args.programs, JUDGE)
    return args


def main(argv):
    args = words(argv)
    if args.plan:
        rounds = max(1, round(60 * args.minutes / args.round_s))
        for number in range(args.first_round, args.first_round + rounds):
            drawn = schedule.faults(args.seed, number, args.kind, args.nodes, args.round_s)
            print("round %d: %d, %s" % (number, len(drawn), schedule.digest(drawn)), *drawn, sep="\n")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("LAB_NAME", "chaos")
    folder = os.path.join(OUT, "chaos-%s-%d" % (args.kind, args.seed))
    log = Log(folder)
    log.say("chaos: %s, %d nodes, seed %d, %g minutes in rounds of %g s" % (
        args.kind, args.nodes, args.seed, args.minutes, args.round_s))
    return judged(args, Lab(), log)


def judged(args, lab, log):
    """Plays, tells, keeps what a failure needs, and takes everything down."""
    run = Run(lab, args, log)
    rounds = max(1, round(60 * args.minutes / args.round_s))
    limit = 60 * args.minutes + rounds * (PATIENCE_S + HEAL_S) + CHECK_S
    failed = True
    try:
        with time_limit(limit, "chaos"):
            for line in run.play():
                log.say(line)
        failed = False
        print("1 passed, 0 failed")
        return 0
    except (LabError, checks.Broken) as error:
        for line in run.figures.lines():
            log.say(line)
        log.say("FAILED: %s" % error)
        log.say("folder: %s\nagain:  %s" % (log.folder, again(args)))
        print("0 passed, 1 failed")
        return 1
    finally:
        run.is_over.set()
        if failed and lab.state.exists():
            left_behind(lab, log)
        if not (failed and args.keep):
            lab.down()
        log.close(remove=not failed)


def left_behind(lab, log):
    """Logs of every node, what they answer, recordings, clients' logs."""
    for todo in (lambda: lab.collect(log.folder), lambda: groups(lab, log)):
        try:
            todo()
        except LabError as error:
            log.note("collecting: %s" % error)
    for node in lab.processes.known():
        shutil.copytree(lab.state.node_share(node), os.path.join(log.folder, "node%d" % node), dirs_exist_ok=True,
                        ignore=lambda folder, names: [name for name in names if name.endswith(".in")])


def groups(lab, log):
    """What groupd's groups wait for, on each node."""
    for node in lab.running():
        done = lab.remote.call(node, ["o2cpg", "-v", "groups", "--legacy"], HEAL_S)
        log.keep("groups-%d.txt" % node, done.out + done.err)


def again(args):
    words_ = ["./x chaos --kind %s --seed %d --minutes %g" % (args.kind, args.seed, args.minutes)]
    words_ += ["--nodes %d" % args.nodes] if args.nodes != NODES[args.kind] else []
    words_ += ["--round %g" % args.round_s, "--first-round %d" % args.first_round]
    return " ".join(words_)
