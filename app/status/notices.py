"""What the operator tells on the status page: a Markdown file for each incident and each piece of planned work.

A file begins with its facts in TOML between two lines of `+++`. HTML in the text is shown as text.
"""

import re
import tomllib
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, StringConstraints, ValidationError, model_validator

from app.process.settings import Settings, path

MOST_FILES = 100
MOST_BYTES = 65_536
"""Of one file. The parser's work grows with it."""
_FENCE = "+++\n"
_FILE = re.compile(r"[a-z0-9-]+\.md")
_NOT_A_NOTICE = "README.md"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_Short = Annotated[str, StringConstraints(pattern="^[\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]{1,200}$")]


class State(StrEnum):
    """Where a notice stands at a moment."""

    OPEN = "now"
    AHEAD = "ahead"
    OVER = "over"


class Facts(Settings):
    """What a notice begins with."""

    title: _Short
    begins: AwareDatetime
    ends: AwareDatetime | None = None
    """Unset while nobody knows."""
    planned: bool = False
    """Work that was planned, in place of an incident."""
    affects: tuple[_Short, ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.planned and not self.ends:
            raise ValueError("planned work needs `ends`")
        if self.ends and self.ends <= self.begins:
            raise ValueError("`ends` is not after `begins`")
        return self

    def state(self, now: datetime) -> State:
        """Where it stands at that moment."""
        if now < self.begins:
            return State.AHEAD
        return State.OVER if self.ends and self.ends <= now else State.OPEN


class Notice(Facts):
    """A whole notice. `name` is its file's without the ending, and stays when the notice changes."""

    name: str
    text: str


def parse(name: str, content: str) -> Notice:
    """The notice in a file.

    Raises:
        ValueError: it can't be used. The message names the file, the cause and the fix.
    """
    if not _FILE.fullmatch(name):
        raise ValueError(f"{name} must be named by small letters, digits and hyphens, as in 2026-11-30-slow-api.md")
    before, *rest = content.replace("\r\n", "\n").split(_FENCE, 2)
    if before or len(rest) != 2:
        raise ValueError(f"{name} must begin with its facts in TOML between two lines of +++")
    if bad := sorted(set(_NOT_IN_XML.findall(content))):
        raise ValueError(f"{name} has the characters {bad}, which no feed may have. Remove them")
    try:
        return Notice.model_validate({**tomllib.loads(rest[0]), "name": Path(name).stem, "text": rest[1]})
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the facts of {name} are no TOML: {error}") from None
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(path(it)) or 'its times'}: {it['msg'].removeprefix('Value error, ')}" for it in error.errors()
        )
        raise ValueError(f"{name} can't be used: {faults}. It may have {', '.join(Facts.model_fields)}") from None


def read(folder: Path) -> dict[str, str]:
    """The content of each notice by its file's name.

    Raises:
        ValueError: one of them can't be used, or there are too many or too much of them.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}. Make it; a {_NOT_A_NOTICE} in it is no notice")
    files = sorted(it for it in folder.glob("*.md") if it.name != _NOT_A_NOTICE)
    if len(files) > MOST_FILES:
        raise ValueError(f"{folder} has {len(files)} notices, and may have {MOST_FILES}. Remove the oldest")
    if large := [it.name for it in files if it.stat().st_size > MOST_BYTES]:
        raise ValueError(f"{', '.join(large)} has more than {MOST_BYTES} bytes. Shorten it")
    found = {it.name: it.read_text() for it in files}
    for name, content in found.items():
        parse(name, content)
    return found
