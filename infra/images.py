"""The images that the platform is made of: its own, which are built from `images/`, and those of other projects."""

import tomllib
from pathlib import Path

IMAGES_OF_OURS = ("app", "executor", "packages", "backup")
"""Those that a stack runs. The environments' images are parts of the executor's."""
_VERSIONS = tomllib.loads((Path(__file__).resolve().parent.parent / "versions.toml").read_text())
UPSTREAM_IMAGES: dict[str, str] = {name: program["image"] for name, program in _VERSIONS.items()}
"""The reference that a program's image is pulled by, by the name of its service."""
