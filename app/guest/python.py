"""Visitors' code in the interpreter that waits for it, as `python3 -u main.py` would run it."""

import atexit
import builtins
import gc
import os
import select
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

from . import STARTED_WITH
from .wires import JOB, read_job, say_ready

_OFTEN_NEEDED = ("collections", "functools", "json", "random", "re", "traceback")
_CALM_SECONDS = 1
"""A sandbox that has waited for so long imports these too. Where each is claimed at once, only code that needs one of
them pays for it."""


def run(preload: list[str]) -> None:
    """Import ahead, wait for the job and run it. What the code raises passes through, to the interpreter itself."""
    ending = _Ending()
    # Registered first, so called last.
    atexit.register(ending.leave)
    for name in preload:
        __import__(name)
    say_ready()
    if not select.select([JOB], [], [], _CALM_SECONDS)[0]:
        for name in _OFTEN_NEEDED:
            __import__(name)
    gc.freeze()
    sys.argv = read_job()
    main = sys.argv[0]
    sys.path[0] = os.path.dirname(main)
    _forget_what_is_theirs(sys.path[0])
    module = ModuleType("__main__")
    vars(module).update(
        __annotations__={},
        __builtins__=builtins,
        __cached__=None,
        __file__=main,
        __loader__=SourceFileLoader("__main__", main),
    )
    sys.modules["__main__"] = module
    leaving: SystemExit | None = None
    try:
        with open(main, "rb") as file:
            source = file.read()
        exec(compile(source, main, "exec", dont_inherit=True), vars(module))  # noqa: S102 - what a sandbox is for
        ending.exit_code = 0
    except SystemExit as error:
        ending.exit_code = _exit_code(error)
        leaving = SystemExit(*error.args)
    except BaseException as error:
        # The interpreter ends an interrupted program by the signal itself.
        ending.exit_code = None if isinstance(error, KeyboardInterrupt) else 1
        _hide_own_frames(vars(module))
        raise
    # Neither this frame nor the traceback of what it raises keeps the visitor's objects alive.
    del module
    if leaving:
        raise leaving


class _Ending:
    """The end of the interpreter without its last step, which takes longer than most visitors' code: to take apart
    every module. Threads are waited for and other exit functions called before; what the code has left is finalized
    here. `exit_code` is None when the interpreter is to end by itself.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def leave(self) -> None:
        """Finalize what is left of the visitor's objects, and end the process."""
        if self.exit_code is None:
            return
        sys.excepthook = sys.__excepthook__
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        del sys.modules["__main__"]
        atexit._clear()
        gc.collect()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: S110 - whatever the visitor has put there
                pass
        os._exit(self.exit_code)


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    return leaving.code & 0xFF if isinstance(leaving.code, int) else 1


def _forget_what_is_theirs(folder: str) -> None:
    """Drop our own modules, and those imported ahead for which the visitor brought a file of the same name."""
    theirs = {name.partition(".")[0] for name in os.listdir(folder)} | {__package__}
    for name in list(sys.modules):
        if name.partition(".")[0] in theirs and name not in STARTED_WITH:
            del sys.modules[name]


def _hide_own_frames(namespace: dict[str, object]) -> None:
    """Let the hook that prints the traceback, the visitor's own or Python's, begin where their code does."""
    hook = sys.excepthook

    def hide(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        while trace and trace.tb_frame.f_globals is not namespace:
            trace = trace.tb_next
        hook(kind, error.with_traceback(trace), trace)

    sys.excepthook = hide
