"""The bodies and frames of rooms, as the OpenAPI document has them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from app.api.operation import Document
from app.environments import canonical, described
from app.wire.protocol import Cancel, EndOfInput, Fault, File, FileName, Input, Interrupt, Message, PackageName


# The docstring is in the OpenAPI document.
class RoomRequest(Message):
    """A room is a set of files that several visitors edit and run together. Whoever has the link for editing may edit
    and run; whoever has the one for viewing sees the same. A room that nobody visits for long is removed, and only
    hashes of its tokens are kept.
    """

    environment: Annotated[str, AfterValidator(canonical)] = Field(max_length=64)
    """Name of the environment in which it runs at first."""
    files: tuple[File, ...] = Field((), max_length=32)
    """The files at first, all text; none: the environment's first program."""
    stdin: str = ""
    """Text at first for the standard input."""

    @model_validator(mode="after")
    def _has_texts(self) -> "RoomRequest":
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two files have the same name")
        try:
            _ = self.texts
        except UnicodeDecodeError:
            raise ValueError("a file of a room is text in UTF-8") from None
        return self

    @property
    def texts(self) -> Mapping[str, str]:
        """The content of each file by its name."""
        environment = described(self.environment)
        if environment and not self.files:
            return {environment.main: environment.hello}
        return {file.name: file.data.decode() for file in self.files}


class RoomLinks(Document):
    """A new room. The tokens are in the fragments of the links, which browsers send to no server."""

    id: str
    edit: str
    """A link to the page, for those who may edit and run."""
    view: str
    """A link to the page, for those who may not."""


# The docstring is in the OpenAPI document.
class RoomSync:
    """The messages of y-protocols, binary: sync and awareness, as the `WebsocketProvider` of y-websocket speaks them.
    The client offers two subprotocols, `vps-room` and `token.<secret>`; the server answers the first.

    The document has a map `files` of texts by name, a text `stdin`, and a map `room` whose `environment` is the name of
    one. Nothing else is taken: no formats, no embedded objects, no other types. A member's awareness has at most `user`
    with `name`, `color` and `colorLight`, and `cursor`.

    Beside 1012, after which a client connects again, the close code is 4000 and the status of a problem, whose code is
    the reason: `room_not_found` also for a wrong token, `room_read_only` after an edit of a viewer, `room_full`,
    `room_members`, `invalid_request`.
    """


# The docstring is in the OpenAPI document.
class RoomRuns:
    """What is run in a room, for all of its members: frames of JSON. The subprotocols and close codes are those of
    `/rooms/{id}/sync`.

    An editor sends `RoomRun`; the files and the input are those of the server's document. Then each member receives
    `RoomRunStarts` and the frames of `/execute/stream`. Each run counts for whoever asked for it. While it goes on, an
    editor may send `RoomInput` and the other commands of `/execute/stream`, and all receive each `RoomInput`. Whoever
    comes later receives the same once more, with at most 10 KB of the output, and the result without output and files.
    A refusal before a run begins goes to its sender alone, as a frame with `yours`.
    """


class RoomRun(Message):
    """Runs the files of the room. Only one run is on at a time."""

    type: Literal["run"] = "run"
    name: str | None = Field(None, max_length=40)
    """Who runs it, as the other members are to read it."""
    environment: Annotated[str, AfterValidator(canonical)] | None = Field(None, max_length=64)
    """Null: that of the room."""
    packages: tuple[PackageName, ...] = Field((), max_length=32)
    main: FileName | None = None
    """Null: the file that the environment runs by its name, or else the first one by name."""
    interactive: bool = False
    """Whether the standard input stays open after the room's text for it, until `EndOfInput`."""


class RoomRunStarts(Message):
    """A member runs the files of the room."""

    type: Literal["run"] = "run"
    name: str | None
    environment: str
    packages: tuple[str, ...]
    main: str


class OwnFault(Fault):
    """A refusal for the receiver alone. The WebSocket stays open."""

    yours: Literal[True] = True


class RoomInput(Input):
    """Text for the standard input of what runs. All members receive it as it was sent."""

    name: str | None = Field(None, max_length=40)
    """Who typed it, as the other members are to read it."""


RoomFrame = Annotated[RoomRun | RoomInput | EndOfInput | Interrupt | Cancel, Field(discriminator="type")]
"""A frame that an editor may send."""
