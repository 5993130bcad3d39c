"""Packages for executions, from the packages service on its Unix socket, and POST /packages."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.api.clients import CLIENT
from app.api.executor_client import ExecutorClient
from app.api.operation import Document, json_answer
from app.environments import ENVIRONMENTS, canonical, described
from app.packages.settings import PackagesOptions
from app.process import correlation
from app.process.connection import while_connected
from app.wire.admission import parse
from app.wire.media import JSON
from app.wire.packages import (
    BESIDE_SECONDS,
    PAUSE_SECONDS,
    REPLACED_SECONDS,
    News,
    PackageSet,
    Prepared,
    Unprepared,
    Wanted,
)
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution, Message, Package, PackageName, Preparing
from app.wire.unix_http import UnixHttp, Unreachable

_log = logging.getLogger(__name__)

_QUICK_SECONDS = 5.0
_RETRY_SECONDS = 10
_NEWS: TypeAdapter[News] = TypeAdapter(News)


# The docstring is in the OpenAPI document.
class PackagesRequest(Message):
    """Packages that executions will ask for, prepared ahead. They are resolved with everything that they need, fetched
    and unpacked; an execution that then names the same packages starts at once. Of Python's only wheels are taken, and
    of npm's none with an install script, so that no code of a package runs outside of a sandbox.
    """

    environment: Annotated[str, AfterValidator(canonical)] = Field(max_length=64)
    packages: tuple[PackageName, ...] = Field(min_length=1, max_length=32)
    """As in `requests>=2.32` or, for Node, `date-fns@^3`."""


class PackageRules(Document):
    """What executions can ask for."""

    environments: tuple[str, ...]
    """The environments whose executions can have `packages`."""
    allow: tuple[str, ...]
    """Packages that may be asked for, npm's as in `npm:lodash`; empty for any."""
    deny: tuple[str, ...]
    """Packages that no set may hold."""
    most: int
    """Packages that one request may name."""
    set_mb: int
    """Size of a set when unpacked, in MB."""
    sets_per_hour: int
    """New sets an hour for one address."""


class Packages:
    """Has sets prepared by the service at `socket`. Without `options`, no execution has packages."""

    def __init__(self, options: PackagesOptions | None, socket: Path, executor: ExecutorClient) -> None:
        self._options = options
        self._http = UnixHttp(socket)
        self._executor = executor
        self._installed: dict[str, tuple[Package, ...]] = {}

    @property
    def rules(self) -> PackageRules | None:
        """What can be asked for; None: nothing."""
        if self._options is None:
            return None
        environments = tuple(name for name, environment in ENVIRONMENTS.items() if environment.index)
        given = self._options.model_dump(include=set(PackageRules.model_fields))
        return PackageRules(environments=environments, **given)

    async def ready(self, execution: Execution) -> None:
        """Return when the execution's packages are in the store, if it has any; or `Refused`."""
        async for _ in self.preparing(execution):
            pass

    async def preparing(self, execution: Execution) -> AsyncIterator[Preparing]:
        """The same, with the steps as they are taken."""
        if execution.packages:
            async for line in self._prepare(execution.home, execution.packages):
                if isinstance(line, Preparing):
                    yield line

    async def locked(self, request: Request, body: bytes) -> Response:
        """Answer POST /packages."""
        wanted = parse(PackagesRequest, body)
        environment = described(wanted.environment)
        home = (environment and environment.within) or wanted.environment
        return json_answer(await while_connected(request, self._set(home, wanted.packages)))

    async def metrics(self) -> bytes:
        """The service's metrics in Prometheus' text format; `Refused` when it is away."""
        try:
            return (await self._http.ask("GET", "/metrics", _QUICK_SECONDS, {})).body
        except Unreachable as error:
            raise _away() from error

    async def _set(self, environment: str, packages: tuple[str, ...]) -> PackageSet:
        async for line in self._prepare(environment, packages):
            if isinstance(line, PackageSet):
                found = line
        return found

    async def _prepare(self, environment: str, packages: tuple[str, ...]) -> AsyncIterator[Preparing | PackageSet]:
        if self._options is None:
            raise Refused(Code.PACKAGE_NOT_ALLOWED, "No packages can be asked for here: see GET /environments.")
        client = CLIENT.get()
        if client.key and not client.key.packages:
            raise Refused(Code.PACKAGE_NOT_ALLOWED, f"The key {client.key.name} is not for executions with packages.")
        wanted = Wanted(
            environment=environment,
            packages=packages,
            installed=await self._installed_in(environment),
            client=client.name,
        )
        seconds = self._options.seconds + BESIDE_SECONDS
        while True:
            news = await self._ask(wanted, seconds)
            if isinstance(news, Unprepared):
                raise Refused(news.problem.code, news.problem.detail, news.problem.retry_after)
            if isinstance(news, Prepared):
                yield news.set
                return
            yield news
            wanted = wanted.model_copy(update={"seen": news.step})

    async def _ask(self, wanted: Wanted, seconds: float) -> News:
        now = correlation.current.get()
        headers = {"Content-Type": JSON, **(now.headers if now else {})}
        end = time.monotonic() + REPLACED_SECONDS
        while True:
            # To ask twice prepares nothing twice.
            try:
                answer = await self._http.ask("POST", "/prepare", seconds, headers, wanted.model_dump_json().encode())
                return _NEWS.validate_json(answer.body)
            except (Unreachable, ValidationError) as error:
                if time.monotonic() > end:
                    _log.error("the packages service can't be reached: %r", error)
                    raise _away() from error
                await asyncio.sleep(PAUSE_SECONDS)

    async def _installed_in(self, environment: str) -> tuple[Package, ...]:
        """The packages of the environment's own, which the executor has found at its start."""
        if environment not in self._installed:
            for info in await self._executor.environments():
                self._installed[info.name] = info.packages
        return self._installed.get(environment, ())


def _away() -> Refused:
    return Refused(
        Code.PACKAGES_UNAVAILABLE,
        "Packages can't be prepared now. This is a fault of the platform: code without packages runs as ever.",
        _RETRY_SECONDS,
    )
