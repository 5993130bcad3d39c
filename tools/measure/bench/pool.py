"""The state of the executor's pool, from its metrics."""

import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tools.console.steps import StepFailed
from tools.measure.bench.client import Client, Lost

_BETWEEN_LOOKS = 0.02


def settle(
    executor: Client,
    seconds: float,
    fix: str,
    log: Path | None = None,
    also: Callable[[int], bool] = lambda ready: True,
) -> int:
    """Wait until each environment has a ready sandbox and no sandbox is created, used or removed.

    Returns the number of ready sandboxes. `also` is a further condition on that number.

    Raises:
        StepFailed: that did not happen within `seconds`; it has this `fix` and `log`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            ready, alive, all_served = _read(executor)
        except Lost as error:
            standing = str(error)
        else:
            if all_served and ready == alive and also(ready):
                return ready
            standing = f"{ready} sandboxes are ready, of {alive} that are alive"
        if time.monotonic() > deadline:
            raise StepFailed(f"The pool is not at rest after {seconds:g} s: {standing}.", fix, log)
        time.sleep(_BETWEEN_LOOKS)


def _read(executor: Client) -> tuple[int, int, bool]:
    text = executor.get("/metrics").body.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    ready = [it.value for it in samples if it.name == "sandbox_pool" and it.labels["state"] == "ready"]
    alive = next(it.value for it in samples if it.name == "sandbox_alive")
    return int(sum(ready)), int(alive), all(ready)
