"""An image that holds one executable, as an archive that containerd imports."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

_EXECUTABLE = 0o755


def of_program(program: Path, reference: str, architecture: str) -> bytes:
    """The archive of an image that starts a static executable, in the format of `docker save`.

    Args:
        program: the executable.
        reference: name and tag of the image.
        architecture: as Docker names it: amd64, arm64.
    """
    layer = _tar({program.name: program.read_bytes()}, _EXECUTABLE)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        },
        0o644,
    )


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
