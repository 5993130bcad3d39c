"""The requests of the soak test, and the answers that are right."""

import random
import secrets
from dataclasses import dataclass

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
    ends: frozenset[str]
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


_STOPPED = frozenset({"timeout", "process_limit", "memory_limit", KILLED, "error"})
_SURVIVED = frozenset({"success"})
_FLOODED = frozenset({"output_limit"})
_TIMED_OUT = frozenset({"timeout"})
_NO_MEMORY = frozenset({"memory_limit", "error"})
_ALIVE = "alive\n"

_PYTHON_FORKS = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
_PYTHON_DEAF = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
"""
_PYTHON_KILLS = """
import os, signal
for number in {*range(1, 65)} - {signal.SIGINT, signal.SIGTERM}:  # PID 1 passes these on
    try:
        os.kill(1, number)
    except OSError:
        pass
print("alive")
"""

ATTACKS = (
    Visit("fork bomb", "python", _PYTHON_FORKS, _STOPPED, timeout=2),
    Visit("memory bomb", "python", "x = []\nwhile True: x.append(b'x' * (1 << 20))", _NO_MEMORY, timeout=10),
    Visit("endless loop", "python", _PYTHON_DEAF, _TIMED_OUT, timeout=1),
    Visit("output flood", "python", "while True: print('x' * 1000)", _FLOODED, timeout=10),
    Visit("kill PID 1", "python", _PYTHON_KILLS, _SURVIVED, timeout=10, says=_ALIVE),
    Visit("memory bomb", "node", "const x = []; for (;;) x.push(Buffer.alloc(1 << 20, 1))", _NO_MEMORY, timeout=10),
    Visit("endless loop", "node", "for (;;);", _TIMED_OUT, timeout=1),
    Visit("output flood", "node", 'for (;;) require("fs").writeSync(1, "x".repeat(1000))', _FLOODED, timeout=10),
    Visit(
        "kill PID 1",
        "node",
        'try { process.kill(1, "SIGKILL") } catch {}\nconsole.log("alive")',
        _SURVIVED,
        timeout=10,
        says=_ALIVE,
    ),
    Visit("fork bomb", "bash", "f() { f | f & f; }\nf", _STOPPED, timeout=2),
    Visit("endless loop", "bash", "trap '' INT TERM\nwhile :; do :; done", _TIMED_OUT, timeout=1),
    Visit("output flood", "bash", "yes", _FLOODED, timeout=10),
    Visit("kill PID 1", "bash", "kill -9 1; kill -HUP 1\necho alive", _SURVIVED, timeout=10, says=_ALIVE),
)


def visit(environments: tuple[str, ...], chance: random.Random) -> Visit:
    """A random request: mostly a program that prints a unique word, which must be the output; else an attack."""
    if chance.random() < HOSTILE_SHARE:
        return chance.choice([it for it in ATTACKS if it.environment in environments])
    shares = [_SHARES.get(it, _USUAL_SHARE) for it in environments]
    (environment,) = chance.choices(environments, shares)
    token = secrets.token_hex(8)
    code = ENVIRONMENTS[environment].hello.replace(_GREETING, token)
    return Visit("hello", environment, code, _SURVIVED, token)
