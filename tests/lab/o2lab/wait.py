"""The one way to wait: for a condition, with a bound, and a text that says what was waited for."""
import time

from .errors import OverTime

POLL_S = 0.03


def until(condition, seconds, what, poll_s=POLL_S):
    """Calls `condition` until it gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() >= deadline:
            raise OverTime("%s: not within %g s" % (what, seconds))
        time.sleep(poll_s)
