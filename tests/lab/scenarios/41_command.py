"""Whatever is down or forbidden, o2cpg ends with the promised exit code and says what, why and what to do."""
from o2lab import ocfs2
from o2lab.scenario import Broken, Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 120
AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "
CONFIG = ocfs2.CONFIG + '[control]\ngroup = "nogroup"\n'


def run(lab):
    expect_failure(lab, "o2cpg status", 3, "o2cpgd is not running")
    expect_in("without a daemon there is --local", "quorate 3/3", lab.run(1, "o2cpg status --local"))
    ocfs2.ready(lab, config=CONFIG)
    groups_as_corosync_cpgtool_lists_them(lab)
    events_are_streamed(lab)
    the_log_is_raised_for_a_while(lab)
    a_dump_is_replayed_elsewhere(lab)
    what_others_than_root_may(lab)
    without_corosync(lab)


def expect_failure(lab, command, code, what):
    """Three parts, each on its line: what failed, why, and the next thing to do."""
    done = lab.try_run(1, command)
    expect("exit status of %s" % command, code, done.code)
    expect_in(command, what, done.err)
    if len(done.err.splitlines()) < 3:
        raise Broken("%s does not say what, cause and fix: %s" % (command, done.err))
    expect("nothing but the failure is printed", "", done.out)
    kind = lab.try_run(1, command + " -o json")
    expect("exit status with -o json", code, kind.code)


def groups_as_corosync_cpgtool_lists_them(lab):
    """Byte for byte. Names beyond ASCII are left out: corosync-cpgtool shows their bytes as \\xFFFFFFC3."""
    pids = [lab.remote.spawn(2, ["/usr/bin/python3", "-I", "-S", "/lab/guest/stranger", name], "/tmp/%d.log" % number)
            for number, name in enumerate(("a group", "o\\dd\x01"))]
    for number in range(len(pids)):
        lab.wait_for(2, "grep -q silent /tmp/%d.log" % number, 20)
    lab.wait_for(1, "test $(corosync-cpgtool -n | wc -l) = 3", 10)
    for options in ("", "-n", "-e", "-d,", "-d: -e", "-n -e"):
        expected, got = (lab.run(1, "%s %s | od -c" % (tool, options))
                         for tool in ("corosync-cpgtool", "o2cpg cpg list"))
        expect("o2cpg cpg list %s" % options, expected, got)
        local = lab.run(1, "o2cpg cpg list --local %s | od -c" % options)
        expect("o2cpg cpg list --local %s" % options, expected, local)
    lab.run(2, "kill %s" % " ".join(map(str, pids)))


def events_are_streamed(lab):
    pid = lab.remote.spawn(1, ["/lab/bin/o2cpg", "-o", "jsonl", "events", "-f"], "/tmp/events")
    lab.wait_for(1, "o2cpg pin 'seen by the stream' && o2cpg unpin 'seen by the stream'"
                    " && grep -q 'seen by the stream' /tmp/events", 10, "the stream shows a pin")
    lab.run(1, "kill -0 %d" % pid)
    lab.run(1, "kill -INT %d" % pid)
    lab.wait_for(1, "! kill -0 %d 2>/dev/null" % pid, 5, "the stream ends when it is interrupted")


def the_log_is_raised_for_a_while(lab):
    lab.run(1, "o2cpg log set cpg_glue=trace --for 3s")
    raised = lab.json(1, "o2cpg -o json log get")
    expect_in("the log is raised", "cpg_glue=trace", raised["directives"])
    expect("for a while", True, 0 < raised["back_in_s"] <= 3)

    def is_back():
        now = lab.json(1, "o2cpg -o json log get")
        return now["directives"] == now["configured"] and now["back_in_s"] == 0
    lab.wait_for(1, is_back, 20, "the log is as configured again")


def a_dump_is_replayed_elsewhere(lab):
    lab.run(1, "o2cpg dump -o /lab/dump.jsonl")
    expect_in("another machine decides the same", "no difference", lab.run(2, "o2cpg replay /lab/dump.jsonl"))
    # A replay that compares nothing would say so too: told of another effect it must not.
    bend = "sed '0,/\"digest\":\"[0-9a-f]*/s//\"digest\":\"0123456789abcdef/' /lab/dump.jsonl > /tmp/bent"
    lab.run(2, bend + "; ! cmp -s /lab/dump.jsonl /tmp/bent")
    bent = lab.try_run(2, "o2cpg replay /tmp/bent")
    expect("a recording that says otherwise", (1, ""), (bent.code, bent.err))


def what_others_than_root_may(lab):
    """Look, if they are in the group; nothing at all otherwise."""
    lab.run(1, AS_NOBODY + "o2cpg status")
    expect_failure(lab, AS_NOBODY + "o2cpg pin x", 4, "only root")
    expect_failure(lab, "setpriv --reuid=65534 --regid=1 --clear-groups o2cpg status", 4, "")


def without_corosync(lab):
    lab.corosync.kill(1)
    lab.wait_for(1, lambda: not ocfs2.status(lab, 1)["corosync"]["connected"], 10, "o2cpgd knows that corosync is gone")
    expect_failure(lab, "o2cpg cpg list", 8, "corosync")
    expect_failure(lab, "o2cpg cpg list --local", 8, "corosync")
    expect_failure(lab, "o2cpg wait --for ready --timeout 1s", 6, "")
    expect_in("status says it", "corosync is not reachable", lab.run(1, "o2cpg status"))
    lab.agent.stop(1)
    expect_failure(lab, "o2cpg wait --for ready --timeout 1s", 3, "o2cpgd is not running")
