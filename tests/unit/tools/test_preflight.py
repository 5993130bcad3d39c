import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.settings import PlatformSettings
from tools.console.steps import StepFailed
from tools.machine import preflight
from tools.stack import config

TEMPLATE = Path("Pulumi.local.yaml")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings(port: int, **edge: str) -> PlatformSettings:
    return config.settings("local", {"name": "vps-trial", "edge": {"http_port": port, **edge}}, "trial")


def engine(port: int, stack: str) -> Any:
    container = SimpleNamespace(
        attrs={"Ports": [{"PublicPort": port}], "Labels": {"vps.stack": stack}, "Names": ["/somebody"]}
    )
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda sparse: [container]))
    return SimpleNamespace(client=lambda: client)


def test_a_taken_port_names_the_process_and_the_setting(taken: int) -> None:
    with pytest.raises(StepFailed, match=rf"Port {taken} is taken by .* \(process {os.getpid()}\)") as caught:
        preflight.check_port(settings(taken), None, TEMPLATE)
    assert "Pulumi.local.yaml" in caught.value.fix
    assert "http_port" in caught.value.fix


def test_a_port_taken_by_another_container_names_that(taken: int) -> None:
    with pytest.raises(StepFailed, match="the container somebody"):
        preflight.check_port(settings(taken), engine(taken, "other"), TEMPLATE)


def test_a_port_of_this_stacks_edge_is_accepted(taken: int) -> None:
    preflight.check_port(settings(taken), engine(taken, "vps-trial"), TEMPLATE)


def test_a_free_port_is_accepted(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    preflight.check_port(settings(port), None, TEMPLATE)


def test_a_port_is_checked_on_each_address() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        preflight.check_port(settings(port), None, TEMPLATE)
        with pytest.raises(StepFailed, match=f"Port {port} is taken"):
            preflight.check_port(settings(port, ipv6="::1"), None, TEMPLATE)


def test_a_nearly_full_disk_names_the_folder_and_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=rf"{tmp_path} is nearly full: .* MB free, 1125899906842624 MB needed"):
        preflight.check_disk([tmp_path], minimum=1024**7)


def test_the_free_space_of_a_disk_is_returned(tmp_path: Path) -> None:
    assert preflight.check_disk([tmp_path], minimum=1) > 1
