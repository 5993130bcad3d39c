"""Runs at the start of each Python of the environment: the settings of its packages, and what is imported ahead."""

import os
import stat
import sys

_CONFIG = "/dev/shm/matplotlib"  # noqa: S108 - the sandbox's own; /tmp is the program's, whatever it names its files
_FONTS = "/opt/matplotlib"

# Plots go to files. One BLAS thread: a sandbox has half a core, and threads count against its process limit.
for _name, _value in (("MPLBACKEND", "Agg"), ("MPLCONFIGDIR", _CONFIG), ("OPENBLAS_NUM_THREADS", "1")):
    os.environ.setdefault(_name, _value)


def _copy_fonts() -> None:
    """Copy the list of fonts to where matplotlib looks for it: it uses no folder that it can't write."""
    if os.path.isdir(_FONTS) and not os.path.exists(_CONFIG):
        os.mkdir(_CONFIG)
        for name in os.listdir(_FONTS):
            with open(f"{_FONTS}/{name}", "rb") as made, open(f"{_CONFIG}/{name}", "wb") as copy:
                copy.write(made.read())


def _waits() -> bool:
    """Whether this Python waits for its code: its script is a FIFO until then, and imports take nobody's time."""
    try:
        return stat.S_ISFIFO(os.stat(sys.argv[0]).st_mode)
    except (AttributeError, IndexError, OSError):
        return False


_copy_fonts()
if _waits():
    for _name in ("matplotlib.pyplot", "numpy", "pandas"):
        __import__(_name)
