"""Idempotency-Key: a request that is repeated within ten minutes gets the first answer, and is run once.

The header is draft-ietf-httpapi-idempotency-key-header's. Only answers are kept: what was refused is run when it is
repeated.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from limits.errors import StorageError
from starlette.requests import Request

from app.api.clients import CLIENT
from app.api.executions import Executions
from app.api.settings import IN_MEMORY
from app.api.shared_store import SharedStore
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

IDEMPOTENCY_KEY = "Idempotency-Key"

_log = logging.getLogger(__name__)

_SHAPE = re.compile(r'("?)([!#-\[\]-~]{1,255})\1')
"""The draft wants a string in quotes. Many clients leave them out."""
_KEPT_SECONDS = 600
_CLAIM_SECONDS = 180
"""Longer than any execution takes, with its wait for a sandbox. The claim of a process that died ends then."""
_WAIT_SECONDS = 50
"""For the answer of an execution that still runs. The edge answers 504 after 60 s."""
_POLL_SECONDS = 0.05
_RETRY_SECONDS = 5
_OVERHEAD = 1024
"""Bytes beside an answer that keeping it takes, at most. This bounds their number, too."""
_MB = 1024 * 1024
_PREFIX = "vps:repeats:"


class AnswerStore(Protocol):
    """Claims of requests that run, and their values when they have ended. `StorageError` when it is unavailable."""

    async def claim(self, key: str, value: bytes) -> bytes | None:
        """The value of this key. Without one, it becomes `value`, and None is returned."""

    async def keep(self, key: str, value: bytes) -> None:
        """Replace a claim by what is kept for _KEPT_SECONDS, unless newer ones need the memory before."""

    async def release(self, key: str) -> None:
        """Forget a claim."""


class MemoryAnswers:
    """In this process's memory: at most `most` bytes of answers."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._claims: dict[str, bytes] = {}
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    async def claim(self, key: str, value: bytes) -> bytes | None:
        """See `AnswerStore`."""
        self._forget()
        found = self._claims.get(key) or self._kept.get(key, (0, None))[1]
        if found is None:
            self._claims[key] = value
        return found

    async def keep(self, key: str, value: bytes) -> None:
        """See `AnswerStore`."""
        del self._claims[key]
        self._kept[key] = self._clock() + _KEPT_SECONDS, value
        self._bytes += len(value) + _OVERHEAD
        self._forget()

    async def release(self, key: str) -> None:
        """See `AnswerStore`."""
        del self._claims[key]

    def _forget(self) -> None:
        while self._kept:
            ends, value = next(iter(self._kept.values()))
            if self._bytes <= self._most and ends > self._clock():
                break
            self._kept.popitem(last=False)
            self._bytes -= len(value) + _OVERHEAD


_KEEP = Path(__file__).with_suffix(".lua").read_text()
"""What `keep` does, in one step."""


class ValkeyAnswers:
    """In a Valkey that the units share: at most `most` bytes of answers."""

    def __init__(self, url: str, most: int) -> None:
        self._most = most
        self._store = SharedStore(url)
        self._keep = self._store.client.register_script(_KEEP)

    async def claim(self, key: str, value: bytes) -> bytes | None:
        """See `AnswerStore`."""
        async with self._store.available():
            found: bytes | None = await self._store.client.set(
                _PREFIX + key, value, nx=True, get=True, ex=_CLAIM_SECONDS
            )
        return found

    async def keep(self, key: str, value: bytes) -> None:
        """See `AnswerStore`."""
        async with self._store.available():
            keys = (_PREFIX + key, f"{_PREFIX}kept", f"{_PREFIX}bytes")
            await self._keep(keys, (value, _KEPT_SECONDS, len(value) + _OVERHEAD, self._most))

    async def release(self, key: str) -> None:
        """See `AnswerStore`."""
        async with self._store.available():
            await self._store.client.delete(_PREFIX + key)


