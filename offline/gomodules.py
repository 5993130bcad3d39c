"""Programs built from Go modules, once for a machine, where their releases can't be had.

A *piece* is what one Go module of this checkout compiles to. It is made in a temporary folder and renamed when it is
whole, so that an interrupted build is never taken for a whole one. A *shelf* is a folder of the machine's cache that
holds finished pieces, each under a hash of its recipe.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
SPACE_NEEDED = 6 * GIB
"""Free bytes for a first build, by measurement: Go's build cache, its modules, and 0.5 GiB of outputs and scratch."""

_RECIPE_FILES = ("go.mod", "go.sum", "*.go")
_UNFINISHED = ".building-"

Reporter = Callable[[str], None]
"""Takes a short line of progress."""


@dataclass(frozen=True)
class ModuleFile:
    """An executable script that a Go module carries beside its code."""

    module: str
    path: str


@dataclass(frozen=True)
class Piece:
    """What one Go module of this checkout compiles to."""

    source: Path
    """The Go module's folder."""
    title: str
    """What the user reads while it compiles."""
    duration: str
    """Of a first build on 2 cores, as measured."""
    packages: tuple[str, ...]
    """Go commands; each becomes an executable of its last name."""
    tags: tuple[str, ...]
    variables: tuple[str, ...] = ()
    """Go variables that the linker sets: `package.Name=value`."""
    scripts: tuple[ModuleFile, ...] = ()
    container: str | None = None
    """The architecture of the containers that it runs in, as engines name it: amd64, arm64. None: this machine runs
    it."""

    def flags(self) -> list[str]:
        """What both `go list` and `go build` need to see the same code."""
        return ["-mod=readonly", "-tags", ",".join(self.tags)]

    def build_flags(self) -> list[str]:
        linker = ["-s", "-w", *(f"-X {variable}" for variable in self.variables)]
        return [*self.flags(), "-trimpath", "-buildvcs=false", "-ldflags", " ".join(linker)]

    def target(self) -> dict[str, str]:
        """The environment that tells Go what to compile for."""
        return {"GOOS": "linux", "GOARCH": self.container} if self.container else {}

    def key(self) -> str:
        """Of everything that decides what comes out, but the version of Go: a newer compiler is no reason to build
        again, and what was built must be found when Go has been removed."""
        digest = hashlib.sha256()
        files = sorted({file for pattern in _RECIPE_FILES for file in self.source.rglob(pattern)})
        for file in files:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(self.source)} {content}\n".encode())
        made_from = [self.packages, self.build_flags(), [(script.module, script.path) for script in self.scripts]]
        runs_on = ["Linux", self.container] if self.container else [platform.system(), platform.machine()]
        digest.update(json.dumps([made_from, *runs_on]).encode())
        return digest.hexdigest()[:16]

    def place(self, shelf: Path) -> Path:
        """The folder of its files, which is there once they are all built."""
        return shelf / f"{self.source.name}-{self.key()}"


class BuildError(Exception):
    """A piece can't be built. The message says why and what to do; `log` is the file of what Go printed."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


@contextlib.contextmanager
def exclusively(shelf: Path, report: Reporter) -> Iterator[None]:
    """Hold the shelf's lock, which the system takes back from a process that dies, and clear what such a one left."""
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another process, which is building the same")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in shelf.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover)
        yield


