"""What the executor takes from the store of packages, and what it does not."""

import fcntl
import os
from pathlib import Path

import pytest

from app.executor.package_sets import hold
from app.packages.store import unused
from app.wire.packages import LAYER, asked
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

EXECUTION = Execution(environment="python", code="1", packages=("b", "a"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A sandbox with a set of packages for the execution."""
    module = tmp_path / "sets" / "one" / LAYER / "module.py"
    module.parent.mkdir(parents=True)
    module.touch()
    link = asked(tmp_path, "python", ("a", "b"))
    link.parent.mkdir()
    link.symlink_to("../sets/one")
    return tmp_path


def test_a_set_is_held_until_it_is_closed(store: Path) -> None:
    held = hold(store, EXECUTION)
    assert [file.name for file in held.layer.iterdir()] == ["module.py"]
    assert not unused(store / "sets/one")
    held.close()
    assert unused(store / "sets/one")


def descriptors() -> int:
    """The number of descriptors that this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "case", ["no store", "not asked", "no set", "a link for a set", "a link for a layer", "locked"]
)
def test_anything_else_is_refused_and_nothing_stays_open(store: Path, case: str) -> None:
    place = store / "sets" / "one"
    locked = os.open(place, os.O_RDONLY)
    match case:
        case "not asked":
            asked(store, "python", ("a", "b")).unlink()
        case "no set":
            place.rename(store / "gone")
        case "a link for a set":
            place.rename(store / "elsewhere")
            place.symlink_to(store / "elsewhere")
        case "a link for a layer":
            (place / LAYER).rename(store / "elsewhere")
            (place / LAYER).symlink_to(store / "elsewhere")
        case "locked":
            fcntl.flock(locked, fcntl.LOCK_EX)
    before = descriptors()
    with pytest.raises(Refused) as caught:
        hold(None if case == "no store" else store, EXECUTION)
    assert caught.value.problem.code is Code.PACKAGES_UNAVAILABLE
    assert descriptors() == before
    os.close(locked)
