"""A tour of the API: the calls, and the answers that are expected."""

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import yaml

from tools.client.agent import run_code
from tools.client.calls import Body, Client, Unexpected

_PACKAGES = (
    ("python", "", "six", "import importlib.metadata; importlib.metadata.metadata({!r})"),
    ("node", "npm:", "is-number", "require.resolve({!r})"),
)
"""Environments that take packages, what is before their names in the list of allowed ones, one that the index has, and
code that fails without it."""
QUESTION = "name = input('Who are you? ')\nprint(f'Hello, {name}!')"


def expect(body: Body, **fields: object) -> None:
    """Compare an answer's fields with the expected values.

    Raises:
        Unexpected: one of them differs.
    """
    for name, value in fields.items():
        if body.get(name) != value:
            raise Unexpected(f"{name} is {body.get(name)!r} and should be {value!r}")


async def _health(client: Client) -> None:
    expect(await client.get("/health"), status="ok")


async def _hello(client: Client) -> None:
    for served in (await client.get("/environments"))["environments"]:
        request = {"environment": served["name"], "code": served["example"]}
        expect(await client.execute(request), status="success", exit_code=0)


async def _execution(request: Body, answer: Body, client: Client) -> None:
    expect(await client.execute(request), **answer)


async def _stream(client: Client) -> None:
    async def lines() -> AsyncIterator[str]:
        yield "Ada\n"

    result = await client.stream({"environment": "python", "code": QUESTION}, lines())
    expect(result, type="result", output="Who are you? Hello, Ada!\n")


async def _batch(client: Client) -> None:
    request = {"environment": "python", "code": "print(int(input()) ** 2)"}
    answers = await client.batch({**request, "inputs": [{"stdin": "3"}, {"stdin": "4"}]})
    for answer, output in zip(answers, ("9\n", "16\n"), strict=True):
        expect(answer.get("result", answer), output=output)


async def _packages(client: Client) -> None:
    known = await client.get("/environments")
    if known["packages"] is None:  # the operator has not switched them on
        return
    served = {environment["name"] for environment in known["environments"]}
    for environment, prefix, usual, code in _PACKAGES:
        allowed = known["packages"]["allow"] or [f"{prefix}{usual}"]
        names = [name.removeprefix(prefix) for name in allowed if name.startswith("npm:") == bool(prefix)]
        if environment in served and names:
            request = {"environment": environment, "packages": names[:1]}
            locked = (await client.packages(request)).get("packages", ())
            if names[0] not in {package["name"] for package in locked}:
                raise Unexpected(f"{names[0]} is not in the list of what is locked")
            expect(await client.execute({**request, "code": code.format(names[0])}), status="success")


async def _room(client: Client) -> None:
    if not (await client.get("/environments"))["rooms"]:  # the operator has not switched them on
        return
    result = await client.run_room(await client.post("/rooms", {"environment": "python"}))
    expect(result, type="result", output="Hello, World!\n")


async def _repeated(client: Client) -> None:
    request = {"environment": "python", "code": "import random; print(random.random())"}
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = await client.execute(request, **key)
    expect(await client.execute(request, **key), execution_id=first["execution_id"], output=first["output"])


async def _agent(client: Client) -> None:
    """Where the operator has switched it on."""
    body, headers = run_code({"environment": "python", "code": "print('Hello, agent!')"})
    answer = await client.post("/mcp", json.loads(body), **headers)
    if answer.get("code") != "not_found":
        expect(answer["result"]["structuredContent"], output="Hello, agent!\n")


async def _wrong_key(client: Client) -> None:
    request = {"environment": "python", "code": "print(1)"}
    expect(await client.execute(request, Authorization="Bearer vps_of-nobody"), code="unknown_key", status=401)


async def _stats(client: Client) -> None:
    if not (await client.get("/stats"))["executions"]:
        raise Unexpected("no execution was counted")


_EXECUTIONS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
TOUR: Mapping[str, Callable[[Client], Awaitable[None]]] = {
    "Is it well?": _health,
    "What can run, and a hello in each environment": _hello,
    "Streaming, and an answer to a question": _stream,
    **{it["title"]: partial(_execution, it["request"], it["answer"]) for it in _EXECUTIONS},
    "One program, two inputs": _batch,
    "Packages, where they are on": _packages,
    "A room in which several edit and run, where they are on": _room,
    "A request that is repeated with its key runs once": _repeated,
    "A key that the operator did not give": _wrong_key,
    "A program of an agent, by the Model Context Protocol": _agent,
    "What happened so far": _stats,
}
"""The calls by what each shows, in order."""
