"""A minute of seeded faults at a rate of 80, three and more at once: no message out of order, nothing stuck, all well within 10 s."""
from o2lab.chaos import command
from o2lab.chaos.play import Words

WORDS = Words(kind="ns", seed=1, minutes=1)
SUITES = {"chaos": WORDS.cluster()}
PROGRAMS = command.PROGRAMS
LIMIT_S = 150


def run(lab):
    command.play(lab, WORDS)
