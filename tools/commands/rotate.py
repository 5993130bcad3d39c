"""`make rotate SECRET=dashboardPassword`: set a new password; only the services that read it are replaced.

The new password is written to the stack's config before a service gets it, and the old one stays in the state until the
new one is deployed. So an interrupted rotation loses neither, and the next one tries both.
"""

import argparse
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping

import httpx

from infra.config import NAMESPACE, SECRET_KEYS
from tools.commands.up import STACK, LocalStack
from tools.console.steps import EXIT_FAILED, Report, Runner, Step, StepFailed
from tools.machine import pulumi_toolchain as toolchains
from tools.machine.pulumi_toolchain import Toolchain
from tools.paths import HOME
from tools.stack import config, health, lock, passwords, target
from tools.stack.local_stack import PASSWORD_BYTES
from tools.stack.passwords import Address, Keeper
from tools.stack.pulumi_stack import PulumiStack
from tools.stack.server_stack import ServerStack

_EDGE = SECRET_KEYS["dashboard_password"]


class _Rotation(ABC):
    """The steps of a rotation. `new` is the new password, once the step that changes it has succeeded."""

    key: str
    new: str | None = None

    @abstractmethod
    def rotation_steps(self) -> list[Step]: ...

    def change(self, stack: PulumiStack, address: Address | None, report: Report) -> str:
        """Write a new password to the config, and set it in the service that stores it, if one does.

        The service is reached at `address`, or else at its URL.

        Raises:
            StepFailed: the service does not answer or refuses; the message says which password is valid.
        """
        qualified = f"{NAMESPACE}:{self.key}"
        new = secrets.token_urlsafe(PASSWORD_BYTES)
        keeper = passwords.KEEPERS.get(self.key)
        if keeper is None:
            stack.set_secret(qualified, new, report)
        else:
            outputs = stack.outputs(report, show_secrets=True)
            with _client(keeper, outputs, address) as client:
                former = stack.secret(qualified, report)
                known = dict.fromkeys((former, outputs["passwords"].get(self.key, former)))
                stack.set_secret(qualified, new, report)
                try:
                    _tell(keeper, client, list(known), new)
                except _NotTaken:
                    stack.set_secret(qualified, former, report)
                    raise
        self.new = new
        return f"{qualified} has a new value"


class _NotTaken(StepFailed):
    """The service has kept its old password."""


def _client(keeper: Keeper, outputs: Mapping[str, Mapping[str, str]], address: Address | None) -> httpx.Client:
    url = outputs.get("urls", {}).get(keeper.service)
    if url is None:
        raise StepFailed(f"{keeper.service} does not run in this stack.", "There is no password to change.")
    return passwords.client(url, outputs["passwords"][_EDGE], address)


def _tell(keeper: Keeper, client: httpx.Client, known: list[str], new: str) -> None:
    try:
        if not any(keeper.change(client, old, new) for old in known):
            raise _NotTaken(
                f"{keeper.service} refuses the stack's password, so its password was not changed.",
                "Someone changed it by hand: set it in the stack first (pulumi config set --secret), then run this "
                "again.",
            )
    except (httpx.HTTPStatusError, httpx.ConnectError) as error:
        raise _NotTaken(
            f"{keeper.service} did not accept a new password ({error}).",
            f"Make sure that {client.base_url} answers, then run this again. Nothing was changed.",
        ) from error
    except httpx.HTTPError as error:
        raise StepFailed(
            f"{keeper.service} did not answer, and may have taken the new password ({error!r}).",
            "Run this again before anything else: it tries the new one, which is in the config, and the old one.",
        ) from error


class _LocalRotation(_Rotation, LocalStack):
    """The steps of `make up`, with the change of the password before the deployment."""

    def __init__(self, held: int, key: str) -> None:
        super().__init__(held)
        self.key = key

    def rotation_steps(self) -> list[Step]:
        *ready, deployment, waiting = self.up_steps()
        return [*ready, Step("Password", self._change), deployment, waiting]

    def _change(self, report: Report) -> str:
        return self.change(self.stack, self.stack.settings.edge.addresses[0], report)


class _ServerRotation(_Rotation):
    """The steps that docs/DEPLOYMENT.md describes, with the change of the password."""

    toolchain: Toolchain

    def __init__(self, held: int, key: str, name: str) -> None:
        self.key = key
        self._held = held
        self._name = name

    def rotation_steps(self) -> list[Step]:
        return [
            Step("Pulumi", self._find_toolchain),
            Step("Password", self._change),
            Step("Deployment", self._deploy),
            Step("Health", self._wait),
        ]

    @property
    def _stack(self) -> ServerStack:
        return ServerStack(self.toolchain, self._name, held=(self._held,))

    def _find_toolchain(self, report: Report) -> str:
        self.toolchain = toolchains.ensure(report)
        return f"{self.toolchain.version}, {self.toolchain.origin}"

    def _change(self, report: Report) -> str:
        return self.change(self._stack, None, report)

    def _deploy(self, report: Report) -> str:
        self._stack.up(report)
        return "done"

    def _wait(self, report: Report) -> str:
        with target.reached(self._name, report) as found:
            return health.wait(found.engine, found.prefix, None, report)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="local")
    parser.add_argument("secret")


def run(options: argparse.Namespace, runner: Runner) -> int:
    known = [key.removeprefix(f"{NAMESPACE}:") for key in config.GENERATED]
    if options.secret not in known:
        raise StepFailed(f"{options.secret!r} is not a password of a stack.", f"Name one of {', '.join(known)}.")
    target.settings(options.stack)
    with lock.exclusive(HOME, "make rotate") as held:
        rotation = (
            _LocalRotation(held, options.secret)
            if options.stack == STACK
            else _ServerRotation(held, options.secret, options.stack)
        )
        results = runner.run(rotation.rotation_steps())
    if rotation.new:
        state = "is in the stack's config, and not yet deployed" if results[-1].failure else "is deployed"
        runner.say(f"\nThe new password {state}: {rotation.new}")
    return EXIT_FAILED if results[-1].failure else 0
