"""The Model Context Protocol at /mcp, for agents: streamable HTTP without sessions, so any unit answers any request.

The SDK takes 24 MB of memory: server.py imports this module where `sandbox.mcp` is on.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.executions import Executions
from app.api.overview import Overview
from app.wire.admission import admit, longest_body, parse, read_body
from app.wire.problems import Code, Refused
from app.wire.protocol import EndOfInput, Execution, ExecutionResult, Output, Result, Status

_INSTRUCTIONS = (
    "Runs programs, each in a new sandbox that has no network and keeps nothing. list_environments tells which "
    "languages and libraries there are, and what `packages` can be asked for."
)
_ARGUMENTS = ("environment", "code", "files", "main", "stdin", "args", "timeout", "packages", "results")
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
"""The media type of a picture by the end of its name."""
_Context = ServerRequestContext[Any, Request]


def _run_code() -> Tool:
    schema = Execution.model_json_schema()
    schema["properties"] = {name: schema["properties"][name] for name in _ARGUMENTS}
    return Tool(
        name="run_code",
        description="Run a program and get its output, its exit code, its pictures and the files that it wrote to "
        "/tmp/results. It ends with the call: nothing of it is there for the next one.",
        input_schema={**schema, "additionalProperties": False},
        annotations=ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False),
    )


_LIST = Tool(
    name="list_environments",
    description="List the environments in which run_code can run programs, with their packages, and the limits.",
    input_schema={"type": "object", "properties": {}, "additionalProperties": False},
    annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
)


class Agents:
    """Answers POST /mcp. `running` must be entered before."""

    def __init__(self, executions: Executions, overview: Overview, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._executions = executions
        self._overview = overview
        self._tools = {tool.name: tool for tool in (_run_code(), _LIST)}
        server: Server[Any] = Server(
            "code-sandbox",
            instructions=_INSTRUCTIONS,
            get_tool_input_schema=lambda name: tool.input_schema if (tool := self._tools.get(name)) else None,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self._manager = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=longest_body(executions.profile)
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Serves while it is entered, which can be done once."""
        return self._manager.run()

    async def answer(self, request: Request) -> Response:
        """POST /mcp. A page or a key that is not allowed, or a body that no message has, gets a problem document.

        A page whose host's name was made to lead here (DNS rebinding) sends its Origin, which is not allowed either.
        """
        origin = request.headers.get("Origin")
        if origin is not None and not self._allowed(origin):
            raise Refused(Code.ORIGIN_NOT_ALLOWED, f"Pages of {origin} may not use this API.")
        self._executions.client(request)
        return _Exchange(self._manager, await read_body(request, self._executions.profile))

    async def _list_tools(self, _: _Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list(self._tools.values()))

    async def _call_tool(self, context: _Context, asked: CallToolRequestParams) -> CallToolResult:
        try:
            if asked.name == _LIST.name:
                found = await self._overview.found()
                return CallToolResult(
                    content=[TextContent(text=found.model_dump_json())],
                    structured_content=found.model_dump(mode="json"),
                )
            if asked.name not in self._tools:
                raise Refused(Code.INVALID_REQUEST, f"There is no tool {asked.name[:64]!r}.")
            return _told(await self._run(context, asked.arguments or {}))
        except Refused as refused:
            self._executions.metrics.refused(refused.problem.code)
            problem = refused.problem.model_dump(mode="json", exclude_none=True)
            return CallToolResult(
                content=[TextContent(text=json.dumps(problem))], structured_content=problem, is_error=True
            )

    async def _run(self, context: _Context, arguments: dict[str, Any]) -> ExecutionResult:
        assert context.request is not None  # noqa: S101 - the transport is HTTP
        await self._executions.admit(context.request)
        if unknown := sorted(set(arguments) - set(_ARGUMENTS)):
            raise Refused(Code.INVALID_REQUEST, f"{unknown[0][:64]}: run_code takes {', '.join(_ARGUMENTS)}.")
        execution = parse(Execution, json.dumps(arguments))
        admit(execution, self._executions.profile)
        await self._executions.packages.ready(execution)
        if not (context.meta or {}).get("progress_token"):
            return (await self._executions.run(execution)).message
        async with self._executions.stream(execution) as stream:
            await stream.send(EndOfInput())
            told = 0
            async for said in stream.events():
                match said.message:
                    case Output(data=data):
                        told += 1
                        await context.session.report_progress(told, message=data)
                    case Result() as result:
                        return result
        raise Refused(Code.EXECUTOR_UNAVAILABLE, "The execution ended without a result.")


class _Exchange(Response):
    """The SDK's answer to a request whose body was read."""

    def __init__(self, manager: StreamableHTTPSessionManager, content: bytes) -> None:
        super().__init__()
        self._manager = manager
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. The program ends when the client disconnects."""
        unread = [self._content]

        async def replay() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            return await receive()

        await self._manager.handle_request(scope, replay, send)


def _told(result: ExecutionResult) -> CallToolResult:
    """The output as text, pictures as such, and all but the pictures as JSON."""
    kinds = {file.name: _PICTURES.get(file.name.rpartition(".")[2].lower()) for file in result.files}
    content: list[ContentBlock] = [TextContent(text="".join(_lines(result)))]
    content += [ImageContent(data=file.content, mime_type=kind) for file in result.files if (kind := kinds[file.name])]
    files = tuple(file for file in result.files if not kinds[file.name])
    structured = result.model_copy(update={"files": files}).model_dump(mode="json", exclude={"type"})
    return CallToolResult(content=content, structured_content=structured)


def _lines(result: ExecutionResult) -> Iterable[str]:
    yield result.output
    if result.status is not Status.SUCCESS:
        yield f"\n[{result.status}] {result.error}"
    for warning in result.warnings:
        yield f"\n[warning] {warning}"
