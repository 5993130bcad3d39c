"""Docker restarts while code runs, as for an upgrade. With live-restore its containers go on, and need no Docker."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sandbox import executor
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform
from tools.build import images
from tools.console.steps import Report
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine
from tools.machine.own_docker import OwnDocker

ENVIRONMENT = "bash"
LINES = 40
COUNT = f"for i in $(seq {LINES}); do echo $i; sleep 0.5; done"


@pytest.fixture
def own(report: Report, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnDocker]:
    """A Docker that may be restarted, with the executor's image of one environment: the whole takes minutes to copy."""
    machines = DockerEngine(docker_engine.configured_url())
    image = images.ensure(machines, [ENVIRONMENT], report).references["executor"]
    monkeypatch.setenv(executor.IMAGE, image)
    with contextlib.closing(OwnDocker(live_restore=True)) as own:
        own.start()
        own.take_images(machines, [image])
        yield own


def test_code_runs_on_while_docker_restarts(own: OwnDocker, tmp_path: Path) -> None:
    platform = Platform(Host(own.engine), "vps-test-executor", [ENVIRONMENT], tmp_path / "platform")
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as at_the_end:
        at_the_end.callback(platform.stop)
        platform.start()
        run = pool.submit(platform.run, ENVIRONMENT, COUNT, timeout=30)
        platform.wait_for_run()
        own.stop()
        for _ in range(5):
            assert platform.run(ENVIRONMENT, "echo hello")["output"] == "hello\n"
        own.start()
        assert not run.done()
        answer = run.result()
        assert answer["output"].split() == [str(number + 1) for number in range(LINES)]
        assert answer["status"] == "success"
        platform.wait_until_idle()
