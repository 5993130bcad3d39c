"""A package index on this machine, with wheels that are made for it: PyPA's simple API, in its oldest form."""

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_FILES, _SIMPLE = "/files/", "/simple/"


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


class Index:
    """The index. `asked` are the paths of all requests."""

    def __init__(self, address: str, port: int) -> None:
        self.url = f"http://{address}:{port}{_SIMPLE}"
        self.asked: list[str] = []
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

    def answer(self, path: str) -> bytes | None:
        """The content at a path; None: there is nothing."""
        self.asked.append(path)
        if path.startswith(_SIMPLE):
            files = self._files.get(path.removeprefix(_SIMPLE).strip("/"))
            links = (f'<a href="{_FILES}{file}#sha256={self._hashes[file]}">{file}</a>' for file in files or ())
            return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if files else None
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
            kind = "text/html" if self.path.startswith(_SIMPLE) else "application/octet-stream"
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
