"""Images like those of the stack with other content, for tests that replace one by another."""

import secrets
from pathlib import Path

from tools.machine.preparation import Preparation


class Variations:
    """Images built from those of the stack, with other content. `close` removes them."""

    def __init__(self, prepared: Preparation, folder: Path) -> None:
        self._client = prepared.engine.client()
        self._references = prepared.images.references
        self._folder = folder
        self._run = secrets.token_hex(4)
        self._made: list[str] = []

    def make(self, name: str, original: str, *instructions: str, **files: str) -> str:
        """The reference of an image made from one of the stack's by Dockerfile instructions, which may copy `files`."""
        folder = self._folder / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
            (folder / file).chmod(0o755)
        lines = [f"FROM {self._references[original]}", f"LABEL variation={self._run}", *instructions]
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        built, _ = self._client.images.build(path=str(folder), tag=f"test-{self._run}/{name}:1", rm=True)
        self._made.append(str(built.id))
        return f"test-{self._run}/{name}:1"

    def close(self) -> None:
        for image in reversed(self._made):
            self._client.images.remove(image, force=True)
