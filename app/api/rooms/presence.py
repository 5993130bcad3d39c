"""Who is in a room: the names, colours and cursors of its members, by the awareness protocol of y-protocols."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from app.api.rooms.updates import Data, number, sized

T = TypeVar("T")

_LONGEST_STATE = 1024
_MOST_ENTRIES = 200
"""Entries of one message that are read. y-websocket sends those of other members back."""
_NOBODY = b"null"
_LATEST = 2**31 - 1


class _User(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(max_length=40)]
    color: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
    colorLight: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?$")] | None = None


class _State(BaseModel):
    """What y-codemirror.next puts there. Other members' pages put names and colours into their documents."""

    model_config = ConfigDict(extra="forbid")

    user: _User | None = None
    cursor: Any = None


@dataclass
class _Entry(Generic[T]):
    member: T
    clock: int
    state: bytes


class Presence(Generic[T]):
    """The state of each member who has told one, by the number of its editor."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry[T]] = {}
        self._own: dict[T, int] = {}

    def hear(self, member: T, message: bytes) -> bytes | None:
        """Take what a member tells of itself, and return that for all, if there is anything.

        The first editor that it names is its own. Others are left out, and so is a state that no page of ours makes.

        Raises:
            Unacceptable: the message can't be read.
        """
        found = None
        for editor, clock, state in _entries(message):
            if self._own.setdefault(member, editor) != editor:
                continue
            former = self._entries.get(editor)
            fit = _fit(state)
            if fit is not None and not (former and clock < former.clock):
                # Whoever comes back while the former connection still seems to be open takes its entry over.
                self._entries[editor] = _Entry(member, clock, fit)
                found = editor
        return None if found is None else self._told([found])

    def all(self) -> bytes:
        """The states of all members."""
        return self._told([editor for editor, entry in self._entries.items() if entry.state != _NOBODY])

    def leave(self, member: T) -> bytes | None:
        """Forget a member, and return what the others are to know of that, if anything."""
        editor = self._own.pop(member, None)
        entry = self._entries.get(editor) if editor is not None else None
        if editor is None or entry is None or entry.member is not member:
            return None
        entry.clock, entry.state = min(entry.clock + 1, _LATEST), _NOBODY
        told = self._told([editor])
        del self._entries[editor]
        return told

    def _told(self, editors: list[int]) -> bytes:
        entries = [(editor, self._entries[editor]) for editor in editors]
        parts = [number(editor) + number(entry.clock) + sized(entry.state) for editor, entry in entries]
        return number(len(parts)) + b"".join(parts)


def _entries(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    data = Data(message)
    for _ in range(min(data.number(), _MOST_ENTRIES)):
        yield data.number(2**53), data.number(), data.sized()


def _fit(state: bytes) -> bytes | None:
    """The state as our pages read it; None if none of them makes it."""
    if state == _NOBODY or len(state) > _LONGEST_STATE:
        return state if state == _NOBODY else None
    try:
        return _State.model_validate_json(state).model_dump_json(exclude_unset=True).encode()
    except ValidationError:
        return None
