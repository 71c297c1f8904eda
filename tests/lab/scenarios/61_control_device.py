"""A crash of o2cpgd under a mount that needs the control device: systemd keeps the device open, the node lives, a death is handled."""
from o2lab import ocfs2, service, userstack, wait
from o2lab.scenario import Cluster, expect, expect_in
from o2lab.service import NODE, journal, show

SUITES = {"systemd": Cluster(1, mkfs=userstack.MKFS, settings=service.SETTINGS)}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 120
SOON_S = 20
CRASHES = 2
FILES = {"etc/o2cpg/o2cpg.toml": ocfs2.CONFIG, "etc/modules-load.d/ocfs2.conf": "ocfs2\nocfs2_stack_user\ndlm\n"}


def run(lab):
    service.install(lab, PROGRAMS, FILES, {})
    lab.off(NODE)
    lab.start(NODE)
    lab.run(NODE, "systemctl is-system-running --wait", seconds=60)
    userstack.up(lab, (NODE,))
    ocfs2.until(lab, NODE, "ready")
    ocfs2.mount(lab, (NODE,))
    boot = lab.run(NODE, ["cat", "/proc/sys/kernel/random/boot_id"])
    for crash in range(1, CRASHES + 1):
        pid = lab.agent.pid(NODE)
        lab.agent.signal(NODE, "KILL")
        wait.until(lambda: int(show(lab, "NRestarts")) == crash, SOON_S, "systemd starts it again")
        ocfs2.until(lab, NODE, "ready")
        expect("it is another process", True, lab.agent.pid(NODE) not in (None, pid))
        expect("copies of the device that systemd keeps", "1", show(lab, "NFileDescriptorStore"))
        lab.wait_for(NODE, "journalctl -b -u o2cpgd -o cat | grep -c 'control device open' | grep -qx %d" % (crash + 1),
                     SOON_S, "the new daemon has shaken hands")
        expect("the node was not reset", boot, lab.run(NODE, ["cat", "/proc/sys/kernel/random/boot_id"]))
        lab.run(NODE, "date > %s/file && sync %s/file" % (ocfs2.MOUNT, ocfs2.MOUNT))
    expect("the mount is what it was", [ocfs2.MOUNT], ocfs2.mounts(lab, NODE))
    expect_in("and keeps the daemon", "ocfs2 volume mounted", lab.try_run(NODE, "o2cpg can-stop").out)
    expect_in("the journal tells the crash", "Failed with result 'signal'", journal(lab, "-t systemd"))
    ocfs2.umount(lab, (NODE,))
    lab.run(NODE, "systemctl stop o2cpgd", seconds=SOON_S)
    expect("how it ended", "success", show(lab, "Result"))
