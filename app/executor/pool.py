"""The pool: sandboxes that are made ahead, claimed once, and destroyed afterwards."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.executor.engine import Busy, EngineError, PoolState, Sandbox
from app.executor.metrics import Metrics
from app.executor.settings import Bounds
from app.process.tracing import Tracing
from app.wire.protocol import Execution

_log = logging.getLogger(__name__)

_MAKERS, _MAKERS_IN_NEED = 2, 3
"""Concurrent creations: fewer while no claim waits, so that running code keeps the CPU; more while claims wait. On two
cores a third one adds 10% of throughput, and a fourth nothing."""
_DESTROYERS = 2
"""Concurrent clean-ups."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
"""Delay before another attempt to make a sandbox after a failure: doubled each time, up to the longest."""
_MOMENT_SECONDS = 0.02
"""Delay before refilling after a claim, so that short runs get the CPU; skipped while claims are queued."""
_CALM_SECONDS = 60.0
"""After this long without a claim that had to wait, one sandbox less is kept ready."""


class Workshop(Protocol):
    """Makes sandboxes and destroys them."""

    def fits(self, execution: Execution) -> bool:
        """Whether a waiting sandbox can run this execution. If not, one is made to order."""

    async def make(self, environment: str, execution: Execution | None = None) -> Sandbox:
        """Make a sandbox that waits for code, or one made to order for `execution`.

        When this fails or is cancelled, nothing of the sandbox is left.

        Raises:
            EngineError: the sandbox could not be made.
        """

    async def destroy(self, sandbox: Sandbox) -> None:
        """Remove the sandbox with its processes, mounts and control group.

        Raises:
            EngineError: something could not be removed. It is left until the executor's next start.
        """

    async def remove_all(self) -> None:
        """Remove every sandbox."""


@dataclass(frozen=True)
class _Ready:
    sandbox: Sandbox
    watcher: "asyncio.Task[None]"


@dataclass(frozen=True)
class _Used:
    """A sandbox to destroy, and the context (log fields, trace) of the execution that used it."""

    sandbox: Sandbox
    context: Context


@dataclass(eq=False)
class _Shelf:
    """The sandboxes of one environment. After a failure `fault` is the error, and `retry` times the next attempt.

    `filled` says whether it has had a ready sandbox. Before that, a claim that waits is no sign of a shortage.
    """

    environment: str
    bounds: Bounds
    target: int
    ready: deque[_Ready] = field(default_factory=deque)
    waiting: int = 0
    starting: int = 0
    running: int = 0
    filled: bool = False
    was_short: bool = False
    fault: EngineError | None = None
    pause: float = _FIRST_PAUSE_SECONDS
    retry: asyncio.TimerHandle | None = None

    @property
    def missing(self) -> int:
        """How many more sandboxes to start making. Waiting claims add to the target, within the upper bound."""
        return min(self.bounds.max, self.target + self.waiting) - len(self.ready) - self.starting


@dataclass(eq=False)
class _Claim:
    """A wait for a place and a sandbox. `granted` is a waiting sandbox, or None: a place for one made to order."""

    shelf: _Shelf
    granted: "asyncio.Future[_Ready | None]"
    made_to_order: bool


