"""The command `lab`."""
import argparse
import os
import signal
import subprocess
import sys

from . import corosync, mconsole
from .errors import LabError, NodeDown, OverTime
from .lab import Lab, check
from .remote import to_own_streams
from .settings import cluster_address, lab_address

EPILOG = "NODE is a number; NODES is 2, 1,3 or all. tests/lab/README.md is the manual."


EXEC_OPTIONS = argparse.ArgumentParser(prog="lab exec NODES", add_help=False)
EXEC_OPTIONS.add_argument("-t", dest="seconds", type=float, metavar="SECONDS")
EXEC_OPTIONS.add_argument("-d", dest="detach", metavar="LOG")
EXEC_OPTIONS.add_argument("-i", dest="stdin", action="store_true")

AGENT_OPTIONS = argparse.ArgumentParser(prog="lab agent NODES start", add_help=False)
AGENT_OPTIONS.add_argument("--config", metavar="FILE")


# ---- commands: each takes the lab and its arguments -------------------------

def up(lab, args):
    lab.up(args.count, args.kind, args.of, corosync.parse(args.conf), not args.no_corosync, args.mkfs)


def down(lab, args):
    lab.down(args.logs)


def start(lab, args):
    lab.start(*args.nodes(lab.processes.known()), corosync=not args.no_corosync)


def crash(lab, args):
    lab.crash(*args.nodes(lab.running()))


def off(lab, args):
    lab.off(*args.nodes(lab.running()))


def pause(lab, args):
    lab.pause(*args.nodes(lab.running()))


def resume(lab, args):
    lab.resume(*args.nodes(lab.running()))


def partition(lab, args):
    lab.partition(*([int(word) for word in group.split(",")] for group in args.group))


def heal(lab, _args):
    lab.heal()


def start_corosync(lab, args):
    for node in args.nodes(lab.running()):
        lab.corosync.start(node)


def signal_corosync(name):
    def todo(lab, args):
        for node in args.nodes(lab.running()):
            lab.corosync.kill(node, name)
    return todo


def conf(lab, args):
    changes = corosync.parse(args.conf)
    everybody = lab.processes.known()
    nodes = args.nodes(everybody)
    for target in [None] if nodes == everybody and args.nodes_word == "all" else nodes:
        lab.corosync.change(target, changes)
    for node in nodes:
        lab.corosync.write(node)
    if args.reload:
        lab.corosync.reload(next(node for node in nodes if lab.processes.alive(node)))
    if not changes:
        for node in nodes:
            print("# node %d\n%s" % (node, corosync.text(lab.corosync.conf(node))), end="")


def wait_quorum(lab, args):
    nodes = lab.running()
    lab.corosync.wait_members(nodes, args.count or len(nodes), args.seconds)


def agent(lab, args):
    if args.verb == "log":
        for node in args.nodes(lab.processes.known()):
            sys.stdout.write(lab.agent.log(node))
        return
    options, words = own_options(AGENT_OPTIONS, args.words)
    config = None
    if options.config:
        with open(options.config) as source:
            config = source.read()
    for node in args.nodes(lab.running()):
        if args.verb == "start":
            print(lab.agent.start(node, config, words))
        elif args.verb == "stop":
            lab.agent.stop(node)
        else:
            lab.agent.signal(node, args.verb.upper())


def share(lab, args):
    lab.share(*args.path, into=args.into)


def console(lab, args):
    sys.stdout.write(lab.console(args.node))


def sysrq(lab, args):
    sys.stdout.write(mconsole.ask(lab.state, lab.netns, args.node, "sysrq " + args.key))


def net(lab, args):
    return subprocess.run(lab.netns.prefix() + args.words, check=False).returncode


def logs(lab, args):
    lab.collect(args.folder)


def status(lab, _args):
    sides = lab.state.facts["sides"]
    print("lab %s, kind %s, in %s, network namespace %s" % (lab.name, lab.state.kind, lab.state.folder, lab.netns.name))
    for node in lab.processes.known():
        if not lab.processes.alive(node):
            print("node %d  off" % node)
            continue
        side = sides.get(str(node), 0)
        print("node %d  up  cluster %s  lab %s  %d MB%s%s" % (
            node, cluster_address(node), lab_address(node), lab.processes.resident_mb(node),
            "  side %d of a partition" % side if side else "",
            "  paused" if lab.processes.is_paused(node) else ""))


def check_machine(_lab, args):
    missing = check(args.kind)
    for line in missing:
        print(line)
    return 1 if missing else 0


def execute(lab, args):
    options, words = own_options(EXEC_OPTIONS, args.words)
    if not words:
        raise LabError("exec: which command?")
    argv = ["/bin/sh", "-c", words[0]] if len(words) == 1 else words
    nodes = args.nodes(lab.running())
    if options.detach:
        for node in nodes:
            print(lab.remote.spawn(node, argv, options.detach))
        return 0
    if len(nodes) == 1:
        stdin = 0 if options.stdin else b""
        return lab.remote.stream(nodes[0], argv, options.seconds, to_own_streams, stdin=stdin)
    return execute_on_several(lab, nodes, argv, options.seconds)


def own_options(options, words):
    """Parts the lab's options from the command, whose own options are not ours to read."""
    count = 0
    while count < len(words) and words[count].startswith("-") and words[count] != "--":
        count += 2 if words[count] in ("-t", "-d", "--config") else 1
    command = words[count + 1:] if words[count:count + 1] == ["--"] else words[count:]
    return options.parse_args(words[:count]), command


