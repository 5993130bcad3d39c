"""PID 1 of every sandbox: it starts the visitor's code and is the only one that speaks to the executor.

Copied into the sandbox images and run there by Debian's own Python. It starts for every execution, so it imports next
to nothing: not even `json`, `signal` or `contextlib`, which take longer to load than all of PID 1.
"""

import sys

STARTED_WITH = frozenset(sys.modules)
"""The modules that any Python has loaded before it runs a line of a program."""