class Pool:
    """An `Engine` that serves claims in the order of their arrival.

    At most `concurrency` executions run at once, and at most `queue` claims wait. Whatever changes the state calls
    `_act` or `_act_soon` afterwards.
    """

    def __init__(
        self,
        workshop: Workshop,
        bounds: Mapping[str, Bounds],
        metrics: Metrics,
        concurrency: int,
        queue: int,
        *,
        tracing: Tracing,
    ) -> None:
        self._workshop = workshop
        self._metrics = metrics
        self._concurrency = concurrency
        self._queue = queue
        self._tracing = tracing
        self._shelves = {name: _Shelf(name, its, its.min) for name, its in bounds.items()}
        self._claims: deque[_Claim] = deque()
        self._claimed: dict[str, _Shelf] = {}
        self._made_to_order = 0
        self._used: deque[_Used] = deque()
        self._making = self._destroying = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Start to make sandboxes. To be called once, within the event loop."""
        self._spawn(self._relax())
        self._act()

    async def claim(self, execution: Execution) -> Sandbox:
        """See `Engine`."""
        if self._closed:
            raise EngineError("the executor is stopping")
        shelf = self._shelves[execution.home]
        made_to_order = not self._workshop.fits(execution)
        claim = _Claim(shelf, asyncio.get_running_loop().create_future(), made_to_order)
        self._claims.append(claim)
        shelf.waiting += not made_to_order
        self._act_soon()
        try:
            with self._tracing.span("queue"):
                if not claim.granted.done():
                    if not made_to_order:
                        self._grow(shelf)
                    if shelf.fault and not shelf.ready:
                        raise shelf.fault
                    if len(self._claims) > self._queue + self._concurrency - self._running:
                        raise Busy
                ready = await claim.granted
        except BaseException:
            self._leave(claim)
            raise
        return ready.sandbox if ready else await self._make_to_order(shelf, execution)

    async def _make_to_order(self, shelf: _Shelf, execution: Execution) -> Sandbox:
        """Make a sandbox for an execution that has been granted a place."""
        started = time.monotonic()
        try:
            with self._tracing.span("make"):
                sandbox = await self._workshop.make(shelf.environment, execution)
        except BaseException as error:
            if isinstance(error, EngineError):
                _log.error("no sandbox of %s can be made for an execution: %s", shelf.environment, error)
                self._metrics.engine_errors.labels("make").inc()
            self._give_back(shelf)
            raise
        self._made_to_order -= 1
        self._claimed[sandbox.id] = shelf
        self._metrics.make_seconds.labels(shelf.environment).observe(time.monotonic() - started)
        return sandbox

    def _give_back(self, shelf: _Shelf) -> None:
        """Free the place of an execution whose sandbox could not be made."""
        self._made_to_order -= 1
        shelf.running -= 1
        self._act_soon()

    @property
    def _running(self) -> int:
        return len(self._claimed) + self._made_to_order

    def release(self, sandbox: Sandbox) -> None:
        """See `Engine`."""
        self._claimed.pop(sandbox.id).running -= 1
        self._used.append(_Used(sandbox, copy_context()))
        self._act_soon()

    @property
    def waiting(self) -> int:
        """See `Engine`."""
        return len(self._claims)

    @property
    def alive(self) -> int:
        """See `Engine`."""
        kept = sum(shelf.starting + len(shelf.ready) + shelf.running for shelf in self._shelves.values())
        return kept + len(self._used) + self._destroying

    def pools(self) -> Mapping[str, PoolState]:
        """See `Engine`."""
        return {
            name: PoolState(starting=shelf.starting, ready=len(shelf.ready), running=shelf.running)
            for name, shelf in self._shelves.items()
        }

    @property
    def fault(self) -> EngineError | None:
        """See `Engine`."""
        faults = (shelf.fault for shelf in self._shelves.values() if not shelf.ready)
        return next((fault for fault in faults if fault), None)

    async def close(self) -> None:
        """See `Engine`."""
        self._closed = True
        for claim in self._claims:
            if not claim.granted.done():
                claim.granted.set_exception(EngineError("the executor is stopping"))
        tasks = [*self._tasks, *(ready.watcher for shelf in self._shelves.values() for ready in shelf.ready)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._workshop.remove_all()

    def _act_soon(self) -> None:
        """Grant claims now. Make and destroy sandboxes later, unless claims wait: that work competes with running
        code for the CPU.
        """
        if not self._closed:
            self._grant()
        if self._claims:
            self._act()
        else:
            asyncio.get_running_loop().call_later(_MOMENT_SECONDS, self._act)

    def _act(self) -> None:
        """Grant claims, make missing sandboxes and destroy used ones, each within its bound."""
        if self._closed:
            return
        self._grant()
        makers = _MAKERS_IN_NEED if self._claims else _MAKERS
        while self._making < makers and (shelf := self._neediest()):
            self._making += 1
            shelf.starting += 1
            self._spawn(self._make(shelf))
        while self._destroying < _DESTROYERS and self._used:
            self._destroying += 1
            used = self._used.popleft()
            self._spawn(self._destroy(used.sandbox), used.context)

    def _grant(self) -> None:
        for claim in [claim for claim in self._claims if claim.made_to_order or claim.shelf.ready]:
            if self._running == self._concurrency:
                return
            if claim.granted.done() or not (claim.made_to_order or claim.shelf.ready):
                continue
            self._remove(claim)
            claim.shelf.running += 1
            if claim.made_to_order:
                self._made_to_order += 1
                claim.granted.set_result(None)
                continue
            ready = claim.shelf.ready.popleft()
            ready.watcher.cancel()
            self._claimed[ready.sandbox.id] = claim.shelf
            claim.granted.set_result(ready)

    def _leave(self, claim: _Claim) -> None:
        """Withdraw a claim whose caller was cancelled or refused. It may have been granted already."""
        if claim in self._claims:
            self._remove(claim)
        elif not claim.granted.cancelled() and claim.granted.exception() is None:
            if ready := claim.granted.result():
                self.release(ready.sandbox)
            else:
                self._give_back(claim.shelf)

    def _remove(self, claim: _Claim) -> None:
        self._claims.remove(claim)
        claim.shelf.waiting -= not claim.made_to_order

    def _grow(self, shelf: _Shelf) -> None:
        if shelf.filled:
            shelf.was_short = True
            shelf.target = min(shelf.bounds.max, shelf.target + 1)
        self._act()

    def _neediest(self) -> _Shelf | None:
        """The environment to make a sandbox of: that of the longest waiting claim, else the one that lacks most."""
        able = [
            shelf
            for shelf in self._shelves.values()
            if shelf.missing > 0 and not shelf.retry and not (shelf.fault and shelf.starting)
        ]
        waited_for = [claim.shelf for claim in self._claims if claim.shelf in able and not claim.made_to_order]
        unserved = [shelf for shelf in waited_for if waited_for.count(shelf) > shelf.starting]
        return unserved[0] if unserved else max(able, key=lambda shelf: shelf.missing, default=None)

    async def _make(self, shelf: _Shelf) -> None:
        started = time.monotonic()
        try:
            sandbox = await self._workshop.make(shelf.environment)
        except EngineError as error:
            self._note_fault(shelf, error)
        else:
            shelf.filled, shelf.fault, shelf.pause = True, None, _FIRST_PAUSE_SECONDS
            shelf.ready.append(_Ready(sandbox, asyncio.create_task(self._watch(shelf, sandbox))))
            self._metrics.make_seconds.labels(shelf.environment).observe(time.monotonic() - started)
        finally:
            self._making -= 1
            shelf.starting -= 1
        self._act()

    def _note_fault(self, shelf: _Shelf, error: EngineError) -> None:
        """Log the failure and try again later. Claims fail with it at once if no ready sandbox is left for them."""
        _log.error("no sandbox of %s can be made: %s; next attempt in %g s", shelf.environment, error, shelf.pause)
        self._metrics.engine_errors.labels("make").inc()
        shelf.fault = error
        if shelf.retry:
            shelf.retry.cancel()
        # Don't compare clocks here: timers can fire up to 1 ms early.
        shelf.retry = asyncio.get_running_loop().call_later(shelf.pause, self._try_again, shelf)
        shelf.pause = min(2 * shelf.pause, _LONGEST_PAUSE_SECONDS)
        if not shelf.ready:
            for claim in self._claims:
                if claim.shelf is shelf and not claim.granted.done():
                    claim.granted.set_exception(error)

    def _try_again(self, shelf: _Shelf) -> None:
        shelf.retry = None
        self._act()

    async def _watch(self, shelf: _Shelf, sandbox: Sandbox) -> None:
        await sandbox.ended()
        _log.warning("sandbox %s of %s has ended while it was idle", sandbox.id, shelf.environment)
        self._metrics.died_idle.labels(shelf.environment).inc()
        self._take_off(shelf, next(ready for ready in shelf.ready if ready.sandbox is sandbox))

    def _take_off(self, shelf: _Shelf, ready: _Ready) -> None:
        shelf.ready.remove(ready)
        self._used.append(_Used(ready.sandbox, Context()))
        self._act()

    async def _destroy(self, sandbox: Sandbox) -> None:
        try:
            with self._tracing.span("clean-up"):
                await self._workshop.destroy(sandbox)
        except EngineError as error:
            _log.warning("sandbox %s is left until the executor starts again: %s", sandbox.id, error)
            self._metrics.engine_errors.labels("destroy").inc()
        finally:
            self._destroying -= 1
        self._act()

    async def _relax(self) -> None:
        """Lower the target of each environment whose ready sandboxes were enough for a while."""
        while True:
            await asyncio.sleep(_CALM_SECONDS)
            for shelf in self._shelves.values():
                if not shelf.was_short:
                    shelf.target = max(shelf.bounds.min, shelf.target - 1)
                    if len(shelf.ready) > shelf.target:
                        surplus = shelf.ready[0]
                        surplus.watcher.cancel()
                        self._take_off(shelf, surplus)
                shelf.was_short = False

    def _spawn(self, work: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        """Run `work` as a task in this context. Without one it belongs to no request, whichever request caused it."""
        task = asyncio.create_task(work, context=Context() if context is None else context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
