"""The settings of rooms."""

from pydantic import Field

from app.process.settings import Settings


class RoomsOptions(Settings):
    """What the operator chooses: the keys of `sandbox.rooms` in the stack's config."""

    document_kb: int = Field(128, ge=8, le=1024)
    """Size of a room's document with its history of edits, in KB, from 8 to 1024. Each edit counts 16 bytes more than
    it has, and each file 512."""
    members: int = Field(16, ge=1, le=100)
    """Members of a room who are there at once, from 1 to 100."""
    members_of_all: int = Field(100, ge=1, le=1000)
    """Members of all rooms together who are there at once, from 1 to 1000. Each may take 2 MB of the api's memory."""
    members_of_client: int = Field(30, ge=1, le=1000)
    """Members who come from one address, or with one key of a server, at once."""
    rooms: int = Field(1000, ge=1, le=100_000)
    """Rooms that are kept, in all."""
    rooms_of_client: int = Field(10, ge=1, le=100_000)
    """Rooms that are kept for one address, or for one key of a server."""
    idle_hours: int = Field(168, ge=1, le=87_600)
    """Hours after which a room that nobody has visited is removed."""
    message_kb: int = Field(128, ge=1, le=1024)
    """Size of one message of a member, in KB, from 1 to 1024. A member may send or ask for as much at once."""
    kb_per_second: int = Field(32, ge=1, le=1024)
    """KB a second that a member may send or ask for after that, from 1 to 1024. More waits."""
    messages_per_second: int = Field(200, ge=1, le=1000)
    """Messages a second of a member, from 1 to 1000. More wait. y-websocket sends those of cursors back."""

    @property
    def memory_mb(self) -> int:
        """Memory that the api needs beside its own, in MB, when each member of all rooms sends the worst."""
        return 16 + 2 * self.members_of_all
