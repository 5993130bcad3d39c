"""The requests of the soak test, and the answers that are right."""

import random
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from app.environments import ENVIRONMENTS
from tools.measure.bench.client import Answer

KILLED = "killed"
"""The status of an execution that ended together with the executor."""
HOSTILE_SHARE = 0.05
_SHARES = {"python-data": 1}
_USUAL_SHARE = 4
"""The relative frequency of an environment. A sandbox of python-data takes as much CPU as seven others: with equal
shares, 10,000 executions take 45 minutes on two cores."""

_GREETING = "Hello, World!"


@dataclass(frozen=True)
class Visit:
    """A program that a visitor runs, and the statuses that are right. `says` must be in its output, if given.

    `timeout` is in seconds; None for the profile's.
    """

    what: str
    environment: str
    code: str
    ends: Collection[str]
    says: str | None = None
    timeout: float | None = None

    @property
    def name(self) -> str:
        return f"{self.environment} {self.what}"

    @property
    def body(self) -> dict[str, object]:
        """The request. A `timeout` that is null is the same as none."""
        return {"environment": self.environment, "code": self.code, "timeout": self.timeout}

    def fault(self, answer: Answer) -> str | None:
        """What is wrong with an answer; None if it is right."""
        result = answer.content
        if result["status"] not in self.ends:
            return f"{self.name} ended with {result['status']}: {result['error']} {result['output'][-200:]!r}"
        if self.says is not None and self.says not in result["stdout"]:
            return f"{self.name} said {result['stdout'][:200]!r}, not {self.says!r}"
        return None


ATTACKS = tuple(Visit(**attack) for attack in yaml.safe_load(Path(__file__).with_name("attacks.yaml").read_text()))


def visit(environments: tuple[str, ...], chance: random.Random) -> Visit:
    """A random request: mostly a program that prints a unique word, which must be the output; else an attack."""
    if chance.random() < HOSTILE_SHARE:
        return chance.choice([it for it in ATTACKS if it.environment in environments])
    shares = [_SHARES.get(it, _USUAL_SHARE) for it in environments]
    (environment,) = chance.choices(environments, shares)
    token = secrets.token_hex(8)
    code = ENVIRONMENTS[environment].hello.replace(_GREETING, token)
    return Visit("hello", environment, code, ("success",), token)