def execute_on_several(lab, nodes, argv, seconds):
    """Lines of output are prefixed with the node; the exit status is the worst."""
    results = {}

    def one(node):
        try:
            done = lab.remote.call(node, argv, seconds)
            results[node] = (done.code, done.out, done.err)
        except LabError as error:
            results[node] = (error.status, "", str(error))
    lab.in_parallel(one, nodes)
    for node in nodes:
        code, out, err = results[node]
        for line in out.splitlines():
            print("%d: %s" % (node, line))
        for line in err.splitlines():
            print("%d! %s" % (node, line), file=sys.stderr)
        if code:
            print("%d: exit status %d" % (node, code), file=sys.stderr)
    return max(code for code, _, _ in results.values())


# ---- the command line -------------------------------------------------------

def parser():
    top = argparse.ArgumentParser(prog="lab", epilog=EPILOG, description="A cluster of nodes on this machine.")
    commands = top.add_subparsers(metavar="COMMAND", dest="command")

    def add(name, todo, text, nodes=False):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(todo=todo)
        if nodes:
            one.add_argument("nodes_word", metavar="NODES")
        return one

    one = add("up", up, "boot nodes 1..COUNT and wait until they form a cluster")
    one.add_argument("count", type=int)
    one.add_argument("--kind", choices=("uml", "ns"), default="uml", help="uml: kernels of their own; ns: namespaces")
    one.add_argument("--of", type=int, metavar="M", help="corosync.conf lists M nodes, COUNT of them run")
    one.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="change corosync.conf")
    one.add_argument("--no-corosync", action="store_true")
    one.add_argument("--mkfs", nargs=argparse.REMAINDER, metavar="ARG", help="format the disks: words for mkfs.ocfs2")
    one = add("down", down, "end every node and leave nothing behind")
    one.add_argument("--logs", metavar="FOLDER", help="copy the logs there first")
    one = add("exec", execute, "run a command in nodes; its output and exit status are the lab's", True)
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="[-t SECONDS] [-i] [-d LOG] [--] COMMAND",
                     help="-t: kill it then, exit status 124; -i: pass standard input on; -d: leave it running, "
                          "output to LOG in the node; a single word is a shell line")
    add("start", start, "power nodes on", True).add_argument("--no-corosync", action="store_true")
    add("crash", crash, "cut the power of nodes", True)
    add("off", off, "power nodes off in order", True)
    add("pause", pause, "let whole nodes stand still", True)
    add("resume", resume, "let them go on", True)
    add("partition", partition, "cut the cluster network: 1,2 3").add_argument("group", nargs="+", metavar="NODES")
    add("heal", heal, "join the cluster network again")
    add("start-corosync", start_corosync, "start corosync again", True)
    add("kill-corosync", signal_corosync("KILL"), "kill corosync alone", True)
    add("pause-corosync", signal_corosync("STOP"), "let corosync alone stand still", True)
    add("resume-corosync", signal_corosync("CONT"), "let corosync go on", True)
    one = add("conf", conf, "show corosync.conf, or change it on NODES", True)
    one.add_argument("conf", nargs="*", metavar="KEY=VALUE")
    one.add_argument("--reload", action="store_true", help="corosync-cfgtool -R afterwards")
    one = add("wait-quorum", wait_quorum, "wait until each running node sees COUNT members (default: the running ones)")
    one.add_argument("count", nargs="?", type=int)
    one.add_argument("-t", dest="seconds", type=float, default=corosync.QUORUM_S)
    one = add("agent", agent, "o2cpgd on NODES: start, stop (SIGTERM), kill, log", True)
    one.add_argument("verb", choices=("start", "stop", "kill", "log"))
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="[--config FILE] [--] [WORD ...]",
                     help="its o2cpg.toml, and more words for o2cpgd")
    one = add("share", share, "copy files to where each node sees them: /lab/NAME")
    one.add_argument("path", nargs="+")
    one.add_argument("--into", default="", metavar="FOLDER", help="/lab/FOLDER/NAME; bin is in every node's PATH")
    add("status", status, "the nodes, their addresses and their memory")
    add("console", console, "what a node's kernel printed").add_argument("node", type=int)
    one = add("sysrq", sysrq, "a magic key for a guest kernel that no longer answers")
    one.add_argument("node", type=int)
    one.add_argument("key")
    one = add("net", net, "run a host command in the lab's network: net tcpdump -i side0")
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    add("logs", logs, "copy the logs of all nodes into FOLDER").add_argument("folder")
    add("check", check_machine, "what this machine lacks for a lab").add_argument(
        "kind", nargs="?", choices=("uml", "ns"), default="uml")
    add("help", lambda _lab, _args: top.print_help(), "this text")
    return top


def selected(word, candidates):
    """The nodes that `2`, `1,3` or `all` names."""
    if word == "all":
        return candidates
    try:
        return [int(part) for part in word.split(",")]
    except ValueError:
        raise LabError("%r names no nodes: a number, a list such as 1,3, or all" % word) from None


def main(words):
    """Runs one command; returns its exit status."""
    top = parser()
    args = top.parse_args(words or ["help"])
    args.nodes = lambda candidates: selected(args.nodes_word, candidates)
    # A lab that is being brought up is taken down again, whoever ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return args.todo(Lab(), args) or 0
    except (LabError, NodeDown, OverTime) as error:
        print("lab: %s" % error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
