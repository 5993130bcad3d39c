import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from tools import bootstrap

REQUIREMENTS = """pulumi==3.272.0 \\
    --hash=sha256:00
uv==0.13.9 \\
    --hash=sha256:22 \\
    --hash=sha256:33
    # via -r requirements.in
uvloop==0.23.0 \\
    --hash=sha256:44
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    return tmp_path


def pretend(root: Path) -> list[list[str]]:
    """Make the Python environment with stand-ins that only make its folder. Returns their commands."""
    ran: list[list[str]] = []

    def run(argv: list[str], variables: dict[str, str]) -> str:
        ran.append(argv)
        (root / ".venv").mkdir(exist_ok=True)
        return ""

    bootstrap.make(root, run)
    return ran


def test_without_a_virtual_environment_there_is_no_finished_one(root: Path) -> None:
    assert not bootstrap.is_made(root)


def test_a_finished_environment_is_reused(root: Path) -> None:
    pretend(root)
    assert bootstrap.is_made(root)


def test_packages_are_installed_by_their_hashes_into_an_empty_environment(root: Path) -> None:
    venv, pip, _, uv = pretend(root)
    assert "--clear" in venv
    assert "--require-hashes" in pip
    assert "--require-hashes" in uv


def test_pip_installs_uv_alone_in_the_version_that_is_locked(root: Path) -> None:
    _, pip, *_ = pretend(root)
    assert Path(pip[-1]).read_text() == "uv==0.13.9 \\\n    --hash=sha256:22 \\\n    --hash=sha256:33"


def test_uv_uses_the_index_and_certificates_of_pips_configuration() -> None:
    said = (
        ":env:.cert='/etc/ssl/ours.pem'\n:env:.timeout='9'\nglobal.cert='/etc/ssl/other.pem'\n"
        "global.extra-index-url='https://one.example\\nhttps://two.example'\nglobal.index-url='https://pypi.example'\n"
    )
    assert bootstrap.uv_variables(said) == {
        "SSL_CERT_FILE": "/etc/ssl/ours.pem",
        "UV_INDEX": "https://one.example https://two.example",
        "UV_DEFAULT_INDEX": "https://pypi.example",
    }


def test_changed_requirements_need_a_new_environment(root: Path) -> None:
    pretend(root)
    (root / "requirements.txt").write_text(REQUIREMENTS.replace("00", "11"))
    assert not bootstrap.is_made(root)


def test_another_python_needs_a_new_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(root)
    monkeypatch.setattr(sys, "version", "3.99.0")
    assert not bootstrap.is_made(root)


def test_an_interrupted_run_leaves_no_stamp(root: Path) -> None:
    def run(argv: list[str], variables: dict[str, str]) -> str:
        (root / ".venv").mkdir(exist_ok=True)
        if "install" in argv:
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        bootstrap.make(root, run)
    assert not bootstrap.is_made(root)


def test_a_damaged_stamp_is_ignored(root: Path) -> None:
    pretend(root)
    (root / ".venv" / "recipe").write_bytes(b"\xff")
    assert not bootstrap.is_made(root)


@pytest.mark.parametrize(("user", "installs"), [(0, True), (1000, False)])
def test_root_installs_a_missing_venv_module_and_others_are_told_its_package(
    root: Path, monkeypatch: pytest.MonkeyPatch, user: int, installs: bool
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if installs:
        assert any(package in argv for argv in pretend(root))
    else:
        with pytest.raises(bootstrap.SetupFailed, match=package):
            pretend(root)


def test_an_old_python_is_refused_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer.* is 3\.9.*PYTHON="):
        bootstrap.main()


def test_a_failing_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(bootstrap.SetupFailed, match="no such index"):
        bootstrap._runner(log)(["sh", "-c", "echo no such index; exit 1"], {})
