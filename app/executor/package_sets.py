"""The sets of packages in the store of the packages service, as layers of sandboxes' roots."""

import contextlib
import fcntl
import os
from pathlib import Path

from app.executor.syscalls import open_beneath
from app.wire.packages import LAYER, asked
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

_RETRY_SECONDS = 1
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class HeldSet:
    """A set that a sandbox has. Until `close` it is not removed from the store."""

    def __init__(self, store: Path, execution: Execution) -> None:
        """
        Raises:
            OSError: the store has no set for the execution, or something else in its place.
        """
        self._opened = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            link = os.readlink(asked(store, execution.home, execution.packages))  # noqa: PTH115 - its last part alone
            name = f"sets/{os.path.basename(link)}"  # noqa: PTH119 - as above
            root = os.open(store, _FOLDER | os.O_CLOEXEC)
            opened.callback(os.close, root)
            # No link is followed: whoever took over the service must not choose another folder of this container.
            held = open_beneath(root, name, _FOLDER)
            opened.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._layer = open_beneath(held, LAYER, _FOLDER)
            opened.callback(os.close, self._layer)
            # It may have been removed before it was locked.
            if not os.path.samestat(os.fstat(held), os.stat(name, dir_fd=root, follow_symlinks=False)):
                raise FileNotFoundError(name)
            self._opened = opened.pop_all()

    @property
    def layer(self) -> Path:
        """Its files, as a path for this process."""
        return Path(f"/proc/self/fd/{self._layer}")

    def close(self) -> None:
        """To be called once."""
        self._opened.close()


def hold(store: Path | None, execution: Execution) -> HeldSet:
    """The set that was prepared for an execution with packages; `Refused` without one, or without a `store`."""
    gone = Refused(Code.PACKAGES_UNAVAILABLE, "The packages are not prepared: try again.", _RETRY_SECONDS)
    if store is None:
        raise gone
    try:
        return HeldSet(store, execution)
    except OSError as error:
        raise gone from error
