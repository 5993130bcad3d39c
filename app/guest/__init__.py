"""PID 1 of every sandbox: it starts the visitor's code and is the only one that speaks to the executor.

Copied into the sandbox images and run there by Debian's own Python. Nothing but the standard library is imported.
"""

import sys

STARTED_WITH = frozenset(sys.modules)
"""The modules that any Python has loaded before it runs a line of a program."""
