"""The OCF agent: its codes are those of the API, with systemd and without; it never ends the daemon under a volume, nor calls a
daemon failed that comes back by itself; and it stops where pacemaker itself is being stopped, or the daemon cannot start."""
import os

from o2lab import ocfs2, wait
from o2lab.scenario import Broken, Cluster, expect, expect_in

SUITES = {"cluster": Cluster(1, mkfs=ocfs2.MKFS),
          "systemd": Cluster(1, mkfs=ocfs2.MKFS, settings=(("init", "systemd"), ("mem", "384M")))}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 240
NODE = 1
SOON_S = 30
OK, GENERIC, UNIMPLEMENTED, INSTALLED, CONFIGURED, NOT_RUNNING, DEGRADED = 0, 1, 3, 5, 6, 7, 190

PACKAGING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))),
                         "packaging")
INSTALL = """
ln -sf /lab/bin/o2cpg /lab/bin/o2cpgd /usr/sbin/
cp /lab/packaging/o2cpgd.service /usr/lib/systemd/system/
mkdir -p /etc/o2cpg && cp /lab/packaging/o2cpg.toml /etc/o2cpg/
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
"""
# Its resources are stopped by the process that is asked to end.
PACEMAKER = """
cat > /etc/systemd/system/pacemaker.service <<'END'
[Service]
ExecStart=/bin/sleep infinity
ExecStop=/usr/bin/env OCF_RESKEY_CRM_meta_timeout=40000 /lab/packaging/o2cpg stop
END
systemctl daemon-reload
"""
BROKEN = """
mkdir -p /etc/systemd/system/o2cpgd.service.d
printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > /etc/systemd/system/o2cpgd.service.d/broken.conf
systemctl daemon-reload
"""


def run(lab):
    install(lab)
    parameters(lab)
    not_running(lab)
    action(lab, "start", OK)
    expect("a node is usable when it is started", "ready", lab.run(NODE, "o2cpg wait --for ready --timeout 1s"))
    for name, level in (("start", 0), ("monitor", 0), ("monitor", 10)):
        action(lab, name, OK, OCF_CHECK_LEVEL=level)
    ocfs2.mount(lab, (NODE,))
    crash(lab)
    silence(lab)
    without_corosync(lab)
    said = action(lab, "stop", GENERIC, OCF_RESKEY_CRM_meta_timeout=10000)
    expect_in("why it was not stopped", "ocf-exit-reason:o2cpgd stays: no: 2 pins", said)
    action(lab, "monitor", OK, OCF_CHECK_LEVEL=10)
    ocfs2.umount(lab, (NODE,))
    action(lab, "stop", OK)
    expect("o2cpgd is gone", None, lab.agent.pid(NODE))
    not_running(lab)
    if has_systemd(lab):
        with_pacemaker(lab)
        cannot_start(lab)
    without_its_unit(lab)


def with_pacemaker(lab):
    """systemctl stop pacemaker waits for the agent, and the unit is ordered before pacemaker's."""
    action(lab, "start", OK)
    lab.run(NODE, PACEMAKER)
    lab.run(NODE, "systemctl start pacemaker && timeout %d systemctl stop pacemaker" % SOON_S)
    expect("o2cpgd is gone", None, lab.agent.pid(NODE))
    not_running(lab)


def cannot_start(lab):
    """What cannot start is stopped: pacemaker would have the node fenced otherwise, after each boot."""
    lab.run(NODE, BROKEN)
    action(lab, "start", GENERIC, OCF_RESKEY_CRM_meta_timeout=10000)
    action(lab, "stop", OK)
    state = lab.run(NODE, "systemctl is-active o2cpgd || true")
    expect("systemd no longer starts it again", True, state in ("inactive", "failed"))
    lab.run(NODE, "rm -r /etc/systemd/system/o2cpgd.service.d && systemctl daemon-reload")


def without_its_unit(lab):
    """A daemon that systemd has not started is ended all the same."""
    lab.agent.start(NODE, config=ocfs2.CONFIG)
    lab.wait_for(NODE, "o2cpg wait --for ready", SOON_S)
    action(lab, "monitor", OK)
    action(lab, "stop", OK)
    not_running(lab)


