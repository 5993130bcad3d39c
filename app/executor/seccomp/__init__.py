"""The seccomp profile of every sandbox: Docker's default with what `removed.py` lists subtracted."""

import json
from functools import cache
from pathlib import Path

PROFILE = Path(__file__).with_name("profile.json")


@cache
def load() -> str:
    """The profile as the Docker Engine's API takes it: `SecurityOpt` `seccomp=<this>`, for amd64 and arm64 engines."""
    return json.dumps(json.loads(PROFILE.read_bytes()), separators=(",", ":"))
