"""`make rotate SECRET=dashboardPassword`: another password for a stack; only what reads it is replaced.

The new one is in the stack's config before anybody else hears of it, and the former one in the state until it is
deployed. So a rotation that is cut off has lost neither, and the next one tries both.
"""

import argparse
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping

import httpx
from rich.text import Text

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
    """Steps around one that changes a password. `new` is there once that one did."""

    key: str
    new: str | None = None

    @abstractmethod
    def rotation_steps(self) -> list[Step]: ...

    def change(self, stack: PulumiStack, address: Address | None, report: Report) -> str:
        """Put a new password into the config, and before that is deployed into the service that keeps it.

        Services are reached at `address`, or where their URLs say.

        Raises:
            StepFailed: the service is away or did not take it; the message says which password holds.
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
        return f"{qualified} is another one"


class _NotTaken(StepFailed):
    """The service holds the password that it held before."""


def _client(keeper: Keeper, outputs: Mapping[str, Mapping[str, str]], address: Address | None) -> httpx.Client:
    url = outputs.get("urls", {}).get(keeper.service)
    if url is None:
        raise StepFailed(f"{keeper.service} does not run in this stack.", "There is no password to change.")
    return passwords.client(url, outputs["passwords"][_EDGE], address)


def _tell(keeper: Keeper, client: httpx.Client, known: list[str], new: str) -> None:
    try:
        if not any(keeper.change(client, old, new) for old in known):
            raise _NotTaken(
                f"{keeper.service} refuses the stack's password, so it took no new one.",
                "It was changed by hand: put that one into the stack first (pulumi config set --secret), then run this "
                "again.",
            )
    except (httpx.HTTPStatusError, httpx.ConnectError) as error:
        raise _NotTaken(
            f"{keeper.service} did not take a new password ({error}).",
            f"See that {client.base_url} answers, then run this again. Nothing was changed.",
        ) from error
    except httpx.HTTPError as error:
        raise StepFailed(
            f"{keeper.service} did not answer, and may have taken the new password ({error!r}).",
            "Run this again before anything else: it tries the new one, which is in the config, and the old one.",
        ) from error


class _LocalRotation(_Rotation, LocalStack):
    """The steps of `make up`, with another password in between."""

    def __init__(self, held: int, key: str) -> None:
        super().__init__(held)
        self.key = key

    def rotation_steps(self) -> list[Step]:
        *ready, deployment, waiting = self.up_steps()
        return [*ready, Step("Password", self._change), deployment, waiting]

    def _change(self, report: Report) -> str:
        return self.change(self.stack, self.stack.settings.edge.addresses[0], report)


class _ServerRotation(_Rotation):
    """What docs/DEPLOYMENT.md does by hand, with another password."""

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
        raise StepFailed(f"{options.secret!r} is no password of a stack.", f"Name one of {', '.join(known)}.")
    target.settings(options.stack)
    with lock.exclusive(HOME, "make rotate") as held:
        rotation = (
            _LocalRotation(held, options.secret)
            if options.stack == STACK
            else _ServerRotation(held, options.secret, options.stack)
        )
        results = runner.run(rotation.rotation_steps())
    if rotation.new:
        holds = "is in the stack's config, and not yet deployed" if results[-1].failure else "holds"
        runner.console.print(Text(f"\nThe new one {holds}: {rotation.new}"), soft_wrap=True)
    return EXIT_FAILED if results[-1].failure else 0
