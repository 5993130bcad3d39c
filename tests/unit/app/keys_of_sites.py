"""Keys of sites, as a file gives them to the api, and the headers of who has one."""

import hashlib
import json
from pathlib import Path
from typing import Any

SITE = "https://site.example"
"""An origin whose pages have a key."""


def hashed(secret: str) -> str:
    """The key as an entry of the keys' file."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def key(name: str, *secrets: str, **fields: Any) -> dict[str, Any]:
    """The entry of a site. By default its secret is its name followed by `-secret`."""
    return {"name": name, "secrets": [hashed(secret) for secret in secrets or [f"{name}-secret"]], **fields}


def bearer(secret: str, **more: str) -> dict[str, str]:
    """The headers of a request with this secret."""
    return {"Authorization": f"Bearer {secret}", **more}


def write(file: Path, *keys: dict[str, Any]) -> Path:
    """Replace the file as Docker does: by removing it and writing a new one."""
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(keys))
    return file