def answer_store(url: str, most_mb: int) -> AnswerStore:
    """The store of a URL, as of `rate_limit_store`, for at most so many MB of answers."""
    return MemoryAnswers(most_mb * _MB) if url == IN_MEMORY else ValkeyAnswers(url, most_mb * _MB)


# Runs executions. The docstring is in the OpenAPI document.
class Repeats:
    """With an `Idempotency-Key`, a request that the same client repeats within ten minutes gets the first answer as
    JSON, and its code is run once, also when both arrive at once or the first connection breaks. A client is an address
    or, with a key of servers, the site. Refusals are not kept, and the oldest answers go when memory is short. Repeated
    requests count against the rate limit.
    """

    def __init__(self, executions: Executions, store: AnswerStore) -> None:
        self._executions = executions
        self._store = store
        self._running: set[asyncio.Task[bytes | Refused]] = set()

    async def answer(self, request: Request, execution: Execution) -> bytes:
        """The result's JSON, or `Refused`.

        Without a key, the execution is cancelled when its client disconnects. With one it goes on: the client may
        repeat the request because its connection broke.
        """
        key = _key(request)
        if key is None:
            return (await self._executions.run(execution)).json
        fingerprint = hashlib.sha256(execution.model_dump_json().encode()).digest()
        deadline = time.monotonic() + _WAIT_SECONDS
        while (found := await self._claim(key, fingerprint)) == fingerprint:
            if time.monotonic() > deadline:
                raise Refused(
                    Code.IDEMPOTENCY_KEY_IN_USE, "The first request with this key still runs.", _RETRY_SECONDS
                )
            await asyncio.sleep(_POLL_SECONDS)
        if found is None:
            task = asyncio.create_task(self._run(key, fingerprint, execution))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            if isinstance(said := await asyncio.shield(task), Refused):
                raise said
            return said
        if not found.startswith(fingerprint):
            detail = (
                f"Another request had this {IDEMPOTENCY_KEY} within ten minutes: give each request a key of its own."
            )
            raise Refused(Code.IDEMPOTENCY_KEY_REUSED, detail)
        self._executions.metrics.repeats.inc()
        return found.removeprefix(fingerprint)

    async def _claim(self, key: str, fingerprint: bytes) -> bytes | None:
        try:
            return await self._store.claim(key, fingerprint)
        except StorageError as error:
            detail = f"{IDEMPOTENCY_KEY} has no effect now. This is a fault of the platform: try again later."
            raise Refused(Code.RATE_STORE_UNAVAILABLE, detail, _RETRY_SECONDS) from error

    async def _run(self, key: str, fingerprint: bytes, execution: Execution) -> bytes | Refused:
        said = None
        try:
            said = (await self._executions.run(execution)).json
        except Refused as refused:
            return refused
        finally:
            try:
                await (self._store.release(key) if said is None else self._store.keep(key, fingerprint + said))
            except StorageError as error:
                _log.error("an answer could not be kept for its %s: %s", IDEMPOTENCY_KEY, error)
        return said


def without_key(request: Request) -> None:
    """Raise `Refused` when a request has a key whose answer can't be kept."""
    if IDEMPOTENCY_KEY in request.headers:
        raise Refused(Code.INVALID_REQUEST, f"{IDEMPOTENCY_KEY}: only the answer of /execute as JSON can be repeated.")


def _key(request: Request) -> str | None:
    """The key in the store, of its client alone: the hash of the client's name and the header. None without one."""
    if IDEMPOTENCY_KEY not in request.headers:
        return None
    given = ",".join(request.headers.getlist(IDEMPOTENCY_KEY))
    if (found := _SHAPE.fullmatch(given)) is None:
        detail = f'{IDEMPOTENCY_KEY}: it has 1 to 255 visible characters, as in "8e03978e-40d5-43dd-bc93-6894a57f9324".'
        raise Refused(Code.INVALID_REQUEST, detail)
    return hashlib.sha256(f"{CLIENT.get().name}\n{found[2]}".encode()).hexdigest()
