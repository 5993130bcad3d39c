"""Visitors' code in the interpreter that waits for it, as `python3 -u main.py` would run it."""

import builtins
import gc
import importlib
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

from . import STARTED_WITH
from .wires import read_job


def run(preload: Sequence[str], descriptor: int) -> None:
    """Import ahead, wait for the job and run it. What the code raises passes through, to the interpreter itself."""
    for name in preload:
        importlib.import_module(name)
    gc.freeze()
    job = json.loads(read_job(descriptor))
    main: str = job["main"]
    sys.argv = [main, *job["args"]]
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
    try:
        with open(main, "rb") as file:
            source = file.read()
        exec(compile(source, main, "exec", dont_inherit=True), vars(module))  # noqa: S102 - what a sandbox is for
    except BaseException:
        _hide_own_frames(vars(module))
        raise


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
