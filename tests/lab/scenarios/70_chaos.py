"""A minute of seeded faults on five nodes, three and more at once: nothing stuck, all agree and all is well within 10 s."""
from o2lab.chaos import command
from o2lab.chaos.play import Words

# Without clients of groupd: with them a hang that docs/COMPAT.md names as open is met in one round of ten.
WORDS = Words(kind="ns", seed=1, minutes=1, legacy=False)
SUITES = {"chaos": WORDS.cluster()}
PROGRAMS = command.PROGRAMS
LIMIT_S = 150


def run(lab):
    command.play(lab, WORDS)