@contextlib.contextmanager
def finished_as(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, and vanishes when it doesn't.

    An interrupted compiler may still be writing there: what then can't be removed is left to the next build.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        folder.rename(target)


def build(piece: Piece, shelf: Path, log: Path, report: Reporter) -> Path:
    """The folder of a piece's files, which are compiled if they are not there. For the holder of the shelf's lock.

    Raises:
        BuildError: Go is missing or too old, the disk too full, a module not to be had, or the code not to be compiled.
    """
    place = piece.place(shelf)
    if not place.is_dir():
        with finished_as(place) as folder:
            _compile(piece, folder, _Go(piece, scratch=folder.parent, log=log), report)
    return place


def check(piece: Piece, shelf: Path, log: Path) -> None:
    """Find out whether a build could begin.

    Raises:
        BuildError: this machine lacks Go, a new enough one, or the space.
    """
    _Go(piece, scratch=shelf, log=log).check(SPACE_NEEDED, shelf)


def _compile(piece: Piece, folder: Path, go: "_Go", report: Reporter) -> None:
    go.check(SPACE_NEEDED, folder)
    report(f"downloading the Go modules of {piece.title}")
    go.run(
        ["list", "-deps", *piece.flags(), *piece.packages],
        failure="can't be had: see whether this machine reaches its Go module service (`go env GOPROXY`) and whether "
        "that serves the module named here",
    )
    report(f"compiling {piece.title} ({piece.duration}, once for a machine)")
    go.run(["build", *piece.build_flags(), "-o", f"{folder}{os.sep}", *piece.packages], failure="did not compile")
    for script in piece.scripts:
        module = go.run(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", script.module], failure="has no such module")
        installed = folder / Path(script.path).name
        shutil.copyfile(Path(module.strip()) / script.path, installed)
        installed.chmod(0o755)


class _Go:
    """The user's Go, as it is set up, at work on one piece."""

    def __init__(self, piece: Piece, scratch: Path, log: Path) -> None:
        self._piece = piece
        self._log = log
        # Without cgo, a machine gets the same programs whether or not it has a C compiler. The scratch files go to
        # the folder whose space was checked, and disappear with it.
        self._environment = {**os.environ, **piece.target(), "CGO_ENABLED": "0", "GOTMPDIR": str(scratch)}

    def check(self, space: int, folder: Path) -> None:
        """Raises BuildError if this machine lacks Go, a new enough one, or the space (bytes)."""
        needed = _required_go(self._piece.source)
        advice = f"Install Go {needed} or newer (go.dev/dl), put its `go` on PATH, and run this again."
        if shutil.which("go") is None:
            raise BuildError(f"Go is needed to build {self._piece.title}, and is not on PATH. {advice}", self._log)
        version, *caches = self.run(
            ["env", "GOVERSION", "GOCACHE", "GOMODCACHE"], failure=f"needs Go {needed}. {advice}"
        ).splitlines()
        if _numbers(version) < _numbers(needed):
            raise BuildError(f"{version} is too old to build {self._piece.title}. {advice}", self._log)
        for place in (folder, *map(Path, caches)):
            present = next(parent for parent in (place, *place.parents) if parent.exists())
            free = shutil.disk_usage(present).free
            if free < space:
                raise BuildError(
                    f"{free / GIB:.1f} GiB are free at {place}, and building {self._piece.title} may take "
                    f"{space / GIB:.0f} GiB. Make room there, and run this again.",
                    self._log,
                )

    def run(self, arguments: list[str], failure: str) -> str:
        """Run `go`, its errors into the log, and return what it printed.

        Raises:
            BuildError: it failed; `failure` completes the sentence that begins with the piece's title.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            log.write(f"$ go {' '.join(arguments)}\n".encode())
            log.flush()
            start = log.tell()
            done = subprocess.run(
                ["go", *arguments],
                cwd=self._piece.source,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
            log.seek(start)
            errors = log.read().decode(errors="replace").strip()
        if done.returncode != 0:
            last = errors.rpartition("\n")[2] or f"go exited with {done.returncode}"
            raise BuildError(f"{self._piece.title} {failure}. Go says: {last}", self._log)
        return done.stdout


def _required_go(module: Path) -> str:
    """The oldest Go that the module compiles with, by its own word."""
    for line in (module / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return line.removeprefix("go ").strip()
    raise ValueError(f"{module / 'go.mod'} has no line that begins with go")


def _numbers(version: str) -> tuple[int, ...]:
    """(1, 25, 8) of go1.25.8, of 1.25.8, and of longer names of development versions."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
