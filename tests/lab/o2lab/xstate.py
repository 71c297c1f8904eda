"""Guest kernels on processors whose register state is larger than they know: host/xstate.c, built where it is needed."""
import os

from .host import run

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "host", "xstate.c")
LARGE = {"amx_tile", "apx"}         # flags of processors that have more than 2,696 bytes of it


def environment(folder):
    """What a guest kernel needs in its environment; what is built for it is kept in the folder."""
    if not is_large():
        return {}
    library = os.path.join(folder, "xstate.so")
    if not os.path.exists(library):
        built = "%s.%d" % (library, os.getpid())
        run("gcc", "-O2", "-shared", "-fPIC", "-o", built, SOURCE)
        os.replace(built, library)
    return {"LD_PRELOAD": library}


def is_large():
    with open("/proc/cpuinfo") as source:
        flags = next((line for line in source if line.startswith("flags")), "")
    return not LARGE.isdisjoint(flags.split())
