"""The sets of packages in the store of the packages service, as layers of sandboxes' roots."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from app.wire.packages import LAYER, asked
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

_RETRY_SECONDS = 1


@dataclass(frozen=True)
class HeldSet:
    """A set that a sandbox has. Until `close` it is not removed from the store."""

    layer: Path
    _lock: int

    def close(self) -> None:
        """To be called once."""
        os.close(self._lock)


class PackageSets:
    """The store at this path; None: this platform has no packages."""

    def __init__(self, store: Path | None) -> None:
        self._store = store

    def hold(self, execution: Execution) -> HeldSet:
        """The set that was prepared for an execution with packages, or `Refused` when there is none."""
        gone = Refused(Code.PACKAGES_UNAVAILABLE, "The packages are not prepared: try again.", _RETRY_SECONDS)
        if self._store is None:
            raise gone
        try:
            place = asked(self._store, execution.home, execution.packages).resolve(strict=True)
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            raise gone from None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # It may have been removed before it was locked.
            if not os.path.samestat(os.fstat(lock), place.stat()):
                raise gone
        except BaseException as error:
            os.close(lock)
            raise (gone if isinstance(error, OSError) else error) from None
        return HeldSet(place / LAYER, lock)
