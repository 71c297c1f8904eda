"""o2cpgd as a service of Debian's systemd, in a node of its own."""
import os

NODE = 1
SETTINGS = (("init", "systemd"), ("mem", "384M"))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
UNIT = os.path.join(PROJECT, "packaging", "systemd", "o2cpgd.service")
WANTED = {"etc/systemd/system/multi-user.target.wants/o2cpgd.service": "/usr/lib/systemd/system/o2cpgd.service"}


def install(lab, programs, files, links):
    """Into the tree of files that a node copies over its own at boot."""
    root = os.path.join(lab.state.share, "root")
    lab.share(UNIT, into="root/usr/lib/systemd/system")
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w") as target:
            target.write(text)
    # The files of a guest are in its memory; programs with their symbols do not fit there, so these stay on the host.
    here = {"usr/sbin/" + name: "/lab/bin/" + name for name in programs}
    for path, to in (WANTED | here | links).items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        os.symlink(to, os.path.join(root, path))


def show(lab, fact, unit="o2cpgd"):
    return lab.run(NODE, "systemctl show --value -p %s %s" % (fact, unit))


def journal(lab, words):
    return lab.run(NODE, "journalctl -b -u o2cpgd -o cat --no-pager " + words)
