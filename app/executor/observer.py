"""What the executor tells whoever counts, so that counting stays out of its logic."""

from typing import Protocol

from app.wire.protocol import Status


class Observer(Protocol):
    """Hears of each event once. Times in seconds."""

    def executed(self, environment: str, status: Status, seconds: float) -> None:
        """An execution has ended."""

    def waited(self, environment: str, seconds: float) -> None:
        """An execution has got its sandbox."""

    def made(self, environment: str, seconds: float) -> None:
        """A sandbox has become ready."""

    def engine_failed(self, doing: str) -> None:
        """The engine would not `make` or `destroy` sandboxes."""

    def died_idle(self, environment: str) -> None:
        """A ready sandbox has ended without a claim."""

    def swept(self, orphans: int) -> None:
        """Sandboxes were removed that an executor before this one had left."""
