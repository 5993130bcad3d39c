"""Package indexes on this machine, with packages that are made for them.

They are PyPA's simple API, in its oldest form, and npm's registry.
"""

import base64
import contextlib
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

_FILES, _SIMPLE, _NPM = "/files/", "/simple/", "/npm/"


def wheel(name: str, files: Mapping[str, str | bytes], version: str = "1.0", needs: Sequence[str] = ()) -> bytes:
    """A wheel with these files by their names in the archive, and with its metadata."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {it}\n" for it in needs)
    described = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in {**files, **described}.items():
            archive.writestr(path, content)
    return made.getvalue()


def tarball(files: Mapping[str, str | bytes | tarfile.TarInfo], **manifest: Any) -> bytes:
    """A tarball of npm with these files by their names in the archive, and with package.json if there is a manifest."""
    described = {"package/package.json": json.dumps({"version": "1.0.0", **manifest})} if manifest else {}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as archive:
        for path, content in {**described, **files}.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(path)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            data = data.encode() if isinstance(data, str) else data
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


class Index:
    """Both indexes, at `url` and `registry`. `asked` are the paths of all requests."""

    def __init__(self, address: str, port: int) -> None:
        root = f"http://{address}:{port}"
        self.url, self.registry = f"{root}{_SIMPLE}", f"{root}{_NPM}"
        self.asked: list[str] = []
        self._published: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._hashes: dict[str, str] = {}

    def add(self, name: str, *wheels: bytes, version: str = "1.0", sha256: str | None = None) -> None:
        """Publish a project with this wheel, or without one as source alone. `sha256` is what the index says of it."""
        file = f"{name}-{version}-py3-none-any.whl" if wheels else f"{name}-{version}.tar.gz"
        content = wheels[0] if wheels else b"no archive"
        self._files.setdefault(name.replace("_", "-"), {})[file] = content
        self._hashes[file] = sha256 or hashlib.sha256(content).hexdigest()

    def package(self, name: str, module: str = "value = 1\n", version: str = "1.0", needs: Sequence[str] = ()) -> None:
        """Publish a package with one module of its name."""
        self.add(name, wheel(name, {f"{name}.py": module}, version, needs), version=version)

    def publish(self, name: str, tarball: bytes, integrity: str = "", **manifest: Any) -> None:
        """Publish a tarball at the registry. `integrity` is what the registry says of it, if not the truth."""
        version = manifest.setdefault("version", "1.0.0")
        file = f"{name.replace('/', '-')}-{version}.tgz"
        self._files.setdefault(_NPM, {})[file] = tarball
        digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        dist = {
            "tarball": f"{self.registry.removesuffix(_NPM)}{_FILES}{file}",
            "integrity": integrity or f"sha512-{digest}",
        }
        known = self._published.setdefault(name, {"name": name, "versions": {}})
        known["versions"][version] = {"name": name, "dist": dist, **manifest}
        known["dist-tags"] = {"latest": version}

    def module(self, name: str, code: str = "exports.value = 1\n", **manifest: Any) -> None:
        """Publish a package of one CommonJS module at the registry."""
        self.publish(name, tarball({"package/index.js": code}, name=name, **manifest), **manifest)

    def answer(self, path: str) -> bytes | None:
        """The content at a path; None: there is nothing."""
        self.asked.append(path)
        if path.startswith(_SIMPLE):
            files = self._files.get(path.removeprefix(_SIMPLE).strip("/"))
            links = (f'<a href="{_FILES}{file}#sha256={self._hashes[file]}">{file}</a>' for file in files or ())
            return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if files else None
        if path.startswith(_NPM):
            published = self._published.get(unquote(path.removeprefix(_NPM)))
            return json.dumps(published).encode() if published else None
        name = path.removeprefix(_FILES)
        return next((files[name] for files in self._files.values() if name in files), None)


@contextlib.contextmanager
def serving(address: str = "127.0.0.1") -> Iterator[Index]:
    """An empty index on a port of this address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._head(index.answer(self.path))

        def do_GET(self) -> None:
            content = index.answer(self.path)
            self._head(content)
            with contextlib.suppress(ConnectionError):  # uv hangs up once it has read what it needs
                self.wfile.write(content or b"")

        def _head(self, content: bytes | None) -> None:
            self.send_response(404 if content is None else 200)
            kinds = {_SIMPLE: "text/html", _NPM: "application/json"}
            kind = next((it for at, it in kinds.items() if self.path.startswith(at)), "application/octet-stream")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer((address, 0), Handler)
    index = Index(address, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
