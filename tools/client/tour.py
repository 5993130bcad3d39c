"""A tour of the API: the calls, and the answers that are expected."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from tools.client.calls import Body, Client, Unexpected

QUESTION = "name = input('Who are you? ')\nprint(f'Hello, {name}!')"
ENDLESS = "print('begun')\nwhile True: pass"


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


async def _files(client: Client) -> None:
    files = [
        {"name": "main.py", "content": "import greeting, sys\nprint(greeting.of(sys.argv[1], input()))"},
        {"name": "greeting.py", "content": "def of(*names): return 'Hello, ' + ' and '.join(names)"},
    ]
    request = {"environment": "python", "files": files, "args": ["Ada"], "stdin": "Grace\n"}
    expect(await client.execute(request), output="Hello, Ada and Grace\n")


async def _results(client: Client) -> None:
    code = "open('/tmp/results/answer.txt', 'w').write('42')"
    result = await client.execute({"environment": "python", "code": code, "results": ["*.txt"]})
    expect(result["files"][0], name="answer.txt", content="NDI=")


async def _stream(client: Client) -> None:
    async def lines() -> AsyncIterator[str]:
        yield "Ada\n"

    result = await client.stream({"environment": "python", "code": QUESTION}, lines())
    expect(result, type="result", output="Who are you? Hello, Ada!\n")


async def _failure(client: Client) -> None:
    expect(await client.execute({"environment": "bash", "code": "echo oops >&2; exit 3"}), status="error", exit_code=3)


async def _timeout(client: Client) -> None:
    expect(await client.execute({"environment": "python", "code": ENDLESS, "timeout": 1}), status="timeout")


async def _refusal(client: Client) -> None:
    expect(await client.execute({"environment": "cobol", "code": "DISPLAY 1"}), code="unknown_environment", status=400)


async def _stats(client: Client) -> None:
    if not (await client.get("/stats"))["executions"]:
        raise Unexpected("no execution was counted")


TOUR: Mapping[str, Callable[[Client], Awaitable[None]]] = {
    "Is it well?": _health,
    "What can run, and a hello in each environment": _hello,
    "Several files, arguments, standard input": _files,
    "A file that comes back": _results,
    "Streaming, and an answer to a question": _stream,
    "Code that fails is an answer, not an error of the API": _failure,
    "A limit that is hit: time": _timeout,
    "A request that is refused, as a problem document": _refusal,
    "What happened so far": _stats,
}
"""The calls by what each shows, in order."""
