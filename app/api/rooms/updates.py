"""Updates of Yjs documents (version 1 of their encoding) that strangers send, read before pycrdt applies them.

pycrdt trusts an update: nested values overflow its stack, which ends the process, and what is not a room's stays in its
document unseen. So only what editing plain text needs is let through: text, removed text, files, and short values.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import anyio.lowlevel

FILES, STDIN, ROOM = "files", "stdin", "room"
"""A room's document: a map of files (name to text), the text of the input, and a map of what the room is set to."""
NOTHING = b"\x00\x00"
"""The update that changes nothing."""

_GARBAGE, _DELETED, _STRING, _TYPE, _ANY = 0, 1, 4, 7, 8
_OF_MAPS: Mapping[bytes | None, Collection[int]] = {
    FILES.encode(): (_DELETED, _TYPE),
    ROOM.encode(): (_DELETED, _ANY),
}
_TEXT = 2
_SHORT_STRING = 119
_LONGEST_VALUE = 64
_ORIGIN, _RIGHT_ORIGIN, _KEY = 0x80, 0x40, 0x20
_MOST = 2**31
"""Positions are 32-bit numbers in pycrdt."""
_LARGEST_CLIENT = 2**53
_STRUCT_COST, _VALUE_COST, _TEXT_COST, _RANGE_COST = 16, 64, 512, 48
"""What a piece costs beside its bytes: memory, and for a value or a text the time to find it. A removed range may cut
two pieces in two."""
_AT_ONCE = 256
"""Pieces that are read before others have their turn: about 1 ms."""


class Unacceptable(Exception):
    """A message that no member's editor sends. The text is a sentence."""


_NOT_PLAIN = Unacceptable(
    f"A room's document has texts in {FILES}, plain text in {STDIN}, short strings in {ROOM}, and nothing else."
)


@dataclass
class Contents:
    """What an update has. By client: the positions of its first piece (`begins`), after its last one (`ends`), and
    after the last one that it builds on (`needs`). `removed` are ranges of a client: position and length. `cost` is
    that of all but these."""

    cost: int
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    needs: dict[int, int] = field(default_factory=dict)
    removed: set[tuple[int, int, int]] = field(default_factory=set)

    def cost_of(self, removed: set[tuple[int, int, int]]) -> int:
        """The cost of its pieces and of the ranges in `removed`."""
        return self.cost + _RANGE_COST * len(removed)

    def adds(self, known: dict[int, int]) -> bool:
        """Whether it has pieces that a document with these ends has not."""
        return any(end > known.get(client, 0) for client, end in self.ends.items())

    def follows(self, known: dict[int, int]) -> bool:
        """Whether all that it builds on is in itself or in a document with these ends."""
        return all(at <= known.get(client, 0) for client, at in self.begins.items()) and all(
            at <= max(known.get(client, 0), self.ends.get(client, 0)) for client, at in self.needs.items()
        )


async def read(update: bytes) -> Contents:
    """What an update has. Raises `Unacceptable`."""
    found = Contents(len(update))
    data = Data(update)
    for _ in range(data.number()):
        await _read_client(data, found)
    for _ in range(data.number()):
        await _read_removed(data, found)
    if data.left:
        raise Unacceptable("The update has bytes behind its end.")
    return found


async def _read_client(data: "Data", found: Contents) -> None:
    pieces, client, at = data.number(), data.number(_LARGEST_CLIENT), data.number()
    if client in found.ends:
        raise Unacceptable("The update has a client twice.")
    found.begins[client] = at
    for piece in range(pieces):
        if piece % _AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()
        found.cost += _STRUCT_COST
        at += _read_piece(data, found)
        if at >= _MOST:
            raise Unacceptable("The update has too high a position.")
    found.ends[client] = at


def _read_piece(data: "Data", found: Contents) -> int:
    """Read one piece, and return its length."""
    info = data.byte()
    kind = info & 0x1F
    if kind != _GARBAGE and kind not in _read_parent(data, info, found):
        raise _NOT_PLAIN
    if kind in (_GARBAGE, _DELETED):
        return data.length()
    if kind == _STRING and (text := data.text()):
        return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
    if kind == _TYPE and data.number() == _TEXT:
        found.cost += _TEXT_COST
        return 1
    if kind == _ANY and data.number() == 1 and data.byte() == _SHORT_STRING and len(data.text()) <= _LONGEST_VALUE:
        found.cost += _VALUE_COST
        return 1
    raise _NOT_PLAIN


def _read_parent(data: "Data", info: int, found: Contents) -> Collection[int]:
    """Read where a piece is: beside others, or in a root or a text. Returns the kinds of pieces that may be there."""
    for flag in (_ORIGIN, _RIGHT_ORIGIN):
        if info & flag:
            _read_place(data, found)
    if info & (_ORIGIN | _RIGHT_ORIGIN):
        return (_DELETED, _STRING, _TYPE, _ANY)
    root = data.sized() if data.number() == 1 else None
    if root is None:
        _read_place(data, found)
    if info & _KEY:
        data.text()
        return _OF_MAPS.get(root, ())
    return () if root in _OF_MAPS or root not in (None, STDIN.encode()) else (_DELETED, _STRING)


def _read_place(data: "Data", found: Contents) -> None:
    client, at = data.number(_LARGEST_CLIENT), data.number()
    found.needs[client] = max(found.needs.get(client, 0), at + 1)


async def _read_removed(data: "Data", found: Contents) -> None:
    client = data.number(_LARGEST_CLIENT)
    for piece in range(data.number()):
        if piece % _AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()
        at, length = data.number(), data.length()
        found.removed.add((client, at, length))
        found.needs[client] = max(found.needs.get(client, 0), at + length)


def ends_of(state: bytes) -> dict[int, int]:
    """The position after each client's last piece, from a state vector."""
    data = Data(state)
    return {data.number(_LARGEST_CLIENT): data.number() for _ in range(data.number())}


class Data:
    """Bytes that are read from the front, in lib0's encoding. Raises `Unacceptable` for what can't be read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self._content) - self._at

    def byte(self) -> int:
        """One byte."""
        return self._take(1)[0]

    def number(self, below: int = _MOST) -> int:
        """A number that is smaller than `below`."""
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if found >= below or shift > 63:
                raise Unacceptable("The message has too large a number.")
            if byte < 0x80:
                return found

    def length(self) -> int:
        """A number that isn't 0."""
        if not (found := self.number()):
            raise Unacceptable("The update has a piece without a length.")
        return found

    def sized(self) -> bytes:
        """Bytes behind their number."""
        return self._take(self.number())

    def text(self) -> str:
        """Bytes behind their number, as UTF-8."""
        try:
            return self.sized().decode()
        except UnicodeDecodeError:
            raise Unacceptable("The message has text that is not UTF-8.") from None

    def _take(self, size: int) -> bytes:
        if size > self.left:
            raise Unacceptable("The message breaks off.")
        self._at += size
        return self._content[self._at - size : self._at]


def number(value: int) -> bytes:
    """A number in lib0's encoding."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def sized(content: bytes) -> bytes:
    """Bytes behind their number."""
    return number(len(content)) + content
