"""A nodeid above 254, an address or a cluster name that kernels cannot take, and a corosync that counts no votes: refused with cause and fix."""
from o2lab import ocfs2
from o2lab.scenario import Cluster, expect, expect_in

SUITES = {"agent-ns": Cluster(3, "ns")}
PROGRAMS = ocfs2.PROGRAMS
LIMIT_S = 150
NODE, OTHERS = 3, (1, 2)
TREE = "cat /tmp/configfs/tree.json 2>/dev/null || true"
CLEAR = """
kill -9 $(pidof o2cpgd corosync) 2>/dev/null; while pidof o2cpgd corosync >/dev/null; do :; done
rm -rf /run/o2cpg /tmp/configfs /var/lib/corosync/* /dev/shm/qb-*
cp /lab/hosts /etc/hosts
"""
BY_NAME = {"node.%d.ring0_addr" % node: "node%d" % node for node in ocfs2.NODES}
BY_IPV6 = {"node.%d.ring0_addr" % node: "fd78:2::%d" % node for node in ocfs2.NODES}


def run(lab):
    given = dict(lab.state.facts["conf"])

    def anew(changes, counts_votes=True):
        """Everything from the start, on another corosync.conf."""
        lab.in_parallel(lambda node: lab.run(node, CLEAR), ocfs2.NODES)
        lab.corosync.change(None, dict(given, **changes))
        for node in ocfs2.NODES:
            lab.corosync.write(node)
        lab.in_parallel(lab.corosync.start, ocfs2.NODES)
        if counts_votes:
            lab.wait_members(3)

    anew({"node.3.nodeid": "300"})
    a_large_nodeid_needs_a_number(lab)
    anew(dict(BY_NAME, **{"node.3.nodeid": "3"}))
    an_address_that_is_taken_or_none(lab)
    anew(BY_IPV6)
    all_are_refused(lab, "no-ipv4", "fd78:2::")
    for name, word in (("my-lab", "my-lab"), ("seventeen7letters", "16"), ("my lab", "my lab")):
        anew({"totem.cluster_name": name, **{"node.%d.ring0_addr" % n: "10.78.2.%d" % n for n in ocfs2.NODES}})
        all_are_refused(lab, "cluster-name", word)
    anew({"quorum.provider": "", "totem.cluster_name": "lab"}, counts_votes=False)
    all_are_refused(lab, "no-quorum-provider", "quorum provider")


def a_large_nodeid_needs_a_number(lab):
    for node in ocfs2.NODES:
        lab.agent.start(node, ocfs2.CONFIG)
    the_node_is_refused(lab, "number-too-large", 300, "300", "[numbers] 300 = 7")
    for node in ocfs2.NODES:
        lab.agent.stop(node)
    ocfs2.ready(lab, config=ocfs2.CONFIG + "[numbers]\n300 = 7\n")
    for node in ocfs2.NODES:
        numbers = {of["name"]: of["number"] for of in ocfs2.status(lab, node)["table"]["entries"]}
        expect("the numbers on node %d" % node, {"node1": 1, "node2": 2, "node3": 7}, numbers)
        expect_in("and in its tree", '"7":{"name":"node3","num":7', lab.run(node, TREE))


def an_address_that_is_taken_or_none(lab):
    """corosync found all nodes by name; then node 3 resolves its own in another way."""
    for address, kind, word in (("10.78.2.2", "same-address", "10.78.2.2"), ("fd78:2::3", "no-ipv4", "fd78:2::3")):
        lab.run(NODE, "sed 's/^.* node3$/%s node3/' /lab/hosts > /etc/hosts" % address)
        ocfs2.ready(lab, OTHERS)
        lab.agent.start(NODE, ocfs2.CONFIG)
        the_node_is_refused(lab, kind, NODE, word, "node")
        lab.agent.stop(NODE)
    lab.run(NODE, "cp /lab/hosts /etc/hosts")
    ocfs2.ready(lab)


def the_node_is_refused(lab, kind, nodeid, what, fix):
    said = ocfs2.until_refused(lab, NODE, nodeid, kind)
    expect_in("what is wrong", what, said["what"])
    expect_in("what to do", fix, said["fix"])
    for node in OTHERS:
        expect_in("node %d knows why" % node, said["what"], ocfs2.until_refused(lab, node, nodeid, "unfit")["what"])
        ocfs2.until(lab, node, "ready")
        names = [of["name"] for of in ocfs2.status(lab, node)["table"]["entries"]]
        expect("the table on node %d" % node, ["node1", "node2"], sorted(names))
    expect_untouched(lab, NODE)


def all_are_refused(lab, kind, what):
    for node in ocfs2.NODES:
        lab.agent.start(node, ocfs2.CONFIG)
    for node in ocfs2.NODES:
        said = ocfs2.until_refused(lab, node, node, kind)
        expect_in("what is wrong on node %d" % node, what, said["what"])
        expect("node %d says what to do" % node, True, bool(said["fix"]))
        expect_untouched(lab, node)


def expect_untouched(lab, node):
    expect("the tree of node %d" % node, "", lab.run(node, TREE))
    expect("operations on node %d" % node, 0, ocfs2.kernel_ops(lab, node))
    expect("its wait for ready runs out", 6, lab.try_run(node, "o2cpg wait --for ready --timeout 200ms").code)
