"""Chaos on the real thing: seeded faults on real corosync, and on real kernels, while work goes on.

From the outside in: `command` reads the command line, `play` is one run: rounds of faults, each healed and
measured. `schedule` draws the faults from the seed, `faults` does them, `keeper` starts again what they ended, as a service
manager would. `workload` is the work meanwhile, `checks` what has to hold afterwards, `report` what is said and kept.
"""
