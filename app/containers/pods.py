"""What a kubelet's links to the logs of containers tell: their names, ids, starts and restarts.

For each container that it has started, a kubelet makes `<pod>_<namespace>_<container>-<id>.log`, a link to a file whose
name is the number of restarts. None of the names before has an underscore. The link goes with the container.
"""

import re
from collections.abc import Collection
from pathlib import Path

from app.containers.container import Container

_LINK = re.compile(r"(?P<pod>[^_]+)_(?P<namespace>[^_]+)_(?P<container>[^_]+)-(?P<id>[0-9a-f]{64})\.log")
_RESTARTS = re.compile(r"\d+")


def read_all(folder: Path, namespaces: Collection[str]) -> list[Container]:
    """The containers of these namespaces: of each in a pod the one that was started last.

    Raises:
        OSError: the folder can't be read.
    """
    found = [it for entry in folder.iterdir() if (it := _read(entry, namespaces))]
    return list({(it.pod, it.service): it for it in sorted(found, key=lambda it: it.restarts)}.values())


def _read(link: Path, namespaces: Collection[str]) -> Container | None:
    """None for one that is gone, or is none of these namespaces'."""
    name = _LINK.fullmatch(link.name)
    if not name or name["namespace"] not in namespaces:
        return None
    try:
        restarts = _RESTARTS.match(link.readlink().name)
        started = link.lstat().st_mtime
    except OSError:
        return None
    if not restarts:
        return None
    return Container(
        id=name["id"], service=name["container"], pod=name["pod"], restarts=int(restarts[0]), started=started
    )
