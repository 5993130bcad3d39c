"""The way to a VPS's engine, with a program in ssh's place."""

from pathlib import Path

import httpx
import pytest

from infra.settings import Host
from tools.console.steps import Report
from tools.machine import docker_tunnel

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
SSH = """#!/bin/sh
printf '%s\\n' "$@" >"$ARGUMENTS"
read -r asked
echo "no route" >&2
printf 'HTTP/1.1 200 OK\\r\\nContent-Length: %s\\r\\nConnection: close\\r\\n\\r\\n%s' "${#asked}" "$asked"
"""


@pytest.fixture
def host() -> Host:
    return Host.model_validate(
        {
            "ssh": {"address": "vps.example.com", "port": 2222, "host_key": KEY},
            "firewall": {"ssh_sources": ["192.0.2.0/24"]},
            "deploy_keys": [KEY],
        }
    )


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which the program writes its arguments and environment."""
    program = tmp_path / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ARGUMENTS", str(tmp_path / "arguments"))
    return tmp_path / "arguments"


def test_each_connection_runs_ssh_as_the_deploy_user(host: Host, report: Report, arguments: Path) -> None:
    with docker_tunnel.engine(host, report) as url:
        place = Path(url.removeprefix("unix://"))
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place))) as client:
            for path in ("/a", "/b"):
                assert client.get(f"http://engine{path}").text.startswith(f"GET {path} HTTP/1.1")
    given = arguments.read_text().splitlines()
    assert given[-3:] == ["2222", "deploy@vps.example.com", "docker system dial-stdio"]
    assert {"StrictHostKeyChecking=yes", f"KnownHostsCommand=/bin/echo %H {KEY}"} <= set(given)
    assert "no route" in report.log.read_text()
    assert not place.parent.exists()


def test_other_users_cannot_use_the_socket(host: Host, report: Report) -> None:
    with docker_tunnel.engine(host, report) as url:
        assert Path(url.removeprefix("unix://")).parent.stat().st_mode & 0o077 == 0
