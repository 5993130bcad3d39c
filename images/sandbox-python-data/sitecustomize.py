"""Runs at the start of each Python of the environment: its list of fonts, and what is imported ahead."""

import os
import stat
import sys

_FONTS = "/opt/matplotlib"
_CONFIG = "/dev/shm/matplotlib"  # noqa: S108 - MPLCONFIGDIR in app/environments.toml


def _copy_fonts() -> None:
    """Copy the list of fonts to where matplotlib looks for it: it uses no folder that it can't write."""
    if os.environ.get("MPLCONFIGDIR") == _CONFIG and not os.path.exists(_CONFIG):
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
    for _name in ("matplotlib.pyplot", "matplotlib.backends.backend_results", "numpy", "pandas"):
        __import__(_name)
