"""What building from Go modules keeps, repeats and says: the engine, with a `go` that only pretends to compile."""

import dataclasses
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from offline import gomodules
from offline.gomodules import GIB, BuildError, GoBuild
from offline.pulumi import build

ALL = ["cli", "docker", "plugins", "plugins"]
FAKE_GO = """#!/bin/sh
echo "$PWD $*" >> {calls}
case "$1 $2" in
"env GOVERSION")
    printf '%s\\n%s\\n%s\\n' {version} {caches} {caches} ;;
"list -deps")
    {download} ;;
"list -mod=readonly")
    echo {module} ;;
"build "*)
    {compile}
    output= previous=
    for argument; do
        [ "$previous" = -o ] && output=$argument
        case $argument in */cmd/*) : > "$output${{argument##*/}}" ;; esac
        previous=$argument
    done ;;
esac
"""


class Go:
    """A folder for PATH, with a `go` that records its calls."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._calls = folder / "calls"
        self._caches = folder / "caches"
        script = folder / "module" / "python" / "cmd" / "pulumi-language-python-exec"
        script.parent.mkdir(parents=True)
        script.touch(mode=0o444)
        self._module = folder / "module"
        self.behave()

    def behave(self, version: str = "go1.99.0", download: str = ":", compile_with: str = ":") -> None:
        """Shell commands for the two steps that can fail."""
        text = FAKE_GO.format(
            calls=self._calls,
            caches=self._caches,
            module=self._module,
            version=version,
            download=download,
            compile=compile_with,
        )
        (self.bin / "go").write_text(text)
        (self.bin / "go").chmod(0o755)

    def compiled(self) -> list[str]:
        """The recipe's folders in the order of their compilations so far."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [Path(line.split()[0]).name for line in lines if line.split()[1] == "build"]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    fake = Go(tmp_path)
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gomodules, "SPACE_NEEDED", 1)
    return fake


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "engine.log"


def quiet(line: str) -> None:
    """A report whose output is discarded."""


def copy_of_docker(folder: Path) -> GoBuild:
    """The build of the docker plugin, by a recipe that the test may change."""
    docker = next(it for it in build.BUILDS.values() if it.source.name == "docker")
    shutil.copytree(docker.source, folder / "docker")
    return dataclasses.replace(docker, source=folder / "docker")


def unfinished(cache: Path) -> list[Path]:
    return list((cache / "engine").glob(".building-*"))


def test_the_files_lie_where_pulumi_looks_for_them(go: Go, cache: Path, log: Path) -> None:
    pulumi = build.ensure(cache, log, quiet)
    files = {file.name for file in pulumi.executable.parent.iterdir()}
    assert files == {"pulumi", "pulumi-language-python", "pulumi-language-python-exec"}
    assert os.access(pulumi.executable.parent / "pulumi-language-python-exec", os.X_OK)
    plugins = Path(pulumi.environment["PULUMI_HOME"]) / "plugins"
    for name, number in {"docker": "5.2.0", "command": "1.2.1", "cloudflare": "6.23.1"}.items():
        found = (plugins / f"resource-{name}-v{number}").iterdir()
        assert [file.name for file in found] == [f"pulumi-resource-{name}"]
    assert unfinished(cache) == []


def test_the_progress_names_each_step(go: Go, cache: Path, log: Path) -> None:
    lines: list[str] = []
    build.ensure(cache, log, lines.append)
    assert [line.split(" (")[0] for line in lines] == [
        "downloading the Go modules of pulumi 3.228.0",
        "compiling pulumi 3.228.0",
        "downloading the Go modules of the docker plugin 5.2.0",
        "compiling the docker plugin 5.2.0",
        "downloading the Go modules of the command plugin 1.2.1",
        "compiling the command plugin 1.2.1",
        "downloading the Go modules of the cloudflare plugin 6.23.1",
        "compiling the cloudflare plugin 6.23.1",
    ]


def test_a_finished_build_is_found_without_go(go: Go, cache: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.ensure(cache, log, quiet)
    monkeypatch.setenv("PATH", str(cache))
    assert build.ensure(cache, log, quiet) == first


def test_a_changed_recipe_builds_the_part_that_changed(
    go: Go, cache: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = copy_of_docker(tmp_path)
    monkeypatch.setattr(build, "BUILDS", {"bin": build.BUILDS["bin"], "plugin": docker})
    before = build.ensure(cache, log, quiet)
    with (docker.source / "go.sum").open("a") as sums:
        sums.write("\n")
    after = build.ensure(cache, log, quiet)
    assert after.executable != before.executable
    assert go.compiled() == ["cli", "docker", "docker"]


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "cmd/pulumi-resource-docker/provider.go", "shim/shim.go"])
def test_every_file_of_the_recipe_counts_in_the_key(name: str, tmp_path: Path) -> None:
    docker = copy_of_docker(tmp_path)
    before = docker.key()
    with (docker.source / name).open("a") as file:
        file.write("\n")
    assert docker.key() != before


