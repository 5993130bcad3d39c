"""`make rotate SECRET=dashboardPassword`: set a new password; only the services that read it are replaced.

Where the stack has services.openbao, OpenBao brings it to them first, and none is replaced.

The new password is written to the stack's config before a service gets it, and the old one stays in the state until the
new one is deployed. So an interrupted rotation loses neither, and the next one tries both.
"""

import argparse
import secrets

import httpx

from infra.config import NAMESPACE, SECRET_KEYS
from tools.commands.up import LocalStack, deployment
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import config, lock, openbao, passwords
from tools.stack.local_stack import PASSWORD_BYTES
from tools.stack.passwords import Address, Keeper
from tools.stack.pulumi_stack import PulumiStack
from tools.stack.server import Server

_EDGE = SECRET_KEYS["dashboard_password"]


class Rotation:
    """The change of the password with the key `key`, on a stack. `new` is the new password, once that has succeeded."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.new: str | None = None

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
            url = outputs.get("urls", {}).get(keeper.service)
            if url is None:
                raise StepFailed(f"{keeper.service} does not run in this stack.", "There is no password to change.")
            with passwords.client(url, outputs["passwords"][_EDGE], address) as client:
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


def steps(rotation: Rotation, chosen: LocalStack | Server) -> list[Step]:
    """The steps of `make up`, with the change of the password before the deployment."""

    def change(report: Report) -> str:
        said = rotation.change(chosen.stack, chosen.address, report)
        (name,) = [name for name, key in SECRET_KEYS.items() if key == rotation.key]
        openbao.give(chosen.stack.name, {name: str(rotation.new)}, report)
        return said

    *ready, deploy, wait = chosen.up_steps()
    return [*ready, Step("Password", change), deploy, wait]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=config.LOCAL)
    parser.add_argument("secret")


def run(options: argparse.Namespace, runner: Runner) -> None:
    known = [key.removeprefix(f"{NAMESPACE}:") for key in config.GENERATED]
    if options.secret not in known:
        raise StepFailed(f"{options.secret!r} is not a password of a stack.", f"Name one of {', '.join(known)}.")
    rotation = Rotation(options.secret)
    state = "is in the stack's config, and not yet deployed"
    with lock.exclusive(HOME, "make rotate") as held:
        try:
            runner.run(steps(rotation, deployment(options.stack, held)))
            state = "is deployed"
        finally:
            if rotation.new:
                runner.say(f"\nThe new password {state}: {rotation.new}")
