import hashlib
import io
import platform
import tarfile
import urllib.error
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from offline.gomodules import BuildError
from offline.pulumi import build
from tests.unit.tools.conftest import Program
from tools.console.steps import Report, StepFailed
from tools.machine import pulumi_toolchain

SDK = version("pulumi")


def body(number: str, install: str = "true", listed: str = "[]") -> str:
    return f"""
echo "$@" >> "$0.calls"
case "$1 $2" in
  "version ") echo v{number} ;;
  "plugin ls") echo '{listed}' ;;
  "plugin install") {install} ;;
esac"""


@pytest.fixture
def built(tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The images that the build from Go modules would make."""
    pulumi = program("built-pulumi", body("3.228.0"))
    result = SimpleNamespace(executable=pulumi, environment={"PULUMI_HOME": "/of-the-build"})
    monkeypatch.setattr(build, "ensure", lambda cache, log, report, clusters: result)
    return pulumi


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pulumi but the one that the test makes, and no internet."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def fetch(url: str) -> bytes:
        raise urllib.error.URLError("no such host")

    monkeypatch.setattr(pulumi_toolchain, "_fetch", fetch)


def test_a_new_enough_pulumi_on_path_is_used_and_gets_the_plugins_of_the_sdks(report: Report, program: Program) -> None:
    pulumi = program("pulumi", body("3.228.0"))
    found = pulumi_toolchain.ensure(report)
    assert (found.pulumi, found.version, found.origin) == (pulumi, "3.228.0", "on PATH")
    calls = pulumi.with_name("pulumi.calls").read_text().splitlines()
    assert [call for call in calls if call.startswith("plugin install")] == [
        f"plugin install resource {name} {version(f'pulumi-{name}')}" for name in ("docker", "command", "cloudflare")
    ]


def test_a_plugin_that_is_there_is_not_installed_again(report: Report, program: Program) -> None:
    there = f'[{{"name": "command", "version": "{version("pulumi-command")}"}}]'
    pulumi = program("pulumi", body("3.228.0", listed=there))
    pulumi_toolchain.ensure(report)
    calls = pulumi.with_name("pulumi.calls").read_text()
    assert "resource docker" in calls
    assert "resource command" not in calls


def test_the_users_own_pulumi_home_is_not_used(report: Report, program: Program, own_cache: Path) -> None:
    program("pulumi", body("3.300.1"))
    assert pulumi_toolchain.ensure(report).environment["PULUMI_HOME"] == str(own_cache / "pulumi-home")


def test_without_another_pulumi_it_is_built(report: Report, built: Path) -> None:
    found = pulumi_toolchain.ensure(report)
    assert (found.pulumi, found.origin) == (built, "built from Go modules")
    assert found.environment["PULUMI_HOME"] == "/of-the-build"


def test_the_pulumi_of_a_prepared_shell_is_not_one_of_the_users(
    report: Report, program: Program, built: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = own_cache / "engine" / "bin"
    ours.mkdir(parents=True)
    (ours / "pulumi").symlink_to(program("pulumi", body("3.228.0")))
    monkeypatch.setenv("PATH", f"{ours}:/usr/bin:/bin")
    assert pulumi_toolchain.ensure(report).pulumi == built


def test_a_pulumi_that_is_too_old_is_named_and_skipped(report: Report, program: Program, built: Path) -> None:
    program("pulumi", body("3.100.0"))
    assert pulumi_toolchain.ensure(report).pulumi == built
    assert "pulumi 3.100.0 on PATH is too old (needs 3.228.0)" in report.log.read_text()


def test_a_pulumi_that_can_not_install_its_plugins_is_skipped(report: Report, program: Program, built: Path) -> None:
    program("pulumi", body("3.228.0", install="echo no such host >&2; exit 1"))
    assert pulumi_toolchain.ensure(report).pulumi == built


def test_when_the_build_fails_too_all_reasons_are_reported(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BuildError("there is no go on PATH", report.log)

    monkeypatch.setattr(build, "ensure", fail)
    with pytest.raises(StepFailed, match=r"no pulumi on PATH; .*no such host.*there is no go on PATH"):
        pulumi_toolchain.ensure(report)


def release(monkeypatch: pytest.MonkeyPatch, checksum: str | None = None) -> None:
    """Publish an official release, with its checksum or a wrong one."""
    script = f"#!/bin/sh{body(SDK)}\n".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("pulumi/pulumi")
        entry.size, entry.mode = len(script), 0o755
        archive.addfile(entry, io.BytesIO(script))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    name = f"pulumi-v{SDK}-linux-x64.tar.gz"
    digest = checksum or hashlib.sha256(packed.getvalue()).hexdigest()
    files = {f"pulumi-{SDK}-checksums.txt": f"{digest}  {name}\n".encode(), name: packed.getvalue()}
    monkeypatch.setattr(pulumi_toolchain, "_fetch", lambda url: files[url.rpartition("/")[2]])


def test_an_official_release_is_fetched_once(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch)
    first = pulumi_toolchain.ensure(report)
    monkeypatch.setattr(pulumi_toolchain, "_fetch", lambda url: pytest.fail("fetched again"))
    assert pulumi_toolchain.ensure(report) == first
    assert (first.version, first.origin) == (SDK, "official release")


def test_a_release_with_another_checksum_is_refused_and_not_kept(
    report: Report, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    release(monkeypatch, checksum="0" * 64)
    with pytest.raises(StepFailed, match="does not have the checksum"):
        pulumi_toolchain.ensure(report)
    assert list((own_cache / "pulumi").iterdir()) == []
