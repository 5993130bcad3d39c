"""The messages to the packages service and from it, and how the executor finds a set in the store."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.wire.problems import Problem
from app.wire.protocol import Message, Package, PackageName, Preparing

LAYER = "layer"
"""The folder of a set that becomes a layer of a sandbox's root."""
SET_ID = re.compile("[0-9a-f]{64}")
BESIDE_SECONDS = 60.0
"""Time of an answer to POST /prepare beside the preparation itself: the wait for other ones."""
REPLACED_SECONDS = 15.0
"""How long the service may be away without a refusal, while another one takes its place. It takes 3 to 5."""
PAUSE_SECONDS = 0.2
"""Between two attempts to reach the service."""


class LockedPackage(Package):
    """A package of a set."""

    hash: str
    """Of its archive, in hexadecimal digits after the algorithm: `sha256:` for a wheel, `sha512:` for npm's."""


class PackageSet(Message):
    """A set of packages that is in the store."""

    id: str
    """64 hexadecimal digits, the hash of the lock: the same packages in the same versions have the same one."""
    environment: str
    packages: tuple[LockedPackage, ...]
    """All of them, those that others need included, by name."""
    size: int
    """Bytes when unpacked."""


class Wanted(Message):
    """What the api asks for. `installed` are the packages of the environment itself, which are not fetched again."""

    environment: str
    packages: tuple[PackageName, ...] = Field(min_length=1)
    installed: tuple[Package, ...]
    client: str
    """By which new sets are counted."""
    seen: str | None = None
    """The step that the api knows of: the answer comes when there is news."""


class Prepared(Message):
    """The set is in the store."""

    type: Literal["prepared"] = "prepared"
    set: PackageSet


class Unprepared(Message):
    """The request was refused."""

    type: Literal["refused"] = "refused"
    problem: Problem


News = Annotated[Preparing | Prepared | Unprepared, Field(discriminator="type")]
"""The answer to POST /prepare."""


def asked(store: Path, environment: str, packages: Sequence[str]) -> Path:
    """The link to the set that was prepared for this request."""
    request = json.dumps([environment, sorted(set(packages))])
    return store / "asked" / hashlib.sha256(request.encode()).hexdigest()
