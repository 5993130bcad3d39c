"""`make rotate SECRET=dashboardPassword`: another password for the local stack; only what reads it is replaced."""

import argparse
import secrets
from ipaddress import IPv4Address, IPv6Address

import httpx
from rich.text import Text

from infra.edge import USER
from infra.settings import NAMESPACE
from tools import lock, stack_config
from tools.commands.up import LocalStack
from tools.paths import HOME
from tools.stack import PASSWORD_BYTES
from tools.steps import EXIT_FAILED, Report, Runner, Step, StepFailed

_SECONDS_TO_ANSWER = 20
_OUT_OF_REACH = {
    "portainerPassword": "Portainer keeps its password in its data, where only its own page changes it: change it "
    f"there, then put the same into the stack with `pulumi config set --secret {NAMESPACE}:portainerPassword`."
}


class _Rotation(LocalStack):
    """The steps of `make up` with another password in between."""

    def __init__(self, held: int, key: str) -> None:
        super().__init__(held)
        self.key = key

    def rotation_steps(self) -> list[Step]:
        *ready, deployment, health = self.up_steps()
        return [*ready, Step("Password", self._change), deployment, health]

    def _change(self, report: Report) -> str:
        qualified = f"{NAMESPACE}:{self.key}"
        new = secrets.token_urlsafe(PASSWORD_BYTES)
        if self.key == "grafanaPassword":
            url = self.stack.outputs(report)["urls"]["grafana"]
            with grafana(url, self.stack.settings.edge.addresses[0]) as client:
                change_grafana(client, self.stack.secret(qualified, report), new)
        self.stack.set_secret(qualified, new, report)
        return f"{qualified} is another one"


def grafana(url: str, address: IPv4Address | IPv6Address) -> httpx.Client:
    """A client of Grafana through the edge of this machine, which needs no name resolved."""
    asked = httpx.URL(url)
    return httpx.Client(
        base_url=asked.copy_with(host=str(address)),
        headers={"host": asked.netloc.decode()},
        timeout=_SECONDS_TO_ANSWER,
        trust_env=False,
    )


def change_grafana(client: httpx.Client, old: str, new: str) -> None:
    """Grafana keeps the password in its data and reads the configured one only at its very first start.

    Raises:
        StepFailed: it did not take the new one; the old one still holds.
    """
    body = {"oldPassword": old, "newPassword": new, "confirmNew": new}
    try:
        client.put("/api/user/password", json=body, auth=(USER, old)).raise_for_status()
    except httpx.HTTPError as error:
        raise StepFailed(
            f"Grafana did not take a new password ({error}).",
            f"See that it runs (`make status`). If its password was changed by hand, put that into the stack first: "
            f"pulumi config set --secret {NAMESPACE}:grafanaPassword",
        ) from error


def run(options: argparse.Namespace, runner: Runner) -> int:
    known = [key.removeprefix(f"{NAMESPACE}:") for key in stack_config.GENERATED]
    if options.secret not in known:
        raise StepFailed(f"{options.secret!r} is no password of a stack.", f"Name one of {', '.join(known)}.")
    if reason := _OUT_OF_REACH.get(options.secret):
        raise StepFailed(f"{options.secret} can't be changed from here.", reason)
    with lock.exclusive(HOME, "make rotate") as held:
        rotation = _Rotation(held, options.secret)
        results = runner.run(rotation.rotation_steps())
    if results[-1].failure:
        return EXIT_FAILED
    runner.console.print(Text(f"\nThe new one: {rotation.outputs['passwords'][options.secret]}"), soft_wrap=True)
    return 0