def install(lab):
    toml = os.path.join(lab.state.folder, "o2cpg.toml")
    with open(toml, "w") as target:
        target.write(ocfs2.CONFIG)
    lab.share(os.path.join(PACKAGING, "ocf", "o2cpg"), os.path.join(PACKAGING, "systemd", "o2cpgd.service"), toml,
              into="packaging")
    lab.run(NODE, INSTALL)


def parameters(lab):
    expect_in("its metadata", '<action name="stop"', action(lab, "meta-data", OK))
    expect("what it writes beside them", True, action(lab, "meta-data", OK).startswith("<?xml"))
    action(lab, "promote", UNIMPLEMENTED)
    action(lab, "validate-all", OK, OCF_CHECK_LEVEL=10)
    action(lab, "validate-all", CONFIGURED, OCF_RESKEY_config="o2cpg.toml")
    action(lab, "validate-all", CONFIGURED, OCF_RESKEY_CRM_meta_globally_unique="true")
    action(lab, "validate-all", OK, OCF_RESKEY_binary="/nonexistent")
    action(lab, "validate-all", INSTALLED, OCF_RESKEY_binary="/nonexistent", OCF_CHECK_LEVEL=10)
    action(lab, "start", INSTALLED, OCF_RESKEY_binary="/nonexistent")
    action(lab, "monitor", NOT_RUNNING, OCF_RESKEY_client="/nonexistent")


def not_running(lab):
    action(lab, "monitor", NOT_RUNNING)
    action(lab, "stop", OK)


def crash(lab):
    """systemd starts it again, and until then it is not called stopped. Without systemd that is what it is: start adopts."""
    lab.agent.signal(NODE, "KILL")
    if not has_systemd(lab):
        lab.wait_for(NODE, "! pidof o2cpgd", SOON_S)
        action(lab, "monitor", NOT_RUNNING)
        expect_in("no stop with a volume", "volumes are mounted", action(lab, "stop", GENERIC, OCF_RESKEY_CRM_meta_timeout=6000))
        action(lab, "start", OK)
        return
    until_running(lab)
    expect("systemd has started it again", "1", lab.run(NODE, "systemctl show --value -p NRestarts o2cpgd"))
    lab.wait_for(NODE, "o2cpg wait --for ready", SOON_S)


def until_running(lab):
    def is_running():
        done = lab.try_run(NODE, words("monitor"))
        if done.code not in (OK, DEGRADED):
            raise Broken("monitor during a restart: %d %s" % (done.code, done.err))
        return done.code == OK
    wait.until(is_running, SOON_S, "monitor says that it runs")


def silence(lab):
    """It stands still for less than its watchdog waits."""
    lab.agent.signal(NODE, "STOP")
    action(lab, "monitor", DEGRADED if has_systemd(lab) else GENERIC)
    lab.agent.signal(NODE, "CONT")
    action(lab, "monitor", OK)


def without_corosync(lab):
    lab.corosync.kill(NODE)
    lab.wait_for(NODE, "o2cpg status --check; test $? -eq 2", SOON_S)
    action(lab, "monitor", OK)
    action(lab, "monitor", DEGRADED, OCF_CHECK_LEVEL=10)
    lab.corosync.start(NODE)
    lab.wait_for(NODE, "o2cpg wait --for ready && o2cpg status --check", SOON_S)


def has_systemd(lab):
    return lab.state.settings.init == "systemd"


def action(lab, name, wanted, **environment):
    """Runs one action; what it said, if it ended as it should."""
    done = lab.try_run(NODE, words(name, **environment), seconds=60)
    expect("exit status of %s %s (%s)" % (name, environment, done.err), wanted, done.code)
    return done.out + done.err


def words(name, **environment):
    environment = {"OCF_RESKEY_CRM_meta_timeout": 40000, **environment}
    return ["env", *("%s=%s" % item for item in environment.items()), "/lab/packaging/o2cpg", name]
