"""The ways to run a hello that are compared: requests to the platform, and Docker with the profile's flags."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import docker

from infra.service import STACK_LABEL
from tools.measure.bench import flags
from tools.measure.bench.client import Client
from tools.measure.bench.flags import Inspected

HELLO: Mapping[str, tuple[str, ...]] = {
    "python": ("python3", "-u", "-c", 'print("hello")'),
    "python-data": ("python3", "-u", "-c", 'print("hello")'),
    "node": ("node", "-e", 'console.log("hello")'),
    "bash": ("bash", "-c", "echo hello"),
}
"""The command of a hello, by environment. Its last argument is the code."""
_SAID = "hello\n"
_SECONDS = 60


class Unanswered(Exception):
    """A hello had another output. The message tells which."""


class Way(Protocol):
    """Runs a hello."""

    @property
    def name(self) -> str:
        """Its name in the tables."""

    def hello(self, environment: str) -> None:
        """Run a hello and compare its output.

        Raises:
            Unanswered: the output is wrong.
            Lost: there was no answer.
        """


@dataclass(frozen=True)
class Requested:
    """A request to the platform, at one of its addresses."""

    name: str
    client: Client

    def hello(self, environment: str) -> None:
        """See `Way`."""
        answer = self.client.execute({"environment": environment, "code": HELLO[environment][-1]})
        if answer.status != 200 or answer.content["stdout"] != _SAID:
            raise Unanswered(f"{self.name} answers {answer.status}: {answer.body.decode(errors='replace')[:300]}")


class DockerRun:
    """`docker run --rm` on the command line, with the profile's flags.

    `sandboxes` are the results of inspecting one of each environment; `stack` is the value of the containers' label.
    """

    name = "docker run"

    def __init__(self, client: docker.DockerClient, sandboxes: Mapping[str, Inspected], stack: str) -> None:
        self._arguments = {}
        for environment, sandbox in sandboxes.items():
            program, *more = HELLO[environment]
            label = f"--label={STACK_LABEL}={stack}"
            options = [label, f"--entrypoint={program}", *flags.options(sandbox), *more]
            container = _docker("create", *options).strip()
            try:
                flags.check(client, container, sandbox)
            finally:
                client.api.remove_container(container)
            self._arguments[environment] = options

    def hello(self, environment: str) -> None:
        """See `Way`."""
        if (said := _docker("run", "--rm", *self._arguments[environment])) != _SAID:
            raise Unanswered(f"docker run said {said!r}")


class DockerSdk:
    """The docker package's create, start, wait, logs and remove, with the profile's flags."""

    name = "docker SDK"

    def __init__(self, client: docker.DockerClient, sandboxes: Mapping[str, Inspected], stack: str) -> None:
        self._api: Any = client.api  # one of the calls has no types
        self._bodies = {environment: _body(environment, it, stack) for environment, it in sandboxes.items()}

    def hello(self, environment: str) -> None:
        """See `Way`."""
        container = self._api.create_container_from_config(self._bodies[environment])["Id"]
        try:
            self._api.start(container)
            self._api.wait(container, timeout=_SECONDS)
            said: str = self._api.logs(container).decode(errors="replace")
        finally:
            self._api.remove_container(container, force=True)
        if said != _SAID:
            raise Unanswered(f"the docker SDK's logs are {said!r}")


def _body(environment: str, sandbox: Inspected, stack: str) -> dict[str, Any]:
    program, *more = HELLO[environment]
    return {
        **{key: sandbox["Config"][key] for key in ("Image", "User")},
        "Entrypoint": [program],
        "Cmd": more,
        "Labels": {STACK_LABEL: stack},
        "HostConfig": flags.host_config(sandbox),
    }


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise Unanswered(f"docker {arguments[0]} ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout
