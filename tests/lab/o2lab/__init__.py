"""A cluster of nodes on one machine: network namespaces, or kernels in user mode.

From the outside in: `cli` is the command, `lab.Lab` is what tests use, and one module each does
the nodes' processes (`nodes`, started by `uml`, which asks `xstate`, or `ns`), the network (`net`), commands inside a
node (`remote`), corosync (`corosync`) and the daemon under test (`agent`). `scenario` plays the
scenarios of ../scenarios.  README.md beside this folder is the manual.
"""
