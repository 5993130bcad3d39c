"""The fixtures of the api's unit tests that its processes need too."""

from tests.unit.app.conftest import _executor, anyio_backend, executor

__all__ = ["_executor", "anyio_backend", "executor"]