def test_the_build_flags_count_in_the_key_and_the_title_does_not() -> None:
    pulumi = build.BUILDS["bin"]
    assert dataclasses.replace(pulumi, tags=("other",)).key() != pulumi.key()
    assert dataclasses.replace(pulumi, variables=()).key() != pulumi.key()
    assert dataclasses.replace(pulumi, container="arm64").key() != dataclasses.replace(pulumi, container="amd64").key()
    assert dataclasses.replace(pulumi, title="another name").key() == pulumi.key()


def test_go_is_missing(cache: Path, log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"not on PATH\. Install Go 1\.25\.8 or newer") as caught:
        build.ensure(cache, log, quiet)
    assert caught.value.log == log


@pytest.mark.parametrize("version", ["go1.19.8", "go1.24.13", "go1.25.7"])
def test_go_is_too_old(go: Go, cache: Path, log: Path, version: str) -> None:
    go.behave(version=version)
    with pytest.raises(BuildError, match=rf"{version} is too old .*Install Go 1\.25\.8 or newer"):
        build.ensure(cache, log, quiet)
    assert go.compiled() == []


@pytest.mark.parametrize("version", ["go1.25.8", "go1.26", "go2.0.0", "go1.27-devel_abcdef1"])
def test_go_is_new_enough(go: Go, cache: Path, log: Path, version: str) -> None:
    go.behave(version=version)
    assert build.ensure(cache, log, quiet).executable.exists()


def test_the_disk_is_too_full(go: Go, cache: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(gomodules, "SPACE_NEEDED", 6 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(100 * GIB, 98 * GIB, 2 * GIB))
    with pytest.raises(BuildError, match=rf"2\.0 GiB are free at {cache}.* may take 6 GiB\. Make room"):
        build.ensure(cache, log, quiet)
    assert go.compiled() == []


def test_a_module_is_not_served(go: Go, cache: Path, log: Path) -> None:
    go.behave(download="echo 'example.com/thing@v1.0.0: 404 Not Found' >&2; exit 1")
    with pytest.raises(BuildError, match=r"GOPROXY.*example\.com/thing@v1\.0\.0: 404 Not Found"):
        build.ensure(cache, log, quiet)
    assert unfinished(cache) == []


def test_a_failed_compilation_names_gos_last_line_and_the_log(go: Go, cache: Path, log: Path) -> None:
    go.behave(compile_with="echo 'first trouble' >&2; echo 'undefined: x' >&2; exit 1")
    with pytest.raises(BuildError, match=r"pulumi 3\.228\.0 did not compile\. Go says: undefined: x"):
        build.ensure(cache, log, quiet)
    assert "first trouble" in log.read_text()


def test_a_failure_in_the_second_part_keeps_the_first(go: Go, cache: Path, log: Path) -> None:
    go.behave(compile_with='case "$PWD" in */docker) exit 1 ;; esac')
    with pytest.raises(BuildError):
        build.ensure(cache, log, quiet)
    go.behave()
    build.ensure(cache, log, quiet)
    assert go.compiled() == ["cli", "docker", *ALL[1:]]


def test_it_waits_for_another_process_that_builds(go: Go, cache: Path, log: Path) -> None:
    (cache / "engine").mkdir(parents=True)
    lines: list[str] = []
    told = threading.Event()

    def report(line: str) -> None:
        lines.append(line)
        told.set()

    with (cache / "engine" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=build.ensure, args=(cache, log, report))
        second.start()
        assert told.wait(10)
        assert go.compiled() == []
    second.join(30)
    assert lines[0] == "waiting for another process, which is building the same"
    assert go.compiled() == ALL


def _another_process(cache: Path, log: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys, pathlib; from offline import gomodules; from offline.pulumi import build; "
        "gomodules.SPACE_NEEDED = 1; "
        "build.ensure(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), lambda line: None)"
    )
    root = build.RECIPE.parent.parent
    return subprocess.Popen([sys.executable, "-c", program, cache, log], cwd=root, start_new_session=True)


def test_two_processes_compile_once(go: Go, cache: Path, log: Path) -> None:
    go.behave(compile_with="sleep 0.3")
    processes = [_another_process(cache, log) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert go.compiled() == ALL


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_is_started_again(go: Go, cache: Path, log: Path, blow: signal.Signals) -> None:
    go.behave(compile_with='case "$PWD" in */docker) sleep 60 ;; esac')
    process = _another_process(cache, log)
    try:
        deadline = time.monotonic() + 30
        while go.compiled() != ["cli", "docker"]:
            assert time.monotonic() < deadline, "the second part was never begun"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, blow)
        process.wait(30)
    go.behave()
    pulumi = build.ensure(cache, log, quiet)
    assert pulumi.executable.exists()
    assert go.compiled() == ["cli", "docker", *ALL[1:]]
    assert unfinished(cache) == []
